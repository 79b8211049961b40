# SPDX-License-Identifier: BSD-3-Clause
"""Loops that maintain caches line by line: what they will do is known from their instructions.

To be told of each of the 32,768 lines of a code page of 2M takes a tenth of a second. A loop without a
branch but the one back to its head, in which one DC or IC is the only instruction for the system, and whose
other instructions only add, subtract and compare, does the same with an operand that grows by the same step
each time: from one execution, and the number of instructions retired since, all the others follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.arch.bits import bit, get

_LONGEST = 8  # instructions on each side of the DC or IC
_NOP = 0xD503201F
_ZERO = 31  # as operand XZR


@dataclass(frozen=True, slots=True)
class Step:
    """What is added to the operand each time: a number, or `sign` times a register that the loop keeps."""

    value: int = 0
    register: int | None = None
    sign: int = 1


@dataclass(frozen=True, slots=True)
class CacheLoop:
    """A loop by the indices of its words: the DC or IC, and what follows the loop; its `length` in words."""

    operation: int
    exit: int
    length: int
    step: Step


def cache_loop(words: Sequence[int], at: int) -> CacheLoop | None:
    """The loop around the DC or IC `words[at]`, or None where there is none of this kind."""
    ends = range(at + 1, min(at + _LONGEST, len(words)))
    branch = next((end for end in ends if not _plain(words[end])), None)
    head = None if branch is None else _target(words[branch], branch)
    if branch is None or head is None or not at - _LONGEST <= head <= at or head < 0:
        return None
    body = [words[each] for each in range(head, branch) if each != at]
    step = _step(body, get(words[at], 4, 0)) if all(map(_plain, body)) else None
    return None if step is None else CacheLoop(at, branch + 1, branch + 1 - head, step)


def _target(word: int, at: int) -> int | None:
    """Where a conditional branch leads to: B.cond, CBZ, CBNZ have an offset in words in bits 23:5 (C6.2)."""
    if word >> 24 != 0x54 and get(word, 30, 25) != 0b011010:
        return None
    offset = get(word, 23, 5)
    return at + offset - (1 << 19 if bit(offset, 18) else 0)


def _plain(word: int) -> bool:
    """NOP; ADD, SUB, CMP and their kind, with an immediate or a register that is not shifted (C4.1.92)."""
    register = get(word, 28, 21) == 0b01011000 and get(word, 15, 10) == 0
    return register or get(word, 28, 23) == 0b100010 or word == _NOP


def _step(body: Sequence[int], operand: int) -> Step | None:
    """What the instructions of a loop add to its operand each time."""
    working = [word for word in body if word != _NOP]
    written = [get(word, 4, 0) for word in working if get(word, 4, 0) != _ZERO]
    steps = [_added(word) for word in working if operand != _ZERO and get(word, 4, 0) == operand]
    if not steps:
        return Step()
    step = steps[0]
    if len(steps) > 1 or step is None or step.register in written:
        return None
    return step


def _added(word: int) -> Step | None:
    """What ADD or SUB of 64 bits adds to its own destination."""
    if not bit(word, 31) or get(word, 9, 5) != get(word, 4, 0):
        return None
    sign = -1 if bit(word, 30) else 1
    if get(word, 28, 23) == 0b100010:
        return Step(sign * get(word, 21, 10) << (12 if bit(word, 22) else 0))
    register = get(word, 20, 16)
    return Step() if register == _ZERO else Step(register=register, sign=sign)
