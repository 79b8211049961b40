# SPDX-License-Identifier: BSD-3-Clause
"""Coverage written for programs says what was measured, in each format."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.checks.coverage import Coverage, FileCoverage, Outcome
from harness.checks.coverage.reasons import Reason, Reasons
from harness.report.coverage import write
from harness.report.coverage.data import markdown, totals
from harness.report.coverage.summary import summary
from harness.report.text import plain

FIRST, SECOND = "kernel_c/core/panic.c", "kernel_c/core/status.c"


def file(path: str, *lines: int, branch: int = 0, name: str = "panic") -> FileCoverage:
    """Lines given as positive when reached; a branch of one outcome reached on the line `branch`."""
    outcomes = {Outcome(branch, 4, "zero", 0, truth): truth for truth in (True, False)} if branch else {}
    each = FileCoverage({abs(n): n > 0 for n in lines}, outcomes, {name: (abs(lines[0]), lines[0] > 0)})
    each.owners = dict.fromkeys(each.lines, name)
    each.source = tuple(Path(path).read_text().splitlines())
    return each


@pytest.fixture
def coverage() -> Coverage:
    """Two files: one with a line missing, one with half a branch."""
    return Coverage(
        {FIRST: file(FIRST, 6, -10, 11), SECOND: file(SECOND, 5, 8, branch=8, name="status_name")}
    )


def written(kind: str, coverage: Coverage, folder: Path, reasons: Reasons = Reasons(())) -> str:  # noqa: B008
    """The text of one format, in a folder that is made for it."""
    path = folder / "new" / "out"
    write(kind, path, coverage, reasons, {"test": 1})
    return path.read_text()


def test_lcov_has_every_line_branch_and_function(coverage: Coverage, tmp_path: Path) -> None:
    """Records by file, with totals that fit."""
    records = written("lcov", coverage, tmp_path).split("end_of_record\n")
    first, second = (record.splitlines() for record in records[:2])
    assert first[:2] == ["TN:kernel", f"SF:{FIRST}"]
    assert {"FN:6,panic", "FNDA:1,panic", "DA:6,1", "DA:10,0", "DA:11,1", "LF:3", "LH:2", "BRF:0"} <= set(
        first
    )
    assert {"BRDA:8,0,0,0", "BRDA:8,0,1,1", "BRF:2", "BRH:1", "LF:2", "LH:2"} <= set(second)


def test_lcov_does_not_tell_branches_of_lines_never_reached(coverage: Coverage, tmp_path: Path) -> None:
    """geninfo writes "-" for these."""
    coverage.files[FIRST].outcomes[Outcome(10, 0, "b0", 0, True)] = False
    assert "BRDA:10,0,1,-\n" in written("lcov", coverage, tmp_path)


def test_cobertura_is_xml_with_the_same_figures(coverage: Coverage, tmp_path: Path) -> None:
    """Rates at every level, condition coverage at the line."""
    root = ET.fromstring(written("cobertura", coverage, tmp_path))
    assert (root.get("lines-covered"), root.get("lines-valid")) == ("4", "5")
    assert float(root.get("branch-rate", "")) == 0.5
    assert [each.get("name") for each in root.iter("package")] == ["kernel_c.core"]
    lines = {
        (c.get("filename"), line.get("number")): line for c in root.iter("class") for line in c.iter("line")
    }
    assert len(lines) == 5
    assert lines[FIRST, "10"].get("hits") == "0"
    assert lines[SECOND, "8"].get("condition-coverage") == "50% (1/2)"


def test_json_has_totals_and_what_is_missing(coverage: Coverage, tmp_path: Path) -> None:
    """With the reason, where one is known."""
    reasons = Reasons((Reason(FIRST, "panic", "", "nobody panics"),))
    data = json.loads(written("json", coverage, tmp_path, reasons))
    assert data.items() >= json.loads(written("totals", coverage, tmp_path, reasons)).items()
    assert data["lines"] == {"reached": 4, "total": 5, "percent": 80.0}
    assert [(each["file"], each["reason"]) for each in data["missing"]] == [
        (FIRST, "nobody panics"),
        (SECOND, None),
    ]


@pytest.mark.parametrize(
    ("explained", "left"), [((), (1, 1)), ((FIRST,), (0, 1)), ((SECOND,), (1, 0)), ((FIRST, SECOND), (0, 0))]
)
def test_totals_count_what_nobody_has_explained(
    coverage: Coverage, tmp_path: Path, explained: tuple[str, ...], left: tuple[int, int]
) -> None:
    """Lines and branch outcomes apart."""
    names = {FIRST: "panic", SECOND: "status_name"}
    reasons = Reasons(tuple(Reason(path, names[path], "", "why") for path in explained))
    data = json.loads(written("totals", coverage, tmp_path, reasons))
    assert data["without_reason"] == dict(zip(("lines", "branches"), left, strict=True))


def test_totals_are_a_table_for_people(coverage: Coverage) -> None:
    """A row for each measure, of which two can be explained."""
    assert markdown(totals(coverage, Reasons(()))).splitlines() == [
        "| | reached | of | | without a reason |",
        "|---|--:|--:|--:|--:|",
        "| lines | 4 | 5 | 80.0 % | 1 |",
        "| branch outcomes | 1 | 2 | 50.0 % | 1 |",
        "| instructions | 0 | 0 | 100.0 % | |",
    ]


class Page(HTMLParser):
    """Counts the classes of lines, and what the page wants from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "span":
            self.kinds[values.get("class") or ""] += 1
        self.foreign += [v for k in ("src", "href") if (v := values.get(k)) and not v.startswith("#")]


def test_the_page_stands_alone_and_marks_each_line(coverage: Coverage, tmp_path: Path) -> None:
    """One span for each line of the sources besides the four of the legend; nothing is loaded."""
    coverage.files[FIRST].lines[11] = False
    reasons = Reasons((Reason(FIRST, "panic", (Path(FIRST).read_text().splitlines()[10]).strip(), "why"),))
    text = written("html", coverage, tmp_path, reasons)
    page = Page()
    page.feed(text)
    assert page.foreign == []
    total = sum(len(Path(each).read_text().splitlines()) for each in (FIRST, SECOND))
    assert sum(page.kinds.values()) == total + 4
    assert [page.kinds[kind] - 1 for kind in ("hit", "part", "miss", "said")] == [2, 1, 1, 1]
    assert "<i>why</i>" in text
    assert "prefers-color-scheme: dark" in text


def test_what_each_test_executes_is_passed_through(coverage: Coverage, tmp_path: Path) -> None:
    """As the run collected it."""
    assert json.loads(written("tests", coverage, tmp_path)) == {"test": 1}


def test_the_summary_names_what_nobody_has_explained(coverage: Coverage) -> None:
    """Files with something missing, totals, places without a reason, reasons without a place."""
    reasons = Reasons((Reason(FIRST, "panic", "", "why"), Reason(SECOND, "gone", "", "old")))
    text = re.sub(r" +", " ", plain(summary(coverage, reasons)))
    assert "kernel_c/core/panic.c 2/3 66.7 % 0/0 100.0 %" in text
    assert "lines 4 of 5 (80.0 %)" in text
    assert "1 place not reached for a stated reason" in text
    assert "1 place not reached and without a reason\n kernel_c/core/status.c:8 status_name: 1 of" in text
    assert "reasons for what is reached, or gone:\n kernel_c/core/status.c gone" in text
    assert "no source" not in text


def test_the_summary_says_where_the_sources_are_not_there(coverage: Coverage) -> None:
    """What is an assertion is not known then."""
    coverage.files[FIRST].source = ()
    assert "no source of 1 file here" in plain(summary(coverage, Reasons(())))
