# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel owes: invalidations of entries that TLBs may still hold as they were (Arm DDI 0487, D8.17).

STORED     the descriptor was changed
VISIBLE    a DSB has made that visible to walks: only a TLBI from now on counts
ISSUED     a TLBI that reaches the entry was executed
COMPLETE   a DSB has completed it: TLBs have forgotten; this CPU may need an ISB
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.arch.maintenance import Barrier, Invalidation
from harness.checks.model.change import Change
from harness.checks.model.tables import Use

Missing = Literal["tlbi", "early", "dsb", "isb", "scope", "local"]


class Stage(enum.IntEnum):
    """How far an invalidation has got."""

    STORED = 0
    VISIBLE = 1
    ISSUED = 2
    COMPLETE = 3


class Tlbi(NamedTuple):
    """A TLBI that was executed, and whether anything owed was reached by it."""

    time: int
    pc: int
    what: Invalidation
    useful: bool


@dataclass(eq=False, slots=True)
class Owed:
    """One entry that must be invalidated: `change` says what it was and who changed it.

    `asids` are those under which TLBs may hold it and that no TLBI has named yet; for leaves that are not
    global, and for tables.
    """

    change: Change
    is_table: bool
    is_global: bool
    asids: frozenset[int]
    tables: tuple[Use, ...] = ()  # that hang nowhere now, but may still be walked
    stage: Stage = Stage.STORED
    early: Tlbi | None = None
    local: Tlbi | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Level and number of the entry among those of its level: how a TLBI by VA finds it."""
        return self.change.use.level, self.change.va >> self.change.use.shift

    def reached_by(self, what: Invalidation) -> bool:
        """Whether a TLBI is for this entry, but for the ASIDs."""
        operation = what.operation
        if operation.regime != 1 or (operation.last_level and self.is_table):
            return False
        if operation.target == "asid" and self.is_global:
            return False
        if operation.target != "va":
            return True
        if what.level is not None and not self.is_table and what.level != self.change.use.level:
            return False
        start = self.change.va
        return what.start < start + (1 << self.change.use.shift) and start < what.end

    def asids_left(self, what: Invalidation) -> frozenset[int]:
        """The ASIDs that remain after a TLBI that reaches it."""
        operation = what.operation
        if operation.any_asid or operation.target == "all" or (self.is_global and not self.is_table):
            return frozenset()
        return self.asids - {what.asid}


@dataclass(slots=True)
class Debts:
    """Everything owed. `others`: other CPUs may walk the same tables, so only what reaches them counts."""

    others: bool
    by_entry: dict[int, Owed] = field(default_factory=dict)
    _by_key: dict[tuple[int, int], dict[int, Owed]] = field(default_factory=dict)
    _stored: list[Owed] = field(default_factory=list)
    _issued: list[Owed] = field(default_factory=list)
    _shapes: set[tuple[int, int]] = field(default_factory=set)  # levels and sizes of what was ever owed
    tlbis: list[Tlbi] = field(default_factory=list)  # since something is owed

    def __iter__(self) -> Iterator[Owed]:
        return iter(tuple(self.by_entry.values()))

    def add(self, owed: Owed) -> None:
        """A change was made; it takes the place of an earlier one of the same entry."""
        earlier = self.by_entry.get(owed.change.entry)
        if earlier is not None:
            self.drop(earlier)
        self.by_entry[owed.change.entry] = owed
        self._by_key.setdefault(owed.key, {})[owed.change.entry] = owed
        self._shapes.add((owed.change.use.level, owed.change.use.shift))
        self._stored.append(owed)

    def drop(self, owed: Owed) -> None:
        """It is settled, or of no matter any more."""
        if self.by_entry.get(owed.change.entry) is owed:
            del self.by_entry[owed.change.entry]
            same = self._by_key[owed.key]
            same.pop(owed.change.entry, None)
            if not same:
                del self._by_key[owed.key]
        if not self.by_entry:
            self.tlbis.clear()

    def invalidate(self, time: int, pc: int, what: Invalidation) -> None:
        """A TLBI was executed."""
        if not self.by_entry:
            return
        reached = [owed for owed in self._candidates(what) if owed.reached_by(what)]
        event = Tlbi(time, pc, what, bool(reached))
        self.tlbis.append(event)
        for owed in reached:
            self._reach(owed, event)

    def _reach(self, owed: Owed, event: Tlbi) -> None:
        left = owed.asids_left(event.what)
        if left and left == owed.asids:
            return  # not for this entry: other ASIDs
        if owed.stage is Stage.STORED:
            owed.early = event
        elif self.others and not event.what.operation.broadcast:
            owed.local = event
        else:
            owed.asids = left
            if not left and owed.stage is Stage.VISIBLE:
                owed.stage = Stage.ISSUED
                self._issued.append(owed)

    def _candidates(self, what: Invalidation) -> Iterable[Owed]:
        if what.operation.target != "va" or what.operation.by_range:
            return tuple(self.by_entry.values())
        found: list[Owed] = []
        for level, shift in self._shapes:
            found += self._by_key.get((level, what.start >> shift), {}).values()
        return found

    def barrier(self, barrier: Barrier) -> list[Owed]:
        """A DSB was executed. What it completes, which is owed no more but for an ISB."""
        if self.others and not barrier.shared:
            return []
        if barrier.writes:
            for owed in self._stored:
                owed.stage = max(owed.stage, Stage.VISIBLE)
            self._stored.clear()
        if not barrier.completes_maintenance:
            return []
        done = [owed for owed in self._issued if self.by_entry.get(owed.change.entry) is owed]
        self._issued.clear()
        for owed in done:
            owed.stage = Stage.COMPLETE
            self.drop(owed)
        return done

    # -- snapshots ----------------------------------------------------------------------------------------

    def save(self) -> list[Owed]:
        """For `restore`."""
        return [copy.copy(owed) for owed in self.by_entry.values()]

    def restore(self, state: list[Owed]) -> None:
        """Back to an earlier state."""
        for part in (self.by_entry, self._by_key, self._stored, self._issued, self.tlbis):
            part.clear()
        for saved in state:
            owed = copy.copy(saved)
            self.add(owed)
            if owed.stage is not Stage.STORED:
                self._stored.remove(owed)
            if owed.stage is Stage.ISSUED:
                self._issued.append(owed)
