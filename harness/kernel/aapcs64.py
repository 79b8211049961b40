# SPDX-License-Identifier: BSD-3-Clause
"""The AArch64 procedure call standard (AAPCS64, Arm IHI 0055, 6.8): where arguments and results go.

Integers, enums, booleans, pointers, and structs of those by value. Floating point is refused: the kernels
this is for are built without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.errors import CallError
from harness.image.types import CType, Float, Function, Pointer, Record, Void, sizeof, strip
from harness.kernel.values import Detached, Memory, from_bytes, load, to_bytes

ARGUMENT_REGISTERS = 8  # x0 to x7
INDIRECT_RESULT = "x8"
_BY_VALUE = 16  # bytes of the largest struct that travels in registers


class Arena(Protocol):
    """Guest memory for the time of a call."""

    def place(self, data: bytes, align: int = 16) -> int:
        """Put `data` somewhere and return its virtual address."""


@dataclass(slots=True)
class Placement:
    """What a call puts where: registers by name, and 8-byte slots on the stack, lowest first."""

    registers: dict[str, int] = field(default_factory=dict)
    stack: list[int] = field(default_factory=list)
    writable: list[tuple[int, bytearray]] = field(default_factory=list)
    result_address: int | None = None
    _next: int = 0

    def add_words(self, words: Sequence[int]) -> None:
        """One or two words: all in registers or, from then on, all on the stack (C.12, C.13)."""
        if self._next + len(words) <= ARGUMENT_REGISTERS:
            for word in words:
                self.registers[f"x{self._next}"] = word
                self._next += 1
            return
        self._next = ARGUMENT_REGISTERS
        self.stack += words


def place_arguments(function: Function, arguments: Sequence[object], arena: Arena, name: str) -> Placement:
    """Lay out a call. Nothing is written but to the arena. Raises CallError naming the argument."""
    _check_count(function, arguments, name)
    placement = Placement()
    _place_result(function, placement, arena, name)
    for index, argument in enumerate(arguments):
        named = index < len(function.parameters)
        parameter = function.parameters[index] if named else None
        label = (parameter.name if parameter else "") or f"#{index + 1}"
        try:
            _place(placement, parameter.type if parameter else None, argument, arena)
        except CallError as error:
            raise CallError(f"{function.declare(name)}: argument {label}: {error}") from None
    return placement


def take_result(function: Function, placement: Placement, x0: int, x1: int, memory: Memory) -> Any:
    """The result as a Python value, from x0 and x1 or from where x8 pointed."""
    ctype = strip(function.return_type)
    if isinstance(ctype, Void):
        return None
    raw = x0.to_bytes(8, "little") + x1.to_bytes(8, "little")
    if placement.result_address is not None:
        raw = memory.read(placement.result_address, sizeof(ctype))
    raw = raw[: sizeof(ctype)]
    return load(Detached(raw), 0, ctype) if isinstance(ctype, Record) else from_bytes(memory, raw, ctype)


def _check_count(function: Function, arguments: Sequence[object], name: str) -> None:
    wanted, given = len(function.parameters), len(arguments)
    if given == wanted or (function.variadic and given > wanted) or not function.prototyped:
        return
    least = "at least " if function.variadic else ""
    raise CallError(f"{function.declare(name)} takes {least}{wanted} arguments, got {given}")


def _place_result(function: Function, placement: Placement, arena: Arena, name: str) -> None:
    ctype = strip(function.return_type)
    if isinstance(ctype, Float):
        raise CallError(f"{function.declare(name)}: floating point results are not supported")
    if isinstance(ctype, Record) and sizeof(ctype) > _BY_VALUE:
        placement.result_address = arena.place(bytes(sizeof(ctype)))
        placement.registers[INDIRECT_RESULT] = placement.result_address


def _place(placement: Placement, ctype: CType | None, argument: object, arena: Arena) -> None:
    """One argument; without a type it is one of the variable ones."""
    real = strip(ctype) if ctype is not None else None
    if isinstance(real, Float):
        raise CallError("floating point arguments are not supported")
    if isinstance(argument, str | bytes | bytearray) and (real is None or isinstance(real, Pointer)):
        placement.add_words([_place_buffer(placement, real, argument, arena)])
    elif callable(argument) and not isinstance(argument, int):
        raise CallError("callbacks into Python are not supported; give the address of a C function")
    elif isinstance(real, Record):
        _place_record(placement, real, to_bytes(real, argument), arena)
    elif ctype is None:
        if not isinstance(argument, int) or not -(1 << 63) <= argument < 1 << 64:
            raise CallError(f"expected a number or a string, got {argument!r}")
        placement.add_words([argument % (1 << 64)])
    else:
        data = to_bytes(ctype, argument)
        placement.add_words([int.from_bytes(data, "little")])


def _place_record(placement: Placement, ctype: Record, data: bytes, arena: Arena) -> None:
    """Up to 16 bytes in words; more as the address of a copy (B.4)."""
    if len(data) > _BY_VALUE:
        placement.add_words([arena.place(data)])
        return
    padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
    placement.add_words([int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)])


def _place_buffer(
    placement: Placement, ctype: Pointer | None, argument: str | bytes | bytearray, arena: Arena
) -> int:
    """Text and bytes are lent to the call, text with its NUL; a bytearray gets back what the call wrote."""
    if ctype is not None and isinstance(strip(ctype.target), Function | Pointer):
        raise CallError(f"expected {ctype}, got {argument!r}")
    if isinstance(argument, bytearray):
        address = arena.place(bytes(argument))
        placement.writable.append((address, argument))
        return address
    return arena.place(argument.encode() + b"\0" if isinstance(argument, str) else argument)
