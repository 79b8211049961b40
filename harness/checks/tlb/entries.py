# SPDX-License-Identifier: BSD-3-Clause
"""The entries of a TLB and of its walk cache, tagged with ASIDs (Arm DDI 0487, D8.17).

Nothing is ever overwritten: for one address there may be entries of different times, as in hardware that was
not told of a change.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.arch.descriptor import Descriptor
from harness.arch.maintenance import Invalidation
from harness.arch.permissions import TableLimits
from harness.arch.replacement import Leaf, why_break
from harness.arch.walker import Step
from harness.machine.memory import Memory


class Dying(enum.Enum):
    """How long an entry may still be used that a TLBI has reached."""

    UNTIL_DSB = enum.auto()
    UNTIL_SYNCHRONIZED = enum.auto()  # DSB is done; what this CPU has fetched already may still use it


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A translation, or the first steps of one; `asid` None: global.

    `steps` are the descriptors it is made of, `memory` is the MAIR attribute of a translation, and `number`
    tells the entry from all others.
    """

    va: int
    shift: int
    asid: int | None
    steps: tuple[Step, ...]
    limits: TableLimits
    memory: int
    number: int

    @property
    def last(self) -> Descriptor:
        """The descriptor that it ends with."""
        return self.steps[-1].descriptor

    @property
    def is_table(self) -> bool:
        """Whether it is one of the walk cache."""
        return self.last.kind == "table"

    @property
    def pa(self) -> int:
        """Where its first address is translated to."""
        return self.last.output_address

    def same(self, other: Entry) -> bool:
        """Whether nobody can tell it from another one of the same address."""
        mine, others = self.last, other.last
        return (mine.raw, mine.level, self.asid, self.limits) == (
            *(others.raw, others.level, other.asid, other.limits),
        )

    def conflicts(self, other: Entry, memory: Memory) -> bool:
        """Whether a TLB that holds both of one address has been used without break-before-make (D8.16.1).

        The newer one is what its table still holds: walks may come by an old descriptor after a new one. Of
        the Contiguous bit nothing follows here.
        """
        if self.shift != other.shift:
            return True
        old, new = sorted((self, other), key=lambda each: each._is_there(memory))
        before, after = Leaf(old.last, old.memory), Leaf(new.last, new.memory)
        reason = why_break(
            before, after, lambda: memory.alike(old.pa, new.pa, 1 << new.shift), any_contiguous=True
        )
        return reason is not None

    def _is_there(self, memory: Memory) -> bool:
        step = self.steps[-1]
        return memory.read_qword(step.entry_address) == step.raw

    def reached_by(self, what: Invalidation) -> bool:
        """Whether a TLBI is for it."""
        operation = what.operation
        if operation.regime != 1 or (operation.last_level and self.is_table):
            return False
        if operation.target == "all":
            return True
        if operation.target == "asid":
            return self.asid == what.asid
        if not operation.any_asid and self.asid not in (None, what.asid):
            return False
        if what.level is not None and not self.is_table and what.level != self.last.level:
            return False
        return what.start < self.va + (1 << self.shift) and self.va < what.end


class Tlb:
    """The entries, found by address."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._found: dict[tuple[int, int], tuple[Entry, ...]] = {}  # by shift, and address without the rest
        self._shifts: tuple[int, ...] = ()
        self._order: dict[Entry, None] = {}
        self.dying: dict[Entry, Dying] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._order))

    def matching(self, va: int, asid: int) -> list[Entry]:
        """What may be used for an address, smallest first, and of one size the oldest first."""
        found: list[Entry] = []
        for shift in self._shifts:
            found += [e for e in self._found.get((shift, va >> shift), ()) if e.asid in (None, asid)]
        return found

    def add(self, entry: Entry) -> bool:
        """Keep an entry, unless there is one like it that stays."""
        key = entry.shift, entry.va >> entry.shift
        known = self._found.get(key, ())
        if any(each.same(entry) and each not in self.dying for each in known):
            return False
        self._found[key] = (*known, entry)
        if entry.shift not in self._shifts:
            self._shifts = tuple(sorted((*self._shifts, entry.shift)))
        self._order[entry] = None
        return True

    def remove(self, entry: Entry) -> None:
        """Forget an entry. One that is not there any more does no harm."""
        key = entry.shift, entry.va >> entry.shift
        left = tuple(each for each in self._found.get(key, ()) if each is not entry)
        if left:
            self._found[key] = left
        else:
            self._found.pop(key, None)
        self._order.pop(entry, None)
        self.dying.pop(entry, None)

    def trim(self) -> None:
        """Forget the oldest of what is too much."""
        for entry in list(self._order)[: max(0, len(self._order) - self._capacity)]:
            self.remove(entry)

    def reached(self, what: Invalidation) -> list[Entry]:
        """What a TLBI is for."""
        if what.operation.target != "va" or what.operation.by_range:
            candidates: Iterable[Entry] = self._order
        else:
            keys = ((shift, what.start >> shift) for shift in self._shifts)
            candidates = [entry for key in keys for entry in self._found.get(key, ())]
        return [entry for entry in candidates if entry.reached_by(what)]

    def barrier(self) -> None:
        """A DSB has completed all TLBIs; the upper half is the kernel's own, which needs an ISB too."""
        for entry, dying in list(self.dying.items()):
            if dying is Dying.UNTIL_DSB and entry.va >> 63:
                self.dying[entry] = Dying.UNTIL_SYNCHRONIZED
            elif dying is Dying.UNTIL_DSB:
                self.remove(entry)

    def synchronize(self) -> None:
        """ISB, exception entry or return."""
        for entry in [each for each, dying in self.dying.items() if dying is Dying.UNTIL_SYNCHRONIZED]:
            self.remove(entry)

    def save(self) -> Any:
        """For `restore`."""
        return dict(self._found), self._shifts, dict(self._order), dict(self.dying)

    def restore(self, state: Any) -> None:
        """Back to a saved state; None: empty."""
        found, self._shifts, order, dying = state or ({}, (), {}, {})
        self._found, self._order, self.dying = dict(found), dict(order), dict(dying)
