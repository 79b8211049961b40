# SPDX-License-Identifier: BSD-3-Clause
"""What an incomplete invalidation lacks. Each kind of lack belongs to one rule."""

from __future__ import annotations

from typing import NamedTuple

from harness.arch.bits import mask
from harness.arch.maintenance import Invalidation
from harness.checks.model.owed import Debts, Missing, Owed, Stage, Tlbi

_PAGE = 12


class Lack(NamedTuple):
    """What is missing, in a word and in words, and the instruction that should have been another, if one."""

    kind: Missing
    text: str
    tlbi: Tlbi | None = None


def lack(owed: Owed, debts: Debts) -> Lack:
    """Why an invalidation is not complete."""
    if owed.stage is Stage.COMPLETE:
        return Lack("isb", "an ISB behind the DSB that completed the TLBI")
    if owed.stage is Stage.ISSUED:
        return Lack("dsb", "a DSB ISH behind the TLBI, which waits for it to be complete")
    if owed.early is not None:
        early = owed.early
        return Lack("early", f"a DSB ISHST between the store and the {early.what} at {early.pc:#x}", early)
    if owed.local is not None:
        local = owed.local.what.operation.name
        return Lack("local", f"TLBI {local}IS: {local} does not reach the other CPUs", owed.local)
    for each in reversed(debts.tlbis):
        why = None if each.time < owed.change.time else _miss(owed, each)
        if why is not None:
            return Lack("scope", f"a TLBI that reaches the entry: {each.what} {why}", each)
    dsb = "DSB ISHST, " if owed.stage is Stage.STORED else ""
    return Lack("tlbi", f"{dsb}TLBI, DSB ISH behind the store")


def _miss(owed: Owed, tlbi: Tlbi) -> str | None:
    """Why a TLBI that was perhaps meant for the entry does not reach it."""
    what, operation = tlbi.what, tlbi.what.operation
    if operation.regime != 1:
        return f"is for the regime of EL{operation.regime}"
    if owed.is_table and operation.last_level and _in_range(owed, what):
        return "leaves walk caches alone, and a table was unlinked"
    if operation.target != "all" and not operation.any_asid and _in_range(owed, what):
        if what.asid not in owed.asids and not owed.is_global:
            return f"names another ASID than {_names(owed)}"
        if operation.target == "asid" and owed.is_global:
            return "leaves global entries alone"
    if what.level is not None and _in_range(owed, what):
        return f"hints at level {what.level}, the entry is at level {owed.change.use.level}"
    if tlbi.useful or operation.target != "va":
        return None
    shifted = (what.start >> _PAGE << 2 * _PAGE, what.start >> _PAGE)
    for start in shifted:
        if _holds(owed, start):
            return f"has its operand shifted wrongly: it holds VA[55:12], here of {owed.change.va:#x}"
    return f"names another VA than {owed.change.va:#x}"


def _in_range(owed: Owed, what: Invalidation) -> bool:
    if what.operation.target != "va":
        return True
    return what.start < owed.change.va + (1 << owed.change.use.shift) and owed.change.va < what.end


def _holds(owed: Owed, start: int) -> bool:
    """Modulo what does not fit into the operand."""
    size = 1 << owed.change.use.shift
    return (start ^ owed.change.va) & mask(55, 0) & -max(size, 1 << _PAGE) == 0


def _names(owed: Owed) -> str:
    return ", ".join(map(str, sorted(owed.asids))) or "those it was used with"
