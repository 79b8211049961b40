# SPDX-License-Identifier: BSD-3-Clause
"""Copies of address spaces with large pages, and with VMAs of each type: what each type shares, and how."""

from __future__ import annotations

import pytest

from tests.support.files import Files
from tests.support.vmm import PAGE
from tests.uk.clones import VA, frame, page, references
from tests.uk.driver import (
    GUARD_ABOVE,
    LARGE,
    NONE,
    NOPAGING,
    POPULATE,
    SIZE_2M,
    Vas,
    exhaust,
)

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


def test_a_copy_without_memory_does_not_hold_the_file(vas):
    """Wherever memory runs out the clone fails as a whole, and the file goes with those who have it."""
    files = Files(vas.kernel)
    fd = files.make("/f", bytes(2 * PAGE))
    assert files.map(vas.vas, fd, 2 * PAGE, at=VA, flags=POPULATE) == VA

    def clone():
        copy = vas.do_clone()
        return "OK" if isinstance(copy, Vas) else copy

    assert exhaust(clone, vas, vas.books) >= 3  # the address space, its table, the VMA
    assert vas.kernel.vmm_address_space_destroy(vas.kernel.vmm_address_space_next(vas.space)) == 0
    vas.unmap(VA, 2 * PAGE)
    assert vas.kernel.file_unlink("/f") == vas.kernel.file_close(fd) == 0
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
