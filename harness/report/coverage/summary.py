# SPDX-License-Identifier: BSD-3-Clause
"""Coverage by file, and what is missing, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.checks.coverage import Coverage
from harness.checks.coverage.reasons import Missing, Reasons, missing
from harness.checks.coverage.source import Ratio
from harness.report.listing import grid
from harness.report.words import plural

_SHOWN = 40


def summary(coverage: Coverage, reasons: Reasons) -> RenderableType:
    """Files with something missing, the totals, and the places that nobody has explained."""
    found = list(missing(coverage))
    unexplained = [each for each in found if reasons.of(each) is None]
    rest = f"{plural(len(found) - len(unexplained), 'place')} not reached for a stated reason"
    parts: list[RenderableType] = [_files(coverage), Text(), _totals(coverage), Text(rest)]
    if unexplained:
        parts += [
            Text(),
            _places(f"{plural(len(unexplained), 'place')} not reached and without a reason", unexplained),
        ]
    stale = [f"  {each.file} {each.function}: {each.code}" for each in reasons.stale(found)]
    if stale:
        parts += [Text(), Text("\n".join(["reasons for what is reached, or gone:", *stale]))]
    return Group(*parts)


def _files(coverage: Coverage) -> Table:
    table = grid("~file", ">lines", ">", ">branches", ">")
    complete = 0
    for path in sorted(coverage.files):
        lines, branches = coverage.lines([path]), coverage.branches([path])
        if lines.reached == lines.total and branches.reached == branches.total:
            complete += 1
        else:
            table.add_row(path, *_cells(lines), *_cells(branches))
    table.add_row(f"{plural(complete, 'other file')}", "", "100.0 %", "", "100.0 %")
    return table


def _cells(found: Ratio) -> tuple[str, str]:
    return f"{found.reached}/{found.total}", f"{found.percent:.1f} %"


def _totals(coverage: Coverage) -> Text:
    text = Text()
    for name in ("lines", "branches"):
        text.append(f"{name:13}{getattr(coverage, name)()}\n", "bold")
    text.append(f"{'instructions':13}{coverage.instructions}\n")
    text.append(f"{coverage.assertions} outcomes are failures of assertions: not counted", "dim")
    unread = sum(not each.source for each in coverage.files.values())
    if unread:
        text.append(f"\nno source of {plural(unread, 'file')} here: failures of assertions there do count")
    return text


def _places(heading: str, found: list[Missing]) -> Text:
    lines = [
        f"  {each.file}:{each.line} {each.function}: {each.what}: {each.code}" for each in found[:_SHOWN]
    ]
    more = [f"  ({len(found) - _SHOWN} more)"] if len(found) > _SHOWN else []
    return Text("\n".join([heading, *lines, *more]))
