# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the README that runs of the whole suite give: `python -m tests.readme.figures` puts them there.

A run leaves a summary in tests/coverage, which is committed. In the README its table stands between two
comments with its name; a run that was never made leaves nothing there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harness.report import mutation
from harness.report.coverage import data as coverage
from tests.coverage import cost

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TABLES = {"coverage": coverage.markdown, "cost": cost.markdown, "mutants": mutation.markdown}


def summary(name: str) -> dict[str, dict[str, Any]]:
    """What the last run said; empty where there was none."""
    file = ROOT / "tests" / "coverage" / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def with_figures(text: str) -> str:
    """The README with the tables of the committed summaries."""
    for name, table in TABLES.items():
        begin, end, found = f"<!-- {name} -->\n", f"<!-- end of {name} -->", summary(name)
        place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        assert len(place.findall(text)) == 1, f"README.md needs one place between {begin.strip()} and {end}"
        content = f"\n{table(found)}\n\n" if found else ""
        text = place.sub(lambda _, content=content, begin=begin, end=end: begin + content + end, text)
    return text


if __name__ == "__main__":
    README.write_text(with_figures(README.read_text()))
