# SPDX-License-Identifier: BSD-3-Clause
"""What became of mutants: a score by kind, and those that live, with their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Group, RenderableType
from rich.text import Text

from harness.checks.coverage.fatal import line_of, source_lines
from harness.checks.coverage.reasons import Missing, Reasons
from harness.checks.mutation.journal import Status, Verdict
from harness.checks.mutation.mutants import KINDS, Mutant
from harness.report.listing import grid
from harness.report.words import plural

Results = Sequence[tuple[Mutant, Verdict]]


def totals(results: Results, reasons: Reasons) -> dict[str, dict[str, float]]:
    """By kind: how many there are, are killed, survive, are in code that no test reaches.

    "without reason" are those of them that live and that `reasons` does not explain. The score is the share
    of those killed among all, in percent.
    """
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        mine = [(mutant, verdict) for mutant, verdict in results if mutant.kind == kind]
        counts = Counter(verdict.status for _, verdict in mine)
        if counts:
            found[kind] = {
                "mutants": counts.total(),
                **{status: counts[status] for status in get_args(Status)},
                "score": round(100 * counts["killed"] / counts.total(), 1),
                "without reason": sum(_is_unexplained(mutant, verdict, reasons) for mutant, verdict in mine),
            }
    return found


def markdown(found: Mapping[str, Mapping[str, float]]) -> str:
    """`totals` as a table, for a README."""
    names = ("mutants", "killed", "survived", "not reached")
    rows = [
        f"| {kind} | {' | '.join(f'{row[name]:,}' for name in names)} | {row['score']:.1f} % |"
        for kind, row in found.items()
    ]
    return "\n".join([f"| kind | {' | '.join(names)} | score |", "|---|--:|--:|--:|--:|--:|", *rows])


def place_of(mutant: Mutant) -> Missing:
    """Where a mutant is, as a list of reasons names it. Sources are found from the folder of the command."""
    text = line_of(source_lines(mutant.file, Path()), mutant.line).strip()
    return Missing(mutant.file, mutant.line, mutant.function, mutant.what, text)


def mutation_data(results: Results, reasons: Reasons) -> dict[str, Any]:
    """The score, each mutant, and how many of those that live nobody has explained."""
    found = totals(results, reasons)
    return {
        "totals": found,
        "unexplained": sum(row["without reason"] for row in found.values()),
        "mutants": [_data(mutant, verdict, reasons) for mutant, verdict in results],
    }


def _is_unexplained(mutant: Mutant, verdict: Verdict, reasons: Reasons) -> bool:
    return verdict.status != "killed" and reasons.of(place_of(mutant)) is None


def _data(mutant: Mutant, verdict: Verdict, reasons: Reasons) -> dict[str, Any]:
    place = place_of(mutant)
    return {
        "id": mutant.id,
        "kind": mutant.kind,
        "what": mutant.what,
        "file": mutant.file,
        "line": mutant.line,
        "function": mutant.function,
        "code": place.code,
        "status": verdict.status,
        "by": verdict.by,
        "why": verdict.why,
        "tests": verdict.tests,
        "seconds": verdict.seconds,
        "reason": reasons.of(place) if verdict.status != "killed" else None,
    }


def mutation_report(results: Results, reasons: Reasons) -> RenderableType:
    """For the terminal."""
    table = grid("kind", ">mutants", ">killed", ">survived", ">not reached", ">score")
    for kind, row in totals(results, reasons).items():
        cells = (f"{row[name]:,}" for name in ("mutants", "killed", "survived", "not reached"))
        table.add_row(kind, *cells, f"{row['score']:.1f} %")
    alive = [(mutant, verdict) for mutant, verdict in results if verdict.status != "killed"]
    parts: list[RenderableType] = [table]
    if alive:
        parts += [Text(), Text(f"{plural(len(alive), 'mutant')} not killed:")]
    for mutant, verdict in alive:
        place = place_of(mutant)
        where = f"  {mutant.place} {mutant.function}: {mutant.what} ({mutant.id}): {place.code}"
        parts.append(Text(where, overflow="fold"))
        reason = reasons.of(place) or "no reason stated"
        parts.append(Text(f"      {verdict.status}: {reason}", "dim"))
    return Group(*parts)
