# SPDX-License-Identifier: BSD-3-Clause
"""Counts that were committed, by compiler, for a test to compare with."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import HarnessError

TOLERANCE = 0.05  # of the committed count, in both directions: an improvement is to be committed too

Counts = dict[str, int]


def read(path: Path, compiler: str) -> Counts | None:
    """What was committed for a compiler; None: nothing. Raises HarnessError for what is no baseline."""
    return _read_all(path).get(compiler)


def write(path: Path, compiler: str, counts: Counts) -> None:
    """Put the counts of a compiler in place of its former ones; those of others stay."""
    known = _read_all(path) if path.exists() else {}
    path.write_text(json.dumps(known | {compiler: counts}, indent=2, sort_keys=True) + "\n")


def deviations(committed: Counts, counted: Counts) -> list[str]:
    """A line for each count that has left its tolerance, is new, or is gone."""
    found = []
    for name in sorted(committed.keys() | counted.keys()):
        was, now = committed.get(name), counted.get(name)
        if was is None or now is None or abs(now - was) > TOLERANCE * was:
            found.append(f"{name}: {'-' if was is None else was} -> {'-' if now is None else now}")
    return found


def _read_all(path: Path) -> dict[str, Counts]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: no baseline can be read: {error}") from error
    if not isinstance(known, dict) or not all(isinstance(each, dict) for each in known.values()):
        raise HarnessError(f"{path}: not a baseline: it wants an object of counts for each compiler")
    return known
