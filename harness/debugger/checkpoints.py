# SPDX-License-Identifier: BSD-3-Clause
"""Moments of a run, and snapshots of some of them in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from harness.arch.esr import EC_HVC64, EC_SMC64, EC_SVC64
from harness.machine import ExceptionTaken, Machine, Snapshot
from harness.machine.ram import PAGE

_CALLS = (EC_SVC64, EC_HVC64, EC_SMC64)  # these instructions retire before their exception is taken


class Moment(NamedTuple):
    """A point in a run: instructions retired, and exceptions taken since the last of them.

    After `time` instructions the CPU may try one that faults, take the exception, and stand at the vector
    with no more instructions retired: that is another moment of the same time.
    """

    time: int
    taken: int = 0

    def __str__(self) -> str:
        return f"{self.time}+{self.taken}" if self.taken else str(self.time)


def moment_of(machine: Machine) -> Moment:
    """The moment at which a machine stands."""
    time, taken = machine.instructions, 0
    for each in reversed(machine.exceptions):
        if each.time != time:
            break
        taken += not is_call(each)
    return Moment(time, taken)


def is_call(taken: ExceptionTaken) -> bool:
    """Whether an exception was made by SVC, HVC or SMC."""
    return taken.syndrome.ec in _CALLS


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A snapshot of one moment. An `edge` is one at which the state was changed from outside."""

    moment: Moment
    snapshot: Snapshot
    edge: bool = False


class Checkpoints:
    """Snapshots in order, no more than `count` and no more than `limit` bytes of pages.

    Pages that several snapshots have in common count once. When there are too many, the one goes whose
    neighbours are closest together for its age, which leaves them denser towards the present. Edges cannot be
    computed again, so they go last, the oldest first: with it goes the past before the next one.
    """

    def __init__(self, limit: int, count: int) -> None:
        self.limit, self.count = limit, count
        self._all: list[Checkpoint] = []
        self._pages: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self._all)

    @property
    def size(self) -> int:
        """Bytes of guest memory that the snapshots hold."""
        return len(self._pages) * PAGE

    @property
    def first(self) -> Checkpoint:
        """The oldest: history starts here."""
        return self._all[0]

    def before(self, moment: Moment) -> Checkpoint | None:
        """The last one at or before a moment."""
        at = bisect_right(self._all, moment, key=lambda each: each.moment)
        return self._all[at - 1] if at else None

    def next_edge(self, after: Moment) -> Checkpoint | None:
        """The first edge after a moment."""
        at = bisect_right(self._all, after, key=lambda each: each.moment)
        return next((each for each in self._all[at:] if each.edge), None)

    def add(self, checkpoint: Checkpoint) -> None:
        """Keep one, in place of another of the same moment; and thin out."""
        at = bisect_right(self._all, checkpoint.moment, key=lambda each: each.moment)
        if at and self._all[at - 1].moment == checkpoint.moment:
            self._remove(at - 1)
            at -= 1
        self._all.insert(at, checkpoint)
        self._pages.update(map(id, checkpoint.snapshot.pages.values()))
        while len(self._all) > 2 and (len(self._all) > self.count or self.size > self.limit):
            self._remove(self._least())

    def forget_after(self, moment: Moment) -> None:
        """Drop all that are later than a moment."""
        while self._all and self._all[-1].moment > moment:
            self._remove(len(self._all) - 1)

    def _least(self) -> int:
        """Which one is missed least. The oldest and the newest stay, unless only edges are left."""
        now = self._all[-1].moment.time
        plain = [at for at in range(1, len(self._all) - 1) if not self._all[at].edge]

        def value(at: int) -> float:
            before, here, after = (self._all[at + step].moment.time for step in (-1, 0, 1))
            return (after - before) / (now - here + 1)

        return min(plain, key=value, default=0)

    def _remove(self, at: int) -> None:
        pages = self._all.pop(at).snapshot.pages.values()
        for page in map(id, pages):
            self._pages[page] -= 1
            if not self._pages[page]:
                del self._pages[page]
