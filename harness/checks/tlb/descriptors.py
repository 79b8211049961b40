# SPDX-License-Identifier: BSD-3-Clause
"""Table entries as walks see them: a store to one need not be visible to walks before a DSB (B2.3.12).

Pages are known as tables when a walk can come by them, and as long as an entry links them. Of a table of more
than a page (granules of 16K and 64K) the parts are known that walks have come by.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from harness.arch.descriptor import LAST_LEVEL, decode
from harness.arch.regime import Regime
from harness.arch.walker import Step
from harness.checks.tlb.choices import Choices
from harness.machine.memory import Memory

PAGE = 1 << 12
_VALID, _TABLE = 1, 3
_ENTRIES = PAGE // 8
_OLD = 1


class Place(NamedTuple):
    """Where in a tree a page is a table, or part of one: `table` is its first entry there, for `va`."""

    base: int
    table: int
    level: int
    va: int

    def va_of(self, entry: int, regime: Regime) -> int:
        """The first address that the entry at a physical address is for."""
        return self.va + ((entry - self.table) // 8 << regime.granule.level_shift(self.level))


class Descriptors:
    """Memory, as walks may see it."""

    def __init__(self, memory: Memory, choices: Choices) -> None:
        self._memory, self._choices = memory, choices
        self._pages: dict[int, dict[Place, tuple[Step, ...]]] = {}  # by page number; and how walks got there
        self._stored: dict[int, int] = {}  # by address: what a walk may still see, since no DSB has come
        self._unsynced: dict[int, int] = {}  # the same, of new entries of the kernel's half without an ISB
        self.old_seen = False
        """Whether a walk has come by a descriptor that the next barrier makes another one."""

    def read(self, pa: int) -> int | None:
        """A descriptor."""
        for stored in (self._stored, self._unsynced):
            if pa in stored and self._choices.yes(_OLD, pa):
                self.old_seen = True
                return stored[pa]
        return self._memory.read_qword(pa)

    def is_reloadable(self, steps: tuple[Step, ...]) -> bool:
        """Whether a walk may still come by these descriptors though one of them is no more."""
        return any(self._stored.get(step.entry_address) == step.raw for step in steps)

    # -- which pages are tables -----------------------------------------------------------------------------

    def learn(self, regime: Regime, va: int, steps: tuple[Step, ...]) -> bool:
        """A walk has come by the entry of the last step; whether its page was not known to be a table."""
        last, before = steps[-1], steps[:-1]
        table = before[-1].descriptor.output_address if before else regime.table_base
        start, shift = max(table, last.entry_address & -PAGE), regime.granule.level_shift(last.level)
        first = (va >> shift) - (last.entry_address - start) // 8 << shift
        return self._learn(Place(regime.table_base, start, last.level, first), before)

    def learn_tree(self, regime: Regime) -> None:
        """Walks may come by all tables below a root."""
        root = Place(regime.table_base, regime.table_base, regime.start_level, regime.base)
        self._learn_below(regime, root, (), min(regime.root_entries, _ENTRIES))

    def learn_link(self, regime: Regime, place: Place, entry: int) -> None:
        """An entry was written, and may link a tree of tables now."""
        raw, steps = self._memory.read_qword(entry) or 0, self._pages[entry // PAGE][place]
        if place.level < LAST_LEVEL and raw & _TABLE == _TABLE:
            step = Step(place.level, entry, decode(raw, place.level, regime.granule))
            child = step.descriptor.output_address
            below = Place(place.base, child, place.level + 1, place.va_of(entry, regime))
            self._learn_below(regime, below, (*steps, step), _ENTRIES)

    def _learn_below(self, regime: Regime, place: Place, steps: tuple[Step, ...], entries: int) -> None:
        if not self._memory.contains(place.table, 8 * entries):
            return
        self._learn(place, steps)
        if place.level < LAST_LEVEL:
            words = struct.unpack(f"<{entries}Q", self._memory.read(place.table, 8 * entries))
            for at in [at for at, raw in enumerate(words) if raw & _TABLE == _TABLE]:
                self.learn_link(regime, place, place.table + 8 * at)

    def _learn(self, place: Place, steps: tuple[Step, ...]) -> bool:
        page = place.table // PAGE
        new = page not in self._pages
        self._pages.setdefault(page, {})[place] = steps
        return new

    def is_table(self, pa: int) -> bool:
        """Whether a page is known as a table."""
        return pa // PAGE in self._pages

    def places(self, pa: int, roots: tuple[int, ...]) -> list[Place]:
        """Where a page is a table still, in trees with these roots; in none, and it is forgotten."""
        page = pa // PAGE
        known = self._pages.pop(page, {})
        linked = {at: steps for at, steps in known.items() if at.base in roots and self._are_there(steps)}
        if linked:
            self._pages[page] = linked
        return list(linked)

    def _are_there(self, steps: tuple[Step, ...]) -> bool:
        return all(self._memory.read_qword(step.entry_address) == step.raw for step in steps)

    # -- stores and barriers --------------------------------------------------------------------------------

    def stored(self, pa: int, before: bytes) -> list[int]:
        """A table page may have been written, and was `before`; the entries that were."""
        after = self._memory.read(pa, PAGE)
        if after == before:
            return []
        words = zip(struct.unpack("<512Q", before), struct.unpack("<512Q", after), strict=True)
        changed = {pa + 8 * at: old for at, (old, new) in enumerate(words) if old != new}
        self._stored = {**changed, **self._stored}
        return list(changed)

    def barrier(self) -> None:
        """A DSB that waits for stores."""
        for pa, old in self._stored.items():
            upper = any(place.va >> 63 for place in self._pages.get(pa // PAGE, ()))
            if upper and not old & _VALID:
                self._unsynced[pa] = old
        self._stored.clear()

    def synchronize(self) -> None:
        """ISB, exception entry or return."""
        self._unsynced.clear()

    def save(self) -> Any:
        """For `restore`."""
        return (
            {page: dict(each) for page, each in self._pages.items()},
            dict(self._stored),
            dict(self._unsynced),
        )

    def restore(self, state: Any) -> None:
        """Back to a saved state; None: nothing is known."""
        pages, stored, unsynced = state or ({}, {}, {})
        self._pages = {page: dict(each) for page, each in pages.items()}
        self._stored, self._unsynced = dict(stored), dict(unsynced)
        self.old_seen = False
