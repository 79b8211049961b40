# SPDX-License-Identifier: BSD-3-Clause
"""Figures that were committed, by compiler, for a test to compare with."""

from __future__ import annotations

import json
from pathlib import Path

from harness.bench.figures import Figures
from harness.errors import HarnessError

TOLERANCE = 0.05  # of the committed count, in both directions: an improvement is to be committed too


def read(path: Path) -> dict[str, Figures]:
    """What was committed, by compiler. Raises HarnessError for what is no baseline."""
    try:
        return {name: Figures.from_json(data) for name, data in json.loads(path.read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError(f"{path}: no baseline can be read: {type(error).__name__}: {error}") from error


def write(path: Path, compiler: str, figures: Figures) -> None:
    """Put the figures of a compiler in place of its former ones; those of others stay."""
    known = (read(path) if path.exists() else {}) | {compiler: figures}
    data = {name: each.to_json() for name, each in known.items()}
    path.write_text(json.dumps(data, indent=1) + "\n")


def deviations(committed: Figures, counted: Figures) -> list[str]:
    """A line for each count that has left its tolerance, is new, or is gone."""
    before, after, found = committed.flat(), counted.flat(), []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None or abs(now - was) > TOLERANCE * was:
            found.append(f"{name}: {'-' if was is None else was} -> {'-' if now is None else now}")
    return found
