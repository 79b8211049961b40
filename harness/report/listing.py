# SPDX-License-Identifier: BSD-3-Clause
"""A listing of what is mapped, as the kernel's ptdump gives it: one line for each run of equal mappings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.arch.regime import Regime
from harness.kernel import Run, Tables
from harness.report import words
from harness.report.sizes import about_size, format_size

_UNLIMITED = 1000  # columns


class Listing:
    """Runs as a table, with fewer columns where the terminal is narrow."""

    def __init__(self, runs: Sequence[Run], regime: Regime) -> None:
        self.runs, self.regime = runs, regime

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._wide()
        fits = (
            Measurement.get(console, options.update(max_width=_UNLIMITED), wide).maximum <= options.max_width
        )
        yield wide if fits else self._narrow()

    def _wide(self) -> Table:
        table = grid("VA", ">size", "PA", "EL0", "EL1", "level", "pages", "memory", "")
        digits = words.va_digits(self.regime)
        for run in self.runs:
            table.add_row(
                f"{words.address(run.va, digits)}-{words.address(run.end - 1, digits)}",
                *(format_size(run.size), words.address(run.pa)),
                *(*words.both(run.permissions), words.levels(run.pages, self.regime)),
                *(words.counts(run.pages), run.memory, "global" if run.is_global else "nG"),
            )
        return table

    def _narrow(self) -> Table:
        table = grid("VA", ">size", "PA", "EL0", "EL1", "~pages", "memory", "")
        for run in self.runs:
            table.add_row(
                words.address(run.va, words.va_digits(self.regime)),
                *(format_size(run.size), words.address(run.pa), *words.both(run.permissions)),
                *(words.counts(run.pages), words.short_memory(run.memory), "G" if run.is_global else "nG"),
            )
        return table


def grid(*columns: str) -> Table:
    """A table without lines. A column named ">x" is right-aligned, one named "~x" may be folded."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in columns:
        justify = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">~"), justify=justify, no_wrap=not name.startswith("~"))  # type: ignore[arg-type]
    return table


def facts(regime: Regime) -> str:
    """How a half is translated, in a few words."""
    digits = words.va_digits(regime)
    first, last = words.address(regime.base, digits), words.address(regime.end - 1, digits)
    return f"VA {first}-{last}, {regime.va_bits} bits, {format_size(regime.granule.value)} granule"


def listing(tables: Tables) -> RenderableType:
    """A half of the virtual addresses: what it is, then its runs."""
    runs = tables.runs()
    pages = tables.pages()
    heading = Text.assemble((tables.name, "bold"), "\n", facts(tables.regime), "\n")
    heading.append(f"{words.plural(len(pages), 'table')}, root {words.address(tables.regime.table_base)}; ")
    heading.append(f"{about_size(sum(run.size for run in runs))} mapped in {words.plural(len(runs), 'run')}")
    unsafe = [run for run in runs if _writable_and_executable(run)]
    if unsafe:
        heading.append(f"\nwritable and executable: {words.plural(len(unsafe), 'run')}", "bold red")
    return Group(heading, Text(), Listing(runs, tables.regime) if runs else Text("nothing is mapped"))


def _writable_and_executable(run: Run) -> bool:
    return any(rights.write and rights.execute for rights in (run.permissions.el0, run.permissions.el1))
