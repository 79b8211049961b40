# SPDX-License-Identifier: BSD-3-Clause
"""An address space for people: its regions, then the tables that make them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from harness.report import words
from harness.report.listing import facts, grid
from harness.report.sizes import format_size
from harness.report.spaces import RegionView, SpaceView
from harness.report.tree import TableNode

_PAGE = 100  # columns


@dataclass(frozen=True, slots=True)
class Heading:
    """A title with a line to the edge of the terminal, or of a page."""

    title: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        line = "\u2500" * (min(options.max_width, _PAGE) - len(self.title) - 1)
        yield Text.assemble((self.title, "bold"), " ", (line, "dim"))


def space_report(view: SpaceView) -> RenderableType:
    """Everything about one address space."""
    return Group(
        Heading(f"address space {view.id}"),
        summary(view),
        Text(),
        regions(view) if view.regions else Text("no regions"),
        Text(),
        tree(view.tree, words.va_digits(view.regime)),
    )


def spaces_report(views: Iterable[SpaceView]) -> RenderableType:
    """Address spaces one after the other."""
    parts: list[RenderableType] = []
    for view in views:
        parts += [Text(), space_report(view)] if parts else [space_report(view)]
    return Group(*parts) if parts else Text("no address space is alive")


def summary(view: SpaceView) -> Text:
    """What there is, in numbers."""
    text = Text(f"{facts(view.regime)}, ASID {view.regime.asid}\n")
    text.append(f"{words.plural(len(view.regions), 'region')}; ")
    text.append(f"{words.counts(view.pages)} mapped; {words.plural(view.tree.count, 'table')}")
    if view.counts:
        resident = words.plural(view.counts["resident"], "resident frame")
        text.append(f"\n{words.plural(view.counts['vmas'], 'VMA')}; {resident}; ")
        text.append(f"faults: {words.faults(view.counts)}")
    for memory, is_global in sorted({(run.memory, run.is_global) for run in view.runs}):
        text.append(f"\nmemory: {memory}, {'global' if is_global else 'not global (nG)'}")
    return text


def regions(view: SpaceView) -> Table:
    """The regions: where, how large, what the user may do, and the memory behind them."""
    table = grid("VA", ">size", "region", "EL0", "EL1", "PA", "pages")
    for region in view.regions:
        table.add_row(*_region_row(region, words.va_digits(view.regime)))
    return table


def _region_row(region: RegionView, digits: int) -> list[str | Text]:
    return [
        f"{words.address(region.va, digits)}-{words.address(region.end - 1, digits)}",
        format_size(region.size),
        Text(region.prop, "dim" if not region.pages else ""),
        *words.both(region.permissions),
        words.address(region.pa),
        words.counts(region.pages) if region.pages else "reserved",
    ]


def tree(root: TableNode, digits: int) -> Tree:
    """The tables, each below the one that points to it."""
    top = Tree(_label(root, digits), guide_style="dim")
    _grow(top, root, digits)
    return top


def _grow(branch: Tree, node: TableNode, digits: int) -> None:
    for child in node.children:
        _grow(branch.add(_label(child, digits)), child, digits)


def _label(node: TableNode, digits: int) -> Text:
    label = Text.assemble((f"L{node.level}", "bold"), f" table {words.address(node.pa)}  ")
    label.append(f"VA {words.address(node.va, digits)} + {format_size(node.span)}", "dim")
    parts = [words.counts(node.leaves)] if node.leaves else []
    parts += [f"{node.kept} reserved"] if node.kept else []
    parts += [node.cut] if node.cut else []
    return label.append(f"  {', '.join(parts)}") if parts else label
