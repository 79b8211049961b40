# SPDX-License-Identifier: BSD-3-Clause
"""The chain of inlined calls that an address belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from elftools.dwarf.die import DIE

from harness.image.dies import children, name_of, number
from harness.image.dwarf import Dwarf, Unit
from harness.image.lines import LineTable, SourceLocation

INLINED = "DW_TAG_inlined_subroutine"
SCOPES = ("DW_TAG_lexical_block", INLINED)


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A C function, and the place in it: of the instruction, or of the call that was inlined."""

    function: str
    location: SourceLocation | None
    is_inlined: bool = False

    def __str__(self) -> str:
        return f"{self.function} ({self.location})" if self.location else self.function


@dataclass(frozen=True, slots=True)
class _Scope:
    low: int
    high: int
    die: DIE


class InlineTable:
    """Inlined calls of an image; a function's part is read when first needed."""

    def __init__(self, dwarf: Dwarf, lines: LineTable) -> None:
        self._dwarf = dwarf
        self._lines = lines
        self._compiled: dict[int, tuple[_Scope, ...]] = {}
        self._scopes: dict[int, tuple[_Scope, ...]] = {}

    def function(self, address: int) -> DIE | None:
        """The entry of the compiled function that `address` lies in, or None."""
        with self._dwarf.guard("function entries"):
            unit = self._dwarf.unit_at(address)
            scopes = self._functions(unit) if unit else ()
            return next((each.die for each in scopes if each.low <= address < each.high), None)

    def chain(self, address: int) -> tuple[SourceFrame, ...]:
        """The C functions that `address` lies in, innermost inlined call first; empty when not known."""
        function = self.function(address)
        if function is None:
            return ()
        with self._dwarf.guard(f"the inlined calls of {name_of(function)}"):
            frames, location = [], self._lines.location(address)
            for call in reversed(self._calls(function, address)):
                frames.append(SourceFrame(name_of(call), location, is_inlined=True))
                location = self._call_site(call)
            return (*frames, SourceFrame(name_of(function), location))

    def _calls(self, function: DIE, address: int) -> list[DIE]:
        """The inlined calls around `address`, outermost first."""
        return [die for die in self.scopes(function, address) if die.tag == INLINED]

    def scopes(self, function: DIE, address: int) -> list[DIE]:
        """The function, and the blocks and inlined calls in it around `address`, outermost first."""
        found = [function]
        while True:
            inner = next((s.die for s in self._children(found[-1]) if s.low <= address < s.high), None)
            if inner is None:
                return found
            found.append(inner)

    def _call_site(self, call: DIE) -> SourceLocation | None:
        line = number(call, "DW_AT_call_line")
        file = self._dwarf.unit_of(call).file(number(call, "DW_AT_call_file") or 0)
        return SourceLocation(file, line, number(call, "DW_AT_call_column") or 0) if line else None

    def _children(self, die: DIE) -> tuple[_Scope, ...]:
        if die.offset not in self._scopes:
            self._scopes[die.offset] = tuple(self._inner(die))
        return self._scopes[die.offset]

    def _inner(self, die: DIE) -> Iterator[_Scope]:
        for child in children(die):
            if child.tag not in SCOPES:
                continue
            ranges = self._dwarf.ranges(child)
            for low, high in ranges:
                yield _Scope(low, high, child)
            if not ranges and child.tag != INLINED:  # a block without code of its own may hold inlined calls
                yield from self._inner(child)

    def _functions(self, unit: Unit) -> tuple[_Scope, ...]:
        if unit.offset not in self._compiled:
            dies = (unit.die(offset) for offset in unit.entries.get("DW_TAG_subprogram", ()))
            scopes = (_Scope(low, high, die) for die in dies for low, high in self._dwarf.ranges(die))
            self._compiled[unit.offset] = tuple(scopes)
        return self._compiled[unit.offset]
