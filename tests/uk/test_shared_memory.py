# SPDX-License-Identifier: BSD-3-Clause
"""Shared memory: one memory in several address spaces, there on demand and gone with the last who has it."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import (
    ANY,
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_2M,
    SIZE_4K,
    UNINITIALIZED,
    USER_BASE,
    WILLNEED,
    R,
    Vas,
    exhaust,
    kernel_vas,
    shared_memory,
    status_name,
)

VA = USER_BASE
SIZE = 8 * PAGE


@pytest.fixture
def memory(vas):
    """A handle to eight pages."""
    return shared_memory(vas.kernel, SIZE)


@pytest.fixture
def other(vas):
    """A second address space, without the user program."""
    space = vas.kernel.vmm_address_space_create()
    return Vas(vas.kernel, space.vas, space)


def pages_of(kernel):
    """Frames that shared memory and files hold, tables of theirs too."""
    return kernel.frames_count(kernel.FRAME_FILE)


def page(number):
    """The address of a page of a mapping at VA."""
    return VA + number * PAGE


def test_there_is_a_largest_size(kernel):
    """It takes no memory before it is used."""
    most, made = kernel.SHARED_MEMORY_MAX, kernel.new("shared_memory_t *")
    assert kernel.shared_memory_create(most + 1, made) == -kernel.EINVAL
    assert kernel.shared_memory_create(most, made) == 0
    assert kernel.shared_memory_close(made.target) == 0


@pytest.mark.parametrize("who", ["user", "kernel", "copy_in"])
def test_what_one_writes_the_other_sees(vas, other, memory, who):
    """At different addresses and offsets, with one frame for a page."""
    vas.shared(memory, SIZE, at=VA)
    other.shared(memory, 4 * PAGE, at=VA + LARGE, offset=2 * PAGE)
    assert vas.write(page(3), 33, who)
    assert other.words(VA + LARGE + PAGE, VA + LARGE) == [33, 0]
    assert other.pa(VA + LARGE + PAGE) == vas.pa(page(3))
    assert other.write(VA + LARGE + PAGE, 34, "kernel")
    assert vas.words(page(3)) == [34]


def test_the_kernel_and_an_address_space(vas, memory):
    """The kernel's own VAS can have it, too."""
    own = kernel_vas(vas.kernel)
    there = own.shared(memory, SIZE)
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(2), 5)
    assert own.load(there + 2 * PAGE) == 5


def test_twice_in_one_address_space(vas, memory):
    """A ring buffer: behind its end it begins again."""
    vas.shared(memory, SIZE, at=VA)
    vas.shared(memory, SIZE, at=VA + SIZE)
    vas.store(VA + SIZE - 8, 1)
    vas.store(VA + SIZE, 2)
    assert (vas.load(VA), vas.load(VA + 2 * SIZE - 8)) == (2, 1)
    assert len(vas.vmas()) == 2


def test_memory_is_zero_and_comes_page_by_page(vas, memory):
    """Nothing is taken at first; each page at its first use, by whomever."""
    vas.shared(memory, SIZE, at=VA)
    assert pages_of(vas.kernel) == 0
    assert vas.words(page(0)) == [0]
    assert pages_of(vas.kernel) == 1
    vas.load(page(7))
    assert pages_of(vas.kernel) == 3  # and a table
    vas.load(page(7))
    assert pages_of(vas.kernel) == 3


@pytest.mark.parametrize("number", [1, 511, 512, 262143, 262144])
def test_far_pages_cost_only_their_tables(vas, number):
    """However large it is: a page, and a table for each level."""
    memory = shared_memory(vas.kernel, 1 << 39)
    where = vas.shared(memory, PAGE, offset=number * PAGE)
    vas.store(where, 9)
    assert pages_of(vas.kernel) <= 4
    back = vas.shared(memory, 2 * PAGE, offset=(number - 1) * PAGE)
    assert [vas.load(back), vas.load(back + PAGE)] == [0, 9]


def test_contents_outlive_mappings_while_there_is_a_handle(vas, other, memory):
    """Unmapped everywhere and mapped again."""
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(1), 11)
    vas.unmap(VA, SIZE)
    assert other.shared(memory, SIZE, at=VA) == VA
    assert other.words(page(1)) == [11]


def test_contents_outlive_the_handle_while_there_are_mappings(vas, other, memory):
    """The last mapping takes the memory with it."""
    objects = vas.frames()[1]
    vas.shared(memory, SIZE, at=VA)
    other.shared(memory, SIZE, at=VA)
    vas.store(page(1), 11)
    assert vas.kernel.shared_memory_close(memory) == 0
    vas.unmap(VA, 4 * PAGE)
    assert other.words(page(1)) == [11]
    vas.run()
    other.destroy()
    assert pages_of(vas.kernel) > 0
    vas.unmap(VA, SIZE)
    assert pages_of(vas.kernel) == 0
    assert vas.frames()[1] <= objects
    assert vas.is_sound()


def test_handle_that_nobody_mapped(vas, memory):
    """Closed: everything is back, and it is no handle any more."""
    assert vas.kernel.shared_memory_close(memory) == 0
    assert status_name(vas.kernel.shared_memory_close(memory)) == "EINVAL"
    assert vas.do_shared(memory, PAGE) == ("EINVAL", ANY)


def test_closed_handle_of_memory_that_is_mapped(vas, memory):
    """The memory lives, the handle does not."""
    vas.shared(memory, SIZE, at=VA)
    vas.kernel.shared_memory_close(memory)
    assert status_name(vas.kernel.shared_memory_close(memory)) == "EINVAL"
    assert vas.do_shared(memory, PAGE) == ("EINVAL", ANY)
    assert vas.store(page(0), 1)


def test_dontneed_unmaps_and_keeps(vas, memory):
    """What is in the memory is everybody's; the pages come again."""
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(1), 11)
    vas.advise(VA, SIZE, DONTNEED)
    assert vas.leaves() == []
    assert vas.words(page(1)) == [11]


@pytest.mark.parametrize("advice", [0, 1 << 40])
def test_advice_that_says_nothing_here(vas, memory, advice):
    """What is present stays, and what is not does not come."""
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(1), 11)
    vas.advise(VA, SIZE, advice)
    assert vas.present(VA, SIZE) == [page(1)]


def test_dropped_and_wanted_again(vas, memory):
    """In this order: all of it is present, with what was in it."""
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(1), 11)
    vas.advise(VA, SIZE, DONTNEED | WILLNEED)
    assert len(vas.present(VA, SIZE)) == 8
    assert vas.words(page(1)) == [11]


def test_another_memory_is_not_merged(vas, memory):
    """Though it goes on where the first one ends."""
    other = shared_memory(vas.kernel, 2 * SIZE)
    vas.shared(memory, SIZE, at=VA)
    vas.shared(other, SIZE, at=VA + SIZE, offset=SIZE)
    assert vas.layout() == [(VA, VA + SIZE, "shared", RW), (VA + SIZE, VA + 2 * SIZE, "shared", RW)]
    vas.store(page(8), 1)
    assert vas.words(page(0), page(8)) == [0, 1]


@pytest.mark.parametrize("way", ["populate", "willneed"])
def test_all_of_it_at_once(vas, memory, way):
    """Present without an access."""
    vas.shared(memory, SIZE, at=VA, flags=POPULATE if way == "populate" else 0)
    if way == "willneed":
        vas.advise(VA, SIZE, WILLNEED)
    assert len(vas.present(VA, SIZE)) == 8
    assert {leaf.size for leaf in vas.leaves()} == {PAGE}


def test_parts_of_a_mapping(vas, memory):
    """Split by unmap and set_attr, merged again where it goes on: offsets stay right."""
    vas.shared(memory, SIZE, at=VA)
    for number in range(8):
        vas.store(page(number), number)
    vas.unmap(page(2), PAGE)
    vas.set_attr(page(5), PAGE, R)
    assert [vas.load(page(number)) for number in (0, 1, 3, 4, 5, 6, 7)] == [0, 1, 3, 4, 5, 6, 7]
    assert not vas.store(page(5), 1)
    vas.set_attr(page(5), PAGE, RW)
    vas.shared(memory, PAGE, at=page(2), offset=2 * PAGE)
    assert vas.layout() == [(VA, VA + SIZE, "shared", RW)]
    vas.shared(memory, PAGE, at=page(8), offset=0)
    assert len(vas.vmas()) == 2
    assert [vas.load(page(number)) for number in (2, 8)] == [2, 0]


def test_rights_are_each_mappings_own(vas, other, memory):
    """One writes, the other only reads; a third executes what is written."""
    vas.shared(memory, SIZE, at=VA)
    other.shared(memory, SIZE, R, at=VA)
    assert vas.write(page(0), 0xD400_0001, "user")
    assert other.words(page(0)) == [0xD400_0001]
    assert not other.store(page(0), 1)
    vas.run()
    vas.shared(memory, PAGE, RX, at=VA + LARGE)
    assert vas.user("x", VA + LARGE).outcome == "ok"


def test_code_in_shared_memory_is_code_where_it_may_be_executed(vas, memory):
    """Written through one mapping, it is made coherent for the other one, which comes on demand."""
    writable = vas.shared(memory, SIZE, RW)
    assert vas.store(writable, 0xD4000001_D4000001)  # svc #0
    executable = vas.shared(memory, SIZE, RX)
    assert vas.user("x", executable).outcome == "ok"


def test_clone_has_the_same_memory(vas, memory):
    """Not copied on write: both write to one memory, pages present or not at the time."""
    vas.shared(memory, SIZE, at=VA)
    vas.store(page(0), 1)
    copy = vas.clone()
    assert copy.layout() == vas.layout()
    assert copy.write(page(0), 2, "user")
    assert copy.write(page(1), 3, "user")
    assert vas.words(page(0), page(1)) == [2, 3]
    vas.kernel.shared_memory_close(memory)
    copy.destroy()
    assert vas.words(page(0), page(1)) == [2, 3]
    vas.unmap(VA, SIZE)
    assert pages_of(vas.kernel) == 0


@pytest.mark.parametrize("size", [0, (1 << 39) + 1, 1 << 63, (1 << 64) - 1])
def test_sizes_that_there_are_not(vas, size):
    """EINVAL, and the handle is left alone."""
    handle = vas.kernel.buffer(b"\x5a" * 8)
    assert status_name(vas.kernel.shared_memory_create(size, handle)) == "EINVAL"
    assert vas.kernel.read(None, handle, 8) == b"\x5a" * 8


@pytest.mark.parametrize("where", [0, 8, USER_BASE, 0xFFFF_FF80_0000_0000])
def test_handle_has_to_go_somewhere(vas, where):
    """EFAULT for anything but memory that the kernel may write."""
    if where >> 63:
        where = vas.kernel.image.symbols["kernel_main"].address
    assert status_name(vas.kernel.shared_memory_create(PAGE, where)) == "EFAULT"


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"size": 1},
        {"size": SIZE + PAGE},
        {"size": PAGE, "offset": SIZE},
        {"size": SIZE, "offset": PAGE},
        {"size": PAGE, "offset": 8},
        {"size": PAGE, "offset": (1 << 64) - PAGE},
        {"size": LARGE, "flags": SIZE_2M},
        {"size": PAGE, "attr": 1 << 20},
        {"size": PAGE, "at": 8},
        {"size": PAGE, "at": 1 << 60},
    ],
)
def test_mappings_that_cannot_be(vas, memory, arguments):
    """EINVAL before anything changes."""
    before = vas.books()
    assert vas.do_shared(memory, **arguments)[0] == "EINVAL"
    assert vas.books() == before


@pytest.mark.parametrize("pointer", [0, 8, USER_BASE, 0xFFFF_FF80_4000_0000, (1 << 64) - 8])
def test_what_is_no_handle(vas, pointer):
    """Any pointer is safe to try."""
    assert vas.do_shared(pointer, PAGE) == ("EINVAL", ANY)
    assert status_name(vas.kernel.shared_memory_close(pointer)) == "EINVAL"


def test_flags_that_make_no_difference(vas, memory):
    """4K is what there is; contents are never left over from others."""
    vas.shared(memory, SIZE, at=VA, flags=SIZE_4K)
    vas.shared(memory, SIZE, at=VA, flags=REPLACE | UNINITIALIZED)
    assert [(vma.flags, vma.level) for vma in vas.vmas()] == [(0, 0)]


def test_no_access_is_no_access(vas, memory):
    """Until it is given."""
    vas.shared(memory, SIZE, NONE, at=VA)
    assert vas.load(page(0)) is None
    vas.set_attr(VA, SIZE, RW)
    assert vas.words(page(0)) == [0]


def test_out_of_memory_at_any_point(vas, memory):
    """Creating, mapping, populating and the fault: all or nothing, but pages that nobody mapped may stay."""
    kernel, handle = vas.kernel, vas.kernel.buffer(8)
    assert exhaust(lambda: status_name(kernel.shared_memory_create(PAGE, handle)), vas, vas.books) == 1
    assert exhaust(lambda: vas.do_shared(memory, SIZE, at=VA)[0], vas, vas.books) == 1
    where = VA + 2 * LARGE
    assert exhaust(lambda: vas.do_shared(memory, SIZE, at=where, flags=POPULATE)[0], vas, vas.books) > 2
    vas.kernel.shared_memory_close(memory)
    vas.unmap(VA, SIZE)
    vas.unmap(where, SIZE)
    assert pages_of(kernel) == 0


def test_clone_out_of_memory_gives_its_references_back(vas, memory):
    """The memory goes with the last mapping, whatever was tried before."""
    vas.shared(memory, SIZE, at=VA, flags=POPULATE)
    vas.map("anon", PAGE, at=VA + LARGE, flags=POPULATE)

    def clone():
        copy = vas.do_clone()
        return "OK" if isinstance(copy, Vas) else copy

    exhaust(clone, vas, vas.books)
    vas.kernel.vmm_address_space_destroy(vas.kernel.vmm_address_space_next(vas.space))
    vas.kernel.shared_memory_close(memory)
    vas.unmap(VA, SIZE)
    assert pages_of(vas.kernel) == 0
