# SPDX-License-Identifier: BSD-3-Clause
"""Promotion: 512 pages of 4K that belong together become one of 2M, by break-before-make, and go back."""

from __future__ import annotations

import pytest

from tests.support.frames import blocks
from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    RW,
    RX,
    SIZE_2M,
    SIZE_4K,
    WILLNEED,
    R,
    shared_memory,
)

PROMOTE = 1 << 32


def window(vas):
    """An aligned address with room around it."""
    return vas.base + 4 * LARGE


def in_pieces(vas, attr=RW, kind="anon"):
    """2M of pages of 4K whose memory is one block: a part had other rights for a while."""
    at = vas.map(kind, LARGE, attr, at=window(vas), flags=POPULATE)
    other = R if attr == RW else RW
    vas.set_attr(at + 5 * PAGE, PAGE, other)
    vas.set_attr(at + 5 * PAGE, PAGE, attr)
    assert len(vas.leaves()) == 512
    return at


def scattered(vas, attr=RW, flags=0):
    """The same with memory that came in another order; the number of each page is written in it."""
    at = vas.map("anon", LARGE, RW, at=window(vas), flags=flags)
    for quarter in (3, 1, 2, 0):
        vas.advise(at + quarter * LARGE // 4, LARGE // 4, WILLNEED)
    pages = vas.pages()
    for leaf in pages:
        vas.kernel.machine.memory.write(leaf.pa, ((leaf.va - at) // PAGE).to_bytes(8, "little"))
    assert len(pages) == 512
    assert any(leaf.pa != pages[0].pa + leaf.va - at for leaf in pages)
    if attr != RW:
        vas.set_attr(at, LARGE, attr)
    return at


def sizes(vas):
    """The sizes of all pages there are."""
    return [leaf.size for leaf in vas.leaves()]


def test_block_in_pieces_is_made_whole_in_place(either_vas):
    """No memory is needed, the table is given back, contents and rights stay."""
    vas = either_vas
    at = in_pieces(vas)
    vas.store(at + 7 * PAGE, 77)
    pa, (tables, *_, owned) = vas.pa(at), vas.frames()
    vas.advise(at, LARGE, PROMOTE)
    assert [(leaf.va, leaf.pa, leaf.size, leaf.prot) for leaf in vas.leaves()] == [(at, pa, LARGE, "rw-")]
    assert (vas.frames()[0], vas.frames()[-1]) == (tables - 1, owned)
    assert vas.load(at + 7 * PAGE) == 77
    assert vas.store(at + 8 * PAGE, 88)
    assert vas.is_sound()


def test_scattered_pages_are_copied_into_a_block(either_vas):
    """Every page at its place; the frames that they had are free."""
    vas = either_vas
    at = scattered(vas)
    tables, *_, owned = vas.frames()
    vas.advise(at, LARGE, PROMOTE)
    assert sizes(vas) == [LARGE]
    assert (vas.frames()[0], vas.frames()[-1]) == (tables - 1, owned)
    assert [vas.load(at + number * PAGE) for number in range(512)] == list(range(512))
    assert vas.is_sound()


def test_records_of_the_frames_are_those_of_a_block(vas):
    """One allocation of order 9, whichever way it came about, and released as one."""
    kernel = vas.kernel
    for make in (in_pieces, scattered):
        at = make(vas)
        vas.advise(at, LARGE, PROMOTE)
        owned = [block for block in blocks(kernel) if block.purpose == kernel.FRAME_PAGE]
        assert [(block.pa, block.order) for block in owned] == [(vas.pa(at), 9)]
        assert kernel.frame_of(vas.pa(at))[0].count == 512
        vas.unmap(at, LARGE)
        assert vas.frames()[-1] == 0
        assert vas.is_sound()


@pytest.mark.parametrize("make", [in_pieces, scattered])
def test_promoted_block_is_cut_again_by_what_needs_a_part(vas, make):
    """Unmap, set_attr and DONTNEED of a part; and promoted again when it is complete."""
    at = make(vas)
    for change in (
        lambda: vas.unmap(at + 9 * PAGE, PAGE),
        lambda: vas.set_attr(at + 9 * PAGE, PAGE, R),
        lambda: vas.advise(at + 9 * PAGE, PAGE, DONTNEED),
    ):
        vas.advise(at, LARGE, PROMOTE)
        assert sizes(vas) == [LARGE]
        change()
        assert len(sizes(vas)) in (511, 512)
        vas.map("anon", PAGE, at=at + 9 * PAGE, flags=4)
        vas.advise(at, LARGE, WILLNEED)
        assert vas.is_sound()


@pytest.mark.parametrize("attr", [R, RX, NONE])
def test_rights_are_those_of_the_pages(vas, attr):
    """Whatever they are; memory without rights too, which gets none by it."""
    at = scattered(vas, attr)
    vas.advise(at, LARGE, PROMOTE)
    assert [(page.va, page.size) for page in vas.pages()] == [(at, LARGE)]
    prot = {R: "r--", RX: "r-x", NONE: "---"}[attr]
    assert vas.pages()[0].prot == prot
    vas.set_attr(at, LARGE, RW)
    assert vas.load(at + 300 * PAGE) == 300


def test_code_that_moves_is_made_visible_to_execution(either_vas):
    """All of the block is made coherent before it is mapped, and once."""
    vas = either_vas
    at, seen = scattered(vas, RX), []
    machine = vas.kernel.machine

    def note(cpu):
        seen.append((cpu.registers["x0"], cpu.registers["x1"], vas.leaves()))

    watch = machine.on_address(vas.kernel.function("vmm_arch_sync_code").address, note)
    vas.advise(at, LARGE, PROMOTE)
    watch.remove()
    assert seen == [(vas.pa(at), LARGE, [])]


def test_as_many_blocks_as_the_range_has(vas):
    """Incomplete ones between them stay as they are."""
    at = vas.map("anon", 4 * LARGE, at=window(vas) - PAGE)
    for start in range(window(vas), window(vas) + 3 * LARGE, LARGE):
        for quarter in (3, 1, 2, 0):
            vas.advise(start + quarter * LARGE // 4, LARGE // 4, WILLNEED)
    vas.advise(window(vas) + LARGE, PAGE, DONTNEED)
    vas.advise(at, 4 * LARGE, PROMOTE)
    assert sizes(vas) == [LARGE, *[PAGE] * 511, LARGE]
    assert vas.is_sound()


def test_blocks_in_pieces_are_all_made_whole(vas):
    """One after the other, each in place, up to the end of the range and not behind it."""
    at = vas.map("anon", 3 * LARGE, at=window(vas), flags=POPULATE)
    for block in range(3):
        for attr in (R, RW):
            vas.set_attr(at + block * LARGE + 5 * PAGE, PAGE, attr)
    pa = [vas.pa(at + block * LARGE) for block in range(3)]
    vas.advise(at, 2 * LARGE, PROMOTE)
    assert sizes(vas) == [LARGE, LARGE, *[PAGE] * 512]
    assert [vas.pa(at + block * LARGE) for block in range(3)] == pa
    assert vas.is_sound()


def test_willneed_and_promote_in_one_call(vas):
    """First what is missing comes, then it becomes one."""
    at = scattered(vas)
    vas.unmap(at + 3 * PAGE, PAGE)
    vas.map("anon", PAGE, at=at + 3 * PAGE)
    vas.advise(at, LARGE, WILLNEED | PROMOTE)
    assert sizes(vas) == [LARGE]


# -- what stays as it is ------------------------------------------------------------------------------------


def unchanged(vas, at, size=LARGE):
    """Promotion does nothing, and says so without an error."""
    before = vas.books()
    vas.advise(at, size, PROMOTE)
    assert vas.books() == before


@pytest.mark.parametrize("missing", [0, 1, 255, 511])
def test_a_missing_page(vas, missing):
    """511 are not enough."""
    at = scattered(vas)
    vas.advise(at + missing * PAGE, PAGE, DONTNEED)
    unchanged(vas, at)


def test_nothing_there_at_all(vas):
    """No page, no table; or a block already."""
    at = vas.map("anon", 2 * LARGE, at=window(vas))
    unchanged(vas, at, 2 * LARGE)
    vas.advise(at, LARGE, WILLNEED)
    assert sizes(vas) == [LARGE]
    unchanged(vas, at, 2 * LARGE)


def test_a_range_that_is_not_all_of_it(vas):
    """Both ends have to be in the range."""
    at = scattered(vas)
    unchanged(vas, at + PAGE, LARGE - PAGE)
    unchanged(vas, at, LARGE - PAGE)


def test_pages_of_two_vmas(vas):
    """Rights differ, and so the VMAs."""
    at = scattered(vas)
    vas.set_attr(at + 100 * PAGE, PAGE, R)
    unchanged(vas, at)


def test_a_vma_that_insists_on_small_pages(vas):
    """It gets what it asked for."""
    unchanged(vas, scattered(vas, flags=SIZE_4K))


def test_a_vma_that_insists_on_large_pages(vas):
    """It has them already."""
    unchanged(vas, vas.map("anon", LARGE, at=window(vas), flags=POPULATE | SIZE_2M))


def test_memory_of_somebody_else(vas):
    """dma, shared memory and regions are not ours to move."""
    memory = vas.kernel.frames_alloc(1024, 10, vas.kernel.FRAME_PAGE)
    vas.map("dma", LARGE, at=window(vas), pa=memory + PAGE, flags=POPULATE)
    unchanged(vas, window(vas))
    vas.shared(shared_memory(vas.kernel, LARGE), LARGE, at=window(vas) + LARGE, flags=POPULATE)
    unchanged(vas, window(vas) + LARGE)


@pytest.mark.no_sanitizer("policy/mismatched-attributes")  # the device is no memory
@pytest.mark.parametrize("what", ["device", "region", "half of an allocation"])
def test_a_page_that_somebody_has_put_there(vas, what):
    """No RAM, memory of another purpose, a part of a larger allocation: they stay where they are."""
    kernel = vas.kernel
    at = scattered(vas)
    vas.advise(at + 300 * PAGE, PAGE, DONTNEED)
    pa = {
        "device": lambda: 0x0900_0000,
        "region": lambda: kernel.frames_alloc(1, 0, kernel.FRAME_REGION),
        "half of an allocation": lambda: kernel.frames_alloc(2, 1, kernel.FRAME_PAGE),
    }[what]()
    assert kernel.ukplat_page_map(vas.vas.pt, at + 300 * PAGE, pa, 1, RW, 0) == 0
    unchanged(vas, at)
    assert vas.pa(at + 300 * PAGE) == pa


@pytest.mark.parametrize("shared", [0, 300, 511])
def test_pages_shared_with_a_copy_of_the_address_space(vas, shared):
    """One is enough. When the copy has gone, or all have been written, it can be done."""
    at = scattered(vas)
    copy = vas.clone()
    unchanged(vas, at)
    if shared:
        copy.unmap(at, shared * PAGE)
    if shared < 511:
        copy.unmap(at + (shared + 1) * PAGE, LARGE - (shared + 1) * PAGE)
    unchanged(vas, at)
    copy.unmap(at + shared * PAGE, PAGE)
    vas.advise(at, LARGE, PROMOTE)
    assert sizes(vas) == [LARGE]
    assert vas.words(at + 300 * PAGE) == [300]


@pytest.mark.parametrize("make", [in_pieces, scattered])
def test_pages_of_which_some_may_be_written_already(vas, make):
    """After a clone some are taken over, others not yet: they are not alike."""
    at = make(vas)
    copy = vas.clone()
    vas.run()
    copy.destroy()
    vas.store(at + 3 * PAGE, 1)
    unchanged(vas, at)
    for number in range(512):
        vas.store(at + number * PAGE, number)
    vas.advise(at, LARGE, PROMOTE)
    assert sizes(vas) == [LARGE]
    assert vas.load(at + 511 * PAGE) == 511


def test_no_block_to_copy_to(vas):
    """ENOMEM, and the pages are as they were; in place no memory is needed."""
    at = scattered(vas)
    before = vas.books()
    with vas.failing(1):
        assert vas.do_advise(at, LARGE, PROMOTE) == "ENOMEM"
    assert vas.books() == before
    vas.unmap(at, LARGE)
    at = in_pieces(vas)
    with vas.failing(1) as injection:
        assert vas.do_advise(at, LARGE, PROMOTE) == "OK"
    assert injection.struck is None
    assert sizes(vas) == [LARGE]


# -- what the hardware is told ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [in_pieces, scattered])
def test_table_is_replaced_with_break_before_make(vas, make):
    """Break, DSB, the ASID's TLBI, DSB, ISB, make, DSB, ISB; the table is free only then."""
    at = make(vas)
    with tracing(vas.kernel) as trace:
        vas.advise(at, LARGE, PROMOTE)
    assert trace.script == [
        *["break 1", "dsb ishst", "tlbi aside1is", "dsb ish", "isb"],
        *["make 1", "dsb ishst", "isb", "free 1"],
    ]
    assert trace.named("tlbi")[0].asid == vas.kernel.ttbr0(vas.space) >> 48


def test_table_of_the_kernel_half(kernel_vas):
    """Every TLB, whatever the ASID."""
    at = in_pieces(kernel_vas)
    with tracing(kernel_vas.kernel) as trace:
        kernel_vas.advise(at, LARGE, PROMOTE)
    assert [event.name for event in trace.named("tlbi")] == ["tlbi vmalle1is"]


def test_stale_pages_are_gone(vas):
    """Pages in the TLB before are not used after their memory has moved."""
    at = scattered(vas)
    assert [vas.user("r", at + number * PAGE).value for number in range(0, 512, 8)] == list(range(0, 512, 8))
    old = [leaf.pa for leaf in vas.pages()]
    vas.advise(at, LARGE, PROMOTE)
    for pa in old:
        vas.kernel.machine.memory.write(pa, b"\xff" * 8)
    assert [vas.user("r", at + number * PAGE).value for number in range(0, 512, 8)] == list(range(0, 512, 8))
