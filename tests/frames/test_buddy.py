# SPDX-License-Identifier: BSD-3-Clause
"""Frames: the buddy allocator against a model that knows only which frames are whose."""

from __future__ import annotations

import random

import pytest

from harness import GuestPanic
from tests.support.frames import MAX_ORDER, blocks, drain, free_blocks, listed_blocks, without_filling
from tests.support.frames import PURPOSES as ALL_PURPOSES
from tests.support.vmm import BLOCK_1G, PAGE

PURPOSES = ("FRAME_TABLE", "FRAME_OBJECT", "FRAME_REGION")


def order_for(count):
    """The order of the block that holds count frames."""
    return (count - 1).bit_length()


class Model:
    """What is handed out, and so whether a request must succeed.

    An allocator that merges at once has an aligned free block exactly when there is room for one.
    """

    def __init__(self, kernel):
        self.kernel = kernel
        self.free = set()
        for start, order in free_blocks(kernel):
            self.free |= set(range(start // PAGE, (start >> 12) + (1 << order)))
        self.held = {}

    def room_for(self, order):
        """Whether a whole, naturally aligned block of this order is free."""
        size = 1 << order
        starts = {frame & -size for frame in self.free}
        return any(all(frame in self.free for frame in range(start, start + size)) for start in starts)

    def alloc(self, count, align, purpose):
        kernel, order = self.kernel, max(order_for(count), align)
        expected = self.room_for(order)
        start = kernel.frames_alloc(count, align, getattr(kernel, purpose))
        assert bool(start) == expected, (count, align)
        if start:
            frames = range(start // PAGE, start // PAGE + count)
            assert start % (PAGE << order) == 0
            assert self.free.issuperset(frames), "handed out twice, or not free memory at all"
            self.free.difference_update(frames)
            self.held[start] = count, purpose

    def release(self, start):
        count, _ = self.held.pop(start)
        self.kernel.frames_free(start, count)
        self.free.update(range(start // PAGE, start // PAGE + count))

    def check(self):
        """The allocator's books say the same as ours, and no two free buddies are apart."""
        kernel = self.kernel
        assert kernel.frames_check()
        assert kernel.frames_count(kernel.FRAME_FREE) == len(self.free)
        for purpose in PURPOSES:
            held = sum(count for count, mine in self.held.values() if mine == purpose)
            assert kernel.frames_count(getattr(kernel, purpose)) == held
        free = listed_blocks(kernel)
        assert all((start ^ (PAGE << order), order) not in free for start, order in free if order < MAX_ORDER)


@pytest.mark.parametrize("seed", range(4))
def test_allocator_agrees_with_a_set_of_frames(small_kernel, seed):
    """Random calls: no overlap, aligned, success exactly when there is room, nothing lost, merged at once."""
    draw = random.Random(seed)
    with without_filling(small_kernel):
        model = Model(small_kernel)
        before = free_blocks(small_kernel)
        for step in range(600):
            if model.held and draw.random() < 0.45:
                model.release(draw.choice(sorted(model.held)))
            else:
                count = draw.choice(
                    [1, 1, 2, 3, draw.randint(1, 40), 1 << draw.randint(0, 11), draw.randint(1, 3000)]
                )
                model.alloc(count, draw.choice([0, 0, 0, draw.randint(0, 10)]), draw.choice(PURPOSES))
            if step % 20 == 0:
                model.check()
        for start in draw.sample(sorted(model.held), len(model.held)):
            model.release(start)
        model.check()
    assert free_blocks(small_kernel) == before


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 9, 511, 513, 1000])
def test_what_is_not_asked_for_is_free_at_once(small_kernel, count):
    """A block is trimmed to the frames wanted."""
    kernel = small_kernel
    free = kernel.frames_count(kernel.FRAME_FREE)
    with without_filling(kernel):
        start = kernel.frames_alloc(count, 0, kernel.FRAME_REGION)
        assert kernel.frames_count(kernel.FRAME_FREE) == free - count
        rest = (1 << order_for(count)) - count
        beyond = {kernel.frames_alloc(1, 0, kernel.FRAME_REGION) for _ in range(20)}
    assert not beyond & set(range(start, start + count * PAGE, PAGE))
    assert (
        sum(1 << block.order for block in blocks(kernel) if start <= block.pa < start + count * PAGE) == count
    )
    assert rest == 0 or kernel.frames_check()


@pytest.mark.parametrize(
    ("count", "align"),
    [(0, 0), (1 << 63, 0), ((1 << 64) - 1, 0), (1 << 32, 0), (1, MAX_ORDER + 1), (1, 31), (1, 32), (1, 63)],
)
def test_impossible_requests_get_nothing(small_kernel, count, align):
    """0, and the books as before."""
    kernel = small_kernel
    before = free_blocks(kernel)
    assert kernel.frames_alloc(count, align, kernel.FRAME_REGION) == 0
    assert free_blocks(kernel) == before


def test_everything_can_be_had_and_given_back(small_kernel):
    """Draining finds all the free frames there are; released, they merge into the blocks of before."""
    kernel = small_kernel
    before, free = free_blocks(kernel), kernel.frames_count(kernel.FRAME_FREE)
    with without_filling(kernel):
        taken = drain(kernel)
        assert sum(count for _, count in taken) == free
        assert kernel.frames_count(kernel.FRAME_FREE) == 0
        assert [kernel.frames_alloc(count, 0, kernel.FRAME_REGION) for count in (1, 2, 3, 5)] == [0] * 4
        for start, count in random.Random(0).sample(taken, len(taken)):
            kernel.frames_free(start, count)
    assert free_blocks(kernel) == before


def test_the_largest_alignment_is_that_of_the_largest_block(kernel):
    """1G, for any number of frames."""
    start = kernel.frames_alloc(3, kernel.FRAME_MAX_ORDER, kernel.FRAME_REGION)
    assert start
    assert start % BLOCK_1G == 0
    assert kernel.frames_alloc(3, kernel.FRAME_MAX_ORDER + 1, kernel.FRAME_REGION) == 0


@pytest.fixture(scope="module")
def booted_wide_kernel(kernel_elf):
    """Four whole 1G blocks of free memory."""
    from harness import Kernel

    with Kernel(kernel_elf, ram_size=5 << 30) as kernel:
        yield kernel, kernel.snapshot()


@pytest.fixture
def wide_kernel(booted_wide_kernel):
    """5G of RAM, restored."""
    kernel, moment = booted_wide_kernel
    kernel.restore(moment)
    return kernel


@pytest.mark.parametrize(
    "size", [BLOCK_1G, BLOCK_1G + PAGE, 2 * BLOCK_1G, 3 * BLOCK_1G + 5 * PAGE, 4 * BLOCK_1G]
)
def test_more_than_the_largest_block_is_a_run_of_them(wide_kernel, size):
    """Contiguous, on 1G, trimmed at the end, and merged again when it comes back."""
    kernel, count = wide_kernel, size // PAGE
    before, free = free_blocks(kernel), kernel.frames_count(kernel.FRAME_FREE)
    with without_filling(kernel):
        start = kernel.frames_alloc(count, 0, kernel.FRAME_REGION)
        assert start
        assert start % BLOCK_1G == 0
        assert kernel.frames_count(kernel.FRAME_FREE) == free - count
        assert kernel.frames_check()
        kernel.frames_free(start, count)
    assert free_blocks(kernel) == before


def test_run_needs_neighbours(wide_kernel):
    """Three free blocks with one in use among them hold no run of three, but one of two."""
    kernel = wide_kernel
    with without_filling(kernel):
        held = [kernel.frames_alloc(1 << MAX_ORDER, 0, kernel.FRAME_REGION) for _ in range(4)]
        assert sorted(held) == list(range(min(held), min(held) + 4 * BLOCK_1G, BLOCK_1G))
        for start in sorted(held)[:2] + sorted(held)[3:]:
            kernel.frames_free(start, 1 << MAX_ORDER)
        assert kernel.frames_alloc(3 << MAX_ORDER, 0, kernel.FRAME_REGION) == 0
        assert kernel.frames_alloc(2 << MAX_ORDER, 0, kernel.FRAME_REGION) == min(held)


# -- cost ---------------------------------------------------------------------------------------------------


def cost(kernel):
    """Instructions of allocation and release of two frames that split, and merge, the largest block."""
    orders = sorted(order for _, order in listed_blocks(kernel))
    with without_filling(kernel):
        for order in orders:
            if order < orders[-1]:
                assert kernel.frames_alloc(1 << order, order, kernel.FRAME_REGION)
        start, allocation = kernel.function("frames_alloc").counted(2, 1, kernel.FRAME_REGION)
        _, release = kernel.function("frames_free").counted(start, 2)
    return allocation, release


def test_cost_grows_with_the_logarithm_of_memory(small_kernel, wide_kernel):
    """80 times the memory costs a few instructions for each doubling of the block that is split."""
    small, wide = cost(small_kernel), cost(wide_kernel)
    levels = MAX_ORDER - max(order for _, order in free_blocks(small_kernel))
    assert levels >= 4
    for few, many in zip(small, wide, strict=True):
        assert few < many <= few + 80 * levels


def test_cost_does_not_depend_on_fragmentation(small_kernel):
    """With 1000 frames free and none of them neighbours, a frame is had as soon as with two."""
    kernel = small_kernel

    def allocation():
        return kernel.function("frames_alloc").counted(1, 0, kernel.FRAME_REGION)[1]

    with without_filling(kernel):
        held = sorted(kernel.frames_alloc(1, 0, kernel.FRAME_REGION) for _ in range(2000))
        for start in held[:4:2]:
            kernel.frames_free(start, 1)
        few = allocation()
        for start in held[4::2]:
            kernel.frames_free(start, 1)
        assert allocation() == few


def test_metadata_takes_less_than_a_hundredth_of_memory(small_kernel, wide_kernel):
    """Of what the allocator has to manage."""
    for kernel in (small_kernel, wide_kernel):
        memory = kernel.machine.memory
        size = kernel.frames_metadata_size(memory.base, memory.end)
        assert kernel.variable("frame_records").count * kernel.sizeof("struct frame") <= size
        assert size * 100 < memory.size


def test_a_record_says_of_which_frame_it_is(small_kernel):
    """Of each frame that there are records of, and of no other address."""
    start, end = small_kernel.new("paddr_t"), small_kernel.new("paddr_t")
    small_kernel.frames_span(start, end)
    for pa in (start.target, start.target + 77 * PAGE, end.target - PAGE):
        assert small_kernel.frame_address(small_kernel.frame_of(pa + 5)) == pa
    for pa in (start.target - 1, end.target, 0, 1 << 63):
        assert not small_kernel.frame_of(pa)


@pytest.mark.parametrize(("pages_below", "pages"), [(1, 2), (0, 0), (0, 1)])
def test_memory_without_a_record_is_not_added(small_kernel, pages_below, pages):
    """Nor none of it: the first page has a record, and the last one."""
    records = small_kernel.variable("frame_records")
    start = (records.first + records.count - pages_below) * PAGE
    with pytest.raises(GuestPanic, match="frame_of"):
        small_kernel.frames_add(start, start + pages * PAGE)


@pytest.mark.parametrize("number", [0, 1, 6])
def test_memory_may_begin_at_any_page(small_kernel, number):
    """Records without a block are of nobody's frames, however far below the first one a block would begin.

    So there is nothing to be had, whatever there was of other memory.
    """
    kernel, base = small_kernel, 0x4000_0000 + PAGE
    assert all(kernel.frames_alloc(1, 0, getattr(kernel, purpose)) for purpose in ALL_PURPOSES)
    kernel.frames_init(base, base + 7 * PAGE, kernel.buffer(bytes(7 * kernel.sizeof("struct frame")), 16))
    assert kernel.frames_run(base + number * PAGE, 1, False) == 0
    for purpose in ALL_PURPOSES:
        for order in range(MAX_ORDER + 1):
            assert not kernel.frames_alloc(1 << order, order, getattr(kernel, purpose))
