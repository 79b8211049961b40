# SPDX-License-Identifier: BSD-3-Clause
"""The VMAs of an address space: where, of which type, with what rights, and how much of them is present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.arch.permissions import Rights
from harness.arch.regime import Regime
from harness.kernel import Kernel, Tables
from harness.report import words
from harness.report.listing import grid
from harness.report.sizes import format_size
from harness.report.tree import Counts

READ, WRITE, EXECUTE = 1, 2, 4  # PAGE_ATTR_PROT_*


@dataclass(frozen=True, slots=True)
class AreaView:
    """A VMA: `kind` is its type's name, `rights` what it grants; `pages` counts its leaves by size."""

    start: int
    end: int
    kind: str
    rights: Rights
    name: str | None
    pages: Counts

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


def view_areas(kernel: Kernel, space: Any) -> tuple[AreaView, ...]:
    """The VMAs of an `address_space_t *`, in order of address. Reads memory, calls nothing."""
    tables = kernel.tables(space)
    return tuple(_area(kernel, vma, tables) for vma in _vmas(kernel, space.vas))


def _vmas(kernel: Kernel, vas: Any) -> Iterator[Any]:
    node = vas.vmas.first
    while node:
        yield kernel.cast(node, "struct uk_vma *").target
        node = node.target.next


def _area(kernel: Kernel, vma: Any, tables: Tables) -> AreaView:
    start, end, attr = int(vma.start), int(vma.end), int(vma.attr)
    leaves = Counter(leaf.size for leaf in tables.leaves(start, end))
    found = kernel.image.symbols.at(int(vma.ops))
    return AreaView(
        *(start, end, _kind(found[0].name) if found else "?"),
        rights=Rights(bool(attr & READ), bool(attr & WRITE), bool(attr & EXECUTE)),
        name=vma.name.string() if vma.name else None,
        pages=tuple(sorted(leaves.items())),
    )


def _kind(operations: str) -> str:
    return operations.removeprefix("uk_vma_").removesuffix("_ops")


def areas_report(areas: tuple[AreaView, ...], regime: Regime) -> RenderableType:
    """A line for each VMA."""
    table = grid("VA", ">size", "type", "rights", "present", "name")
    digits = words.va_digits(regime)
    for area in areas:
        table.add_row(
            f"{words.address(area.start, digits)}-{words.address(area.end - 1, digits)}",
            *(format_size(area.size), Text(area.kind, "" if area.pages else "dim")),
            *(words.rights(area.rights), words.counts(area.pages), area.name or ""),
        )
    return Group(Text(words.plural(len(areas), "VMA"), "bold"), table)
