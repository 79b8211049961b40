# SPDX-License-Identifier: BSD-3-Clause
"""Copies of address spaces: what is shared until it is written, what always is, and what is copied."""

from __future__ import annotations

import struct

import pytest

from harness import GuestPanic
from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.clones import VA, frame, page, references
from tests.uk.driver import (
    DONTNEED,
    EXEC,
    LARGE,
    NONE,
    NOPAGING,
    POPULATE,
    PROBE,
    READ,
    RW,
    RX,
    SIZE_2M,
    WRITE,
    Access,
    R,
    Vas,
    exhaust,
    kernel_vas,
)

WRITERS = ("user", "kernel", "copy_in")
COW = 2  # the flag of a VMA whose pages may be shared


# -- contents -----------------------------------------------------------------------------------------------


def test_copy_has_the_same_vmas_and_contents(parent):
    """Layout, attributes and words; and no frame more for them."""
    frames = parent.frames()[-1]
    copy = parent.clone()
    assert copy.layout() == parent.layout()
    assert parent.frames()[-1] == frames
    assert copy.words(page(0), page(1), page(2)) == parent.words(page(0), page(1), page(2)) == [1, 2, 3]


@pytest.mark.parametrize("hole", [PAGE, LARGE], ids=["page", "table"])
def test_pages_behind_a_hole_are_in_the_copy(vas, hole):
    """What nobody has touched yet, a page or all that a table maps, is no end."""
    at = vas.map("anon", 2 * LARGE + 2 * PAGE, at=VA)
    behind = at + PAGE + hole
    for va in (at, behind):
        vas.store(va, 5)
    copy = vas.clone()
    assert [leaf.va for leaf in copy.pages()] == [at, behind]
    assert copy.words(at, behind) == [5, 5]


@pytest.mark.parametrize("who", WRITERS)
@pytest.mark.parametrize("writer", ["parent", "copy"])
def test_write_in_one_is_not_seen_in_the_other(parent, who, writer):
    """From EL0, from EL1 and by copy_in: the page is copied, the neighbours stay shared."""
    copy = parent.clone()
    mine, other = (parent, copy) if writer == "parent" else (copy, parent)
    assert mine.write(page(1), 77, who)
    assert mine.words(page(0), page(1), page(2)) == [1, 77, 3]
    assert other.words(page(0), page(1), page(2)) == [1, 2, 3]
    shared = [pa for pa, count in references(parent, copy).items() if count == 2]
    assert shared == [mine.pa(page(0)), mine.pa(page(2))]
    assert parent.is_sound()


def test_copy_in_up_to_the_end_of_a_page_copies_no_other(parent):
    """The page behind stays shared."""
    copy = parent.clone()
    kernel, data = parent.kernel, parent.kernel.buffer(bytes(16))
    kernel.vmm_address_space_copy_in(copy.space, data, page(1) - 16, 16)
    shared = [pa for pa, count in references(parent, copy).items() if count == 2]
    assert shared == [parent.pa(page(1)), parent.pa(page(2))]


def test_copy_is_a_copy_of_all_of_the_page(parent):
    """Not only of what is written next."""
    pattern = bytes(range(256)) * 16
    parent.kernel.write(parent.space, page(0), pattern)
    copy = parent.clone()
    copy.write(page(0) + 8, 5)
    expected = pattern[:8] + struct.pack("<Q", 5) + pattern[16:]
    assert parent.kernel.read(copy.space, page(0), PAGE) == expected
    assert parent.kernel.read(parent.space, page(0), PAGE) == pattern


@pytest.mark.parametrize("who", WRITERS)
def test_last_one_takes_over_without_a_copy(parent, who):
    """After the other has copied, unmapped or is gone: the same frame, and none allocated."""
    copy = parent.clone()
    before = parent.pa(page(0)), parent.pa(page(1)), parent.pa(page(2))
    copy.write(page(0), 9)
    copy.unmap(page(1), PAGE)
    parent.run()
    copy.destroy()
    frames = parent.frames()
    for number in range(3):
        assert parent.write(page(number), 50 + number, who)
    assert parent.frames() == frames
    assert (parent.pa(page(0)), parent.pa(page(1)), parent.pa(page(2))) == before
    assert parent.words(page(0), page(1), page(2)) == [50, 51, 52]


def test_pages_that_come_later_are_not_shared(parent):
    """The fourth page was not there when the copy was made: each gets its own."""
    copy = parent.clone()
    copy.write(page(3), 8)
    assert parent.words(page(3)) == [0]
    assert parent.pa(page(3)) != copy.pa(page(3))


def test_copies_of_copies(parent):
    """Three generations; a frame is free when the last of them has gone."""
    parent.map("anon", PAGE, at=page(8))
    frames = parent.frames()[-1]
    child = parent.clone()
    grandchild = child.clone()
    assert frame(parent, parent.pa(page(0))).used == 2
    assert grandchild.write(page(0), 30)
    assert child.write(page(0), 20)
    assert [each.words(page(0))[0] for each in (parent, child, grandchild)] == [1, 20, 30]
    grandchild.run()
    parent.destroy()
    child.destroy()
    assert grandchild.words(page(0), page(1), page(2)) == [30, 2, 3]
    assert grandchild.frames()[-1] == frames
    assert grandchild.is_sound()


def test_destroying_either_first_leaves_the_other(parent):
    """References are dropped, not frames; with the last one everything is back."""
    copy = parent.clone()
    copy.run()
    parent.destroy()
    assert copy.words(page(0), page(2)) == [1, 3]
    kernel_vas(copy.kernel).kernel.vmm_address_space_activate(None)
    copy.destroy()
    assert copy.kernel.frames_count(copy.kernel.FRAME_PAGE) == 0
    assert copy.kernel.frames_count(copy.kernel.FRAME_REGION) == 0
    assert copy.kernel.frames_check()


@pytest.mark.parametrize("boundary", [1 << 21, 1 << 30])
def test_copy_goes_on_in_the_next_table(vas, boundary):
    """Of one VMA, whichever level of tables ends in it."""
    at = VA + boundary - PAGE
    vas.map("anon", 2 * PAGE, at=at)
    for number in range(2):
        vas.store(at + number * PAGE, 7 + number)
    assert vas.clone().words(at, at + PAGE) == [7, 8]


def test_tables_that_vmas_have_in_common_go_with_the_last_of_them(vas):
    """The copy counts what each of its tables holds once: none of them stays empty."""
    for number in range(3):
        vas.map("anon", PAGE, at=page(number), name=number)
        vas.store(page(number), number)
    copy = vas.clone()
    for number in range(3):
        copy.unmap(page(number), PAGE)
        assert len(copy.pages()) == 2 - number


def test_address_spaces_are_listed_and_numbered(parent):
    """A copy is an address space like any other."""
    copy = parent.clone()
    assert int(copy.space.id) == int(parent.space.id) + 1
    assert int(parent.kernel.vmm_address_space_next(parent.space)) == int(copy.space)


def test_flags_and_base_of_the_vas_are_copied(parent):
    """Where new VMAs go, and whether faults are resolved."""
    parent.vas.vma_base, parent.vas.flags = VA + 64 * PAGE, 1
    copy = parent.clone()
    assert (int(copy.vas.vma_base), int(copy.vas.flags)) == (VA + 64 * PAGE, 1)


# -- rights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [READ, EXEC])
def test_only_writes_are_resolved(parent, kind):
    """A permission fault of another kind is none of copying."""
    copy = parent.clone()
    copy.run()
    assert copy.kernel.fault_resolve(page(0), kind, None) == -14
    assert copy.kernel.fault_resolve(page(0), WRITE, None) == 0


def test_write_that_another_core_made_possible_is_tried_again(parent):
    """A second fault on a page that is its own by now, or gone, changes nothing."""
    copy = parent.clone()
    copy.write(page(0), 7)
    books = copy.books()
    assert copy.kernel.fault_resolve(page(0), WRITE, None) == 0
    assert copy.kernel.fault_resolve(page(3), WRITE, None) == 0
    assert copy.books() == books


def test_no_paging_refuses_the_copy(parent):
    """As with any fault that would take memory; reading works."""
    copy = parent.clone()
    copy.run()
    assert not copy.store(page(0), 5, NOPAGING)
    copy.vas.flags = 1
    assert copy.user("w", page(0), 5) == Access("fault", True, page(0), "w")
    assert copy.load(page(0)) == 1


@pytest.mark.parametrize("attr", [R, RX, NONE])
def test_what_must_not_be_written_is_not(parent, attr):
    """Before the clone and after it; the page stays shared."""
    parent.set_attr(page(0), PAGE, attr)
    copy = parent.clone()
    copy.run()
    result = copy.user("w", page(0), 5)
    assert result == Access("fault", attr != NONE, page(0), "w")
    assert not copy.store(page(0), 5)
    assert copy.pa(page(0) + PAGE) == parent.pa(page(0) + PAGE)


@pytest.mark.parametrize("attr", [R, RX, NONE])
@pytest.mark.parametrize("writer", ["parent", "copy"])
def test_right_to_write_that_comes_later_does_not_reach_shared_pages(parent, attr, writer):
    """set_attr on either side: contents stay apart."""
    parent.set_attr(page(0), PAGE, attr)
    copy = parent.clone()
    mine, other = (parent, copy) if writer == "parent" else (copy, parent)
    mine.set_attr(page(0), PAGE, RW)
    assert mine.write(page(0), 5, "user")
    other.set_attr(page(0), PAGE, R)
    assert other.words(page(0)) == [1]


def test_rights_of_a_range_that_cuts_two_shared_vmas(vas):
    """Blocks are cut at both ends in the one; the other keeps them, and what is in them stays shared."""
    at = vas.map("anon", LARGE, at=VA, flags=POPULATE)
    vas.map("anon", LARGE, R, at=at + LARGE, flags=POPULATE)
    copy = vas.clone()
    shared = references(vas, copy)
    copy.set_attr(at + LARGE // 2, LARGE, RX)
    assert [(start, end - start, attr) for start, end, _, attr in copy.layout()] == [
        (at, LARGE // 2, RW),
        (at + LARGE // 2, LARGE, RX),
        (at + 3 * LARGE // 2, LARGE // 2, R),
    ]
    assert [leaf.size for leaf in vas.pages()] == [LARGE, LARGE]
    assert [leaf.size for leaf in copy.pages()] == [PAGE] * 1024
    assert references(vas, copy) == shared
    assert copy.write(at, 5)
    assert vas.words(at) == [0]


def test_copy_in_to_what_only_the_kernel_may_write(parent):
    """Into read-only memory of one: the other does not see it, and the user still may not write."""
    parent.set_attr(page(0), PAGE, R)
    copy = parent.clone()
    assert copy.write(page(0), 66, "copy_in")
    assert parent.words(page(0)) == [1]
    assert copy.words(page(0)) == [66]
    assert copy.user("w", page(0), 5).outcome == "fault"


def test_code_is_shared_and_copied_in_sync(parent):
    """RX pages execute in both; new code of one is made visible to execution."""
    parent.kernel.write(parent.space, page(0), struct.pack("<I", 0xD400_0001))
    parent.set_attr(page(0), PAGE, RX)
    copy = parent.clone()
    for each in (parent, copy):
        each.run()
        assert each.user("x", page(0)).outcome == "ok"
    with tracing(copy.kernel) as trace:
        copy.write(page(0) + 64, 1, "copy_in")
    names = [event.name for event in trace.events]
    lines = PAGE // 64
    assert names.count("dc cvau") >= lines
    assert names.index("ic ivau" if "ic ivau" in names else "ic ialluis") < names.index("tlbi vale1is")
    assert parent.words(page(0) + 64) == [0]


@pytest.mark.parametrize("new", [-1, 4])
def test_merge_of_shared_and_new_memory(parent, new):
    """What is mapped above or below a copied VMA becomes one with it, and its pages are its own."""
    copy = parent.clone()
    assert copy.map("anon", PAGE, at=page(new)) == page(new)
    start = min(page(new), VA)
    assert copy.layout() == [(start, start + 5 * PAGE, "anon", RW)]
    copy.write(page(new), 4)
    copy.set_attr(start, 5 * PAGE, R)
    copy.set_attr(start, 5 * PAGE, RW)
    for number in (0, new):
        assert copy.write(page(number), 90 + number, "user")
    assert copy.words(page(0), page(1), page(new)) == [90, 2, 90 + new]
    assert parent.words(page(0), page(1)) == [1, 2]


def test_dontneed_drops_only_ones_own(parent):
    """The other keeps what was there; the one gets zeros."""
    copy = parent.clone()
    copy.advise(VA, 4 * PAGE, DONTNEED)
    assert copy.words(page(0), page(2)) == [0, 0]
    assert parent.words(page(0), page(2)) == [1, 3]


# -- failures -----------------------------------------------------------------------------------------------


def everything(vas):
    """A VMA of each type, in several tables, a block among it."""
    vas.map("anon", 2 * PAGE, at=VA, flags=POPULATE)
    vas.map("anon", LARGE, R, at=VA + LARGE, flags=POPULATE)
    vas.map("dma", 2 * PAGE, at=VA + 4 * LARGE, pa=0x4000_0000, flags=POPULATE)
    vas.stack(2 * PAGE, 2 * PAGE, at=VA + 6 * LARGE)
    vas.map("rsvd", PAGE, NONE, at=VA + 8 * LARGE)
    vas.region(VA + 10 * LARGE, 2 * PAGE)


def test_clone_is_made_completely_or_not_at_all(vas):
    """Whichever allocation fails: the original as it was, writable, no frame lost, no address space more."""
    everything(vas)

    def clone():
        copy = vas.do_clone()
        return "OK" if isinstance(copy, Vas) else copy

    assert exhaust(clone, vas, vas.books) > 10


@pytest.mark.parametrize("at", [VA, VA + 7 * PAGE])
@pytest.mark.parametrize("flags", [0, SIZE_2M])
def test_write_without_memory_is_refused_and_can_be_tried_again(vas, flags, at):
    """The copy needs a frame, and a table where a block is cut; nothing has changed without."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE | flags)
    copy = vas.clone()
    copy.run()
    before = copy.mapping()
    for n in range(1, 9):
        with copy.failing(n) as injection:
            worked = copy.user("w", at, 5).outcome == "ok"
        if injection.struck is None:
            break
        assert not worked
        assert copy.mapping() == before
    assert worked
    assert n > 1
    assert vas.words(at) == [0]


def test_copy_in_without_memory_writes_nothing(parent):
    """All or nothing: what is made its own before it fails still has its contents."""
    copy = parent.clone()
    source = copy.kernel.buffer(b"\xee" * (3 * PAGE))
    for n in range(1, 9):
        with copy.failing(n) as injection:
            copy.kernel.vmm_address_space_copy_in(copy.space, source, VA, 3 * PAGE)
        if injection.struck is None:
            break
        assert copy.kernel.vmm_last_error() == -12
        assert copy.words(page(0), page(1), page(2)) == [1, 2, 3]
    assert n > 2
    assert copy.kernel.read(copy.space, VA, 3 * PAGE) == b"\xee" * (3 * PAGE)
    assert parent.words(page(0), page(1), page(2)) == [1, 2, 3]


def test_frame_shared_too_often_refuses_the_clone(parent):
    """EOVERFLOW before anything has changed, though others of the frames could have been shared."""
    shared = frame(parent, parent.pa(page(1)))
    shared.used = 65534
    first = parent.clone()
    assert shared.used == 65535
    before = parent.books()
    assert parent.do_clone() == "EOVERFLOW"
    assert (parent.books(), shared.used) == (before, 65535)
    parent.run()
    first.destroy()
    assert shared.used == 65534


def test_frame_that_others_have_is_not_released(parent):
    """A release that forgets the others is a bug of the kernel: it panics."""
    parent.clone()
    with pytest.raises(GuestPanic, match="others refer to it"):
        parent.kernel.frames_free(parent.pa(page(0)), 1)


# -- what the hardware is told ------------------------------------------------------------------------------


def test_rights_are_gone_from_the_tlbs_before_the_clone_returns(parent):
    """The copy's tables are filled unseen; then rights are taken, DSB, one TLBI of the ASID, DSB, ISB."""
    parent.map("anon", PAGE, at=page(600))
    parent.store(page(600), 1)
    with tracing(parent.kernel) as trace:
        parent.clone()
    names = [event.name for event in trace.events]
    assert [name for name in names if name.startswith("tlbi")] == ["tlbi aside1is"]
    at = names.index("tlbi aside1is")
    assert names[at - 1 : at + 3] == ["dsb ishst", "tlbi aside1is", "dsb ish", "isb"]
    kinds = [(number, store.kind) for number, event in enumerate(trace.events) for store in event.stores]
    assert {kind for _, kind in kinds} == {"fill", "permit"}
    assert [number for number, kind in kinds if kind == "permit"] == [at - 1] * 4
    asid = parent.kernel.ttbr0(parent.space) >> 48
    assert trace.events[at].asid == asid


def test_nothing_to_take_needs_no_tlb_maintenance(vas):
    """Read-only memory, or none that is present."""
    vas.map("anon", PAGE, R, at=VA, flags=POPULATE)
    vas.map("anon", PAGE, RW, at=page(8))
    with tracing(vas.kernel) as trace:
        vas.clone()
    assert trace.named("tlbi") == []


def test_shared_entries_are_visible_before_the_copy_can_run(vas):
    """Its activation is an ISB, but no DSB. Memory of others comes last here, and nothing is taken away."""
    vas.unmap(PROBE, PAGE)
    vas.map("dma", 2 * PAGE, at=VA, pa=0x4000_0000, flags=POPULATE)
    with tracing(vas.kernel) as trace:
        copy = vas.clone()
    assert trace.script[-2].startswith("fill")
    assert trace.script[-1] == "dsb ishst"
    copy.run()
    assert copy.load(VA) is not None


def test_copied_page_is_replaced_with_break_before_make(parent):
    """Another output address: break, DSB, TLBI of the page, DSB, make, DSB, ISB."""
    copy = parent.clone()
    copy.run()
    with tracing(copy.kernel) as trace:
        assert copy.kernel.fault_resolve(page(1) + 8, WRITE, None) == 0
    assert trace.script == [
        *["break 1", "dsb ishst", "tlbi vale1is", "dsb ish", "isb"],
        *["make 1", "dsb ishst", "isb"],
    ]
    assert trace.named("tlbi")[0].va == page(1)


def test_page_taken_over_only_changes_its_rights(parent):
    """No break: one store, DSB, TLBI of the page, DSB, ISB."""
    copy = parent.clone()
    copy.unmap(VA, 4 * PAGE)
    with tracing(parent.kernel) as trace:
        assert parent.kernel.fault_resolve(page(1), WRITE, None) == 0
    assert trace.script == ["permit 1", "dsb ishst", "tlbi vale1is", "dsb ish", "isb"]


def test_user_program_runs_in_the_copy(parent):
    """The region with its code came along, at the same address."""
    copy = parent.clone()
    copy.run()
    assert copy.user("r", page(2)).value == 3
    assert copy.tables().lookup(PROBE).prot == "r-x"
