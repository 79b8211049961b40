# SPDX-License-Identifier: BSD-3-Clause
"""C values as Python sees them: typed views of guest memory, and numbers that know their type.

C                 Python
integer           int, checked for range when written
_Bool             bool
enum              EnumValue, an int that prints as its enumerator; written as int or name
pointer           PointerValue, an int that can be followed: p.member, p[i], p.target
struct, union     StructValue: members are attributes, read from memory each time, and written to it
array             ArrayValue: a mutable sequence of fixed length
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from harness.errors import CallError
from harness.image.types import Array, CType, Enum, Int, Member, Pointer, Record, Union, sizeof, strip

STRING_LIMIT = 4096  # bytes that PointerValue.string() reads at most


class Memory(Protocol):
    """What values are read from and written to, by virtual address."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at `address`."""

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at `address`."""


class Detached:
    """A value that is not in guest memory, such as a struct that a function returned."""

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._data[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self._data[address : address + len(data)] = data


class EnumValue(int):
    """A value of a C enum."""

    type: Enum

    def __new__(cls, value: int, ctype: Enum) -> EnumValue:
        made = super().__new__(cls, value)
        made.type = ctype
        return made

    @property
    def name(self) -> str | None:
        """The enumerator, or None for a value that has none."""
        return self.type.name_of(int(self))

    def __str__(self) -> str:
        return self.name or str(int(self))

    def __repr__(self) -> str:
        return f"<{self.type}: {self}>"


class PointerValue(int):
    """A C pointer: a virtual address that knows what it points to. False when it is NULL."""

    type: Pointer
    _memory: Memory

    def __new__(cls, value: int, ctype: Pointer, memory: Memory) -> PointerValue:
        made = super().__new__(cls, value)
        made.type = ctype
        made._memory = memory
        return made

    @property
    def target(self) -> Any:
        """What it points to. Raises CallError for NULL and for void."""
        return self[0]

    def __getitem__(self, index: int) -> Any:
        element = self.type.target
        if not self:
            raise CallError(f"cannot follow NULL ({self.type})")
        if element.size is None:
            raise CallError(f"cannot follow {self.type}: what it points to has no size; use kernel.cast()")
        return load(self._memory, int(self) + index * element.size, element)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not isinstance(strip(self.type.target), Record):
            raise AttributeError(f"{self.type} has no member {name!r}: it does not point to a struct")
        return getattr(self.target, name)

    def string(self) -> str:
        """The NUL-terminated text it points to, as UTF-8; cut at STRING_LIMIT bytes."""
        text = bytearray()
        while len(text) < STRING_LIMIT:
            byte = self._memory.read(int(self) + len(text), 1)
            if byte == b"\0":
                break
            text += byte
        return text.decode(errors="backslashreplace")

    def __repr__(self) -> str:
        return f"({self.type}) {int(self):#x}"


class StructValue:
    """A struct or union in memory: `value.member` reads, `value.member = x` writes.

    `address`, `type` and `memory` are its own, unless the struct has a member of that name: then
    they are the member, as everywhere in C, and `where(value)` gives the address.
    """

    __slots__ = ("_address", "_memory", "_type")

    _type: Record
    _address: int
    _memory: Memory

    def __init__(self, memory: Memory, address: int, ctype: Record) -> None:
        for name, value in (("_memory", memory), ("_address", address), ("_type", ctype)):
            object.__setattr__(self, name, value)

    def _member(self, name: str) -> Member:
        try:
            return self._type.member(name)
        except LookupError as error:
            raise AttributeError(str(error)) from None

    def __getattr__(self, name: str) -> Any:
        if name in _OWN and name not in (each.name for each in self._type.fields()):
            return getattr(self, f"_{name}")
        member = self._member(name)
        if member.bit_size is not None:
            return self._bit_field(member)
        return load(self._memory, self._address + member.offset, member.type)

    def __setattr__(self, name: str, value: object) -> None:
        member = self._member(name)
        if member.bit_size is not None:
            self._set_bit_field(member, value)
        else:
            store(self._memory, self._address + member.offset, member.type, value)

    def _bit_storage(self, member: Member) -> tuple[int, int, int, int]:
        """Address, bytes, shift and width of a bit field."""
        bit, width = member.bit_offset or 0, member.bit_size or 0
        size = (bit % 8 + width + 7) // 8
        return self._address + bit // 8, size, bit % 8, width

    def _bit_field(self, member: Member) -> Any:
        address, size, shift, width = self._bit_storage(member)
        raw = int.from_bytes(self._memory.read(address, size), "little") >> shift & ((1 << width) - 1)
        ctype = strip(member.type)
        if getattr(ctype, "signed", False) and raw >> (width - 1):
            raw -= 1 << width
        return EnumValue(raw, ctype) if isinstance(ctype, Enum) else raw

    def _set_bit_field(self, member: Member, value: object) -> None:
        address, size, shift, width = self._bit_storage(member)
        number = as_integer(member.type, value)
        signed = bool(getattr(strip(member.type), "signed", False))
        low, high = (-(1 << (width - 1)), 1 << (width - 1)) if signed else (0, 1 << width)
        if not low <= number < high:
            raise CallError(f"{number} does not fit in the {width} bits of {member.name}")
        old = int.from_bytes(self._memory.read(address, size), "little")
        mask = ((1 << width) - 1) << shift
        new = old & ~mask | (number << shift) & mask
        self._memory.write(address, new.to_bytes(size, "little"))

    def __dir__(self) -> list[str]:
        return [member.name for member in self._type.fields()]

    def __bytes__(self) -> bytes:
        return self._memory.read(self._address, sizeof(self._type))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StructValue):
            return NotImplemented
        return self._type is other._type and bool(self.as_dict() == other.as_dict())

    __hash__ = None  # type: ignore[assignment]  # a view of memory that changes

    def as_dict(self) -> dict[str, Any]:
        """All members by name, structs and arrays within as dicts and lists; pointers are not followed."""
        return {member.name: plain(getattr(self, member.name)) for member in self._type.fields()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items())
        return f"{self._type} {{{inside}}}"


_OWN = ("address", "memory", "type")


def where(value: StructValue) -> int:
    """The address of a struct, whatever its members are called."""
    return value._address


class ArrayValue(Sequence[Any]):
    """A C array in memory."""

    def __init__(self, memory: Memory, address: int, ctype: Array) -> None:
        self.memory, self.address, self.type = memory, address, ctype

    def __len__(self) -> int:
        return self.type.count or 0

    def _at(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {self.type}")
        return self.address + index % len(self) * sizeof(self.type.element)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        return load(self.memory, self._at(index), self.type.element)

    def __setitem__(self, index: int, value: object) -> None:
        store(self.memory, self._at(index), self.type.element, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __bytes__(self) -> bytes:
        return self.memory.read(self.address, sizeof(self.type))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ArrayValue | list | tuple):
            return bool(plain(self) == plain(other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a view of memory that changes

    def __repr__(self) -> str:
        return f"{self.type} {plain(self)}"


def plain(value: Any) -> Any:
    """The value as dicts, lists and numbers, not bound to memory."""
    if isinstance(value, StructValue):
        return value.as_dict()
    if isinstance(value, ArrayValue | list | tuple):
        return [plain(each) for each in value]
    return value


def load(memory: Memory, address: int, ctype: CType) -> Any:
    """The value of a type at an address: a number, or a view of the memory there."""
    real = strip(ctype)
    if isinstance(real, Record):
        if not real.is_complete:
            raise CallError(f"{real} is only declared in this image: its members are not known")
        return StructValue(memory, address, real)
    if isinstance(real, Array):
        return ArrayValue(memory, address, real)
    return from_bytes(memory, memory.read(address, sizeof(real)), real)


def from_bytes(memory: Memory, data: bytes, ctype: CType) -> Any:
    """A scalar from its bytes; a pointer among them follows into `memory`."""
    real = strip(ctype)
    if isinstance(real, Pointer):
        return PointerValue(int.from_bytes(data, "little"), real, memory)
    if isinstance(real, Enum):
        return EnumValue(int.from_bytes(data, "little", signed=real.signed), real)
    if isinstance(real, Int):
        number = int.from_bytes(data, "little", signed=real.signed)
        return bool(number) if real.is_bool else number
    raise CallError(f"values of type {ctype} are not supported")


def store(memory: Memory, address: int, ctype: CType, value: object) -> None:
    """Write a value of a type at an address."""
    memory.write(address, to_bytes(ctype, value))


def to_bytes(ctype: CType, value: object) -> bytes:
    """The bytes of a value. Raises CallError for what does not fit the type."""
    real = strip(ctype)
    if isinstance(real, Record):
        return _record_bytes(real, value)
    if isinstance(real, Array):
        return _array_bytes(real, value)
    signed = bool(getattr(real, "signed", False))
    return as_integer(ctype, value).to_bytes(sizeof(real), "little", signed=signed)


def _record_bytes(ctype: Record, value: object) -> bytes:
    if isinstance(value, StructValue):
        if value._type is not ctype:
            raise CallError(f"expected {ctype}, got {value._type}")
        return bytes(value)
    if not isinstance(value, dict):
        raise CallError(f"expected {ctype} or a dict of its members, got {value!r}")
    if isinstance(ctype, Union) and len(value) > 1:
        raise CallError(f"a {ctype} takes one member, not {', '.join(value)}")
    made = StructValue(Detached(bytes(sizeof(ctype))), 0, ctype)
    for name, each in value.items():
        try:
            setattr(made, name, each)
        except AttributeError as error:
            raise CallError(str(error)) from None
    return bytes(made)


def _array_bytes(ctype: Array, value: object) -> bytes:
    if isinstance(value, bytes | bytearray) and len(value) <= sizeof(ctype):
        return bytes(value).ljust(sizeof(ctype), b"\0")
    if not isinstance(value, Sequence) or len(value) != ctype.count:
        raise CallError(f"expected {ctype.count} elements for {ctype}, got {value!r}")
    return b"".join(to_bytes(ctype.element, each) for each in value)


def as_integer(ctype: CType, value: object) -> int:
    """The number of a scalar type that a Python value stands for. Raises CallError."""
    real = strip(ctype)
    if isinstance(real, Enum):
        return _enum_integer(real, value)
    if isinstance(real, Pointer):
        return _pointer_integer(real, value)
    if not isinstance(real, Int):
        raise CallError(f"values of type {ctype} are not supported")
    if isinstance(value, bytes) and len(value) == 1 and real.is_char:
        return value[0]
    if not isinstance(value, int):
        raise CallError(f"expected an int for {ctype}, got {value!r}")
    if not real.minimum <= value <= real.maximum:
        raise CallError(f"{value} is out of range for {ctype}: {real.minimum} to {real.maximum}")
    return int(value)


def _enum_integer(ctype: Enum, value: object) -> int:
    if isinstance(value, str):
        if value not in ctype.members:
            raise CallError(f"{value!r} is no enumerator of {ctype}: {', '.join(ctype.members)}")
        return ctype.members[value]
    bits = 8 * sizeof(ctype)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if ctype.signed else (0, 1 << bits)
    if not isinstance(value, int) or not low <= value < high:
        raise CallError(f"expected a value of {ctype} ({', '.join(ctype.members)}), got {value!r}")
    return int(value)


def _pointer_integer(ctype: Pointer, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, PointerValue):
        _check_pointer(ctype, value.type)
        return int(value)
    if isinstance(value, StructValue):
        return _address_in_guest(ctype, value._memory, value._address, value._type)
    if isinstance(value, ArrayValue):
        return _address_in_guest(ctype, value.memory, value.address, value.type)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise CallError(f"expected an address, None, or an object in guest memory for {ctype}, got {value!r}")
    return value


def _address_in_guest(wanted: Pointer, memory: Memory, address: int, ctype: CType) -> int:
    if isinstance(memory, Detached):
        raise CallError(f"{ctype} is not in guest memory: make one there with kernel.new()")
    _check_pointer(wanted, Pointer(ctype))
    return address


def _check_pointer(wanted: Pointer, given: Pointer) -> None:
    """Pointers to different structs are never the same; anything goes to and from void and numbers."""
    target, other = strip(wanted.target), strip(given.target)
    if isinstance(other, Array):
        other = strip(other.element)
    if isinstance(target, Record) and isinstance(other, Record) and target is not other:
        raise CallError(f"expected {wanted}, got a pointer to {other}; use kernel.cast() if you mean it")
