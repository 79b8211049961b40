# SPDX-License-Identifier: BSD-3-Clause
"""C values: the bytes, their type, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import HarnessError
from harness.image.types import Array, CType, Enum, Float, Function, Int, Pointer, Record, sizeof, strip

INT = Int("int", 4, signed=True)
UNSIGNED = Int("unsigned int", 4, signed=False)
LONG = Int("long", 8, signed=True)
UNSIGNED_LONG = Int("unsigned long", 8, signed=False)
CHAR = Int("char", 1, signed=False, is_char=True)


class ExpressionError(HarnessError):
    """An expression that cannot be evaluated."""


@dataclass(frozen=True, slots=True)
class CValue:
    """A value of a C type.

    `address` is where it is in memory and `register` in which register, each None if it is not; `bits` is
    (shift, width) of a bit field in the bytes there. `data` are its bytes; None when the compiler kept none.
    """

    type: CType
    data: bytes | None
    address: int | None = None
    register: str | None = None
    bits: tuple[int, int] | None = None

    @property
    def number(self) -> int:
        """As an integer: of integers, enumerators, pointers; the address of arrays and functions."""
        real = strip(self.type)
        if isinstance(real, Array | Function):
            if self.address is None:
                raise ExpressionError(f"{self.type} is not in memory")
            return self.address
        if isinstance(real, Record | Float):
            raise ExpressionError(f"{self.type} is not a number")
        if self.data is None:
            raise ExpressionError("the value has been optimized out")
        return int.from_bytes(self.data, "little", signed=is_signed(real))

    @property
    def is_pointer(self) -> bool:
        """Whether it points, or is an array, which does as soon as one computes with it."""
        return isinstance(strip(self.type), Pointer | Array)

    @property
    def target(self) -> CType:
        """What it points to. Raises ExpressionError."""
        real = strip(self.type)
        if isinstance(real, Pointer):
            return real.target
        if isinstance(real, Array):
            return real.element
        raise ExpressionError(f"{self.type} is not a pointer: cast it to one, as in *(unsigned long *)x")


def is_signed(ctype: CType) -> bool:
    """Whether values of a scalar type have a sign."""
    real = strip(ctype)
    return isinstance(real, Int | Enum) and real.signed


def from_number(number: int, ctype: CType) -> CValue:
    """A number converted to a scalar type (C17, 6.3.1.3)."""
    real = strip(ctype)
    if isinstance(real, Int) and real.is_bool:
        return CValue(ctype, bytes([number != 0]).ljust(real.size, b"\0"))
    if not isinstance(real, Int | Enum | Pointer):
        raise ExpressionError(f"cannot convert a number to {ctype}")
    size = sizeof(real)
    return CValue(ctype, (number % (1 << 8 * size)).to_bytes(size, "little"))


def promoted(value: CValue) -> CValue:
    """After the integer promotions (C17, 6.3.1.1); arrays become pointers."""
    real = strip(value.type)
    if isinstance(real, Array):
        return from_number(value.number, Pointer(real.element))
    if isinstance(real, Function):
        return from_number(value.number, Pointer(real))
    if isinstance(real, Enum | Int) and (real.size or 0) < 4:
        return from_number(value.number, INT)
    if isinstance(real, Enum):
        return from_number(value.number, UNSIGNED if not real.signed else INT)
    return value


def common(left: CType, right: CType) -> Int:
    """The usual arithmetic conversions (C17, 6.3.1.8) for promoted types."""
    one, two = strip(left), strip(right)
    size = max(one.size or 8, two.size or 8)
    signed = all(is_signed(each) for each in (one, two) if each.size == size)
    return {(4, True): INT, (4, False): UNSIGNED, (8, True): LONG}.get((size, signed), UNSIGNED_LONG)
