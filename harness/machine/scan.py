# SPDX-License-Identifier: BSD-3-Clause
"""Finding the instructions whose execution the machine tells of, in the text of a program, once.

Barriers and ERET cannot be hooked by their kind, and a hook at each address would slow down all instructions:
the instruction counter is itself a hook of every one, and for each unicorn goes through all hooks.
Hooks of blocks cost nothing but in blocks they are for. So a *run* is hooked: instructions without a branch
among them, of which the last is a barrier or ERET. Whichever instruction of a run a block starts at, control
goes through the rest in line; the instruction count then tells which of its barriers have executed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from harness.arch.bits import get
from harness.arch.maintenance import DC_ZVA, ERET, Barrier, barrier, tlbi_operation
from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding
from harness.machine.loops import CacheLoop, cache_loop

Mark = Barrier | Literal["eret"]

REGISTERS = {
    SYSTEM_REGISTERS[name]: name
    for name in (
        *("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "SCTLR_EL1", "VBAR_EL1", "CONTEXTIDR_EL1"),
        *("SPSR_EL1", "ELR_EL1"),
    )
}
"""The registers whose MSR is an event."""

_SYSTEM = 0b1101010100  # bits 31:22 of MSR, SYS and barriers


@dataclass(frozen=True, slots=True)
class Run:
    """Offsets in bytes: where the run starts, and its marks in ascending order."""

    start: int
    marks: tuple[tuple[int, Mark], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a text contains: runs; TLBI, cache maintenance and MSR instructions with their offsets; loops."""

    runs: tuple[Run, ...]
    tlbi: tuple[tuple[int, Encoding], ...]
    cache: tuple[tuple[int, Encoding], ...]
    msr: tuple[tuple[int, Encoding], ...]
    loops: tuple[CacheLoop, ...]


@lru_cache(maxsize=16)
def scan(data: bytes) -> Findings:
    """Go through a text. What is found in data among it does no harm: it never executes."""
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    system = [at for at, word in enumerate(words) if word >> 22 == _SYSTEM and not word >> 21 & 1]
    operations = [(4 * at, _encoding(words[at])) for at in system]
    cache = tuple(each for each in operations if _is_cache_maintenance(each[1]))
    loops = (cache_loop(words, offset // 4) for offset, _ in cache)
    return Findings(
        runs=tuple(_runs(words)),
        tlbi=tuple(each for each in operations if tlbi_operation(each[1]) is not None),
        cache=cache,
        msr=tuple(each for each in operations if each[1] in REGISTERS),
        loops=tuple(loop for loop in loops if loop is not None),
    )


def _encoding(word: int) -> Encoding:
    """MSR, SYS: 1101010100 L op0 op1 CRn CRm op2 Rt (C6.2)."""
    return Encoding(
        get(word, 20, 19), get(word, 18, 16), get(word, 15, 12), get(word, 11, 8), get(word, 7, 5)
    )


def _is_cache_maintenance(encoding: Encoding) -> bool:
    """DC, IC, AT; but not DC ZVA, which maintains nothing."""
    return encoding.op0 == 1 and encoding.crn == 7 and encoding != DC_ZVA


def _runs(words: tuple[int, ...]) -> Iterator[Run]:
    start, marks = 0, list[tuple[int, Mark]]()
    for at, word in enumerate(words):
        top = word >> 24
        if top == 0xD5:
            found = barrier(word)
            if found is not None:
                marks.append((4 * at, found))
        elif top in _BRANCHES:
            if word == ERET:
                marks.append((4 * at, "eret"))
            if marks:
                yield Run(4 * start, tuple(marks))
                marks = []
            start = at + 1
    if marks:
        yield Run(4 * start, tuple(marks))


def _changes_flow(top: int) -> bool:
    """By bits 31:24 (C4.1.65): B, BL, B.cond, CBZ, TBZ, exception generation, BR and its kind."""
    return (
        get(top, 6, 2) == 0b00101 or top in (0x54, 0xD4, 0xD6, 0xD7) or get(top, 6, 1) in (0b011010, 0b011011)
    )


_BRANCHES = frozenset(top for top in range(256) if _changes_flow(top))
