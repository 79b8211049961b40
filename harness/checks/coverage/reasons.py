# SPDX-License-Identifier: BSD-3-Clause
"""Why some code is not reached by tests: a reviewed list, in TOML.

    [["kernel_c/core/frames.c"]]
    function = "frames_init"
    code = "if (count == 0) {"
    reason = "..."

An entry names a line by its function and text, so that it does not rot when lines are added elsewhere. It
covers the line and its branches, wherever in that function the text stands. Without `code` it covers the
whole function.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.checks.coverage.fatal import line_of
from harness.checks.coverage.source import Coverage
from harness.errors import HarnessError

_FORM = 'an entry is [["FILE"]] with the texts function, reason and, where it is about one line, code'


@dataclass(frozen=True, slots=True)
class Missing:
    """A line that was not reached, or reached with branch outcomes missing: `what` says which."""

    file: str
    line: int
    function: str
    what: str
    code: str  # the text of the line, without its indentation; empty where the source is not there


@dataclass(frozen=True, slots=True)
class Reason:
    """One entry of the list; an empty `code` stands for the whole function."""

    file: str
    function: str
    code: str
    reason: str

    def covers(self, missing: Missing) -> bool:
        """Whether this is about that line."""
        same = (self.file, self.function) == (missing.file, missing.function)
        return same and self.code in ("", missing.code)


@dataclass(frozen=True, slots=True)
class Reasons:
    """All entries."""

    entries: tuple[Reason, ...]

    @classmethod
    def load(cls, *paths: Path) -> Self:
        """Read lists. Raises HarnessError for what is none; it says how an entry is written."""
        return cls(tuple(each for path in paths for each in _read(path)))

    def of(self, missing: Missing) -> str | None:
        """Why a line is not reached, or None where nobody has said."""
        return next((each.reason for each in self.entries if each.covers(missing)), None)

    def stale(self, found: list[Missing]) -> list[Reason]:
        """Entries about code that is reached, or not there any more."""
        return [each for each in self.entries if not any(each.covers(missing) for missing in found)]


def _read(path: Path) -> Iterator[Reason]:
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: not a list of reasons: {error}; {_FORM}") from error
    for file, group in content.items():
        yield from _entries(path, file, group)


def _entries(path: Path, file: str, group: object) -> Iterator[Reason]:
    if not isinstance(group, list):
        raise HarnessError(f"{path}: {file}: not a list: {group}; {_FORM}")
    for fields in group:
        texts = isinstance(fields, dict) and all(isinstance(text, str) for text in fields.values())
        if not texts or not {"function", "reason"} <= fields.keys() <= {"function", "code", "reason"}:
            raise HarnessError(f"{path}: {file}: not an entry: {fields}; {_FORM}")
        yield Reason(file, fields["function"], fields.get("code", ""), fields["reason"])


def missing(coverage: Coverage) -> Iterator[Missing]:
    """What was not reached, by file and line. Of a line not reached its branches are not told apart."""
    for file, each in sorted(coverage.files.items()):
        lacking = Counter(outcome.line for outcome, hit in each.outcomes.items() if not hit)
        unreached = {line for line, hit in each.lines.items() if not hit}
        for line in sorted(unreached | lacking.keys()):
            what = "line" if line in unreached else f"{lacking[line]} of its branch outcomes"
            yield Missing(file, line, each.owners[line], what, line_of(each.source, line).strip())
