# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's own memory by size: kernel_c/core/kmalloc.c over objects and frames."""

from __future__ import annotations

import pytest

from harness import GuestPanic
from tests.support.vmm import PAGE

LARGEST_OBJECT = 1024


@pytest.fixture
def heap(small_kernel):
    """Its two functions."""

    class Heap:
        kernel = small_kernel
        malloc = staticmethod(lambda size: int(small_kernel.function("kmalloc")(None, size)))
        free = staticmethod(lambda at: small_kernel.function("kfree")(None, at))

    return Heap


SIZES = [1, 31, 32, 33, 64, 1000, LARGEST_OBJECT, LARGEST_OBJECT + 1, PAGE, PAGE + 1, 3 * PAGE, 64 * PAGE]


@pytest.mark.parametrize("size", SIZES)
def test_memory_of_any_size_is_had_and_given_back(heap, size):
    """Two pieces do not overlap; what is freed is free: frames, whole and by purpose."""
    kernel = heap.kernel
    before = kernel.frames_count(kernel.FRAME_FREE)
    first, second = heap.malloc(size), heap.malloc(size)
    assert first
    assert abs(first - second) >= size
    assert (first % PAGE == 0) == (size > LARGEST_OBJECT)
    kernel.memory.write(first, b"\xa5" * size)
    for at in (first, second):
        heap.free(at)
    assert before - kernel.frames_count(kernel.FRAME_FREE) <= 1  # a slab is kept
    assert kernel.frames_check()


def test_the_largest_piece_is_the_largest_block(kernel):
    """1G; for a byte more there is no block."""
    largest = PAGE << kernel.FRAME_MAX_ORDER
    assert kernel.function("kmalloc")(None, largest)
    assert not kernel.function("kmalloc")(None, largest + 1)


def test_an_object_may_fill_a_frame(small_kernel):
    """But for the header of the slab."""
    cache = small_kernel.new("struct object_cache")
    small_kernel.object_cache_init(cache, "whole", PAGE - 64)
    first, second = (int(small_kernel.object_alloc(cache)) for _ in range(2))
    assert {first % PAGE, second % PAGE} == {64}
    assert first != second


def test_behind_the_last_object_of_a_frame_there_is_none(small_kernel):
    """Though there is room for a part of one."""
    cache = small_kernel.new("struct object_cache")
    small_kernel.object_cache_init(cache, "three", 1024)
    first = int(small_kernel.object_alloc(cache))
    assert small_kernel.object_is_live(cache, first)
    assert not small_kernel.object_is_live(cache, first + 3 * 1024)
    with pytest.raises(GuestPanic, match="not a live object of this cache"):
        small_kernel.object_free(cache, first + 3 * 1024)


@pytest.mark.parametrize("size", [32, 64, 1024])
def test_a_frame_is_full_of_objects(heap, size):
    """Another one is taken only when there is no room left."""
    most = (PAGE - 64) // size
    pages = [heap.malloc(size) & -PAGE for _ in range(4 * most)]
    inner = [page for page in set(pages) if page not in (pages[0], pages[-1])]
    assert len(inner) >= 2
    assert [pages.count(page) for page in inner] == [most] * len(inner)


@pytest.mark.parametrize("size", [32, 64, 1024])
def test_room_in_a_full_frame_is_used_first(heap, size):
    """What comes back to it is handed out next."""
    most = (PAGE - 64) // size
    found = [heap.malloc(size) for _ in range(4 * most)]
    for at in (found[most], found[2 * most + most // 2]):
        heap.free(at)
        assert heap.malloc(size) == at


def test_nothing_is_had_for_nothing_and_given_back(heap):
    """Size 0 is NULL, and NULL may be freed."""
    before = heap.kernel.frames_count(heap.kernel.FRAME_FREE)
    assert heap.malloc(0) == 0
    heap.free(None)
    assert heap.kernel.frames_count(heap.kernel.FRAME_FREE) == before


@pytest.mark.parametrize("size", [1 << 30, (1 << 30) + 1, 1 << 63, (1 << 64) - 1])
def test_more_than_there_is_is_refused(heap, size):
    """Of any power of two, and beyond the largest block that could ever be."""
    assert heap.malloc(size) == 0


@pytest.mark.parametrize("offset", [0, 8, 64 * 60])
def test_freeing_what_is_no_live_object_is_a_panic(heap, offset):
    """Though its slab is in use: what was freed, the middle of an object, one that was never had."""
    at, _ = heap.malloc(64), heap.malloc(64)
    if offset == 0:
        heap.free(at)
    with pytest.raises(GuestPanic, match="not a live object of this cache"):
        heap.free(at + offset)


@pytest.mark.parametrize("size", [64, 2 * PAGE])
def test_freeing_twice_is_a_panic(heap, size):
    """Object or frames."""
    at = heap.malloc(size)
    heap.free(at)
    with pytest.raises(GuestPanic):
        heap.free(at)
