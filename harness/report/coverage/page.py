# SPDX-License-Identifier: BSD-3-Clause
"""Coverage as one HTML page that needs nothing else: a table of files, and the source of each, folded."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from harness.checks.coverage import Coverage, FileCoverage
from harness.checks.coverage.reasons import Reasons, missing
from harness.checks.coverage.source import Ratio, ratio
from harness.report.coverage.lcov import by_line

_STYLE = """
:root { color-scheme: light dark; --hit: #d8f5d8; --miss: #fbd5d5; --part: #fdf0c4; --said: #e4e4ee; }
@media (prefers-color-scheme: dark) {
  :root { --hit: #16381b; --miss: #551d1d; --part: #4c3f12; --said: #33333f; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } th, td { padding: .15em .8em; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
details { margin: .3em 0; } summary { cursor: pointer; }
pre { font: 13px/1.45 ui-monospace, monospace; overflow-x: auto; margin: .5em 0; }
pre span { display: block; min-width: max-content; padding-right: 1em; }
.hit { background: var(--hit); } .miss { background: var(--miss); }
.part { background: var(--part); } .said { background: var(--said); }
b { display: inline-block; width: 8em; font-weight: normal; opacity: .6; text-align: right;
  padding-right: 1em; }
i { opacity: .75; }
"""


def page(coverage: Coverage, reasons: Reasons) -> str:
    """Green: reached; yellow: branch outcomes missing; red: not reached; grey: missing for a reason."""
    said = {(each.file, each.line): reasons.of(each) or "" for each in missing(coverage)}
    files = sorted(coverage.files.items())
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Kernel coverage</title>",
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style><h1>Kernel coverage</h1>",
        f"<p>Lines {coverage.lines()}; branch outcomes {coverage.branches()}; ",
        f"instructions {coverage.instructions}.</p>",
        "<p><span class='hit'> reached </span> <span class='part'> branch outcomes missing </span> "
        "<span class='miss'> not reached </span> <span class='said'> missing for a stated reason </span></p>",
        "<table><tr><th>File<th>Lines<th><th>Branches<th></tr>",
        *(_row(path, each) for path, each in files),
        "</table>",
        *(part for path, each in files for part in _source(path, each, said)),
        "</html>\n",
    ]
    return "\n".join(parts)


def _row(path: str, each: FileCoverage) -> str:
    lines, branches = ratio(each.lines.values()), ratio(each.outcomes.values())
    name = escape(path)
    return f"<tr><td><a href='#{name}'>{name}</a>{_cells(lines)}{_cells(branches)}</tr>"


def _cells(found: Ratio) -> str:
    return f"<td class='n'>{found.reached}/{found.total}<td class='n'>{found.percent:.1f}&nbsp;%"


def _source(path: str, each: FileCoverage, said: dict[tuple[str, int], str]) -> Iterator[str]:
    name, complete = escape(path), all(each.lines.values()) and all(each.outcomes.values())
    yield f"<details id='{name}'{'' if complete else ' open'}><summary>{name}</summary><pre>"
    branches = {line: ratio(each.outcomes[o] for o in outcomes) for line, outcomes in by_line(each)}
    for number, text in enumerate(each.source, 1):
        found, reason = branches.get(number), said.get((path, number))
        kind = _kind(each.lines.get(number), found, reason)
        note = f"{found.reached}/{found.total}  " if found else ""
        why = f"  <i>{escape(reason)}</i>" if reason else ""
        yield f"<span class='{kind}'><b>{note}{number}</b>{escape(text)}{why}</span>"
    yield "</pre></details>"


def _kind(hit: bool | None, branches: Ratio | None, reason: str | None) -> str:
    if hit is None and branches is None:
        return ""
    complete = branches is None or branches.reached == branches.total
    if hit is not False and complete:
        return "hit"
    if reason:
        return "said"
    return "miss" if hit is False else "part"
