# SPDX-License-Identifier: BSD-3-Clause
"""Coverage as files for people and programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.checks.coverage import Coverage
from harness.checks.coverage.reasons import Reasons
from harness.report.coverage.cobertura import cobertura
from harness.report.coverage.data import coverage_data, totals
from harness.report.coverage.lcov import lcov
from harness.report.coverage.page import page
from harness.report.files import make_room

_FORMATS: dict[str, Callable[[Coverage, Reasons], str]] = {
    "lcov": lambda coverage, _reasons: lcov(coverage),
    "cobertura": lambda coverage, _reasons: cobertura(coverage),
    "html": page,
    "totals": lambda coverage, reasons: json.dumps(totals(coverage, reasons), indent=1) + "\n",
    "json": lambda coverage, reasons: json.dumps(coverage_data(coverage, reasons), indent=1) + "\n",
}


def write(kind: str, file: Path, coverage: Coverage, reasons: Reasons, by_test: Mapping[str, Any]) -> None:
    """Write coverage to a file in one of the formats; "tests" is what each test executed.

    Raises HarnessError where that is not possible.
    """
    text = json.dumps(by_test) if kind == "tests" else _FORMATS[kind](coverage, reasons)
    make_room(file)
    file.write_text(text)
