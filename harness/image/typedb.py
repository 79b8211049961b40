# SPDX-License-Identifier: BSD-3-Clause
"""C types of an image by name, built from DWARF one at a time and only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final

from elftools.dwarf.die import DIE

from harness.image.dies import attribute, children, flag, number, text
from harness.image.dwarf import Dwarf, Unit, by_name
from harness.image.lookup import UnknownNameError
from harness.image.reader import Cursor
from harness.image.types import (
    VOID,
    Array,
    CType,
    Enum,
    Float,
    Function,
    Int,
    Lazy,
    Member,
    Parameter,
    Pointer,
    Qualified,
    Struct,
    Typedef,
    Union,
    strip,
)

# Base type encodings (DWARF 5, 7.8).
ATE_BOOLEAN, ATE_COMPLEX, ATE_FLOAT, ATE_SIGNED, ATE_SIGNED_CHAR, ATE_UNSIGNED_CHAR = 2, 3, 4, 5, 6, 8
OP_PLUS_UCONST: Final = 0x23

KEYWORDS: Final = {
    "struct": "DW_TAG_structure_type",
    "union": "DW_TAG_union_type",
    "enum": "DW_TAG_enumeration_type",
}
QUALIFIERS: Final = {
    "DW_TAG_const_type": "const",
    "DW_TAG_volatile_type": "volatile",
    "DW_TAG_restrict_type": "restrict",
    "DW_TAG_atomic_type": "_Atomic",
}
NO_DWARF: Final = "the image has no DWARF: build it with -g3"


class TypeDatabase(Mapping[str, CType]):
    """C types by the name C uses: "struct frame", "address_space_t", "unsigned long", "struct frame *".

    Where units define different types under one name, the first definition is taken.
    """

    def __init__(self, dwarf: Dwarf) -> None:
        self.dwarf = dwarf
        self._built: dict[int, CType] = {}
        self._canonical: dict[tuple[object, ...], CType] = {}
        self._indexes: dict[str, dict[str, list[tuple[Unit, int]]]] = {}

    def __getitem__(self, name: str) -> CType:
        plain = name.rstrip("* ")
        found = self._find(plain)
        if found is None:
            raise UnknownNameError("type", plain, self, "" if self.dwarf.present else NO_DWARF)
        for _ in range(name.count("*")):
            found = Pointer(found)
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name.rstrip("* ")) is not None

    def __iter__(self) -> Iterator[str]:
        for keyword, tag in KEYWORDS.items():
            yield from (f"{keyword} {name}" for name in self._index(tag))
        yield from self._index("DW_TAG_typedef")
        yield from self._index("DW_TAG_base_type")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def enumerators(self) -> Mapping[str, int]:
        """Values of all enumerators by name; the first definition counts."""
        found: dict[str, int] = {}
        with self.dwarf.guard("enumeration types"):
            for unit, offset in self.dwarf.tagged("DW_TAG_enumeration_type"):
                enum = self.build(unit.die(offset))
                if isinstance(enum, Enum):
                    found = {**enum.members, **found}
        return MappingProxyType(found)

    def enumeration_of(self, enumerator: str) -> CType | None:
        """The first enumeration that has an enumerator of that name, or None."""
        with self.dwarf.guard("enumeration types"):
            for unit, offset in self.dwarf.tagged("DW_TAG_enumeration_type"):
                enum = self.build(unit.die(offset))
                if isinstance(enum, Enum) and enumerator in enum.members:
                    return enum
        return None

    def of(self, die: DIE) -> CType:
        """The type that an entry's DW_AT_type refers to; void when it has none."""
        if "DW_AT_type" not in die.attributes:
            return VOID
        return self.build(die.get_DIE_from_attribute("DW_AT_type"))

    def build(self, die: DIE) -> CType:
        """The type that a type entry describes."""
        found = self._built.get(die.offset)
        if found is None:
            found = self._built[die.offset] = self._build(die)
        return found

    def _find(self, name: str) -> CType | None:
        if name == "void":
            return VOID
        keyword, _, tag_name = name.partition(" ")
        if keyword in KEYWORDS:
            return self._definition(KEYWORDS[keyword], tag_name.strip())
        typedef = self._definition("DW_TAG_typedef", name)
        return typedef or self._definition("DW_TAG_base_type", name) or self._base_types.get(_base_key(name))

    def _definition(self, tag: str, name: str) -> CType | None:
        with self.dwarf.guard(f"the definition of {name}"):
            dies = [unit.die(offset) for unit, offset in self._index(tag).get(name, ())]
            dies.sort(key=lambda die: flag(die, "DW_AT_declaration"))
            return self.build(dies[0]) if dies else None

    def _index(self, tag: str) -> Mapping[str, list[tuple[Unit, int]]]:
        if tag not in self._indexes:
            self._indexes[tag] = by_name(self.dwarf, tag)
        return self._indexes[tag]

    @cached_property
    def _base_types(self) -> Mapping[str, CType]:
        index = self._index("DW_TAG_base_type")
        return {_base_key(name): self.build(unit.die(offset)) for name, [(unit, offset), *_] in index.items()}

    def _build(self, die: DIE) -> CType:
        tag = str(die.tag)
        if tag in QUALIFIERS:
            return _qualify(QUALIFIERS[tag], self.of(die))
        match tag:
            case "DW_TAG_base_type":
                return _base_type(die)
            case "DW_TAG_pointer_type":
                return Pointer(self.of(die), number(die, "DW_AT_byte_size") or 8)
            case "DW_TAG_typedef":
                return Typedef(text(die, "DW_AT_name"), self.of(die))
            case "DW_TAG_array_type":
                return self._array(die)
            case "DW_TAG_subroutine_type":
                return self.function(die)
            case "DW_TAG_structure_type" | "DW_TAG_union_type" | "DW_TAG_enumeration_type":
                return self._tagged(die)
            case "DW_TAG_unspecified_type":
                return Typedef(text(die, "DW_AT_name"), VOID)
        raise ValueError(f"type entry {tag} is not one of C's")

    def function(self, die: DIE) -> Function:
        """The function type of a subroutine type or subprogram entry."""
        inner = list(children(die))
        parameters = tuple(
            Parameter(text(child, "DW_AT_name"), self.of(child))
            for child in inner
            if child.tag == "DW_TAG_formal_parameter"
        )
        variadic = any(child.tag == "DW_TAG_unspecified_parameters" for child in inner)
        return Function(self.of(die), parameters, variadic, flag(die, "DW_AT_prototyped") or bool(parameters))

    def _array(self, die: DIE) -> CType:
        ctype = self.of(die)
        for child in reversed(list(children(die))):
            if child.tag == "DW_TAG_subrange_type":
                ctype = Array(ctype, _count(child))
        return ctype

    def _tagged(self, die: DIE) -> CType:
        """A struct, union or enum: one object for all units that repeat the definition."""
        if flag(die, "DW_AT_declaration"):
            return self._declared(die)
        line, column = number(die, "DW_AT_decl_line"), number(die, "DW_AT_decl_column")
        file = self.dwarf.unit_of(die).file(number(die, "DW_AT_decl_file") or 0)
        name, size = text(die, "DW_AT_name"), number(die, "DW_AT_byte_size")
        key = (die.tag, name, size, file, line, column, None if name or line else die.offset)
        found = self._canonical.get(key)
        if found is None:
            found = self._canonical[key] = self._define(die, name, size)
        return found

    def _declared(self, die: DIE) -> CType:
        name = text(die, "DW_AT_name")
        for unit, offset in self._index(str(die.tag)).get(name, ()):
            candidate = unit.die(offset)
            if not flag(candidate, "DW_AT_declaration"):
                return self.build(candidate)
        key = (die.tag, name)
        return self._canonical.get(key) or self._canonical.setdefault(key, self._define(die, name, None))

    def _define(self, die: DIE, name: str, size: int | None) -> CType:
        if die.tag == "DW_TAG_enumeration_type":
            return Enum(name, size, self._is_signed(die), Lazy(lambda: self._enumerators(die)))
        make = Union if die.tag == "DW_TAG_union_type" else Struct
        return make(name, size, Lazy(lambda: self._members(die)))

    def _enumerators(self, die: DIE) -> Mapping[str, int]:
        with self.dwarf.guard(f"the enumeration {text(die, 'DW_AT_name')}"):
            return MappingProxyType(
                {
                    text(child, "DW_AT_name"): number(child, "DW_AT_const_value") or 0
                    for child in children(die)
                    if child.tag == "DW_TAG_enumerator"
                }
            )

    def _is_signed(self, die: DIE) -> bool:
        base = strip(self.of(die))
        if isinstance(base, Int):
            return base.signed
        return any(value < 0 for value in self._enumerators(die).values())

    def _members(self, die: DIE) -> tuple[Member, ...]:
        with self.dwarf.guard(f"the members of {text(die, 'DW_AT_name') or 'a struct'}"):
            return tuple(self._member(child) for child in children(die) if child.tag == "DW_TAG_member")

    def _member(self, die: DIE) -> Member:
        ctype, name = self.of(die), text(die, "DW_AT_name")
        offset, bit_size = _member_offset(die), number(die, "DW_AT_bit_size")
        if bit_size is None:
            return Member(name, ctype, offset)
        bit = number(die, "DW_AT_data_bit_offset")
        if bit is None:  # counted from the most significant bit of the storage unit (DWARF 3, 5.5.6)
            storage = number(die, "DW_AT_byte_size") or ctype.size or 0
            bit = 8 * (offset + storage) - (number(die, "DW_AT_bit_offset") or 0) - bit_size
        return Member(name, ctype, bit // 8, bit, bit_size)


def _qualify(qualifier: str, target: CType) -> CType:
    """The qualified type; an array's qualifiers are those of its elements (C17, 6.7.3)."""
    if isinstance(target, Array):
        return Array(_qualify(qualifier, target.element), target.count)
    if isinstance(target, Qualified) and target.qualifier == qualifier:
        return target
    return Qualified(qualifier, target)


def _base_type(die: DIE) -> CType:
    name, size = text(die, "DW_AT_name"), number(die, "DW_AT_byte_size") or 0
    encoding = number(die, "DW_AT_encoding")
    if encoding in (ATE_FLOAT, ATE_COMPLEX):
        return Float(name, size)
    signed = encoding in (ATE_SIGNED, ATE_SIGNED_CHAR)
    return Int(name, size, signed, encoding == ATE_BOOLEAN, encoding in (ATE_SIGNED_CHAR, ATE_UNSIGNED_CHAR))


def _count(die: DIE) -> int | None:
    count = number(die, "DW_AT_count")
    if count is None:
        bound = number(die, "DW_AT_upper_bound")
        count = None if bound is None else (bound + 1) % (1 << 64)
    return count if count is None or count >= 0 else None


def _member_offset(die: DIE) -> int:
    location = attribute(die, "DW_AT_data_member_location")
    if location is None:
        return 0
    if isinstance(location.value, int):
        return location.value
    cursor = Cursor(bytes(location.value))  # DWARF 2 form: DW_OP_plus_uconst <offset>
    if cursor.u8() != OP_PLUS_UCONST:
        raise ValueError(f"computed offset of member {text(die, 'DW_AT_name')}")
    return cursor.uleb()


def _base_key(name: str) -> str:
    """One spelling for "unsigned long", "long unsigned int" and the like."""
    words = name.split()
    if set(words) <= {"unsigned", "signed", "short", "long", "int"}:
        words = [word for word in words if word not in ("int", "signed")] or ["int"]
        words = ["int", *words] if words == ["unsigned"] else words
    return " ".join(sorted(words))
