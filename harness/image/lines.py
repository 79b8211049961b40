# SPDX-License-Identifier: BSD-3-Clause
"""Source lines of addresses, and addresses of source lines (.debug_line)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from elftools.dwarf.lineprogram import LineProgram

from harness.image.dwarf import Dwarf, Unit
from harness.image.reader import Cursor

# Extended opcodes (DWARF 5, 7.22).
LNE_END_SEQUENCE, LNE_SET_ADDRESS = 1, 2


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A place in a source file; `column` is 0 when not known.

    `is_stmt`: the address is the recommended place for a breakpoint on the line.
    """

    file: str
    line: int
    column: int = 0
    is_stmt: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the line table: from `address` on the code belongs to `line` of file number `file`."""

    address: int
    file: int
    line: int
    column: int
    is_stmt: bool


Sequence = tuple[list[Row], int]
"""Rows in rising order of address, and the address after the last one's code."""


class LineTable:
    """The line table of an image; each unit's part is read when first needed."""

    def __init__(self, dwarf: Dwarf) -> None:
        self._dwarf = dwarf
        self._sequences: dict[int, list[Sequence]] = {}

    def location(self, address: int) -> SourceLocation | None:
        """The source line of the instruction at `address`, or None. Line 0 (compiler's own code) is None."""
        unit = self._dwarf.unit_at(address)
        for rows, end in self.sequences(unit) if unit else ():
            if rows[0].address <= address < end:
                row = rows[bisect_right(rows, address, key=lambda each: each.address) - 1]
                return self._locate(unit, row) if row.line else None
        return None

    def addresses(self, file: str, line: int) -> list[int]:
        """Where the code of a source line starts, one address for each run of it, rising.

        `file` is a path or the end of one ("vmm.c", "core/vmm.c"). Statement starts only, unless
        the line has none.
        """
        found = [
            (row.address, row.is_stmt)
            for unit in self._dwarf.units
            if (numbers := self._matching(unit, file))
            for rows, _ in self.sequences(unit)
            for row in _run_starts(rows)
            if row.line == line and row.file in numbers
        ]
        statements = {address for address, is_stmt in found if is_stmt}
        return sorted(statements or {address for address, _ in found})

    def after_prologue(self, start: int, end: int) -> int:
        """Where the second row of a function [start, end) begins, which is where debuggers stop in it."""
        unit = self._dwarf.unit_at(start)
        for rows, _ in self.sequences(unit) if unit else ():
            later = [row.address for row in rows if start < row.address < end and row.line]
            if later and rows[0].address <= start:
                return later[0]
        return start

    def span(self, address: int) -> tuple[int, int, SourceLocation] | None:
        """The row that an address belongs to: its first address, the one after it, and where it is."""
        unit = self._dwarf.unit_at(address)
        for rows, end in self.sequences(unit) if unit else ():
            if rows[0].address <= address < end:
                at = bisect_right(rows, address, key=lambda each: each.address) - 1
                after = next((row.address for row in rows[at + 1 :] if row.address > address), end)
                return rows[at].address, after, self._locate(unit, rows[at])
        return None

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths of all source files named in the line tables."""
        return tuple(sorted({file for unit in self._dwarf.units for file in unit.files if file}))

    def all(self) -> Iterator[tuple[int, int, SourceLocation]]:
        """Every row as (first address, address after it, location), unit by unit."""
        for unit in self._dwarf.units:
            for rows, end in self.sequences(unit):
                following = [row.address for row in rows[1:]] + [end]
                for row, stop in zip(rows, following, strict=True):
                    if row.address < stop and row.line:
                        yield row.address, stop, self._locate(unit, row)

    def statements(self) -> Iterator[tuple[int, SourceLocation]]:
        """Where statements start: each (address, location) that a debugger may stop at for a line.

        Several at one address are all told: the optimiser has left one instruction of them.
        """
        for unit in self._dwarf.units:
            for rows, end in self.sequences(unit):
                for row in rows:
                    if row.is_stmt and row.line and row.address < end:
                        yield row.address, self._locate(unit, row)

    def code(self) -> Iterator[tuple[int, int]]:
        """The ranges [start, end) of addresses that the tables speak of."""
        for unit in self._dwarf.units:
            for rows, end in self.sequences(unit):
                yield rows[0].address, end

    def sequences(self, unit: Unit) -> list[Sequence]:
        """The rows of one unit; those of code that the linker dropped are left out."""
        if unit.offset not in self._sequences:
            with self._dwarf.guard(f"the line table of {unit.name}"):
                program = unit.line_program
                found = _run(program, self._dwarf.section(".debug_line")) if program else ()
                live = [(rows, end) for rows, end in found if self._dwarf.is_code(rows[0].address)]
                self._sequences[unit.offset] = live
        return self._sequences[unit.offset]

    def _locate(self, unit: Unit | None, row: Row) -> SourceLocation:
        return SourceLocation(unit.file(row.file) if unit else "", row.line, row.column, row.is_stmt)

    def _matching(self, unit: Unit, file: str) -> set[int]:
        return {number for number, path in enumerate(unit.files) if _ends_with(path, file)}


def _ends_with(path: str, wanted: str) -> bool:
    parts, end = PurePosixPath(path).parts, PurePosixPath(wanted).parts
    return bool(end) and parts[-len(end) :] == end


def _run_starts(rows: list[Row]) -> Iterator[Row]:
    """The rows at which the line or file changes; of several at one address the last one counts."""
    before: Row | None = None
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        if following is not None and following.address == row.address:
            continue
        if before is None or (before.file, before.line) != (row.file, row.line):
            yield row
        before = row


def _run(program: LineProgram, data: bytes) -> Iterator[Sequence]:
    """Run a line number program (DWARF 5, 6.2)."""
    machine = _Machine(program)
    cursor = Cursor(data[: program.program_end_offset], program.program_start_offset)
    while not cursor.at_end:
        if machine.step(cursor):
            if machine.rows:
                # Programs may go back within a sequence only by mistake; sorting keeps bisection right.
                rows = sorted(machine.rows, key=lambda row: row.address)
                yield rows, machine.address
            machine.reset()


class _Machine:
    """The registers of the line number state machine."""

    def __init__(self, program: LineProgram) -> None:
        header = program.header
        self.opcode_base: Final[int] = header["opcode_base"]
        self.operands: Final[list[int]] = list(header["standard_opcode_lengths"])
        self.default_is_stmt: Final = bool(header["default_is_stmt"])
        unit: int = header["minimum_instruction_length"]
        base, span = header["line_base"], header["line_range"]
        adjusted = range(256 - self.opcode_base)
        self.special: Final = [(code // span * unit, base + code % span) for code in adjusted]
        self.unit: Final = unit
        self.reset()

    def reset(self) -> None:
        """The registers' values at the start of a sequence."""
        self.address, self.file, self.line, self.column = 0, 1, 1, 0
        self.is_stmt = self.default_is_stmt
        self.rows: list[Row] = []

    def step(self, cursor: Cursor) -> bool:
        """Obey one opcode; True at the end of a sequence."""
        opcode = cursor.u8()
        if opcode >= self.opcode_base:
            advance, lines = self.special[opcode - self.opcode_base]
            self.address += advance
            self.line += lines
            self._emit()
        elif opcode == 0:
            return self._extended(cursor)
        else:
            self._standard(opcode, cursor)
        return False

    def _emit(self) -> None:
        self.rows.append(Row(self.address, self.file, self.line, self.column, self.is_stmt))

    def _extended(self, cursor: Cursor) -> bool:
        size = cursor.uleb()
        body = Cursor(cursor.take(size))
        code = body.u8()
        if code == LNE_SET_ADDRESS:
            self.address = body.unsigned(size - 1)
        return code == LNE_END_SEQUENCE

    def _standard(self, opcode: int, cursor: Cursor) -> None:
        match opcode:
            case 1:  # DW_LNS_copy
                self._emit()
            case 2:  # DW_LNS_advance_pc
                self.address += cursor.uleb() * self.unit
            case 3:  # DW_LNS_advance_line
                self.line += cursor.sleb()
            case 4:  # DW_LNS_set_file
                self.file = cursor.uleb()
            case 5:  # DW_LNS_set_column
                self.column = cursor.uleb()
            case 6:  # DW_LNS_negate_stmt
                self.is_stmt = not self.is_stmt
            case 8:  # DW_LNS_const_add_pc
                self.address += self.special[255 - self.opcode_base][0]
            case 9:  # DW_LNS_fixed_advance_pc
                self.address += cursor.unsigned(2)
            case _:  # the header says how many operands to skip
                for _ in range(self.operands[opcode - 1]):
                    cursor.uleb()
