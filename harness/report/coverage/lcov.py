# SPDX-License-Identifier: BSD-3-Clause
"""The tracefile format of lcov (geninfo(1)). Counts are 1 for reached, 0 for not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from harness.checks.coverage import Coverage, FileCoverage, Outcome


def lcov(coverage: Coverage) -> str:
    """A tracefile for genhtml and for what reads its output."""
    records = (line for path, each in sorted(coverage.files.items()) for line in _record(path, each))
    return "".join(f"{line}\n" for line in ("TN:kernel", *records))


def _record(path: str, each: FileCoverage) -> Iterator[str]:
    yield f"SF:{path}"
    for name, (line, hit) in sorted(each.functions.items()):
        yield f"FN:{line},{name}"
        yield f"FNDA:{int(hit)},{name}"
    yield f"FNF:{len(each.functions)}"
    yield f"FNH:{sum(hit for _, hit in each.functions.values())}"
    yield from _branches(each)
    for line, reached in sorted(each.lines.items()):
        yield f"DA:{line},{int(reached)}"
    yield f"LF:{len(each.lines)}"
    yield f"LH:{sum(each.lines.values())}"
    yield "end_of_record"


def _branches(each: FileCoverage) -> Iterator[str]:
    """BRDA:line,block,branch,taken: a block is one condition; "-" where the line was never reached."""
    for line, outcomes in by_line(each):
        blocks: dict[tuple[object, ...], int] = {}
        for outcome in outcomes:
            block = blocks.setdefault(outcome[:-1], len(blocks))
            taken = str(int(each.outcomes[outcome])) if each.lines.get(line, True) else "-"
            yield f"BRDA:{line},{block},{int(outcome.truth)},{taken}"
    yield f"BRF:{len(each.outcomes)}"
    yield f"BRH:{sum(each.outcomes.values())}"


def by_line(each: FileCoverage) -> Iterator[tuple[int, list[Outcome]]]:
    """The branch outcomes of a file, line by line."""
    for line, group in groupby(sorted(each.outcomes), key=lambda outcome: outcome.line):
        yield line, list(group)
