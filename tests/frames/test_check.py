# SPDX-License-Identifier: BSD-3-Clause
"""frames_check() says no when the allocator's books are not in order."""

from __future__ import annotations

import pytest

from tests.support.frames import frame_address
from tests.support.vmm import PAGE

NIL = 0xFFFF_FFFF


@pytest.fixture
def free_block(small_kernel):
    """The record of a free block that is alone on its list, and of one that another follows."""
    kernel = small_kernel
    kept = [kernel.frames_alloc(1, 0, kernel.FRAME_REGION) for _ in range(16)]
    for pa in kept[::2]:
        kernel.frames_free(pa, 1)
    pool, records = kernel.variable("pool"), kernel.variable("frame_records")
    head = pool.free[0].target
    assert head.next != NIL
    assert kernel.frames_check()
    return kernel, records.at[head.next]


@pytest.mark.parametrize(
    ("member", "value"),
    [("purpose", "FRAME_PAGE"), ("purpose", "FRAME_NONE"), ("order", 1), ("prev", NIL), ("next", NIL)],
)
def test_a_damaged_free_block_is_seen(free_block, member, value):
    """Marked as in use, of another order, linked to another or cut off."""
    kernel, record = free_block
    setattr(record, member, getattr(kernel, value) if isinstance(value, str) else value)
    assert not kernel.frames_check()


@pytest.mark.parametrize(
    "purpose", ["FRAME_NONE", "FRAME_TABLE", "FRAME_OBJECT", "FRAME_REGION", "FRAME_PAGE"]
)
def test_a_wrong_count_is_seen(small_kernel, purpose):
    """Of each purpose, and of all there are."""
    counts = small_kernel.variable("pool").by_purpose
    counts[getattr(small_kernel, purpose)] += 1
    assert not small_kernel.frames_check()


@pytest.mark.parametrize("purpose", ["FRAME_TABLE", "FRAME_REGION", "FRAME_PAGE", "FRAME_FILE"])
def test_wrong_counts_that_make_up_for_each_other_are_seen(small_kernel, purpose):
    """All that is in use is right, and so is what is free."""
    assert small_kernel.frames_alloc(1, 0, small_kernel.FRAME_OBJECT)
    counts = small_kernel.variable("pool").by_purpose
    counts[getattr(small_kernel, purpose)] += 1
    counts[small_kernel.FRAME_OBJECT] -= 1
    assert not small_kernel.frames_check()


def test_a_block_that_is_not_aligned_is_seen(small_kernel):
    """A block of two frames cannot begin at an odd one."""
    kernel = small_kernel
    pa = int(kernel.frames_alloc(4, 2, kernel.FRAME_REGION))
    pool, records = kernel.variable("pool"), kernel.variable("frame_records")
    index = pa // 4096 - records.first
    record = records.at[index + 1]
    record.purpose, record.order, record.prev, record.next = kernel.FRAME_FREE, 1, NIL, NIL
    pool.free[1] = int(records.at) + (index + 1) * kernel.sizeof("struct frame")
    assert not kernel.frames_check()


def test_what_a_freed_table_counted_is_no_damage(small_kernel):
    """It is freed with entries in it; later its frame is among those that single ones are taken of."""
    kernel = small_kernel
    records, size = kernel.variable("frame_records"), kernel.sizeof("struct frame")
    tables = list(iter(lambda: kernel.frames_alloc(1, 0, kernel.FRAME_TABLE), 0))[-64:]
    for pa in tables:
        records.at[pa // PAGE - records.first].used = 3
        kernel.frames_free(pa, 1)
    assert kernel.frames_alloc(1, 0, kernel.FRAME_FILE)
    run = kernel.variable("pool").singles[kernel.FRAME_FILE]
    left = [frame_address(kernel, (each - int(records.at)) // size) for each in (int(run.next), int(run.end))]
    assert any(left[0] <= pa < left[1] for pa in tables)
    assert kernel.frames_check()
