# SPDX-License-Identifier: BSD-3-Clause
"""The seven examples of the specification: the VMAs and the tables that each leaves."""

from __future__ import annotations

import pytest

from tests.support.figures import FIGURES, read_figure
from tests.support.vmm import PAGE
from tests.uk.driver import LARGE, RW, USER_BASE, R, Vma

HEAP = 0x20_0000_0000
M = 1 << 20
SIZE = 4 * M
RETURN = 0x00AD_DE00_0000_0000


def stepping(kernel, example, base):
    """Run an example that has steps; yields what each has done, while the kernel stands there."""
    registers, step = kernel.machine.registers, kernel.image.symbols["tour_examples_ready"].address
    kept = {name: value for name, value in registers.items() if name != "pstate"}
    registers["x0"], registers["x1"], registers["x30"] = base, step, RETURN
    registers["pc"] = kernel.function(example).address
    while kernel.session.run(until=(step, RETURN)).pc == step:
        here = {name: value for name, value in registers.items() if name != "pstate"}
        yield kernel.cast(registers["x0"], "char *").string()
        for name, value in here.items():
            registers[name] = value
    for name, value in kept.items():
        registers[name] = value


def name_of(vas, vma):
    """The name of a VMA."""
    return vas.kernel.cast(vma.name, "char *").string() if vma.name else None


def test_example_1_is_memory_on_demand(vas):
    """An anonymous VMA at the base, without a page until somebody comes."""
    assert vas.kernel.example1(SIZE) == USER_BASE
    assert vas.vmas() == [Vma(USER_BASE, USER_BASE + SIZE, "anon", RW, 0, -1, 0)]
    assert vas.leaves() == []
    assert vas.user("w", USER_BASE + M, 7).outcome == "ok"
    assert vas.present(USER_BASE, SIZE) == [USER_BASE + M]


@pytest.mark.no_sanitizer  # the memory named holds the kernel's tables, and the example gives it to EL0
def test_example_2_is_physical_memory_at_once(vas):
    """The whole range is mapped to the memory named, and was not taken from the allocator."""
    before = vas.frames()[-1]
    paddr = 0x4000_0000
    va = vas.kernel.example2(SIZE, paddr)
    assert vas.layout() == [(va, va + SIZE, "dma", RW)]
    assert {vas.pa(each) - paddr - (each - va) for each in range(va, va + SIZE, PAGE)} == {0}
    assert {leaf.prot for leaf in vas.leaves()} == {"rw-"}
    assert vas.frames()[-1] == before


def test_example_3_is_memory_by_2m(vas):
    """One write brings one block."""
    va = vas.kernel.example3(SIZE)
    assert vas.vmas() == [Vma(va, va + SIZE, "anon", RW, 0, 1, 0)]
    assert vas.leaves() == []
    assert vas.user("w", va + LARGE + PAGE, 7).outcome == "ok"
    assert [(leaf.va, leaf.size) for leaf in vas.leaves()] == [(va + LARGE, LARGE)]


def test_example_4_is_a_vma_for_what_is_mapped(vas):
    """The tables are as they were, before, during and after."""
    kernel = vas.kernel
    assert kernel.ukplat_page_map(vas.vas.pt, HEAP, 0x4000_0000, 3, R, 0) == 0
    mapped = vas.leaves()
    kernel.example4(kernel.new("__vaddr_t", HEAP), 3 * PAGE)
    [vma] = vas.vmas()
    assert (vma.start, vma.end, vma.kind, vma.attr) == (HEAP, HEAP + 3 * PAGE, "rsvd", R)
    assert name_of(vas, vma) == ".initrd"
    assert vas.leaves() == mapped
    vas.unmap(HEAP, 3 * PAGE)
    assert vas.leaves() == mapped


def test_example_5_is_as_the_specification_draws_it(vas):
    """After each operation: the VMAs of the figure; what is heap has pages when used, the rest never."""
    done = []
    for what in stepping(vas.kernel, "example5", HEAP):
        done.append(what)
        drawn = read_figure(FIGURES[what])
        labels = {"rsvd": "RSVD"}
        found = [(vma.start, vma.end, labels.get(vma.kind) or name_of(vas, vma)) for vma in vas.vmas()]
        assert found == [(HEAP + box.start * M, HEAP + box.end * M, box.label) for box in drawn]
        heap = sum((box.end - box.start) * M for box in drawn if box.label == "HEAP")
        assert vas.can_write(HEAP, heap + PAGE) == heap
        assert sum(leaf.size for leaf in vas.leaves()) == heap
        assert all(HEAP <= leaf.va < HEAP + heap for leaf in vas.leaves())
    assert done == list(FIGURES)


def test_example_5_keeps_what_the_heap_holds(vas):
    """Growing and shrinking leave the contents of what stays alone."""
    for step, _ in enumerate(stepping(vas.kernel, "example5", HEAP)):
        if step > 0:
            assert vas.load(HEAP) == (step if step > 1 else 0)
            assert vas.store(HEAP, step + 1)


def test_example_6_gives_back_what_is_not_needed(vas):
    """The VMA stays whole; the memory of its last megabyte goes, and comes back as zeros."""
    layout = [(HEAP, HEAP + 3 * M, "anon", RW)]
    free = []
    for _ in stepping(vas.kernel, "example6", HEAP):
        assert vas.layout() == layout
        if not free:
            assert vas.can_write(HEAP, 3 * M) == 3 * M
            assert vas.store(HEAP + M, 5)
            assert vas.store(HEAP + 2 * M, 6)
        free.append(vas.kernel.frames_count(vas.kernel.FRAME_FREE))
    assert free[1] - free[0] >= M // PAGE
    assert sum(leaf.size for leaf in vas.leaves()) == 2 * M
    assert (vas.load(HEAP + M), vas.load(HEAP + 2 * M)) == (5, 0)


@pytest.mark.parametrize("pages", [1, 3, 512])
def test_example_7_mirrors(vas, pages):
    """Two VMAs show the same memory one after the other: a write across the end is found at the start."""
    size = pages * PAGE
    memory = vas.kernel.new("__paddr_t")
    va = vas.kernel.example7(pages, memory)
    assert vas.layout() == [(va, va + size, "dma", RW), (va + size, va + 2 * size, "dma", RW)]
    assert [vas.pa(va + at) for at in range(0, 2 * size, PAGE)] == [
        memory.target + at % size for at in range(0, 2 * size, PAGE)
    ]
    assert vas.store(va + size - 4, 0x1122_3344_5566_7788)
    assert vas.load(va) & 0xFFFF_FFFF == 0x1122_3344
    assert vas.load(va + 2 * size - 8) >> 32 == 0x5566_7788


def test_example_7_leaves_its_memory_to_the_caller(vas):
    """Unmapping frees nothing; the frames can be freed one by one."""
    kernel, memory = vas.kernel, vas.kernel.new("__paddr_t")
    before = kernel.frames_count(kernel.FRAME_PAGE)
    va = kernel.example7(4, memory)
    vas.unmap(va, 8 * PAGE)
    assert kernel.frames_count(kernel.FRAME_PAGE) - before == 4
    for page in range(4):
        kernel.frames_free(memory.target + page * PAGE, 1)
    assert kernel.frames_count(kernel.FRAME_PAGE) == before
    assert kernel.frames_check()
