# SPDX-License-Identifier: BSD-3-Clause
"""Fault-around: a window of neighbours comes with the page that an access has faulted on."""

from __future__ import annotations

import pytest

from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    RW,
    SIZE_2M,
    SIZE_4K,
    USER_BASE,
    R,
    shared_memory,
    status_name,
)

VA = USER_BASE


def around(vas, pages):
    """Set the window."""
    assert vas.call("vas_set_fault_around", vas.vas, pages) == 0


def numbers(vas, base):
    """The numbers of the pages that are present, from base on."""
    return [(leaf.va - base) // PAGE for leaf in vas.leaves()]


def test_one_page_a_fault_at_first(vas):
    """Off until it is asked for, and again when it is set to 1."""
    vas.map("anon", 64 * PAGE, at=VA)
    vas.load(VA + 20 * PAGE)
    assert numbers(vas, VA) == [20]
    around(vas, 16)
    around(vas, 1)
    vas.load(VA + 40 * PAGE)
    assert numbers(vas, VA) == [20, 40]


@pytest.mark.parametrize("pages", [2, 16, 512])
@pytest.mark.parametrize("at", [0, 15, 16, 300, 511])
def test_window_is_aligned_to_its_size(either_vas, pages, at):
    """From the page down and up to multiples of it, in one fault."""
    vas = either_vas
    base = vas.map("anon", 2 * LARGE, at=vas.base + 2 * LARGE)
    around(vas, pages)
    before = vas.stats()
    assert vas.store(base + at * PAGE, 7)
    first = at // pages * pages
    assert numbers(vas, base) == list(range(first, first + pages))
    after = vas.stats()
    assert after["faults_write"] - before["faults_write"] == 1
    assert after["resident"] - before["resident"] == pages
    assert vas.load(base + at * PAGE) == 7
    assert vas.is_sound()


@pytest.mark.parametrize("access", ["r", "w"])
def test_user_gets_neighbours(vas, access):
    """From EL0 as from EL1; what they hold is zero."""
    vas.map("anon", 64 * PAGE, at=VA)
    around(vas, 8)
    assert vas.user(access, VA + 9 * PAGE, 5).outcome == "ok"
    assert numbers(vas, VA) == list(range(8, 16))
    assert vas.words(*(VA + number * PAGE for number in (8, 10, 15))) == [0, 0, 0]


@pytest.mark.parametrize("pages", [1, 2, 64])
def test_neighbours_are_published_like_the_page(vas, pages):
    """The page that is waited for, then the rest of the window, by one DSB and ISB each; no TLBI."""
    vas.map("anon", 128 * PAGE, at=VA)
    vas.load(VA + 127 * PAGE)  # the tables
    around(vas, pages)
    with tracing(vas.kernel) as trace:
        vas.load(VA + pages // 2 * PAGE)
    rest = [f"make {pages - 1}", "dsb ishst", "isb"] if pages > 1 else []
    assert trace.script == ["make 1", "dsb ishst", "isb", *rest]
    assert len(numbers(vas, VA)) == pages + 1


def test_window_ends_with_the_vma(vas):
    """Neighbours of another VMA are not touched, nor holes."""
    vas.map("anon", 3 * PAGE, at=VA + 4 * PAGE)
    vas.map("anon", 3 * PAGE, R, at=VA + 7 * PAGE)
    around(vas, 16)
    vas.load(VA + 5 * PAGE)
    assert numbers(vas, VA) == [4, 5, 6]


def test_what_is_present_stays(vas):
    """Only the holes in the window are filled."""
    vas.map("anon", 16 * PAGE, at=VA)
    vas.store(VA + 3 * PAGE, 33)
    pa = vas.pa(VA + 3 * PAGE)
    around(vas, 8)
    vas.store(VA + 5 * PAGE, 55)
    assert numbers(vas, VA) == list(range(8))
    assert (vas.load(VA + 3 * PAGE), vas.load(VA + 5 * PAGE), vas.pa(VA + 3 * PAGE)) == (33, 55, pa)


def test_stacks_keep_their_guards(vas):
    """The window stops at them."""
    bottom = vas.stack(8 * PAGE, at=VA)
    around(vas, 16)
    assert vas.store(bottom + 7 * PAGE, 1)
    assert min(numbers(vas, bottom)) >= 0
    assert max(numbers(vas, bottom)) == 7
    assert vas.user("w", bottom + 8 * PAGE).outcome == "fault"
    assert vas.user("w", bottom - PAGE).outcome == "fault"


def test_memory_of_others(vas):
    """Shared memory and dma: as many pages, of their memory."""
    vas.shared(shared_memory(vas.kernel, 8 * PAGE), 8 * PAGE, at=VA)
    vas.map("dma", 8 * PAGE, at=VA + 8 * PAGE, pa=0x4000_0000)
    around(vas, 4)
    vas.load(VA + PAGE)
    vas.load(VA + 13 * PAGE)
    assert numbers(vas, VA) == [0, 1, 2, 3, 12, 13, 14, 15]
    assert vas.pa(VA + 15 * PAGE) == 0x4000_7000


@pytest.mark.parametrize("flags", [SIZE_2M, SIZE_4K])
def test_only_small_pages_have_neighbours(vas, flags):
    """A large page is enough at a time."""
    vas.map("anon", 2 * LARGE, at=VA, flags=flags)
    around(vas, 512)
    vas.load(VA)
    assert [leaf.size for leaf in vas.leaves()] == ([LARGE] if flags == SIZE_2M else [PAGE] * 512)


def test_refused_faults_bring_nothing(vas):
    """No right, no VMA: no neighbours either."""
    vas.map("anon", 8 * PAGE, R, at=VA)
    vas.map("anon", 8 * PAGE, NONE, at=VA + 8 * PAGE)
    around(vas, 8)
    for va in (VA, VA + 8 * PAGE, VA + 16 * PAGE):
        assert vas.user("w", va).outcome == "fault"
    assert vas.pages() == []


def test_neighbours_that_cannot_be_had_do_not_matter(vas):
    """Out of memory, or at the limit: the access has worked."""
    vas.map("anon", 32 * PAGE, at=VA)
    vas.load(VA + 31 * PAGE)  # the tables
    around(vas, 8)
    with vas.failing(2) as injection:
        assert vas.store(VA + PAGE, 1)
    assert injection.struck is not None
    assert 1 in numbers(vas, VA)
    vas.limit(resident=vas.stats()["resident"] + 1)
    assert vas.store(VA + 17 * PAGE, 2)
    assert vas.load(VA + 17 * PAGE) == 2
    assert vas.is_sound()


def test_copies_keep_shared_what_is_only_a_neighbour(vas):
    """A write copies its page; pages beside it that are shared stay so, holes are filled."""
    vas.map("anon", 8 * PAGE, at=VA)
    vas.store(VA, 1)
    vas.store(VA + PAGE, 2)
    around(vas, 8)
    copy = vas.clone()
    assert copy.write(VA, 9, "user")
    assert copy.pa(VA + PAGE) == vas.pa(VA + PAGE)
    assert (vas.words(VA), copy.words(VA, VA + PAGE)) == ([1], [9, 2])
    copy.advise(VA, 8 * PAGE, DONTNEED)
    copy.run()
    copy.load(VA)
    assert len(copy.leaves()) == 8


@pytest.mark.parametrize("pages", [0, 3, 5, 513, 1024, 1 << 63])
def test_windows_that_there_are_not(vas, pages):
    """Powers of two up to the pages of a table; EINVAL, and the window stays."""
    vas.map("anon", 16 * PAGE, RW, at=VA)
    around(vas, 4)
    assert status_name(vas.call("vas_set_fault_around", vas.vas, pages)) == "EINVAL"
    assert status_name(vas.call("vas_set_fault_around", None, 4)) == "EINVAL"
    vas.load(VA)
    assert numbers(vas, VA) == [0, 1, 2, 3]
