# SPDX-License-Identifier: BSD-3-Clause
"""The operations of the VMA engine whose cost is bounded, each on a VAS that has N VMAs before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.bench.ground import HUGE, LARGE, PAGE, Cost, Ground

_PLACES = 30  # where VMAs are looked for, evenly spread
_MAPS = 64  # in a row

Operation = Callable[[Ground], Cost]


def _find(ground: Ground) -> Cost:
    return ground.counted("uk_vma_find", ground.vas, ground.last)


def _find_slowest(ground: Ground) -> Cost:
    """A tree has VMAs that are deeper than the last."""
    places = range(0, ground.count, max(ground.count // _PLACES, 1))
    costs = (ground.counted("uk_vma_find", ground.vas, ground.base + place * PAGE) for place in places)
    return max(costs, key=lambda cost: cost.instructions)


def _map_any(ground: Ground) -> Cost:
    return ground.counted("uk_vma_map", *ground.map_arguments(PAGE))


def _map_fixed(ground: Ground) -> Cost:
    return ground.counted("uk_vma_map", *ground.map_arguments(PAGE, at=ground.last + 2 * PAGE))


def _map_slowest(ground: Ground) -> Cost:
    """Now and then the allocator of VMAs needs another page."""
    places = (ground.last + 2 * number * PAGE for number in range(1, _MAPS + 1))
    costs = (ground.counted("uk_vma_map", *ground.map_arguments(PAGE, at=place)) for place in places)
    return max(costs, key=lambda cost: cost.instructions)


def _fault(ground: Ground, flags: int) -> Cost:
    """The second page of the last VMA: the first has brought the table."""
    kernel, at = ground.kernel, ground.replace_last(2 * PAGE, flags)
    kind = kernel.UK_VMA_FAULT_WRITE | kernel.UK_VMA_FAULT_NONPRESENT
    ground.call("fault_resolve", at, kind, None)
    return ground.counted("fault_resolve", at + PAGE, kind, None)


def _fault_alone(ground: Ground) -> Cost:
    return _fault(ground, ground.kernel.UK_VMA_MAP_UNINITIALIZED)


def _zeroing(ground: Ground) -> Cost:
    """What the same fault takes more when it has to zero."""
    moment = ground.kernel.snapshot()
    alone = _fault_alone(ground)
    ground.kernel.restore(moment)
    whole = _fault(ground, 0)
    return Cost(whole.instructions - alone.instructions, whole.tlbi - alone.tlbi, whole.dsb - alone.dsb)


def _sixteen(ground: Ground) -> int:
    """A page in the middle of 16 that are all present."""
    return ground.replace_last(16 * PAGE, ground.kernel.UK_VMA_MAP_POPULATE) + 7 * PAGE


def _split(ground: Ground) -> Cost:
    at = _sixteen(ground)
    return ground.counted("uk_vma_set_attr", ground.vas, at, PAGE, ground.kernel.PAGE_ATTR_PROT_READ, 0)


def _merge(ground: Ground) -> Cost:
    at, kernel = _sixteen(ground), ground.kernel
    ground.call("uk_vma_set_attr", ground.vas, at, PAGE, kernel.PAGE_ATTR_PROT_READ, 0)
    return ground.counted("uk_vma_set_attr", ground.vas, at, PAGE, kernel.PAGE_ATTR_PROT_RW, 0)


def _unmap_page(ground: Ground) -> Cost:
    """Another page, of a VMA of its own, keeps the tables."""
    populate = ground.kernel.UK_VMA_MAP_POPULATE
    at = ground.replace_last(PAGE, populate)
    ground.map(PAGE, at=at + 2 * PAGE, flags=populate)
    return ground.counted("uk_vma_unmap", ground.vas, at, PAGE, 0)


def _populating(ground: Ground, size: int, flags: int, kind: str = "anon") -> tuple[Any, ...]:
    """What uk_vma_map() is called with. Far from the others, so that tables have to be made too."""
    kernel = ground.kernel
    if kind == "anon":
        flags |= kernel.UK_VMA_MAP_UNINITIALIZED
    flags |= kernel.UK_VMA_MAP_POPULATE
    return ground.map_arguments(size, at=ground.far, flags=flags, kind=kind, pa=HUGE)


def _populate(ground: Ground, size: int, flags: int, kind: str = "anon") -> Cost:
    return ground.counted("uk_vma_map", *_populating(ground, size, flags, kind))


def populate_pages(ground: Ground) -> None:
    """512 pages of 4K, not counted."""
    ground.call("uk_vma_map", *_populating(ground, LARGE, ground.kernel.UK_VMA_MAP_SIZE_4KB))


def _populate_pages(ground: Ground) -> Cost:
    return _populate(ground, LARGE, ground.kernel.UK_VMA_MAP_SIZE_4KB)


def _populate_block(ground: Ground) -> Cost:
    return _populate(ground, LARGE, ground.kernel.UK_VMA_MAP_SIZE_2MB)


def _populate_dma(ground: Ground) -> Cost:
    return _populate(ground, HUGE, ground.kernel.UK_VMA_MAP_SIZE_1GB, "dma")


def _unmap_pages(ground: Ground) -> Cost:
    _populate_pages(ground)
    return ground.counted("uk_vma_unmap", ground.vas, ground.far, LARGE, 0)


OPERATIONS: dict[str, Operation] = {
    "find": _find,
    "find slowest": _find_slowest,
    "map anywhere": _map_any,
    "map fixed": _map_fixed,
    "map slowest": _map_slowest,
    "fault": _fault_alone,
    "zero 4K": _zeroing,
    "split": _split,
    "merge": _merge,
    "unmap page": _unmap_page,
    "unmap 512 x 4K": _unmap_pages,
    "populate 512 x 4K": _populate_pages,
    "populate 2M block": _populate_block,
    "populate 1G dma": _populate_dma,
}
"""By the names that asked.py knows them by."""
