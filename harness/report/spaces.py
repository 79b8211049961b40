# SPDX-License-Identifier: BSD-3-Clause
"""What can be said of an address space of the LuKOS VMM: its regions, and what the tables make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.arch.permissions import NO_PERMISSIONS, Permissions
from harness.arch.regime import Regime
from harness.kernel import Kernel, PointerValue, Run, Tables
from harness.report.tree import Counts, TableNode, leaf_counts, table_tree

PREFIX = "AS_REGION_"
_BUDGET = 1_000_000  # instructions of one call that only looks
_NEEDED_COUNTS = ("vmm_address_space_vas", "vas_stats")
_NEEDED = ("vmm_address_space_next", "vmm_address_space_region_next")


@dataclass(frozen=True, slots=True)
class RegionView:
    """A region, and how it is mapped: `pages` counts its leaves by size, none for one without access."""

    va: int
    pa: int
    size: int
    prop: str
    pages: Counts
    permissions: Permissions

    @property
    def end(self) -> int:
        """One past the last virtual address."""
        return self.va + self.size


@dataclass(frozen=True, slots=True)
class SpaceView:
    """An address space at one moment."""

    id: int
    regime: Regime
    regions: tuple[RegionView, ...]
    runs: tuple[Run, ...]
    tree: TableNode
    counts: dict[str, int]
    """The kernel's own (`vas_stats_t` in lukos/vas.h), by name; empty for a kernel that counts nothing."""

    @property
    def pages(self) -> Counts:
        """Blocks and pages by size."""
        return leaf_counts(self.tree)

    @property
    def mapped(self) -> int:
        """Bytes that translate."""
        return sum(size * count for size, count in self.pages)


def has_spaces(kernel: Kernel) -> bool:
    """Whether the image has the interface that address spaces are found by."""
    return all(name in kernel.image.functions for name in _NEEDED)


def live_spaces(kernel: Kernel) -> Iterator[PointerValue]:
    """The address spaces in order of creation. Calls into the kernel."""
    if not has_spaces(kernel):
        return
    following = kernel.function("vmm_address_space_next")
    space = following(0, budget=_BUDGET)
    while space:
        yield space
        space = following(space, budget=_BUDGET)


def view_space(kernel: Kernel, space: Any) -> SpaceView:
    """Look at an `address_space_t *`. Calls into the kernel, which records another last error."""
    tables = kernel.tables(space)
    return SpaceView(
        id=int(space.id),
        regime=tables.regime,
        regions=tuple(_regions(kernel, space, tables)),
        runs=tuple(tables.runs()),
        tree=table_tree(tables.regime, kernel.machine.memory.read),
        counts=_counts(kernel, space),
    )


def _counts(kernel: Kernel, space: Any) -> dict[str, int]:
    if not all(name in kernel.image.functions for name in _NEEDED_COUNTS):
        return {}
    vas, found = (kernel.function(name) for name in _NEEDED_COUNTS)
    out = kernel.new("vas_stats_t")
    status = found(vas(space, budget=_BUDGET), out, budget=_BUDGET)
    return {} if status else {name: int(value) for name, value in out.as_dict().items()}


def _regions(kernel: Kernel, space: Any, tables: Tables) -> Iterator[RegionView]:
    following = kernel.function("vmm_address_space_region_next")
    found, va = kernel.new("address_space_region_t"), 0
    while following(space, va, kernel.cast(found, "address_space_region_t *"), budget=_BUDGET) == 0:
        yield _region(found, tables)
        va = int(found.va) + int(found.len)


def _region(found: Any, tables: Tables) -> RegionView:
    va, size = int(found.va), int(found.len)
    leaf = tables.lookup(va)
    counts: dict[int, int] = {}
    for each in tables.leaves(va, va + size):
        counts[each.size] = counts.get(each.size, 0) + 1
    return RegionView(
        *(va, int(found.pa), size, str(found.prop).removeprefix(PREFIX)),
        pages=tuple(sorted(counts.items())),
        permissions=leaf.permissions if leaf else NO_PERMISSIONS,
    )
