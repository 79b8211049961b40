# SPDX-License-Identifier: BSD-3-Clause
"""Prototypes of the C functions of an image, and its variables of file scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from elftools.dwarf.die import DIE

from harness.image.dies import attribute, flag, holder, name_of, number
from harness.image.dwarf import Unit, by_name
from harness.image.lookup import UnknownNameError
from harness.image.reader import Cursor
from harness.image.symbols import Symbol, SymbolTable
from harness.image.typedb import NO_DWARF, TypeDatabase
from harness.image.types import CType, Function, Int, Parameter

CC_NOCALL: Final = 3


@dataclass(frozen=True, slots=True)
class Prototype:
    """A C function: what it takes, what it returns, and where it is.

    `address` is None when the image has no code under exactly this name (inlined everywhere, or
    only a changed clone such as name.isra.0 was kept). `is_callable` is False then, and also when
    the compiler says that it gave the function a calling convention of its own (DW_CC_nocall).
    """

    name: str
    type: Function
    address: int | None
    is_global: bool
    is_callable: bool
    file: str
    line: int

    @property
    def return_type(self) -> CType:
        """The type of the result; Void for none."""
        return self.type.return_type

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in order."""
        return self.type.parameters

    @property
    def variadic(self) -> bool:
        """Whether it takes more arguments than are named ("...")."""
        return self.type.variadic

    def __str__(self) -> str:
        return self.type.declare(self.name)


class Functions(Mapping[str, Prototype]):
    """Prototypes by name, each read when first asked for.

    A definition counts before a declaration, a global one before a static one; `all_of` has every one.
    """

    def __init__(self, types: TypeDatabase, symbols: SymbolTable) -> None:
        self._types = types
        self._symbols = symbols
        self._read: dict[str, tuple[Prototype, ...]] = {}

    def __getitem__(self, name: str) -> Prototype:
        return self.all_of(name)[0]

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def all_of(self, name: str) -> tuple[Prototype, ...]:
        """Every function of that name (static ones of several files), the best one first."""
        if name not in self._read:
            if name not in self._index:
                raise UnknownNameError("function", name, self._index, self._hint(name))
            with self._types.dwarf.guard(f"the function {name}"):
                self._read[name] = self._prototypes(name)
        return self._read[name]

    def by_symbol(self, name: str) -> Prototype:
        """A function of which nothing but its symbol is known, as C before prototypes had it: numbers go in,
        and 64 bits come out. Raises UnknownNameError.
        """
        symbol = self._symbols[name]
        unknown = Function(Int("unsigned long", 8, signed=False), (), variadic=False, prototyped=False)
        return Prototype(name, unknown, symbol.address, symbol.is_global, is_callable=True, file="", line=0)

    def _hint(self, name: str) -> str:
        if not self._types.dwarf.present:
            return NO_DWARF
        return "it is a symbol without a C prototype" if name in self._symbols else ""

    @cached_property
    def _index(self) -> Mapping[str, list[tuple[Unit, int]]]:
        return by_name(self._types.dwarf, "DW_TAG_subprogram")

    @cached_property
    def _bodies(self) -> Mapping[int, DIE]:
        """Out-of-line bodies by the offset of the abstract entry that they are an instance of."""
        found: dict[int, DIE] = {}
        for unit, offset in self._types.dwarf.tagged("DW_TAG_subprogram"):
            die = unit.die(offset)
            if "DW_AT_abstract_origin" in die.attributes and self._types.dwarf.ranges(die):
                found[die.get_DIE_from_attribute("DW_AT_abstract_origin").offset] = die
        return found

    def _prototypes(self, name: str) -> tuple[Prototype, ...]:
        dies = [unit.die(offset) for unit, offset in self._index[name]]
        defined = [die for die in dies if not flag(die, "DW_AT_declaration")]
        found = [self._prototype(name, die) for die in defined or dies[:1]]
        # Units repeat an inline function of a header: the first copy that has code stands for all.
        found.sort(key=lambda each: (each.address is None, not each.is_global))
        return tuple(_distinct(found))

    def _prototype(self, name: str, die: DIE) -> Prototype:
        body = self._bodies.get(die.offset, die)
        symbol = self._symbol(name, body)
        nocall = any(number(each, "DW_AT_calling_convention") == CC_NOCALL for each in (body, die))
        return Prototype(
            name=name,
            type=self._types.function(die),
            address=symbol.address if symbol else None,
            is_global=flag(die, "DW_AT_external"),
            is_callable=symbol is not None and not nocall,
            file=self._types.dwarf.unit_of(die).file(number(die, "DW_AT_decl_file") or 0),
            line=number(die, "DW_AT_decl_line") or 0,
        )

    def _symbol(self, name: str, body: DIE) -> Symbol | None:
        """The symbol of that very name at the body's start, or, for a declaration, anywhere."""
        ranges = self._types.dwarf.ranges(body)
        if not ranges:
            declared = flag(body, "DW_AT_declaration")
            return self._symbols.get(name) if declared else None
        starts = {low for low, _ in ranges}
        return next((each for each in self._symbols.named(name) if each.address in starts), None)


def _distinct(prototypes: list[Prototype]) -> Iterator[Prototype]:
    """Those with code of their own, and of the others one for each place in the source."""
    seen: set[tuple[str, int]] = set()
    for each in prototypes:
        if each.address is not None or (each.file, each.line) not in seen:
            seen.add((each.file, each.line))
            yield each


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of file scope; `address` is None when it was optimised away."""

    name: str
    type: CType
    address: int | None


class Variables(Mapping[str, Variable]):
    """Variables of file scope by name; one that has an address counts before one that has none."""

    def __init__(self, types: TypeDatabase, symbols: SymbolTable) -> None:
        self._types = types
        self._symbols = symbols

    def __getitem__(self, name: str) -> Variable:
        entries = self._index.get(name)
        if not entries:
            raise UnknownNameError(
                "variable", name, self._index, "" if self._types.dwarf.present else NO_DWARF
            )
        with self._types.dwarf.guard(f"the variable {name}"):
            dies = [unit.die(offset) for unit, offset in entries]
            found = [(die, self._address(die)) for die in dies]
            die, address = next((each for each in found if each[1] is not None), found[0])
            typed = holder(die, "DW_AT_type")
            if address is None and name in self._symbols and flag(die, "DW_AT_declaration"):
                address = self._symbols[name].address  # defined in assembly or by the linker script
            return Variable(name, self._types.of(typed or die), address)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    @cached_property
    def _index(self) -> Mapping[str, list[tuple[Unit, int]]]:
        found: dict[str, list[tuple[Unit, int]]] = {}
        with self._types.dwarf.guard("variables"):
            for unit, offset in self._types.dwarf.tagged("DW_TAG_variable"):
                if name := name_of(unit.die(offset)):
                    found.setdefault(name, []).append((unit, offset))
        return found

    def _address(self, die: DIE) -> int | None:
        location = attribute(die, "DW_AT_location")
        if location is None or not location.form.startswith(("DW_FORM_exprloc", "DW_FORM_block")):
            return None
        cursor = Cursor(bytes(location.value))
        match cursor.u8() if not cursor.at_end else None:
            case 0x03:  # DW_OP_addr
                return cursor.unsigned(8)
            case 0xA1 | 0xFB:  # DW_OP_addrx, DW_OP_GNU_addr_index
                unit = self._types.dwarf.unit_of(die)
                return int(self._types.dwarf.info.get_addr(unit.cu, cursor.uleb()))
        return None
