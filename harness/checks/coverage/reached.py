# SPDX-License-Identifier: BSD-3-Clause
"""From steps between blocks to instructions and branch outcomes.

A block at A ends at its branch E. What followed says how far it got and what E did:

    A -> A..E, not E's target     the emulator had cut the block there: it ran up to that address
    A -> E's target               the whole block ran, and E branched
    A -> E + 4                    the whole block ran, and E did not branch
    A -> exception at A..E        it ran up to and including that instruction
    A -> pause at A..E            it ran up to that instruction, which has not begun
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.checks.coverage.program import Program
from harness.checks.coverage.recorder import Step
from harness.machine.blocks import ADDRESS, ENTERED, EXCEPTION


@dataclass(slots=True)
class Reached:
    """Addresses of instructions that began to execute; outcomes: (address of a branch, was it taken)."""

    instructions: set[int] = field(default_factory=set)
    outcomes: set[tuple[int, bool]] = field(default_factory=set)


def reach(program: Program, steps: Iterable[Step]) -> Reached:
    """What of `program` was executed."""
    found = Reached()
    for start, following in steps:
        if start & ~ADDRESS == ENTERED and start in program:
            _follow(program, start, following, found)
    return found


def _follow(program: Program, start: int, following: int, found: Reached) -> None:
    end, address, kind = program.end(start), following & ADDRESS, following & ~ADDRESS
    leaving = program.branch(end)
    target = leaving.target if leaving is not None else None
    if start <= address <= end and not (kind == ENTERED and _is_loop(program, start, address, target)):
        last = address if kind == EXCEPTION else address - 4
        found.instructions.update(range(start, last + 4, 4))
        return
    found.instructions.update(range(start, end + 4, 4))
    if leaving is not None and leaving.flow == "conditional" and target != end + 4:
        if address == target:
            found.outcomes.add((end, True))
        elif address == end + 4:
            found.outcomes.add((end, False))


def _is_loop(program: Program, start: int, address: int, target: int | None) -> bool:
    """Whether a block was left by its branch to its start or into its middle.

    Where the emulator may have cut the block at that very address, the answer is no: rather too little is
    said to have been reached than too much.
    """
    if address == start:
        return target in (start, None)
    return address == target and not program.may_split(address)
