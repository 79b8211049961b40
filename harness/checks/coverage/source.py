# SPDX-License-Identifier: BSD-3-Clause
"""Coverage by source line: what was reached, attributed to lines by DWARF.

A line counts when a statement of it starts somewhere in the code, and is reached when one of these addresses
was executed, inlined copies included, or a call that belongs to it: calls are not moved, but equal ends of
different ways may be made one, behind the start of the statement. A conditional branch belongs to the line of
its instruction; it has two outcomes. Copies that the compiler has made of it are one branch.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.arch.a64 import condition
from harness.checks.coverage.fatal import Assertions, line_of, source_lines
from harness.checks.coverage.program import Program
from harness.checks.coverage.reached import Reached, reach
from harness.checks.coverage.recorder import Step
from harness.image import ElfImage, SourceLocation

# What makes conditions, seen or inside of a macro: where a line has none of it, it has one condition at most.
_SEVERAL = re.compile(r"&&|\|\||\?|\bswitch\b|\b[A-Z][A-Z0-9_]+\(")


class Outcome(NamedTuple):
    """One of the two ways on from a conditional branch: `truth` is that of the condition it tests.

    Copies that inlining has made of a branch, here and in other images, are one, whichever way round the
    compiler has turned them. `ordinal` tells apart what is at one place in one copy: other conditions. Where
    the line has no other they are copies, too, as that before a loop of the condition behind it; when these
    test it by unlike instructions, `test` is empty, and one copy has to go both ways for both outcomes.
    """

    line: int
    column: int
    test: str
    ordinal: int
    truth: bool


@dataclass(slots=True)
class FileCoverage:
    """One source file: its lines with code and whether they were reached, its branches, its functions.

    `source` is its text, empty where that was not found.
    """

    lines: dict[int, bool] = field(default_factory=dict)
    outcomes: dict[Outcome, bool] = field(default_factory=dict)
    functions: dict[str, tuple[int, bool]] = field(default_factory=dict)  # name -> line, reached
    owners: dict[int, str] = field(default_factory=dict)  # the function that a line belongs to
    source: tuple[str, ...] = ()

    def add(self, other: FileCoverage) -> None:
        """Take in the same file in another image."""
        for line, hit in other.lines.items():
            self.lines[line] = hit or self.lines.get(line, False)
        for outcome, hit in other.outcomes.items():
            self.outcomes[outcome] = hit or self.outcomes.get(outcome, False)
        for name, (line, hit) in other.functions.items():
            self.functions[name] = (line, hit or self.functions.get(name, (line, False))[1])
        self.owners |= other.owners
        self.source = self.source or other.source
        self.join_copies()  # the other image may test a condition in yet another way

    def has_one_condition(self, line: int) -> bool:
        """Whether a line has no more than one, as far as its text says; no if that is not known."""
        text = line_of(self.source, line)
        return bool(text) and _SEVERAL.search(text) is None

    def join_copies(self) -> None:
        """Make one branch of those that are copies of a line's only condition, but test it in unlike ways."""
        tests = defaultdict[tuple[int, int], dict[str, list[bool]]](lambda: defaultdict(list))
        for outcome, hit in self.outcomes.items():
            tests[outcome.line, outcome.column][outcome.test].append(hit)
        for (line, column), found in tests.items():
            if len(found) > 1 and self.has_one_condition(line):
                for outcome in [old for old in self.outcomes if old[:2] == (line, column)]:
                    del self.outcomes[outcome]
                ways = max(sum(hits) for hits in found.values())
                joined = {Outcome(line, column, "", 0, truth): ways > truth for truth in (False, True)}
                self.outcomes |= joined


@dataclass(slots=True)
class Ratio:
    """So many of so many."""

    reached: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        """100 for nothing of nothing."""
        return 100 * self.reached / self.total if self.total else 100.0

    def __str__(self) -> str:
        return f"{self.reached:,} of {self.total:,} ({self.percent:.1f} %)"


@dataclass(slots=True)
class Coverage:
    """Source files by path, and what is not a matter of lines."""

    files: dict[str, FileCoverage] = field(default_factory=dict)
    instructions: Ratio = field(default_factory=Ratio)
    assertions: int = 0  # outcomes left out, being failures of assertions

    def add(self, other: Coverage) -> None:
        """Take in another image of the same sources."""
        for path, each in other.files.items():
            self.files.setdefault(path, FileCoverage()).add(each)
        self.instructions.reached += other.instructions.reached
        self.instructions.total += other.instructions.total
        self.assertions += other.assertions

    def lines(self, paths: Collection[str] | None = None) -> Ratio:
        """Lines reached, of all files or of those in `paths`."""
        return ratio(hit for each in self._chosen(paths) for hit in each.lines.values())

    def branches(self, paths: Collection[str] | None = None) -> Ratio:
        """Branch outcomes reached, of all files or of those in `paths`."""
        return ratio(hit for each in self._chosen(paths) for hit in each.outcomes.values())

    def _chosen(self, paths: Collection[str] | None) -> Iterator[FileCoverage]:
        return (each for path, each in self.files.items() if paths is None or path in paths)


def ratio(hits: Iterable[bool]) -> Ratio:
    """How many of `hits` are true."""
    known = list(hits)
    return Ratio(sum(known), len(known))


def measure(
    image: ElfImage,
    steps: Iterable[Step],
    root: str = "",
    program: Program | None = None,
    folder: Path = Path(),
) -> Coverage:
    """The coverage of the source files of `image` whose path starts with `root`.

    Relative paths start in `folder`. Without the text of a file its assertions are conditions like others.
    """
    program = program or Program(image)
    found = reach(program, steps)
    coverage = Coverage(instructions=ratio(a in found.instructions for a in program.instructions))
    owners, assertions = Owners(image), Assertions(program, folder)
    _add_lines(coverage, program, found, root, owners, assertions.code())
    for path, each in coverage.files.items():
        each.source = source_lines(path, folder)
    _add_branches(coverage, program, found, owners, assertions)
    _add_functions(coverage, image, found)
    return coverage


def _add_lines(
    coverage: Coverage,
    program: Program,
    found: Reached,
    root: str,
    owners: Owners,
    failing: Collection[int],
) -> None:
    for address, location in program.image.lines.statements():
        if location.file.startswith(root) and address not in failing:
            each = coverage.files.setdefault(location.file, FileCoverage())
            each.lines[location.line] = address in found.instructions or each.lines.get(location.line, False)
            if location.line not in each.owners:
                each.owners[location.line] = owners.of(address, location)
    for address in found.instructions:
        branch = program.branch(address)
        if branch is not None and branch.flow == "call":
            place = program.image.lines.location(address)
            if place is not None and place.line in coverage.files.get(place.file, FileCoverage()).lines:
                coverage.files[place.file].lines[place.line] = True


def _add_branches(
    coverage: Coverage, program: Program, found: Reached, owners: Owners, assertions: Assertions
) -> None:
    seen = Counter[Hashable]()
    for address in program.instructions:
        branch, location = program.branch(address), program.image.lines.location(address)
        if branch is None or branch.flow != "conditional" or branch.target == address + 4:
            continue
        if location is None or location.file not in coverage.files:
            continue
        each = coverage.files[location.file]
        test, truth = condition(program.word(address))
        place = (location.line, location.column, test)
        copy = (place, *_copy(program.image, address, location))
        ordinal = 0 if each.has_one_condition(location.line) else seen[copy]
        each.owners.setdefault(location.line, owners.of(address, location))
        for taken in (True, False):
            if assertions.fails(address, taken, location):
                coverage.assertions += 1
                continue
            outcome = Outcome(*place, ordinal, truth == taken)
            each.outcomes[outcome] = (address, taken) in found.outcomes or each.outcomes.get(outcome, False)
        seen[copy] += 1
    for each in coverage.files.values():
        each.join_copies()


def _copy(image: ElfImage, address: int, location: SourceLocation) -> tuple[Hashable, ...]:
    """What the copies of inlined text at `address` are called from; equal for one copy."""
    chain = image.source_at(address)
    return tuple((each.function, each.location) for each in chain[1:]) if chain else (location.file,)


def _add_functions(coverage: Coverage, image: ElfImage, found: Reached) -> None:
    for name in image.functions:
        for each in image.functions.all_of(name):
            if each.address is not None and each.file in coverage.files:
                hit = each.address in found.instructions
                coverage.files[each.file].functions[name] = (each.line, hit)


class Owners:
    """Which function a line of source belongs to: in C the last one that begins before it."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._starts: dict[str, list[tuple[int, str]]] = {}
        for each in (each for name in image.functions for each in image.functions.all_of(name)):
            self._starts.setdefault(each.file, []).append((each.line, each.name))
        for starts in self._starts.values():
            starts.sort()

    def of(self, address: int, location: SourceLocation) -> str:
        """The function's name; in assembly, the symbol before `address`."""
        starts = self._starts.get(location.file, [])
        index = bisect_right(starts, location.line, key=lambda start: start[0])
        if index:
            return starts[index - 1][1]
        symbol = self._image.symbol_at(address)
        return symbol[0].name if symbol else "?"
