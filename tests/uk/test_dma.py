# SPDX-License-Identifier: BSD-3-Clause
"""Direct-mapped physical memory: aliases, memory types, and never a frame freed."""

from __future__ import annotations

import pytest

from tests.support.trace import tracing
from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import (
    EXEC,
    HUGE,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_2M,
    UNINITIALIZED,
    USER_BASE,
    WILLNEED,
    R,
)

UART = 0x0900_0000
FAR = 1 << 37  # no RAM of ours
TYPES = {
    "Normal WB": 0 << 5,
    "Normal WT": 1 << 5,
    "Normal NC": 2 << 5,
    "Device-nGnRnE": 3 << 5,
    "Device-nGnRE": 4 << 5,
    "Device-GRE": 5 << 5,
}

# Memory that the kernel's linear map has too, with the type that it was booted with.
OTHER_TYPE = pytest.mark.no_sanitizer("policy/mismatched-attributes")


@pytest.fixture
def memory(vas):
    """4M of physical memory on 2M that belongs to the test."""
    pa = vas.kernel.frames_alloc(1024, 9, vas.kernel.FRAME_REGION)
    assert pa
    return pa


def test_one_range_can_be_mapped_many_times(vas, memory):
    """What is written through one mapping is read through the other, and in the memory itself."""
    one = vas.map("dma", 2 * PAGE, pa=memory)
    two = vas.map("dma", 2 * PAGE, pa=memory)
    assert one != two
    assert vas.user("w", one + PAGE, 0xABCD).outcome == "ok"
    assert vas.load(two + PAGE) == 0xABCD
    assert vas.kernel.machine.memory.read(memory + PAGE, 2) == b"\xcd\xab"


def test_two_mappings_one_after_the_other_make_a_ring(vas, memory):
    """They are not merged: the physical memory does not go on."""
    va = vas.map("dma", 2 * PAGE, pa=memory, flags=POPULATE)
    vas.map("dma", 2 * PAGE, at=va + 2 * PAGE, pa=memory, flags=POPULATE)
    assert len(vas.vmas()) == 2
    vas.kernel.write(vas.space, va + 2 * PAGE - 3, b"across")
    assert vas.kernel.read(vas.space, va, 3) == b"oss"


def test_neighbours_that_continue_each_other_are_merged(vas, memory):
    """In both halves: addresses and memory go on."""
    va = vas.map("dma", PAGE, at=USER_BASE + PAGE, pa=memory + PAGE)
    vas.map("dma", PAGE, at=va + PAGE, pa=memory + 2 * PAGE)
    vas.map("dma", PAGE, at=va - PAGE, pa=memory)
    assert vas.layout() == [(va - PAGE, va + 2 * PAGE, "dma", RW)]
    assert [vas.load(va + each * PAGE) is not None and vas.pa(va + each * PAGE) for each in (-1, 0, 1)] == [
        memory + each * PAGE for each in range(3)
    ]


def test_memory_behind_is_right_after_a_split(vas, memory):
    """Each part that remains still maps its own memory, mapped before the split or after."""
    va = vas.map("dma", 6 * PAGE, pa=memory)
    vas.unmap(va + 2 * PAGE, PAGE)
    vas.set_attr(va + 4 * PAGE, PAGE, R)
    for page in (0, 1, 3, 4, 5):
        assert vas.load(va + page * PAGE) is not None
        assert vas.pa(va + page * PAGE) == memory + page * PAGE


@OTHER_TYPE
@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_memory_type_is_in_the_descriptor(either_vas, name, kind):
    """Through MAIR; shareable unless it is a device."""
    vas = either_vas
    va = vas.map("dma", PAGE, RW | kind, pa=UART, flags=POPULATE)
    [leaf] = vas.leaves()
    assert (leaf.va, leaf.pa) == (va, UART)
    assert leaf.memory.lower().replace("-", " ").startswith(name.lower().replace("-", " ").split(" wb")[0])
    assert leaf.descriptor.sh == (0 if "Device" in name else 3)


@OTHER_TYPE
def test_memory_type_can_be_changed(vas, memory):
    """set_attr over a mapped page: another type, same memory."""
    va = vas.map("dma", PAGE, pa=memory, flags=POPULATE)
    vas.set_attr(va, PAGE, RW | TYPES["Normal NC"])
    [leaf] = vas.leaves()
    assert leaf.pa == memory
    assert "NC" in leaf.memory or "Non-cacheable" in leaf.memory


def test_device_registers_are_reached(kernel_vas):
    """The UART's flag register by a device mapping in the kernel's VAS."""
    va = kernel_vas.map("dma", PAGE, RW | TYPES["Device-nGnRE"], pa=UART)
    assert kernel_vas.can_read(va + 0x18) == 1


def test_unmapping_never_frees(vas, memory):
    """Not what is mapped, by unmap, by REPLACE, nor with the address space."""
    kernel = vas.kernel
    frames = vas.frames()[2]
    for _ in range(2):
        va = vas.map("dma", 2 * LARGE, pa=memory, flags=POPULATE)
        vas.unmap(va, 2 * LARGE)
    va = vas.map("dma", PAGE, pa=memory, flags=POPULATE)
    vas.map("anon", PAGE, at=va, flags=REPLACE)
    vas.map("dma", PAGE, pa=memory, flags=POPULATE)
    kernel.vmm_address_space_activate(None)
    assert kernel.vmm_address_space_destroy(vas.space) == 0
    assert kernel.frames_count(kernel.FRAME_REGION) == frames - 1  # that of the user program
    kernel.frames_free(memory, 1024)
    assert kernel.frames_check()


@pytest.mark.parametrize(("shift", "sizes"), [(0, [LARGE]), (PAGE, [PAGE] * 512)])
def test_populate_takes_large_pages_where_both_sides_are_aligned(vas, memory, shift, sizes):
    """2M where VA and PA are; 4K elsewhere."""
    vas.map("dma", LARGE, at=USER_BASE, pa=memory + shift, flags=POPULATE)
    assert [leaf.size for leaf in vas.leaves()] == sizes


def test_populate_goes_on_with_the_largest_pages(vas):
    """A 2M block up to the first gigabyte, then that as one."""
    vas.map("dma", LARGE + HUGE, at=USER_BASE + HUGE - LARGE, pa=FAR - LARGE, flags=POPULATE)
    assert [(leaf.va - USER_BASE, leaf.pa, leaf.size) for leaf in vas.leaves()] == [
        (HUGE - LARGE, FAR - LARGE, LARGE),
        (HUGE, FAR, HUGE),
    ]


def test_a_gigabyte_around_a_page_takes_the_largest_that_fit(vas):
    """Tables are in the way at two levels: small pages beside the one there is, blocks behind."""
    va = vas.map("dma", HUGE, at=USER_BASE, pa=FAR)
    assert vas.fault(va + 3 * PAGE) == "OK"
    vas.advise(va, HUGE, WILLNEED)
    assert [leaf.size for leaf in vas.leaves()] == [PAGE] * 512 + [LARGE] * 511
    assert vas.pa(va + HUGE - PAGE) == FAR + HUGE - PAGE


def test_a_gigabyte_on_an_odd_page_takes_small_ones(vas):
    """The memory fits neither of the larger sizes."""
    va = vas.map("dma", HUGE, at=USER_BASE, pa=FAR + PAGE)
    vas.advise(va, HUGE, WILLNEED)
    ends = [vas.tables().lookup(va + offset) for offset in (0, LARGE, HUGE - PAGE)]
    assert [(leaf.size, leaf.pa - FAR - PAGE) for leaf in ends] == [
        (PAGE, 0),
        (PAGE, LARGE),
        (PAGE, HUGE - PAGE),
    ]


@pytest.mark.parametrize("flags", [0, POPULATE])
@pytest.mark.parametrize("is_ram", [True, False])
def test_only_ram_is_synchronised_as_code(vas, memory, is_ram, flags):
    """What has no record cannot have been written through the kernel's map."""
    pa = memory if is_ram else FAR
    with tracing(vas.kernel) as mapped:
        va = vas.map("dma", PAGE, RX, pa=pa, flags=flags)
        assert vas.fault(va, EXEC) == "OK"
    vas.set_attr(va, PAGE, R)
    with tracing(vas.kernel) as changed:
        vas.set_attr(va, PAGE, RX)
    for trace in (mapped, changed):
        assert bool(trace.named("dc cvau")) == is_ram


def test_cutting_a_block_leaves_the_frames_alone(vas):
    """The memory of others, in whatever state: dma only points at it."""
    kernel = vas.kernel
    pa = kernel.frames_alloc(512, 9, kernel.FRAME_PAGE)
    kernel.frames_split(pa, 512, 0)
    kernel.frames_free_pages(kernel.frame_of(pa + 256 * PAGE), kernel.frame_of(pa + 512 * PAGE))
    books = [bytes(kernel.frame_of(pa + each * PAGE).target) for each in range(512)]
    va = vas.map("dma", LARGE, at=USER_BASE, pa=pa, flags=POPULATE)
    vas.unmap(va + PAGE, PAGE)
    assert [bytes(kernel.frame_of(pa + each * PAGE).target) for each in range(512)] == books
    assert kernel.frames_check()


def test_demand_paging_maps_what_was_asked(vas, memory):
    """Without POPULATE the first access maps the page that it hits; WILLNEED the range."""
    va = vas.map("dma", 4 * PAGE, R, pa=memory)
    assert vas.leaves() == []
    assert vas.user("r", va + 2 * PAGE).outcome == "ok"
    assert vas.user("w", va + 2 * PAGE).permission
    vas.advise(va, 2 * PAGE, WILLNEED)
    assert [(leaf.va, leaf.pa) for leaf in vas.leaves()] == [
        (va + each * PAGE, memory + each * PAGE) for each in range(3)
    ]


@pytest.mark.parametrize(
    ("pa", "options"),
    [
        (None, {}),
        (UART + 1, {}),
        (UART + 8, {}),
        ((1 << 64) - PAGE, {}),
        (1 << 48, {}),
        ((1 << 48) - PAGE, {}),
        (1 << 53, {}),
        (UART, {"flags": UNINITIALIZED}),
        (UART + PAGE, {"flags": SIZE_2M | POPULATE}),
        (UART, {"attr": RX | TYPES["Device-nGnRE"]}),
        (UART, {"attr": RW | 6 << 5}),
        (UART, {"attr": RW | 7 << 5}),
    ],
)
def test_memory_that_cannot_be_is_refused(vas, pa, options):
    """No address, not on a page, beyond what a descriptor holds, uninitialised, executable devices."""
    before = vas.books()
    size = LARGE if options.get("flags", 0) & SIZE_2M else 2 * PAGE
    assert vas.do_map("dma", size, pa=pa, **options)[0] == "EINVAL"
    assert vas.books() == before


def test_attributes_survive_a_time_without_rights(vas, memory):
    """PROT_NONE and back: the page and its memory are still there."""
    va = vas.map("dma", PAGE, pa=memory, flags=POPULATE)
    vas.store(va, 42)
    vas.set_attr(va, PAGE, NONE)
    assert vas.load(va) is None
    vas.set_attr(va, PAGE, RW)
    assert vas.load(va) == 42
    assert vas.kernel.read(None, KERNEL_BASE + memory, 1) == b"\x2a"
