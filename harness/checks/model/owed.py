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
from harness.checks.model.tables import ADDRESS, VALID, Root, Use

Missing = Literal["tlbi", "early", "dsb", "isb", "scope", "local"]

_EL0 = 1 << 6  # AP[1]


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
    global, and for tables. Nobody relies on one that is `idle`: the access flag was cleared, and what TLBs
    hold matters only when the entry changes again.
    """

    change: Change
    is_table: bool
    is_global: bool
    asids: frozenset[int]
    tables: tuple[Use, ...] = ()  # that hang nowhere now, but may still be walked
    stage: Stage = Stage.STORED
    early: Tlbi | None = None
    local: Tlbi | None = None
    idle: bool = False

    @property
    def frames(self) -> tuple[int, int] | None:
        """(log2 of the size, number) of the memory that a leaf mapped and that its entry has given up."""
        use, old, new = self.change.use, self.change.old, self.change.new
        if self.is_table or self.idle or (new & VALID and (old ^ new) & ADDRESS == 0):
            return None
        return use.shift, (old & ADDRESS) >> use.shift

    @property
    def gives_up_el0(self) -> bool:
        """Whether that is memory of EL0: a kernel itself may have more than one way to what it uses."""
        return self.frames is not None and bool(self.change.old & _EL0)

    @property
    def place(self) -> _Place:
        """What tells it from others: there is one at most for an entry in a tree."""
        return self.change.entry, self.change.use.root

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


_RECENT = 256

_Place = tuple[int, Root]
"""An entry, in one of the trees that its table is part of: each has ASIDs and addresses of its own."""

_Index = dict[tuple[int, int], dict[_Place, Owed]]
"""Debts by two numbers, and then by entry."""


def _leave(index: _Index, key: tuple[int, int], owed: Owed) -> None:
    same = index[key]
    same.pop(owed.place, None)
    if not same:
        del index[key]


@dataclass(slots=True)
class Debts:
    """Everything owed. `others`: other CPUs may walk the same tables, so only what reaches them counts."""

    others: bool
    _by_place: dict[_Place, Owed] = field(default_factory=dict)
    _by_key: _Index = field(default_factory=dict)
    _by_frames: _Index = field(default_factory=dict)
    _stored: list[Owed] = field(default_factory=list)
    _issued: list[Owed] = field(default_factory=list)
    _shapes: set[tuple[int, int]] = field(default_factory=set)  # levels and sizes of what was ever owed
    tlbis: list[Tlbi] = field(default_factory=list)  # since something is owed, the latest _RECENT

    def __iter__(self) -> Iterator[Owed]:
        return iter(tuple(self._by_place.values()))

    def add(self, owed: Owed) -> None:
        """A change was made; it takes the place of an earlier one of the same entry, in the same tree."""
        earlier = self._by_place.get(owed.place)
        if earlier is not None:
            self.drop(earlier)
        self._by_place[owed.place] = owed
        self._by_key.setdefault(owed.key, {})[owed.place] = owed
        if owed.gives_up_el0 and owed.frames is not None:
            self._by_frames.setdefault(owed.frames, {})[owed.place] = owed
        self._shapes.add((owed.change.use.level, owed.change.use.shift))
        self._stored.append(owed)

    def of(self, change: Change) -> Owed | None:
        """What is owed of the entry that is changed, as it is part of the change's tree."""
        return self._by_place.get((change.entry, change.use.root))

    def is_owed(self, owed: Owed) -> bool:
        """Whether it is neither settled nor replaced."""
        return self._by_place.get(owed.place) is owed

    def drop(self, owed: Owed) -> None:
        """It is settled, or of no matter any more."""
        if self.is_owed(owed):
            del self._by_place[owed.place]
            _leave(self._by_key, owed.key, owed)
            if owed.gives_up_el0 and owed.frames is not None:
                _leave(self._by_frames, owed.frames, owed)
        if not self._by_place:
            self.tlbis.clear()

    @property
    def holds_memory(self) -> bool:
        """Whether `holding` knows of any."""
        return bool(self._by_frames)

    def at(self, va: int) -> list[Owed]:
        """What is owed of entries that translate a virtual address, of any address space."""
        found: list[Owed] = []
        for level, shift in self._shapes:
            found += self._by_key.get((level, va >> shift), {}).values()
        return found

    def holding(self, start: int, size: int) -> list[Owed]:
        """Leaves of EL0 of which TLBs may hold that they map some of this memory, which was given up."""
        found: list[Owed] = []
        for shift in {shift for _, shift in self._shapes}:
            for number in range(start >> shift, (start + size - 1 >> shift) + 1):
                found += self._by_frames.get((shift, number), {}).values()
        return found

    def invalidate(self, time: int, pc: int, what: Invalidation) -> None:
        """A TLBI was executed."""
        if not self._by_place:
            return
        reached = [owed for owed in self._candidates(what) if owed.reached_by(what)]
        event = Tlbi(time, pc, what, bool(reached))
        self.tlbis.append(event)
        del self.tlbis[:-_RECENT]
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
            return tuple(self._by_place.values())
        return self.at(what.start)

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
        done = [owed for owed in self._issued if self.is_owed(owed)]
        self._issued.clear()
        for owed in done:
            owed.stage = Stage.COMPLETE
            self.drop(owed)
        return done

    # -- snapshots ----------------------------------------------------------------------------------------

    def save(self) -> tuple[list[Owed], list[Tlbi]]:
        """For `restore`."""
        return [copy.copy(owed) for owed in self._by_place.values()], list(self.tlbis)

    def restore(self, state: tuple[list[Owed], list[Tlbi]]) -> None:
        """Back to an earlier state."""
        for part in (self._by_place, self._by_key, self._by_frames, self._stored, self._issued):
            part.clear()
        owed_then, self.tlbis = state[0], list(state[1])
        for saved in owed_then:
            owed = copy.copy(saved)
            self.add(owed)
            if owed.stage is not Stage.STORED:
                self._stored.remove(owed)
            if owed.stage is Stage.ISSUED:
                self._issued.append(owed)
