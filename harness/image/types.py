# SPDX-License-Identifier: BSD-3-Clause
"""C types as plain values.

Sizes and offsets are in bytes, bit offsets and bit sizes in bits. `str(type)` and
`type.declare(name)` give C syntax. Structs, unions and enums compare by identity: TypeDatabase
makes one object for one definition, however many units repeat it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from harness.image.lookup import UnknownNameError

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value computed when first called for, which lets types refer to themselves."""

    __slots__ = ("_compute", "_value")

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute: Callable[[], T] | None = compute
        self._value: T

    def __call__(self) -> T:
        if self._compute is not None:
            self._value = self._compute()
            self._compute = None
        return self._value


class CType(ABC):
    """What all C types have."""

    __slots__ = ()

    if TYPE_CHECKING:  # at run time a property here would pass for the fields' default value

        @property
        def size(self) -> int | None:
            """Bytes of a value, as sizeof; None for incomplete, void and function types."""

    @abstractmethod
    def declare(self, name: str = "") -> str:
        """The C declaration of `name` with this type."""

    def __str__(self) -> str:
        return self.declare()


def _spell(base: str, name: str) -> str:
    return f"{base} {name}" if name else base


@dataclass(frozen=True, slots=True)
class Void(CType):
    """`void`, also the type of what has no type."""

    @property
    def size(self) -> None:
        return None

    def declare(self, name: str = "") -> str:
        return _spell("void", name)


@dataclass(frozen=True, slots=True)
class Int(CType):
    """An integer, character or boolean type."""

    name: str
    size: int
    signed: bool
    is_bool: bool = False
    is_char: bool = False

    @property
    def minimum(self) -> int:
        """The smallest value."""
        return -(1 << (8 * self.size - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """The largest value."""
        return 1 if self.is_bool else (1 << (8 * self.size - self.signed)) - 1

    def declare(self, name: str = "") -> str:
        return _spell(self.name, name)


@dataclass(frozen=True, slots=True)
class Float(CType):
    """A floating-point type."""

    name: str
    size: int

    def declare(self, name: str = "") -> str:
        return _spell(self.name, name)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Enum(CType):
    """An enumeration; `name` is "" when it has no tag."""

    name: str
    size: int | None
    signed: bool
    _members: Lazy[Mapping[str, int]]

    @property
    def members(self) -> Mapping[str, int]:
        """The enumerators' values by name, in order."""
        return self._members()

    def name_of(self, value: int) -> str | None:
        """The first enumerator with that value, or None."""
        return next((name for name, each in self.members.items() if each == value), None)

    def declare(self, name: str = "") -> str:
        return _spell(f"enum {self.name or '{...}'}", name)

    def __repr__(self) -> str:
        return f"<{self}>"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union.

    `offset` is in bytes from its start; a bit field has `bit_size`, and `bit_offset` counted from
    bit 0 of the struct's first byte (little-endian); for others both are None.
    `name` is "" for an anonymous struct or union.
    """

    name: str
    type: CType
    offset: int
    bit_offset: int | None = None
    bit_size: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record(CType):
    """A struct or a union; `size` is None and `members` empty when only declared."""

    name: str
    size: int | None
    _members: Lazy[tuple[Member, ...]]
    keyword: ClassVar[str] = "struct"

    @property
    def members(self) -> tuple[Member, ...]:
        """The members in order, anonymous ones as they stand."""
        return self._members()

    @property
    def is_complete(self) -> bool:
        """Whether the image has the definition, not only a declaration."""
        return self.size is not None

    def fields(self) -> Iterator[Member]:
        """The named members, those of anonymous structs and unions included at their final offset."""
        for member in self.members:
            inner = strip(member.type)
            if member.name or not isinstance(inner, Record):
                yield member
                continue
            for each in inner.fields():
                bit = None if each.bit_offset is None else each.bit_offset + 8 * member.offset
                yield Member(each.name, each.type, each.offset + member.offset, bit, each.bit_size)

    def member(self, name: str) -> Member:
        """The member `name`, also inside anonymous members. Raises UnknownNameError."""
        found = next((each for each in self.fields() if each.name == name), None)
        if found is None:
            raise UnknownNameError(f"member of {self}", name, [each.name for each in self.fields()])
        return found

    def declare(self, name: str = "") -> str:
        return _spell(f"{self.keyword} {self.name or '{...}'}", name)

    def __repr__(self) -> str:
        return f"<{self}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Struct(Record):
    """A struct."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Union(Record):
    """A union."""

    keyword: ClassVar[str] = "union"


@dataclass(frozen=True, slots=True)
class Pointer(CType):
    """A pointer."""

    target: CType
    size: int = 8

    def declare(self, name: str = "") -> str:
        inner = f"*{name}"
        return self.target.declare(f"({inner})" if isinstance(self.target, Array | Function) else inner)


@dataclass(frozen=True, slots=True)
class Array(CType):
    """An array; `count` is None when its length is not given (a flexible array member)."""

    element: CType
    count: int | None

    @property
    def size(self) -> int | None:
        element = self.element.size
        return None if element is None or self.count is None else element * self.count

    def declare(self, name: str = "") -> str:
        return self.element.declare(f"{name}[{'' if self.count is None else self.count}]")


@dataclass(frozen=True, slots=True)
class Typedef(CType):
    """Another name for `target`."""

    name: str
    target: CType

    @property
    def size(self) -> int | None:
        return self.target.size

    def declare(self, name: str = "") -> str:
        return _spell(self.name, name)


@dataclass(frozen=True, slots=True)
class Qualified(CType):
    """`target` with a qualifier: const, volatile, restrict or _Atomic."""

    qualifier: str
    target: CType

    @property
    def size(self) -> int | None:
        return self.target.size

    def declare(self, name: str = "") -> str:
        if isinstance(self.target, Pointer):
            return self.target.declare(_spell(self.qualifier, name))
        return f"{self.qualifier} {self.target.declare(name)}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `name` is "" where a declaration leaves it out."""

    name: str
    type: CType

    def __str__(self) -> str:
        return self.type.declare(self.name)


@dataclass(frozen=True, slots=True)
class Function(CType):
    """A function type; not `prototyped` when declared with empty parentheses in old C."""

    return_type: CType
    parameters: tuple[Parameter, ...]
    variadic: bool = False
    prototyped: bool = True

    @property
    def size(self) -> None:
        return None

    def declare(self, name: str = "") -> str:
        parts = [str(parameter) for parameter in self.parameters] + ["..."] * self.variadic
        empty = "void" if self.prototyped else ""
        return self.return_type.declare(f"{name}({', '.join(parts) or empty})")


VOID = Void()


def strip(ctype: CType) -> CType:
    """The type behind typedefs and qualifiers."""
    while isinstance(ctype, Typedef | Qualified):
        ctype = ctype.target
    return ctype


def sizeof(ctype: CType) -> int:
    """Bytes of a value of that type. Raises ValueError for types that have no size."""
    if ctype.size is None:
        raise ValueError(f"{ctype} has no size: it is incomplete, void or a function")
    return ctype.size
