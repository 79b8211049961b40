# SPDX-License-Identifier: BSD-3-Clause
"""Tables against the books of whoever made them: its frame allocator's, and its areas of virtual memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from harness.arch.walker import Mapping, Walker
from harness.checks.audit.concern import Concern, Leaves

Use = Literal["free", "data", "table", "kernel", "unmanaged"]
"""What a frame is for by the books: nothing, what can be mapped, a table, the kernel itself; not in them."""

Owner = Callable[[int], Use]
"""What the allocator's books say of the frame at a physical address."""

_EVERY = "rwx"


@dataclass(frozen=True, slots=True)
class Area:
    """What the kernel's books say of [start, end): "rw-" and the like, EL0's where it has any.

    Pages of it may lack the rights of `may_lack`, as one does that is copied on write, and have no others.
    With `memory` they are of this type ("Normal NC"), which is meant, however others have that memory.
    """

    start: int
    end: int
    prot: str
    may_lack: str = _EVERY
    memory: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """What is known of the tables. What is left out is not looked at.

    `areas` are those of each walker, by start. `direct` are virtual addresses where the kernel has all memory
    at hand, whatever that is for. `held` are the frames, by physical address, that the books count as mapped
    somewhere in these tables.
    """

    owner: Owner | None = None
    areas: Sequence[Sequence[Area]] = ()
    direct: range = range(0)
    held: Sequence[int] = ()

    def chose_memory(self, walkers: Sequence[Walker], walker: Walker, leaf: Mapping) -> bool:
        """Whether an area asks for just this type of memory."""
        for each, areas in zip(walkers, self.areas, strict=False):
            if each is walker:
                area = _area_at(areas, leaf.va)
                return area is not None and area.memory == _memory(walker, leaf)
        return False


def against(books: Books, walkers: Sequence[Walker], leaves: Leaves) -> Iterator[Concern]:
    """Frames, tables and areas."""
    outside = [(walker, leaf) for walker, leaf in leaves if leaf.va not in books.direct]
    if books.owner is not None:
        judged = [(walker, leaf) for walker, leaf in outside if walker.regime.half == "ttbr0" or books.direct]
        yield from _frames(judged, books.owner)
        yield from _tables(walkers, books.owner)
    for walker, areas in zip(walkers, books.areas, strict=False):
        yield from _areas(walker, [leaf for each, leaf in outside if each is walker], areas)
    if books.held:
        yield from _held(walkers[0], outside, books.held)


def _frames(leaves: Leaves, owner: Owner) -> Iterator[Concern]:
    """What is mapped is taken, and not by the kernel for itself."""
    for walker, leaf in leaves:
        for pa in range(leaf.pa, leaf.pa + leaf.size, walker.regime.granule.value):
            use = owner(pa)
            if use == "free":
                yield Concern.of("free-frame", f"the frame at {pa:#x} is free by the books", walker, leaf)
            elif use in ("table", "kernel"):
                message = f"the frame at {pa:#x} is the kernel's by the books: {use}"
                yield Concern.of("kernel-frame", message, walker, leaf)
            if use not in ("data", "unmanaged"):
                break


def _tables(walkers: Sequence[Walker], owner: Owner) -> Iterator[Concern]:
    """What a walk takes for a table is one."""
    for walker in walkers:
        for page in walker.tables():
            use = owner(page.pa & -walker.regime.granule.value)
            if use not in ("table", "unmanaged"):
                message = f"the table at {page.pa:#x}, level {page.level}, is {use} by the books"
                yield Concern("table-frame", message, walker.regime.half, walker.regime.base, page.pa)


def _areas(walker: Walker, leaves: Sequence[Mapping], areas: Sequence[Area]) -> Iterator[Concern]:
    """Every leaf is within an area, with its rights and memory, and belongs to one address space."""
    assert all(below.end <= above.start for below, above in pairwise(areas)), "areas in order, and apart"
    for leaf in leaves:
        area = _area_at(areas, leaf.va)
        if area is None or leaf.va + leaf.size > area.end:
            yield Concern.of("no-area", "no area of the books covers it", walker, leaf)
            continue
        granted, own = _granted(walker, leaf)
        more = {right for right in granted if right != "-" and right not in area.prot}
        if more or any(right not in own + area.may_lack for right in area.prot):
            yield Concern.of("rights", f"{leaf.permissions} where the books say {area.prot}", walker, leaf)
        if area.memory and area.memory != _memory(walker, leaf):
            message = f"{_memory(walker, leaf)} where the books say {area.memory}"
            yield Concern.of("memory", message, walker, leaf)
        if walker.regime.half == "ttbr0" and not leaf.descriptor.ng:
            yield Concern.of("global", "global, in an area of one address space", walker, leaf)


def _held(walker: Walker, leaves: Leaves, held: Sequence[int]) -> Iterator[Concern]:
    """What the books count as mapped is."""
    spans = sorted((leaf.pa, leaf.pa + leaf.size) for _, leaf in leaves)
    ends: list[int] = []
    for _, end in spans:
        ends.append(max(end, ends[-1] if ends else 0))
    for pa in held:
        at = bisect_right(spans, pa, key=lambda span: span[0]) - 1
        if at < 0 or ends[at] <= pa:
            message = "taken by the books, and mapped nowhere"
            yield Concern("lost-frame", message, walker.regime.half, walker.regime.base, pa)


def _area_at(areas: Sequence[Area], va: int) -> Area | None:
    at = bisect_right(areas, va, key=lambda area: area.start) - 1
    return areas[at] if at >= 0 and va < areas[at].end else None


def _granted(walker: Walker, leaf: Mapping) -> tuple[str, str]:
    """The rights that somebody gets, and those that the owners of this half get: EL0, or the kernel.

    None before the access flag is set.
    """
    if not leaf.descriptor.af:
        return "---", "---"
    el0, el1 = leaf.permissions.el0, leaf.permissions.el1
    return str(el0 if el0.read else el1), str(el0 if walker.regime.half == "ttbr0" else el1)


def _memory(walker: Walker, leaf: Mapping) -> str:
    return walker.regime.memory_type(leaf.descriptor.attr_index)
