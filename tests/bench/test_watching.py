# SPDX-License-Identifier: BSD-3-Clause
"""What it costs to look on is measured, and the report says it."""

from __future__ import annotations

import pytest
from rich.console import Console

from harness.bench import watching
from harness.bench.watching import Watching
from harness.image import ElfImage
from harness.report.calls import watching_table


def test_each_way_of_looking_on_has_its_ratios(release: ElfImage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 512 stores to a table calls back, and trace writes them down too: that is no small part."""
    monkeypatch.setattr(watching, "_ROUNDS", 2)
    steps: list[int] = []
    found = watching.measure(release, lambda: steps.append(1))
    assert list(found) == ["sanitizer", "coverage", "trace"]
    assert found["trace"].populate > found["sanitizer"].populate > 1.5
    assert steps == [1]


def test_the_report_names_the_worst_case() -> None:
    """A column for each way, in its order."""
    console = Console(width=100, record=True)
    console.print(watching_table({"sanitizer": Watching(1.25, 8), "trace": Watching(1.5, 12.345)}))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert [line[-2:] for line in lines] == [["sanitizer", "trace"], ["1.25", "1.50"], ["8.00", "12.35"]]
