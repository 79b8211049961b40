# SPDX-License-Identifier: BSD-3-Clause
"""Coverage as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.checks.coverage import Coverage
from harness.checks.coverage.reasons import Reasons, missing
from harness.checks.coverage.source import Ratio


def coverage_data(coverage: Coverage, reasons: Reasons) -> dict[str, Any]:
    """Totals, files, and what is not reached with its reason."""
    found = list(missing(coverage))
    return {
        **totals(coverage, reasons),
        "files": {
            path: {"lines": _ratio(coverage.lines([path])), "branches": _ratio(coverage.branches([path]))}
            for path in sorted(coverage.files)
        },
        "missing": [
            {
                "file": each.file,
                "function": each.function,
                "code": each.code,
                "what": each.what,
                "reason": reasons.of(each),
            }
            for each in found
        ],
    }


def totals(coverage: Coverage, reasons: Reasons) -> dict[str, Any]:
    """The figures of the whole: ratios, failures of assertions, and what is missing without a reason."""
    unexplained = {(each.file, each.line) for each in missing(coverage) if reasons.of(each) is None}
    files = coverage.files.items()
    lines = [(path, line) for path, each in files for line, hit in each.lines.items() if not hit]
    outcomes = [(path, found.line) for path, each in files for found, hit in each.outcomes.items() if not hit]
    return {
        "lines": _ratio(coverage.lines()),
        "branches": _ratio(coverage.branches()),
        "instructions": _ratio(coverage.instructions),
        "assertions": coverage.assertions,
        "without_reason": {
            "lines": sum(place in unexplained for place in lines),
            "branches": sum(place in unexplained for place in outcomes),
        },
    }


def markdown(found: Mapping[str, Any]) -> str:
    """`totals` as a table, for a README."""
    names = {"lines": "lines", "branches": "branch outcomes", "instructions": "instructions"}
    rows = [_row(name, found[key], found["without_reason"].get(key)) for key, name in names.items()]
    return "\n".join(["| | reached | of | | without a reason |", "|---|--:|--:|--:|--:|", *rows])


def _row(name: str, ratio: Mapping[str, float], unexplained: int | None) -> str:
    last = "" if unexplained is None else f" {unexplained:,}"
    return f"| {name} | {ratio['reached']:,} | {ratio['total']:,} | {ratio['percent']:.1f} % |{last} |"


def _ratio(found: Ratio) -> dict[str, float]:
    return {"reached": found.reached, "total": found.total, "percent": round(found.percent, 2)}
