# SPDX-License-Identifier: BSD-3-Clause
"""Coverage as plain data."""

from __future__ import annotations

from typing import Any

from harness.checks.coverage import Coverage
from harness.checks.coverage.reasons import Reasons, missing
from harness.checks.coverage.source import Ratio


def coverage_data(coverage: Coverage, reasons: Reasons) -> dict[str, Any]:
    """Totals, files, and what is not reached with its reason."""
    found = list(missing(coverage))
    return {
        **totals(coverage),
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


def totals(coverage: Coverage) -> dict[str, Any]:
    """The figures of the whole: ratios, and the outcomes that are failures of assertions."""
    return {
        "lines": _ratio(coverage.lines()),
        "branches": _ratio(coverage.branches()),
        "instructions": _ratio(coverage.instructions),
        "assertions": coverage.assertions,
    }


def _ratio(found: Ratio) -> dict[str, float]:
    return {"reached": found.reached, "total": found.total, "percent": round(found.percent, 2)}
