# SPDX-License-Identifier: BSD-3-Clause
"""Anonymous memory: made on demand, zeroed, populated and given back."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from harness import GuestPanic
from tests.support.frames import without_filling
from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    HUGE,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_1G,
    SIZE_2M,
    SIZE_4K,
    UNINITIALIZED,
    USER_BASE,
    WILLNEED,
    R,
    code,
    user_vas,
)


@contextmanager
def without_large_blocks(kernel):
    """The frame allocator has nothing for those who want more than 4K aligned."""

    def refuse(machine):
        if machine.registers["x1"] > 0:
            machine.registers["x0"], machine.registers["pc"] = 0, machine.registers["x30"]

    watch = kernel.machine.on_address(kernel.frames_alloc.address, refuse)
    try:
        yield
    finally:
        watch.remove()


def test_nothing_is_mapped_before_the_first_access(either_vas):
    """Demand paging: a VMA without a page; a read makes the one page it hits."""
    vas = either_vas
    va = vas.map("anon", 8 * PAGE)
    assert vas.present(va, 8 * PAGE) == []
    assert vas.load(va + 3 * PAGE + 8) == 0
    assert vas.present(va, 8 * PAGE) == [va + 3 * PAGE]


@pytest.mark.parametrize(("flags", "zeroed"), [(0, True), (UNINITIALIZED, False)])
def test_memory_is_zeroed_unless_nobody_cares(vas, flags, zeroed):
    """A frame with old contents comes back: zeroed, or as it was found with UNINITIALIZED."""
    va = vas.map("anon", 3 * PAGE)
    for page in range(3):
        vas.store(va + page * PAGE, 0x1234)
    pa = vas.pa(va + PAGE)
    vas.unmap(va + PAGE, PAGE)  # what lies beside its frame stays in use
    va = vas.map("anon", PAGE, flags=flags | POPULATE)
    assert vas.pa(va) == pa
    assert (vas.kernel.read(vas.space, va, PAGE) == bytes(PAGE)) == zeroed


def test_populate_makes_all_of_it_present(either_vas):
    """All pages, and only those."""
    vas = either_vas
    va = vas.map("anon", 5 * PAGE, flags=POPULATE)
    assert vas.present(va - PAGE, 7 * PAGE) == list(range(va, va + 5 * PAGE, PAGE))


def test_populate_takes_the_largest_pages_that_fit(vas):
    """Without a wish: 4K up to the first boundary, then 2M, then 4K again."""
    va = USER_BASE + LARGE - 2 * PAGE
    vas.map("anon", 2 * LARGE + 4 * PAGE, at=va, flags=POPULATE)
    assert [leaf.size for leaf in vas.leaves()] == [PAGE] * 2 + [LARGE] * 2 + [PAGE] * 2


def test_populate_falls_back_where_no_large_block_is_left(vas):
    """Memory that has no aligned 2M in one piece gives 2M in pieces of 4K."""
    with without_large_blocks(vas.kernel):
        va = vas.map("anon", LARGE, at=USER_BASE, flags=POPULATE)
        assert vas.do_map("anon", LARGE, flags=POPULATE | SIZE_2M)[0] == "ENOMEM"
    assert {leaf.size for leaf in vas.leaves()} == {PAGE}
    assert len(vas.present(va, LARGE)) == 512
    assert vas.is_sound()


@pytest.mark.parametrize(("flags", "size"), [(SIZE_4K, PAGE), (SIZE_2M, LARGE)])
def test_a_page_size_asked_for_is_the_one_mapped(vas, flags, size):
    """By populating and by an access; addresses and length are multiples of it."""
    va = vas.map("anon", 2 * LARGE, flags=flags)
    assert va % size == 0
    assert vas.load(va + LARGE + 5 * PAGE) == 0
    [leaf] = vas.leaves()
    assert (leaf.va, leaf.size) == ((va + LARGE + 5 * PAGE) & ~(size - 1), size)
    vas.unmap(va, 2 * LARGE)
    vas.map("anon", LARGE, at=va, flags=flags | POPULATE)
    assert {leaf.size for leaf in vas.leaves()} == {size}


def test_pages_of_1g(kernel):
    """One block of level 1; unmapped it is all back."""
    vas = user_vas(kernel)
    before = vas.books()
    with without_filling(kernel, least=LARGE):
        va = vas.map("anon", HUGE, flags=SIZE_1G)
        assert va % HUGE == 0
        assert vas.user("w", va + HUGE - 8, 5).outcome == "ok"
        [leaf] = vas.leaves()
        assert (leaf.va, leaf.size) == (va, HUGE)
        assert vas.load(va + HUGE - 8) == 5
        vas.unmap(va, HUGE)
    assert vas.books() == before


def test_dontneed_releases_the_memory_and_keeps_the_vma(either_vas):
    """The pages are gone and their frames are free; the next access finds zero."""
    vas = either_vas
    va = vas.map("anon", 4 * PAGE, flags=POPULATE)
    pages = vas.frames()[3]
    for each in range(4):
        vas.store(va + each * PAGE, each + 1)
    layout = vas.layout()
    vas.advise(va + PAGE, 2 * PAGE, DONTNEED)
    assert vas.layout() == layout
    assert vas.present(va, 4 * PAGE) == [va, va + 3 * PAGE]
    assert vas.frames()[3] == pages - 2
    assert [vas.load(va + each * PAGE) for each in range(4)] == [1, 0, 0, 4]


def test_dontneed_cuts_a_block(vas):
    """A page out of a 2M block that the type chose: the other 511 keep their contents."""
    va = vas.map("anon", LARGE, at=USER_BASE, flags=POPULATE)
    vas.store(va + 6 * PAGE, 6)
    vas.store(va + 7 * PAGE, 7)
    pages = vas.frames()[3]
    vas.advise(va + 6 * PAGE, PAGE, DONTNEED)
    assert vas.frames()[3] == pages - 1
    assert (vas.load(va + 7 * PAGE), vas.load(va + 6 * PAGE)) == (7, 0)
    assert vas.is_sound()


def test_willneed_makes_the_range_present(either_vas):
    """What is there already keeps its contents."""
    vas = either_vas
    va = vas.map("anon", 6 * PAGE)
    vas.store(va + 2 * PAGE, 77)
    vas.advise(va + PAGE, 3 * PAGE, WILLNEED)
    assert vas.present(va, 6 * PAGE) == [va + PAGE, va + 2 * PAGE, va + 3 * PAGE]
    assert vas.load(va + 2 * PAGE) == 77


def test_willneed_completes_a_large_page_that_has_begun_as_small_ones(vas):
    """One page of an aligned 2M is present: the other 511 have to come one by one."""
    va = vas.map("anon", LARGE, at=USER_BASE)
    vas.store(va + 9 * PAGE, 9)
    vas.advise(va, LARGE, WILLNEED)
    assert len(vas.present(va, LARGE)) == 512
    assert vas.load(va + 9 * PAGE) == 9


def test_dontneed_and_willneed_together_give_fresh_memory(vas):
    """First away, then back, zeroed."""
    va = vas.map("anon", 2 * PAGE)
    vas.store(va, 1)
    vas.advise(va, 2 * PAGE, DONTNEED | WILLNEED)
    assert vas.present(va, 2 * PAGE) == [va, va + PAGE]
    assert vas.load(va) == 0


def test_memory_without_rights_is_never_made_present(vas):
    """PROT_NONE: neither by populating, nor by advice, nor by an access."""
    va = vas.map("anon", 2 * PAGE, NONE, flags=POPULATE)
    vas.advise(va, 2 * PAGE, WILLNEED)
    assert vas.load(va) is None
    assert vas.leaves() == []
    assert vas.frames()[3] == 0


def test_code_runs_in_executable_memory(either_vas):
    """Written through the kernel, executed where the VMA says so."""
    vas = either_vas
    va = vas.map("anon", PAGE, RX, flags=POPULATE)
    if vas.space is None:
        code(vas, va)
        vas.execute(va)
    else:
        assert vas.user("x", va).outcome == "ok"


def test_kernel_does_not_execute_data(kernel_vas):
    """An instruction abort at EL1 in memory without PROT_EXEC ends the kernel."""
    va = kernel_vas.map("anon", PAGE, RW, flags=POPULATE)
    code(kernel_vas, va)
    with pytest.raises(GuestPanic, match="unexpected synchronous exception"):
        kernel_vas.execute(va)


def test_replace_gives_fresh_memory(vas):
    """REPLACE over one's own kind: the old pages are gone."""
    va = vas.map("anon", 3 * PAGE)
    for each in range(3):
        vas.store(va + each * PAGE, each + 1)
    vas.map("anon", PAGE, at=va + PAGE, flags=REPLACE)
    assert [vas.load(va + each * PAGE) for each in range(3)] == [1, 0, 3]
    assert len(vas.vmas()) == 1


def test_read_only_memory_is_zero_and_stays_so(vas):
    """Reads make it present, writes fault."""
    va = vas.map("anon", PAGE, R)
    assert not vas.store(va, 1)
    assert vas.load(va) == 0
    assert not vas.store(va, 1)
