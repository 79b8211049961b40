# SPDX-License-Identifier: BSD-3-Clause
"""Outcomes of branches that are failures of assertions.

They are left out of coverage by one rule: an assertion that can fail is a bug, so no test may reach them.
The rule applies where the source line, or that of a call which was inlined, has an assertion (a macro named
like ASSERT) and the way on leads to the panic function whatever happens. The code there is left out as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.checks.coverage.program import Program
from harness.image import SourceLocation

PANIC = "panic"
_ASSERTION = re.compile(r"\b\w*ASSERT\(")
_FAR_ENOUGH = 64  # instructions from a branch to the call
_DEPTH = 2  # the compiler may have moved the call of panic into a function of its own


class Assertions:
    """Tells failing assertions of one program; source files are found from `folder` as DWARF names them."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._program = program
        self._folder = folder
        symbols = program.image.symbols
        self._panic = symbols[PANIC].address if PANIC in symbols else None

    def code(self) -> frozenset[int]:
        """What is executed only where an assertion fails, as far as it goes straight on from the branch."""
        found = set[int]()
        for address in self._program.instructions:
            branch, place = self._program.branch(address), self._program.image.lines.location(address)
            if branch is None or branch.flow != "conditional" or place is None:
                continue
            for taken, start in ((True, branch.target), (False, address + 4)):
                if start is not None and self.fails(address, taken, place):
                    found.update(self._way(start))
        return frozenset(found)

    def _way(self, start: int) -> Iterator[int]:
        """The block at `start`, and those of functions that the compiler has made of its call of panic."""
        for _ in range(1 + _DEPTH):
            end = self._program.end(start)
            yield from range(start, end + 4, 4)
            branch = self._program.branch(end)
            if branch is None or branch.flow != "call" or branch.target in (None, self._panic):
                return
            if not self._leads_to_panic(branch.target):
                return
            start = branch.target

    def fails(self, address: int, taken: bool, location: SourceLocation) -> bool:
        """Whether the outcome of the branch at `address` is that an assertion fails."""
        branch = self._program.branch(address)
        if self._panic is None or branch is None:
            return False
        if not self._leads_to_panic(branch.target if taken else address + 4):
            return False
        calls = (each.location for each in self._program.image.source_at(address))
        return any(self._is_assertion(place) for place in (location, *calls) if place)

    def _is_assertion(self, place: SourceLocation) -> bool:
        text = line_of(source_lines(place.file, self._folder), place.line)
        return _ASSERTION.search(text) is not None

    def _leads_to_panic(self, address: int | None, depth: int = 0) -> bool:
        """Whether the straight way from `address` ends in panic, or in a function of which that is true."""
        for _ in range(_FAR_ENOUGH):
            if address is None or address not in self._program:
                return False
            branch = self._program.branch(address)
            if branch is not None and branch.target == self._panic:
                return True
            if branch is None:
                address += 4
            elif branch.flow == "jump":
                address = branch.target
            elif branch.flow == "call" and depth < _DEPTH:
                if self._leads_to_panic(branch.target, depth + 1):
                    return True
                address += 4
            else:
                return False
        return False


def source_lines(file: str, folder: Path) -> tuple[str, ...]:
    """The text of a source file, or nothing where it is not there; a relative path starts in `folder`."""
    return _read(folder.absolute() / file)


@cache
def _read(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text().splitlines()) if path.is_file() else ()


def line_of(source: Sequence[str], line: int) -> str:
    """The text of a line, from 1; empty where the source is not there."""
    return source[line - 1] if line <= len(source) else ""
