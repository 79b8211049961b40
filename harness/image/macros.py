# SPDX-License-Identifier: BSD-3-Clause
"""Macros of an image: .debug_macro (DWARF 5, and GNU's for DWARF 4) and .debug_macinfo (DWARF 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from harness.errors import ImageError
from harness.image.cexpr import Names, evaluate, string_value
from harness.image.dies import number
from harness.image.dwarf import Dwarf, Unit
from harness.image.lookup import UnknownNameError
from harness.image.preprocessor import Macro, Token, expand, parse_definition
from harness.image.reader import Cursor
from harness.image.typedb import TypeDatabase

# Entries of .debug_macro (DWARF 5, 7.23); GNU's version 4 has the same numbers up to IMPORT.
DEFINE, UNDEF, START_FILE, END_FILE, DEFINE_STRP, UNDEF_STRP, IMPORT = range(1, 8)
DEFINE_SUP, UNDEF_SUP, IMPORT_SUP, DEFINE_STRX, UNDEF_STRX = range(8, 13)
MACINFO_VENDOR: Final = 0xFF
HAS_OFFSET_64, HAS_LINE_OFFSET, HAS_OPCODE_TABLE = 1, 2, 4
NO_MACROS: Final = "the image has no macros: build it with -g3 (clang also needs -fdebug-macro)"

Entry = tuple[bool, str]
"""Whether it defines or undefines, and its text."""


class MacroTable(Mapping[str, Macro]):
    """Macros by name, as they stood at the end of the unit that defines them.

    Where units differ, the first definition counts; `definitions` has all.
    """

    def __init__(self, dwarf: Dwarf, types: TypeDatabase) -> None:
        self._dwarf = dwarf
        self._types = types
        self._imported: dict[int, tuple[Entry, ...]] = {}

    def __getitem__(self, name: str) -> Macro:
        return self.definitions(name)[0]

    def __contains__(self, name: object) -> bool:
        return name in self._defined

    def __iter__(self) -> Iterator[str]:
        return iter(self._defined)

    def __len__(self) -> int:
        return len(self._defined)

    def definitions(self, name: str) -> tuple[Macro, ...]:
        """Every different definition of a macro that some unit ends with."""
        texts = self._defined.get(name)
        if not texts:
            raise UnknownNameError("macro", name, self._defined, "" if self._defined else NO_MACROS)
        with self._dwarf.guard(f"the macro {name}"):
            return tuple(parse_definition(text) for text in texts)

    def value(self, name: str) -> int | str:
        """What an object-like macro stands for: an integer or a string.

        Raises ImageError for a macro that takes arguments or stands for something else.
        """
        macro = self[name]
        if macro.parameters is not None:
            raise ImageError(f"macro {name} takes arguments; evaluate a call of it instead")
        try:
            return self.evaluate(macro.name)
        except ImageError as error:
            raise ImageError(f"macro {name} has no value: {error}") from error

    def evaluate(self, expression: str) -> int | str:
        """The value of a C constant expression in which macros, enumerators and types may appear.

        Raises ImageError when it is no integer constant expression and no string.
        """
        tokens = expand(expression, self._lookup)
        text = string_value(tokens)
        return self._integer(tokens) if text is None else text

    def _integer(self, tokens: list[Token]) -> int:
        return evaluate(tokens, Names(self._types, self._types.enumerators))

    def _lookup(self, name: str) -> Macro | None:
        return self.get(name)

    @cached_property
    def _defined(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for unit in self._dwarf.units:
            with self._dwarf.guard(f"the macros of {unit.name}"):
                for name, text in self._final(unit).items():
                    texts = found.setdefault(name, [])
                    if text not in texts:
                        texts.append(text)
        return found

    def _final(self, unit: Unit) -> Mapping[str, str]:
        """The macros in force at the end of a unit: name to definition."""
        found: dict[str, str] = {}
        for is_definition, text in self._entries(unit):
            name = _name(text)
            if is_definition:
                found[name] = text
            else:
                found.pop(name, None)
        return found

    def _entries(self, unit: Unit) -> Iterator[Entry]:
        for attribute in ("DW_AT_macros", "DW_AT_GNU_macros"):
            offset = number(unit.top, attribute)
            if offset is not None:
                yield from self._unit(unit, offset)
        offset = number(unit.top, "DW_AT_macro_info")
        if offset is not None:
            yield from _macinfo(Cursor(self._dwarf.section(".debug_macinfo"), offset))

    def _unit(self, unit: Unit, offset: int) -> Iterator[Entry]:
        """The entries of one .debug_macro unit, with those it imports."""
        cursor = Cursor(self._dwarf.section(".debug_macro"), offset)
        width = _header(cursor)
        while code := cursor.u8():
            if code == START_FILE:
                _skip_file(cursor)
            elif code == IMPORT:
                yield from self._import(unit, cursor.unsigned(width))
            elif code in (DEFINE, UNDEF, DEFINE_STRP, UNDEF_STRP, DEFINE_STRX, UNDEF_STRX):
                cursor.uleb()  # the line
                yield code in (DEFINE, DEFINE_STRP, DEFINE_STRX), self._text(unit, code, cursor, width)
            elif code in (DEFINE_SUP, UNDEF_SUP, IMPORT_SUP):
                raise ValueError("macros in a supplementary file are not supported")
            elif code != END_FILE:
                raise ValueError(f"macro entry {code:#x} is not known")

    def _import(self, unit: Unit, offset: int) -> tuple[Entry, ...]:
        if offset not in self._imported:
            self._imported[offset] = ()  # a unit that imports itself adds nothing
            self._imported[offset] = tuple(self._unit(unit, offset))
        return self._imported[offset]

    def _text(self, unit: Unit, code: int, cursor: Cursor, width: int) -> str:
        if code in (DEFINE, UNDEF):
            return cursor.string()
        strings = self._dwarf.section(".debug_str")
        if code in (DEFINE_STRP, UNDEF_STRP):
            return Cursor(strings, cursor.unsigned(width)).string()
        base = number(unit.top, "DW_AT_str_offsets_base") or 0
        offsets = Cursor(self._dwarf.section(".debug_str_offsets"), base + cursor.uleb() * width)
        return Cursor(strings, offsets.unsigned(width)).string()


def _header(cursor: Cursor) -> int:
    """Read a .debug_macro header; the bytes in an offset."""
    version, flags = cursor.unsigned(2), cursor.u8()
    if version not in (4, 5):
        raise ValueError(f"version {version} of .debug_macro is not known")
    width = 8 if flags & HAS_OFFSET_64 else 4
    if flags & HAS_LINE_OFFSET:
        cursor.unsigned(width)
    if flags & HAS_OPCODE_TABLE:
        raise ValueError("vendor-defined macro entries are not supported")
    return width


def _macinfo(cursor: Cursor) -> Iterator[Entry]:
    """The entries of .debug_macinfo (DWARF 4, 6.3)."""
    while code := cursor.u8():
        if code in (DEFINE, UNDEF):
            cursor.uleb()
            yield code == DEFINE, cursor.string()
        elif code == START_FILE:
            _skip_file(cursor)
        elif code == MACINFO_VENDOR:
            cursor.uleb()
            cursor.string()
        elif code != END_FILE:
            raise ValueError(f"macro entry {code:#x} is not known")


def _skip_file(cursor: Cursor) -> None:
    """Step over the line and the number of an included file."""
    cursor.uleb()
    cursor.uleb()


def _name(text: str) -> str:
    """The name that a definition starts with."""
    return text.split("(", 1)[0].split(None, 1)[0]
