# SPDX-License-Identifier: BSD-3-Clause
"""Frames that several refer to: the count in each allocation, to its limit, through splits and releases."""

from __future__ import annotations

import pytest

from harness import GuestPanic
from tests.support.vmm import PAGE

LIMIT = 65535  # references beyond the first
EOVERFLOW = -75


@pytest.fixture
def block(small_kernel):
    """Eight frames of a VMA, one allocation: (kernel, PA)."""
    kernel = small_kernel
    return kernel, kernel.frames_alloc(8, 3, kernel.FRAME_PAGE)


def used(kernel, pa):
    """References beyond the first."""
    return kernel.frame_of(pa)[0].used


def release(kernel, pa, count):
    """Give a reference back, as unmapping does."""
    runs = kernel.new("struct frame_runs")
    kernel.frame_runs_add(runs, pa, count)
    kernel.frame_runs_release(runs)


def test_reference_is_counted_and_given_back(block):
    """The memory is free when as many have released it as have it."""
    kernel, pa = block
    for count in (1, 2):
        assert kernel.frames_share(pa, 8) == 0
        assert used(kernel, pa) == count
        assert kernel.frames_are_shared(pa, 8)
    for count in (1, 0):
        release(kernel, pa, 8)
        assert used(kernel, pa) == count
    assert not kernel.frames_are_shared(pa, 8)
    assert kernel.frames_count(kernel.FRAME_PAGE) == 8
    release(kernel, pa, 8)
    assert kernel.frames_count(kernel.FRAME_PAGE) == 0
    assert kernel.frames_check()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_parts_of_a_block_have_its_references(block, order):
    """Split while it is shared: each part is released as often as the block would have been."""
    kernel, pa = block
    kernel.frames_share(pa, 8)
    kernel.frames_split(pa, 8, order)
    parts = range(pa, pa + 8 * PAGE, PAGE << order)
    assert [used(kernel, part) for part in parts] == [1] * len(parts)
    release(kernel, pa, 8)
    assert [used(kernel, part) for part in parts] == [0] * len(parts)
    release(kernel, parts[-1], 1 << order)
    release(kernel, pa, 8 - (1 << order))
    assert kernel.frames_count(kernel.FRAME_PAGE) == 0
    assert kernel.frames_check()


@pytest.mark.parametrize("full", [0, 3, 7])
def test_count_at_its_limit_is_refused_before_anything_changes(block, full):
    """EOVERFLOW, also when only one of the frames has that many."""
    kernel, pa = block
    kernel.frames_split(pa, 8, 0)
    kernel.frame_of(pa + full * PAGE)[0].used = LIMIT - 1
    assert kernel.frames_share(pa, 8) == 0
    before = [used(kernel, pa + number * PAGE) for number in range(8)]
    assert kernel.frames_share(pa, 8) == EOVERFLOW
    assert [used(kernel, pa + number * PAGE) for number in range(8)] == before
    assert max(before) == LIMIT


def test_any_shared_frame_counts(block):
    """One of eight is enough; memory that nobody manages is never shared."""
    kernel, pa = block
    kernel.frames_split(pa, 8, 0)
    kernel.frames_share(pa + 5 * PAGE, 1)
    assert kernel.frames_are_shared(pa, 8)
    assert not kernel.frames_are_shared(pa, 5)
    assert not kernel.frames_are_shared(0x0900_0000, 1)


def test_parts_that_are_joined_have_no_records_of_their_own(block):
    """They cannot be released any more: only all of it can."""
    kernel, pa = block
    kernel.frames_split(pa, 8, 0)
    kernel.frames_join(pa, 8)
    records = [kernel.frame_of(pa + number * PAGE)[0] for number in range(8)]
    assert [int(record.purpose) for record in records] == [int(kernel.FRAME_PAGE), *[0] * 7]
    assert (int(records[0].count), int(records[0].order)) == (8, 3)
    assert kernel.frames_check()


def test_run_of_shared_and_unshared_frames(block):
    """Released together: what others have stays, the rest is free."""
    kernel, pa = block
    kernel.frames_split(pa, 8, 0)
    for number in (0, 3, 4, 7):
        kernel.frames_share(pa + number * PAGE, 1)
    release(kernel, pa, 8)
    assert kernel.frames_count(kernel.FRAME_PAGE) == 4
    assert kernel.frames_check()
    for number in (7, 0, 4, 3):
        release(kernel, pa + number * PAGE, 1)
    assert kernel.frames_count(kernel.FRAME_PAGE) == 0


def test_release_of_what_others_have_panics(block):
    """Who forgets the others is told so."""
    kernel, pa = block
    kernel.frames_share(pa, 8)
    with pytest.raises(GuestPanic, match="others refer to it"):
        kernel.frames_free(pa, 8)


@pytest.mark.parametrize("purpose", ["FRAME_REGION", "FRAME_OBJECT", "FRAME_FILE"])
def test_check_finds_references_where_none_are_counted(small_kernel, purpose):
    """Only pages of VMAs, and tables their entries, count in that field."""
    kernel = small_kernel
    pa = kernel.frames_alloc(1, 0, getattr(kernel, purpose))
    assert kernel.frames_check()
    kernel.frame_of(pa)[0].used = 1
    assert not kernel.frames_check()


def test_check_finds_a_shared_allocation_of_several_blocks(small_kernel):
    """What is shared is the allocation of one leaf."""
    kernel = small_kernel
    pa = kernel.frames_alloc(3, 2, kernel.FRAME_PAGE)
    assert kernel.frames_check()
    kernel.frame_of(pa)[0].used = 1
    assert not kernel.frames_check()


def test_no_frames_have_no_references(block):
    """Nothing is counted, split or shared in an empty range, whatever is known of its first frame."""
    kernel, pa = block
    assert kernel.frames_share(pa, 8) == 0
    before = bytes(kernel.frame_of(pa).target)
    assert kernel.frames_share(pa, 0) == 0
    kernel.frames_split(pa, 0, 0)
    assert not kernel.frames_are_shared(pa, 0)
    assert bytes(kernel.frame_of(pa).target) == before


def test_what_a_table_counts_are_no_references(small_kernel):
    """Its entries: only pages are shared."""
    kernel = small_kernel
    pa = kernel.frames_alloc(1, 0, kernel.FRAME_TABLE)
    kernel.frame_of(pa)[0].used = 3
    assert not kernel.frames_are_shared(pa, 1)
