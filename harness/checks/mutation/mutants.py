# SPDX-License-Identifier: BSD-3-Clause
"""The mutants of an image, one instruction of A64 changed in each (encodings: Arm DDI 0487, C6.2).

barrier     DSB, ISB, TLBI, DC, IC become NOP
branch      a conditional branch is inverted
descriptor  where descriptors are made: a bit of a constant is cleared, or a mask moved by a bit
bound       a comparison is off by one: < becomes <=, >= becomes >, and so on; not in a minimum or maximum

None of them is in what is executed only where an assertion fails, nor lets an assertion hold where it would
fail: no test may go there. Bounds are those of the source: what the compiler compares for a switch, or to
tell whether a quotient is zero, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harness.arch.a64 import NOP, is_system
from harness.arch.bits import get, mask
from harness.checks.coverage import Program
from harness.checks.coverage.fatal import Assertions, line_of, source_lines
from harness.checks.coverage.source import Owners
from harness.image import SourceLocation

Kind = Literal["barrier", "branch", "descriptor", "bound"]
KINDS: tuple[Kind, ...] = get_args(Kind)

DESCRIPTOR_CODE = re.compile(r"arch/\w+/(mmu\w*|attributes|pte\w*|walk|table|boot_tables)\.[chS]$")

# HS, LO, GE, LT with the condition that differs from each where both operands are equal, and back.
_OFF_BY_ONE = {2: 8, 8: 2, 3: 9, 9: 3, 10: 12, 12: 10, 11: 13, 13: 11}
_HOLD_FOR_EQUALS = (2, 9, 10, 13)  # HS, LS, GE, LE
_RELATION = re.compile(r"(?<![-<>])[<>](?![<>])|\bb\.\w+|\b(csel|ccmp|cset)\w*\b")
_CONDITIONS = ["EQ", "NE", "HS", "LO", "MI", "PL", "VS", "VC", "HI", "LS", "GE", "LT", "GT", "LE", "AL", "NV"]
_BARRIERS = {1: "DSB", 4: "DSB", 6: "ISB"}


@dataclass(frozen=True, slots=True)
class Change:
    """Another word in the place of one, and what that means."""

    word: int
    what: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of an image. `id` is the same for the same image, `what` for the same source."""

    id: str
    kind: Kind
    address: int
    word: int
    what: str
    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        """Where in the source it is."""
        return f"{self.file}:{self.line}"


def mutants(program: Program, root: str = "", folder: Path = Path()) -> Iterator[Mutant]:
    """All mutants of the code whose source is below `root`, by address.

    Sources, which say where assertions are, are found from `folder` as DWARF names them.
    """
    owners = Owners(program.image)
    assertions = Assertions(program, folder)
    fatal = assertions.code()
    for index, address in enumerate(program.instructions):
        location = program.image.lines.location(address)
        if location is None or not location.file.startswith(root) or address in fatal:
            continue
        barred = set() if DESCRIPTOR_CODE.search(location.file) else {"descriptor"}
        words = [program.word(each) for each in program.instructions[max(index - 3, 0) : index + 1]]
        text = line_of(source_lines(location.file, folder), location.line)
        if (
            is_extremum(words)
            or not compares(text)
            or weakens(assertions, program.word(address), address, location)
        ):
            barred.add("bound")
        for kind in (each for each in KINDS if each not in barred):
            for number, change in enumerate(_CHANGES[kind](program.word(address))):
                yield Mutant(
                    f"{kind}:{address:x}:{number}",
                    *(kind, address, change.word, change.what, location.file, location.line),
                    owners.of(address, location),
                )


def _barrier(word: int) -> Iterator[Change]:
    name = barrier_name(word)
    if name:
        yield Change(NOP, f"{name} -> NOP")


def barrier_name(word: int) -> str | None:
    """DSB, ISB, TLBI, DC or IC; None for anything else. SYS has op0 = 1 at [20:19] and CRn at [15:12]."""
    if not is_system(word) or get(word, 21, 21):
        return None
    op0, op1, crn, crm, op2 = (get(word, *bits) for bits in ((20, 19), (18, 16), (15, 12), (11, 8), (7, 5)))
    if (op0, op1, crn) == (0, 3, 3):
        return _BARRIERS.get(op2)
    if op0 != 1 or crn not in (7, 8):
        return None
    if crn == 8:
        return "TLBI"
    if crm == 8:  # AT
        return None
    return "IC" if crm in (1, 5) else "DC"


def _branch(word: int) -> Iterator[Change]:
    """B.cond has its condition at [3:0], which bit 0 inverts; CBZ and TBZ have bit 24."""
    if word >> 24 == 0b01010100 and get(word, 3, 1) != 7:
        now = get(word, 3, 0)
        yield Change(word ^ 1, f"B.{_CONDITIONS[now]} -> B.{_CONDITIONS[now ^ 1]}")
    elif get(word, 30, 25) in (0b011010, 0b011011):
        names = ("CBZ", "CBNZ") if get(word, 30, 25) == 0b011010 else ("TBZ", "TBNZ")
        now = get(word, 24, 24)
        yield Change(word ^ 1 << 24, f"{names[now]} -> {names[1 - now]}")


def _bound(word: int) -> Iterator[Change]:
    """The condition of B.cond at [3:0]; of CSEL and its like, CCMP and CCMN at [15:12]."""
    low = 0 if word >> 24 == 0b01010100 else 12 if get(word, 28, 21) in (0b11010100, 0b11010010) else None
    if low is None:
        return
    condition = get(word, low + 3, low)
    if condition in _OFF_BY_ONE:
        other = _OFF_BY_ONE[condition]
        changed = word & ~mask(low + 3, low) | other << low
        yield Change(changed, f"{_CONDITIONS[condition]} -> {_CONDITIONS[other]}")


def is_extremum(words: Sequence[int]) -> bool:
    """Whether the last one is CSEL between two registers that CMP, just before, has compared.

    That is a minimum or maximum: of equals either will do, so a bound off by one changes nothing.
    """
    *before, select = words
    if select & 0x7FE0_0C00 != 0x1A80_0000:
        return False
    registers = {get(select, 20, 16), get(select, 9, 5)}
    for word in reversed(before):
        if word & 0x7FE0_FC1F == 0x6B00_001F:
            return word >> 31 == select >> 31 and {get(word, 20, 16), get(word, 9, 5)} == registers
        pair = {get(word, 14, 10)} if word & 0x3840_0000 == 0x2840_0000 else set()  # LDP
        if registers & {get(word, 4, 0), *pair}:
            return False
    return False


def compares(text: str) -> bool:
    """Whether a line of C or assembly has a bound: a relational operator, a condition. Any, if not there."""
    return not text or _RELATION.search(text) is not None


def weakens(assertions: Assertions, word: int, address: int, place: SourceLocation) -> bool:
    """Whether B.cond fails an assertion if both operands are equal, which it does not when off by one."""
    if word >> 24 != 0b01010100:
        return False
    return assertions.fails(address, get(word, 3, 0) in _HOLD_FOR_EQUALS, place)


def _descriptor(word: int) -> Iterator[Change]:
    """MOVZ, MOVN, MOVK: imm16 at [20:5]. AND, ORR, EOR, ANDS with a mask: its rotation immr at [21:16].

    The length of the mask's run of ones is imms at [15:10].
    """
    if get(word, 28, 23) == 0b100101 and get(word, 30, 29) != 1:
        shift = 16 * get(word, 22, 21)
        for bit in range(16):
            if word >> (5 + bit) & 1:
                yield Change(word ^ 1 << (5 + bit), f"bit {shift + bit} of a constant cleared")
    elif get(word, 28, 23) == 0b100100 and not _extends_zero(word):
        wide = get(word, 31, 31)
        rotation = (get(word, 21, 16) + 1) % (64 if wide else 32)
        yield Change(word & ~mask(21, 16) | rotation << 16, "mask moved by a bit")


def _extends_zero(word: int) -> bool:
    """AND or TST of a W with 0xFF or 0xFFFF: a `bool` or `uint16_t` is made of it; no mask of the source."""
    return get(word, 31, 29) in (0, 3) and get(word, 22, 16) == 0 and get(word, 15, 10) in (7, 15)


_CHANGES = {"barrier": _barrier, "branch": _branch, "descriptor": _descriptor, "bound": _bound}
