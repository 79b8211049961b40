# SPDX-License-Identifier: BSD-3-Clause
"""Where A64 instructions send control (Arm DDI 0487, C4.1.65: branches, exception generation and system)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import U64, get, sign_extend

Flow = Literal["jump", "conditional", "call", "indirect call", "indirect", "return", "exception"]

NOP = 0xD503201F
_ALWAYS = 0b1110  # and 0b1111: conditions that are always true
_INDIRECT: dict[int, Flow] = {0: "indirect", 1: "indirect call", 2: "return", 4: "return", 5: "return"}


@dataclass(frozen=True, slots=True)
class Branch:
    """An instruction after which another than the next one may follow; `target` is None where not encoded."""

    flow: Flow
    target: int | None = None

    @property
    def falls_through(self) -> bool:
        """Whether the next instruction may follow: at once, or when a call or an exception returns."""
        return self.flow in ("conditional", "call", "indirect call", "exception")


def branch(word: int, address: int) -> Branch | None:
    """The branch that `word` at `address` is, or None.

    B and BL have imm26 at [25:0]; B.cond, CBZ, CBNZ imm19 at [23:5]; TBZ, TBNZ imm14 at [18:5]: all in words.
    """
    if get(word, 30, 26) == 0b00101:
        return Branch("call" if word >> 31 else "jump", _relative(address, word, 25, 0))
    if word >> 24 == 0b01010100:
        always = get(word, 3, 0) >= _ALWAYS
        return Branch("jump" if always else "conditional", _relative(address, word, 23, 5))
    if get(word, 30, 25) == 0b011010:
        return Branch("conditional", _relative(address, word, 23, 5))
    if get(word, 30, 25) == 0b011011:
        return Branch("conditional", _relative(address, word, 18, 5))
    if word >> 25 == 0b1101011:  # bits [24:21]; PAC variants set bit 24
        return Branch(_INDIRECT.get(get(word, 23, 21), "indirect"))
    if word >> 24 == 0b11010100 or word >> 16 == 0:  # SVC, HVC, SMC, BRK, HLT; UDF
        return Branch("exception")
    return None


def condition(word: int) -> tuple[str, bool]:
    """What a conditional branch tests, and the truth of it that makes it branch: CBNZ is ("zero", False).

    So that copies of a branch can be compared, which compilers turn round as they like.
    """
    if word >> 24 == 0b01010100:
        return f"b{get(word, 3, 1)}", not word & 1
    return "bit" if get(word, 30, 25) == 0b011011 else "zero", not word >> 24 & 1


def is_system(word: int) -> bool:
    """Whether it is of the system class: MSR, MRS, SYS, barriers, hints."""
    return word >> 22 == 0b1101010100


def _relative(address: int, word: int, high: int, low: int) -> int:
    return (address + 4 * sign_extend(get(word, high, low), high - low + 1)) & U64
