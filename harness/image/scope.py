# SPDX-License-Identifier: BSD-3-Clause
"""Local variables and parameters: which there are at an address, and where they are kept (DWARF 5, 2.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from elftools.dwarf.die import DIE
from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationExpr, LocationParser

from harness.errors import ImageError
from harness.image.dies import attribute, children, holder, name_of, number
from harness.image.dwarf import Dwarf
from harness.image.expr import Context, StackMachine
from harness.image.inlines import INLINED, InlineTable
from harness.image.typedb import TypeDatabase
from harness.image.types import CType

REG0, REGX, FBREG, PIECE, CALL_FRAME_CFA = 0x50, 0x90, 0x91, 0x93, 0x9C
IMPLICIT_VALUE, STACK_VALUE, ADDR = 0x9E, 0x9F, 0x03
VARIABLES: Final = ("DW_TAG_formal_parameter", "DW_TAG_variable")

Kind = Literal["memory", "register", "value", "lost"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a variable: at an address, in a DWARF register, or a value; `size` None: all the rest."""

    kind: Kind
    number: int = 0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """A variable of a function, in scope at some address."""

    name: str
    type: CType
    is_parameter: bool
    die: DIE


class FrameContext(Context, Protocol):
    """What a location can ask about the frame."""

    def cfa(self) -> int:
        """The canonical frame address."""


class Scopes:
    """The local variables of an image."""

    def __init__(self, dwarf: Dwarf, types: TypeDatabase, inlines: InlineTable) -> None:
        self._dwarf, self._types, self._inlines = dwarf, types, inlines

    def locals(self, pc: int, depth: int = 0) -> list[Local]:
        """What is in scope at `pc`, innermost first, without that of the `depth` innermost inlined calls."""
        function = self._inlines.function(pc)
        if function is None:
            return []
        with self._dwarf.guard(f"the variables of {name_of(function)}"):
            scopes = self._inlines.scopes(function, pc)
            calls = [at for at, die in enumerate(scopes) if die.tag == INLINED]
            last = calls[len(calls) - depth] if depth and depth <= len(calls) else len(scopes)
            first = calls[len(calls) - depth - 1] if depth < len(calls) else 0
            found = [each for die in scopes[first:last] for each in self._variables(die)]
        return found[::-1]

    def _variables(self, scope: DIE) -> Iterator[Local]:
        for die in children(scope):
            name = name_of(die) if die.tag in VARIABLES else ""
            if name:
                typed = holder(die, "DW_AT_type") or die
                yield Local(name, self._types.of(typed), die.tag == VARIABLES[0], die)

    def place(self, local: Local, pc: int, context: FrameContext) -> list[Piece]:
        """Where a variable is kept at `pc`. Empty where the compiler keeps it nowhere."""
        with self._dwarf.guard(f"the location of {local.name}"):
            constant = number(local.die, "DW_AT_const_value")
            if constant is not None:
                return [Piece("value", constant)]
            expression = self._expression(local.die, pc)
            return (
                _Location(expression, context, self._frame_base(pc, context)).pieces() if expression else []
            )

    def _frame_base(self, pc: int, context: FrameContext) -> int | None:
        function = self._inlines.function(pc)
        attr = attribute(function, "DW_AT_frame_base") if function is not None else None
        if attr is None or function is None:
            return None
        expression = self._expression(function, pc, "DW_AT_frame_base")
        pieces = _Location(expression, context, None).pieces() if expression else []
        if not pieces:
            return None
        return context.register(pieces[0].number) if pieces[0].kind == "register" else pieces[0].number

    def _expression(self, die: DIE, pc: int, name: str = "DW_AT_location") -> bytes | None:
        """The location expression in force at `pc`."""
        attr = attribute(die, name)
        if attr is None:
            return None
        version = die.cu["version"]
        if not LocationParser.attribute_has_location(attr, version):
            return None
        found = LocationParser(self._dwarf.info.location_lists()).parse_from_attribute(attr, version, die)
        if isinstance(found, LocationExpr):
            return bytes(found.loc_expr)
        base = number(self._dwarf.unit_of(die).top, "DW_AT_low_pc") or 0
        for entry in found:
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
                continue
            if not isinstance(entry, LocationEntry):
                continue  # a view pair says nothing about addresses
            shift = 0 if entry.is_absolute else base
            if entry.begin_offset + shift <= pc < entry.end_offset + shift:
                return bytes(entry.loc_expr)
        return None


class _Location(StackMachine):
    """Runs a location expression."""

    def __init__(self, expression: bytes, context: FrameContext, frame_base: int | None) -> None:
        super().__init__(expression, context, ())
        self._frame, self._base = context, frame_base
        self._kind: Kind = "memory"
        self._found: list[Piece] = []

    def pieces(self) -> list[Piece]:
        """The pieces; an operation that is not known makes the variable lost."""
        try:
            while not self.cursor.at_end:
                self.step(self.cursor.u8())
        except (ImageError, IndexError):
            return []
        return self._found or ([Piece(self._kind, self.stack[-1])] if self.stack else [])

    def other(self, code: int) -> None:
        cursor = self.cursor
        if REG0 <= code < REG0 + 32 or code == REGX:
            self._kind = "register"
            self.stack.append(cursor.uleb() if code == REGX else code - REG0)
        elif code == FBREG:
            if self._base is None:
                raise ImageError("no frame base")
            self.push(self._base + cursor.sleb())
        elif code == CALL_FRAME_CFA:
            self.push(self._frame.cfa())
        elif code == STACK_VALUE:
            self._kind = "value"
        elif code == IMPLICIT_VALUE:
            self._kind = "value"
            self.push(int.from_bytes(cursor.take(cursor.uleb()), "little"))
        elif code == PIECE:
            kind: Kind = self._kind if self.stack else "lost"
            self._found.append(Piece(kind, self.stack.pop() if self.stack else 0, cursor.uleb()))
            self._kind = "memory"
        else:
            super().other(code)
