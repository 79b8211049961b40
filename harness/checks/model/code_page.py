# SPDX-License-Identifier: BSD-3-Clause
"""What instruction caches need know of a page: how far the maintenance of each of its lines has got.

Lines are bits of a number, the first one bit 0. Arm DDI 0487, B2.7.4.2: who writes instructions cleans each
line to the point of unification, DSB, invalidates it in the instruction caches, DSB, ISB.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from harness.arch.bits import align_down, get

PAGE = 4096


class Stage(enum.IntEnum):
    """How far the maintenance of a line has got. One that is at no stage needs none."""

    DIRTY = 0
    CLEANED = 1
    CLEAN = 2
    INVALIDATED = 3
    COMPLETE = 4  # at EL0 it can be executed: ERET synchronizes. At EL1 only behind an ISB.


class CacheLines(NamedTuple):
    """The smallest lines of the data and of the instruction caches, in bytes; a page at most.

    What is followed one by one has the size `unit`; `all` are those of a page.
    """

    data: int
    instruction: int
    unit: int
    all: int

    @classmethod
    def of(cls, ctr: int) -> CacheLines:
        """As CTR_EL0 has them, DminLine and IminLine: log2 of the number of words (D24.2.34)."""
        data, instruction = min(PAGE, 4 << get(ctr, 19, 16)), min(PAGE, 4 << get(ctr, 3, 0))
        unit = min(data, instruction)
        return cls(data, instruction, unit, (1 << PAGE // unit) - 1)

    def between(self, start: int, end: int) -> int:
        """The lines of the page of `start` that [start, end) touches."""
        page = align_down(start, PAGE)
        first, after = (start - page) // self.unit, -(-(min(end, page + PAGE) - page) // self.unit)
        return (1 << after) - (1 << first)

    def unlike(self, one: bytes, other: bytes) -> int:
        """The lines in which two pages differ."""
        if one == other:
            return 0
        unit = self.unit
        starts = range(0, PAGE, unit)
        return sum(1 << at // unit for at in starts if one[at : at + unit] != other[at : at + unit])


class CodePage(NamedTuple):
    """A page that is or may become code.

    `unseen` are lines of which neither a store nor maintenance was seen: what they hold may be old. From the
    first store that is told of until somebody looks, `before` is what the page held.
    """

    stages: tuple[int, ...] = (0,) * len(Stage)  # the lines that are at each
    unseen: int = 0
    before: bytes | None = None

    @classmethod
    def unknown(cls, lines: CacheLines) -> CodePage:
        """One of which nothing was ever seen."""
        return cls((lines.all,) + (0,) * (len(Stage) - 1), lines.all)

    @property
    def unfinished(self) -> int:
        """The lines that need maintenance, or an ISB."""
        dirty, cleaned, clean, invalidated, complete = self.stages
        return dirty | cleaned | clean | invalidated | complete

    def is_worth_keeping(self, lines: CacheLines) -> bool:
        """Whether anything of it has been invalidated, so that it was meant to be code."""
        dirty, cleaned, clean, _, _ = self.stages
        return dirty | cleaned | clean != lines.all

    def advanced(self, lines: int, stage: Stage, to: Stage | None, *, by_address: bool) -> CodePage:
        """Of some lines those at one stage reach another; `by_address`: that was asked for them by name."""
        moved = self.stages[stage] & lines
        if not moved:
            return self
        stages = list(self.stages)
        stages[stage] &= ~moved
        if to is not None:
            stages[to] |= moved
        return CodePage(tuple(stages), self.unseen & ~moved if by_address else self.unseen, self.before)

    def dirtied(self, lines: int) -> CodePage:
        """Some lines were written."""
        dirty, *others = self.stages
        return self._replace(
            stages=(dirty | lines, *(each & ~lines for each in others)), unseen=self.unseen & ~lines
        )

    def looked_at(self, lines: CacheLines, contents: bytes) -> CodePage:
        """With all lines found that were written behind the store that was told of."""
        if self.before is None:
            return self
        return self.dirtied(lines.unlike(self.before, contents))._replace(before=None)

    def first_stage(self, lines: int) -> Stage | None:
        """How far the line is that is furthest back, of some."""
        return next((stage for stage in Stage if self.stages[stage] & lines), None)
