# SPDX-License-Identifier: BSD-3-Clause
"""DWARF expressions: the stack machine that unwinding rules are written for (DWARF 5, 2.5)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from harness.errors import ImageError
from harness.image.reader import Cursor

MASK: Final = (1 << 64) - 1
STEP_LIMIT: Final = 10_000  # operations; expressions can branch backwards


class Context(Protocol):
    """What an expression can ask about the machine."""

    def register(self, number: int) -> int:
        """The value of DWARF register `number`."""

    def memory(self, address: int, size: int) -> int:
        """`size` bytes of memory as an unsigned integer."""


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _divide(left: int, right: int) -> int:
    """Signed division that truncates towards zero, as C does."""
    quotient = abs(_signed(left)) // abs(_signed(right))
    return quotient if (_signed(left) < 0) == (_signed(right) < 0) else -quotient


def _shift(left: int, right: int) -> int:
    return left << right if right < 64 else 0


# Opcodes (DWARF 5, 7.7.1); the second entry of the stack is the left operand.
BINARY: Final[dict[int, Callable[[int, int], int]]] = {
    0x1A: operator.and_,
    0x1B: _divide,
    0x1C: operator.sub,
    0x1D: operator.mod,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: _shift,
    0x25: operator.rshift,
    0x26: lambda left, right: _signed(left) >> right,
    0x27: operator.xor,
    0x29: operator.eq,
    0x2A: lambda left, right: _signed(left) >= _signed(right),
    0x2B: lambda left, right: _signed(left) > _signed(right),
    0x2C: lambda left, right: _signed(left) <= _signed(right),
    0x2D: lambda left, right: _signed(left) < _signed(right),
    0x2E: operator.ne,
}
UNARY: Final[dict[int, Callable[[int], int]]] = {
    0x19: lambda value: abs(_signed(value)),
    0x1F: operator.neg,
    0x20: operator.invert,
}
CONSTANTS: Final[dict[int, Callable[[Cursor], int]]] = {
    0x03: lambda cursor: cursor.unsigned(8),
    0x08: lambda cursor: cursor.unsigned(1),
    0x09: lambda cursor: cursor.signed(1),
    0x0A: lambda cursor: cursor.unsigned(2),
    0x0B: lambda cursor: cursor.signed(2),
    0x0C: lambda cursor: cursor.unsigned(4),
    0x0D: lambda cursor: cursor.signed(4),
    0x0E: lambda cursor: cursor.unsigned(8),
    0x0F: lambda cursor: cursor.signed(8),
    0x10: Cursor.uleb,
    0x11: Cursor.sleb,
}
DEREF, DUP, DROP, OVER, PICK, SWAP, ROT = 0x06, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
PLUS_UCONST, BRA, SKIP = 0x23, 0x28, 0x2F
LIT0, BREG0, BREGX, DEREF_SIZE, NOP = 0x30, 0x70, 0x92, 0x94, 0x96


def evaluate(expression: bytes, context: Context, stack: Sequence[int] = ()) -> int:
    """The value that `expression` leaves on the stack, which starts as `stack`.

    Raises ImageError for what is malformed or describes a place and not a value.
    """
    machine = StackMachine(expression, context, stack)
    try:
        return machine.run()
    except (IndexError, ZeroDivisionError, ValueError) as error:
        raise ImageError(f"malformed DWARF expression {expression.hex()}: {error}") from error


class StackMachine:
    """Runs an expression; rooms that know more operations extend `other`."""

    def __init__(self, expression: bytes, context: Context, stack: Sequence[int]) -> None:
        self.cursor = Cursor(expression)
        self.context = context
        self.stack = [value & MASK for value in stack]

    def run(self) -> int:
        for _ in range(STEP_LIMIT):
            if self.cursor.at_end:
                return self.stack[-1]
            self.step(self.cursor.u8())
        raise ImageError(f"DWARF expression {self.cursor.data.hex()} does not end")

    def push(self, value: int) -> None:
        self.stack.append(value & MASK)

    def step(self, code: int) -> None:
        if code in CONSTANTS:
            self.push(CONSTANTS[code](self.cursor))
        elif LIT0 <= code < LIT0 + 32:
            self.push(code - LIT0)
        elif BREG0 <= code < BREG0 + 32:
            self.push(self.context.register(code - BREG0) + self.cursor.sleb())
        elif code in BINARY:
            right, left = self.stack.pop(), self.stack.pop()
            self.push(int(BINARY[code](left, right)))
        elif code in UNARY:
            self.push(UNARY[code](self.stack.pop()))
        elif code in (DUP, DROP, OVER, PICK, SWAP, ROT):
            self.shuffle(code)
        else:
            self.other(code)

    def shuffle(self, code: int) -> None:
        stack = self.stack
        if code == DROP:
            stack.pop()
        elif code == SWAP:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif code == ROT:  # the first entry becomes the third, the second the first
            stack[-3], stack[-2], stack[-1] = stack[-1], stack[-3], stack[-2]
        else:
            depth = {DUP: 1, OVER: 2}.get(code) or self.cursor.u8() + 1
            self.push(stack[-depth])

    def other(self, code: int) -> None:
        cursor = self.cursor
        if code == PLUS_UCONST:
            self.push(self.stack.pop() + cursor.uleb())
        elif code == DEREF:
            self.push(self.context.memory(self.stack.pop(), 8))
        elif code == DEREF_SIZE:
            self.push(self.context.memory(self.stack.pop(), cursor.u8()))
        elif code == BREGX:
            self.push(self.context.register(cursor.uleb()) + cursor.sleb())
        elif code in (BRA, SKIP):
            distance = cursor.signed(2)
            if code == SKIP or self.stack.pop():
                self.jump(cursor.position + distance)
        elif code != NOP:
            raise ImageError(f"DWARF operation {code:#04x} is not supported in an unwinding rule")

    def jump(self, target: int) -> None:
        if not 0 <= target <= len(self.cursor.data):
            raise IndexError(f"branch to {target}")
        self.cursor.position = target
