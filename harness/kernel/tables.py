# SPDX-License-Identifier: BSD-3-Clause
"""The translation tables of an address space, or of the kernel, as one looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from harness.arch.descriptor import Descriptor
from harness.arch.permissions import Permissions
from harness.arch.regime import Regime
from harness.arch.walker import Mapping, TablePage, Walk, Walker

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring mappings alike in everything but the address: one line of a listing.

    `pages` counts their leaves by size in bytes, as ((4096, 3), (2097152, 1)).
    """

    va: int
    pa: int
    size: int
    permissions: Permissions
    memory: str
    is_global: bool
    pages: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        """One past the last virtual address."""
        return self.va + self.size

    @property
    def prot(self) -> str:
        """The rights of those it is for, as "rw-": of EL0 where it has any, else of EL1."""
        return str(self.permissions.el0 if self.permissions.el0.read else self.permissions.el1)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What maps one address."""

    va: int
    pa: int
    size: int
    level: int
    entry_address: int
    descriptor: Descriptor
    permissions: Permissions
    memory: str

    @property
    def prot(self) -> str:
        """The rights of those it is for, as "rw-": of EL0 where it has any, else of EL1."""
        return str(self.permissions.el0 if self.permissions.el0.read else self.permissions.el1)


@dataclass(frozen=True, slots=True)
class Difference:
    """One leaf that is not as it was."""

    change: Change
    va: int
    before: Leaf | None
    after: Leaf | None


class Tables:
    """One half of the virtual address space, read from guest memory when asked, not before.

    `walker` knows the registers; `Tables` itself never touches the machine.
    """

    def __init__(self, walker: Walker, name: str) -> None:
        self.walker = walker
        self.name = name

    @property
    def regime(self) -> Regime:
        """How this half is translated: granule, VA width, root, ASID, memory attributes."""
        return self.walker.regime

    def walk(self, va: int) -> Walk:
        """Every step of the translation of `va`."""
        return self.walker.walk(va)

    def lookup(self, va: int) -> Leaf | None:
        """The leaf that maps `va`, or None."""
        walk = self.walker.walk(va)
        if walk.leaf is None or walk.fault is not None:
            return None
        last, base = walk.steps[-1], va - va % walk.page_size
        pa = walk.leaf.output_address
        memory = self.regime.memory_type(walk.leaf.attr_index)
        return Leaf(
            base, pa, walk.page_size, last.level, last.entry_address, walk.leaf, walk.permissions, memory
        )

    def leaves(self, start: int | None = None, end: int | None = None) -> Iterator[Leaf]:
        """Every leaf in ascending order of virtual address."""
        for found in self.walker.leaves(start, end):
            yield self._leaf(found)

    def _leaf(self, found: Mapping) -> Leaf:
        return Leaf(
            *(found.va, found.pa, found.size, found.level, found.entry_address),
            *(found.descriptor, found.permissions),
            self.regime.memory_type(found.descriptor.attr_index),
        )

    def runs(self) -> list[Run]:
        """The leaves, with neighbours merged that continue each other with the same rights."""
        return merge(self.leaves())

    def pages(self) -> list[TablePage]:
        """The pages that hold the tables, root first."""
        return list(self.walker.tables())

    def freeze(self) -> Snapshot:
        """The leaves as they are now, to be compared with later."""
        return Snapshot(tuple(self.leaves()))

    def diff(self, before: Snapshot) -> list[Difference]:
        """What was added, removed or changed since `before`, by address."""
        return self.freeze().since(before)


@dataclass(frozen=True)
class Snapshot:
    """The leaves of one moment."""

    leaves: tuple[Leaf, ...]

    @cached_property
    def by_va(self) -> dict[int, Leaf]:
        """The leaves by the first address they map."""
        return {leaf.va: leaf for leaf in self.leaves}

    def since(self, before: Snapshot) -> list[Difference]:
        """The differences from `before` to this one, by address."""
        found = []
        for va in sorted(before.by_va.keys() | self.by_va.keys()):
            old, new = before.by_va.get(va), self.by_va.get(va)
            if old != new:
                change: Change = "added" if old is None else "removed" if new is None else "changed"
                found.append(Difference(change, va, old, new))
        return found


def merge(leaves: Iterable[Leaf]) -> list[Run]:
    """Neighbours become one run where addresses on both sides go on and everything else is equal."""
    runs: list[Run] = []
    for leaf in leaves:
        made = Run(
            *(leaf.va, leaf.pa, leaf.size, leaf.permissions, leaf.memory),
            *(not leaf.descriptor.ng, ((leaf.size, 1),)),
        )
        if runs and _continues(runs[-1], made):
            made = _joined(runs.pop(), made)
        runs.append(made)
    return runs


def _continues(run: Run, after: Run) -> bool:
    return (run.end, run.pa + run.size, run.permissions, run.memory, run.is_global) == (
        *(after.va, after.pa, after.permissions, after.memory, after.is_global),
    )


def _joined(run: Run, after: Run) -> Run:
    counts = dict(run.pages)
    for size, count in after.pages:
        counts[size] = counts.get(size, 0) + count
    return Run(
        *(run.va, run.pa, run.size + after.size, run.permissions, run.memory, run.is_global),
        tuple(sorted(counts.items())),
    )
