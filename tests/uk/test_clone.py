# SPDX-License-Identifier: BSD-3-Clause
"""Copies of address spaces: what is shared until it is written, what always is, and what is copied."""

from __future__ import annotations

import struct

import pytest

from harness import GuestPanic
from tests.support.files import Files
from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    EXEC,
    GUARD_ABOVE,
    LARGE,
    NONE,
    NOPAGING,
    POPULATE,
    PROBE,
    READ,
    RW,
    RX,
    SIZE_2M,
    USER_BASE,
    WRITE,
    Access,
    R,
    Vas,
    exhaust,
    kernel_vas,
)

VA = USER_BASE
WRITERS = ("user", "kernel", "copy_in")
COW = 2  # the flag of a VMA whose pages may be shared


@pytest.fixture
def parent(vas):
    """Four pages with words 1, 2, 3 in the first three; the last is not present."""
    vas.map("anon", 4 * PAGE, at=VA)
    for page in range(3):
        vas.store(VA + page * PAGE, page + 1)
    return vas


def page(number):
    """The address of a page of `parent`."""
    return VA + number * PAGE


def references(*spaces):
    """How many leaves of these address spaces map each frame that is a VMA's own: {PA: count}."""
    found = {}
    for vas in spaces:
        for leaf in vas.pages():
            for pa in range(leaf.pa, leaf.pa + leaf.size, PAGE):
                found[pa] = found.get(pa, 0) + 1
    return found


def frame(vas, pa):
    """The struct frame of a PA."""
    return vas.kernel.frame_of(pa)[0]


# -- contents -----------------------------------------------------------------------------------------------


def test_copy_has_the_same_vmas_and_contents(parent):
    """Layout, attributes and words; and no frame more for them."""
    frames = parent.frames()[-1]
    copy = parent.clone()
    assert copy.layout() == parent.layout()
    assert parent.frames()[-1] == frames
    assert copy.words(page(0), page(1), page(2)) == parent.words(page(0), page(1), page(2)) == [1, 2, 3]


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


# -- large pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 300, 511])
def test_write_into_a_large_page_copies_only_4k_of_it(vas, number):
    """A block that nobody asked for is cut with break-before-make; all the rest stays shared."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE)
    assert [leaf.size for leaf in vas.leaves()] == [LARGE]
    copy = vas.clone()
    frames = vas.frames()[-1]
    assert copy.write(page(number), 5, "user")
    assert vas.frames()[-1] == frames + 1
    assert [leaf.size for leaf in vas.leaves()] == [LARGE]
    assert len(copy.leaves()) == 512
    assert vas.words(page(number)) == [0]
    assert vas.write(page(number), 6)
    assert vas.frames()[-1] == frames + 1  # nobody else had it any more
    assert copy.words(page(number), page((number + 1) % 512)) == [5, 0]
    assert sum(count == 2 for count in references(vas, copy).values()) == 511
    assert vas.is_sound()


def test_large_pages_that_were_asked_for_stay_large(vas):
    """The VMA's page size is the unit of copying: a whole block, at its level."""
    vas.map("anon", 2 * LARGE, at=VA, flags=POPULATE | SIZE_2M)
    vas.store(VA + 5 * PAGE, 55)
    copy = vas.clone()
    frames = vas.frames()[-1]
    assert copy.write(VA + 6 * PAGE, 66, "user")
    assert vas.frames()[-1] == frames + 512
    assert [leaf.size for leaf in copy.leaves()] == [LARGE, LARGE]
    assert copy.words(VA + 5 * PAGE, VA + 6 * PAGE) == [55, 66]
    assert vas.words(VA + 5 * PAGE, VA + 6 * PAGE) == [55, 0]


def test_large_page_is_taken_over_whole(vas):
    """Nobody else has it any more: one store of rights, no split."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE)
    copy = vas.clone()
    copy.unmap(VA, LARGE)
    assert vas.write(page(7), 7, "user")
    assert [(leaf.size, leaf.prot) for leaf in vas.leaves()] == [(LARGE, "rw-")]


def test_both_cut_the_same_block(vas):
    """Each has it in pieces of its own, and releases them in its own order."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE)
    copy = vas.clone()
    free = vas.kernel.frames_count(vas.kernel.FRAME_FREE)
    copy.unmap(page(1), PAGE)
    vas.unmap(page(3), 4 * PAGE)
    copy.unmap(page(3), 2 * PAGE)
    assert vas.frames()[-1] == 512 - 2
    assert copy.write(page(9), 9, "user")
    assert vas.words(page(9)) == [0]
    copy.unmap(VA, LARGE)
    vas.unmap(VA, LARGE)
    assert vas.frames()[-1] == 0
    assert vas.kernel.frames_count(vas.kernel.FRAME_FREE) > free
    assert vas.is_sound()


# -- types --------------------------------------------------------------------------------------------------


def test_regions_are_copied_whole(vas):
    """A region is one physical range: contents at once, another range, on its boundary."""
    vas.region(VA, 3 * PAGE)
    vas.store(page(2), 22)
    copy = vas.clone()
    assert copy.words(page(0), page(2)) == [0, 22]
    pas = [copy.pa(page(number)) for number in range(3)]
    assert pas == [pas[0], pas[0] + PAGE, pas[0] + 2 * PAGE]
    assert not {vas.pa(page(number)) for number in range(3)} & set(pas)
    assert copy.write(page(2), 23, "user")
    assert vas.words(page(2)) == [22]
    assert vas.layout() == copy.layout()


@pytest.mark.parametrize("prop", range(4))
def test_regions_keep_their_property(vas, prop):
    """NO_ACCESS too, whose memory is there without rights."""
    vas.region(VA, PAGE, prop)
    copy = vas.clone()
    assert [(leaf.va, leaf.prot) for leaf in copy.pages()] == [(leaf.va, leaf.prot) for leaf in vas.pages()]


def test_physical_memory_is_the_same_in_both(vas):
    """dma: what one writes the other sees, what is populated stays so, nothing is counted or freed."""
    memory = vas.kernel.frames_alloc(4, 2, vas.kernel.FRAME_PAGE)
    vas.map("dma", 4 * PAGE, at=VA, pa=memory, flags=POPULATE)
    copy = vas.clone()
    assert [leaf.pa for leaf in copy.leaves()] == [leaf.pa for leaf in vas.leaves()]
    assert copy.load(page(1), NOPAGING) == vas.load(page(1), NOPAGING)
    assert copy.write(page(1), 11, "user")
    assert vas.words(page(1)) == [11]
    assert frame(vas, memory).used == 0
    vas.run()
    copy.destroy()
    assert vas.frames()[-1] == 4


def test_private_files_are_copied_on_write_and_held(vas):
    """Pages used before are shared, later ones come from the file, which lives until both have gone."""
    files = Files(vas.kernel)
    fd = files.make("/f", bytes([1] * PAGE + [2] * PAGE))
    assert files.map(vas.vas, fd, 2 * PAGE, at=VA) == VA
    one, two = int.from_bytes(b"\x01" * 8, "little"), int.from_bytes(b"\x02" * 8, "little")
    assert vas.load(page(0)) == one
    copy = vas.clone()
    assert vas.kernel.file_unlink("/f") == vas.kernel.file_close(fd) == 0
    assert copy.pa(page(0)) == vas.pa(page(0))
    assert copy.write(page(0), 7, "user")
    assert vas.words(page(0)) == [one]
    vas.unmap(VA, 2 * PAGE)
    assert vas.kernel.frames_count(vas.kernel.FRAME_FILE) > 0
    assert copy.words(page(0), page(1)) == [7, two]
    copy.unmap(VA, 2 * PAGE)
    assert vas.kernel.frames_count(vas.kernel.FRAME_FILE) == 0


def test_stacks_are_private_and_keep_their_guards(vas):
    """Contents shared until written; a guard is one in the copy too."""
    bottom = vas.stack(4 * PAGE, 2 * PAGE, at=VA)
    top = bottom + 3 * PAGE
    vas.store(top, 1)
    copy = vas.clone()
    assert copy.write(top, 2, "user")
    assert (vas.words(top), copy.words(top)) == ([1], [2])
    for guard in (bottom - PAGE, bottom + 4 * PAGE, bottom + 3 * PAGE + GUARD_ABOVE):
        assert copy.user("w", guard, 1).outcome == "fault"


def test_reservations_are_copied_without_what_others_mapped(vas):
    """Nothing is mapped by a reservation, nor by a copy of one."""
    vas.map("rsvd", 4 * PAGE, NONE, at=VA)
    copy = vas.clone()
    assert copy.layout() == vas.layout()
    assert copy.leaves() == []


def test_type_without_a_clone_operation_refuses(parent):
    """ENOTSUP, and nothing has happened, whatever else there is."""
    ops = parent.kernel.new("struct uk_vma_ops")
    ops.fault = parent.ops["anon"].fault
    parent.ops["own"] = ops
    parent.map("own", PAGE, at=page(9))
    before = parent.books()
    assert parent.do_clone() == "ENOTSUP"
    assert parent.books() == before
    assert parent.user("w", page(0), 3).outcome == "ok"


def test_only_address_spaces_can_be_cloned(small_vmm):
    """EINVAL for anything that is not a live one."""
    kernel = small_vmm.kernel
    gone = small_vmm.space()
    kernel.vmm_address_space_destroy(gone)
    for pointer in (None, gone, kernel.buffer(64), 0x4000_0000):
        assert not kernel.vmm_address_space_clone(pointer)
        assert small_vmm.error == "EINVAL"


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


@pytest.mark.parametrize("flags", [0, SIZE_2M])
def test_write_without_memory_is_refused_and_can_be_tried_again(vas, flags):
    """The copy needs a frame, and a table where a block is cut; nothing has changed without."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE | flags)
    copy = vas.clone()
    copy.run()
    before = copy.mapping()
    for n in range(1, 9):
        with copy.failing(n) as injection:
            worked = copy.user("w", VA, 5).outcome == "ok"
        if injection.struck is None:
            break
        assert not worked
        assert copy.mapping() == before
    assert worked
    assert n > 1
    assert vas.words(VA) == [0]


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
