# SPDX-License-Identifier: BSD-3-Clause
"""Table entries as walks see them: a store to one need not be visible to walks before a DSB (B2.3.12).

A page is known as a table once a walk has come by that is remembered.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from harness.arch.walker import Step
from harness.checks.tlb.choices import Choices
from harness.machine.memory import Memory

PAGE = 1 << 12
_VALID = 1
_OLD = 1


class Place(NamedTuple):
    """Where in a tree a page is a table: its root, its level, and the first address that it is for."""

    base: int
    level: int
    va: int


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

    def learn(self, pa: int, place: Place, steps: tuple[Step, ...]) -> bool:
        """A walk has come by a page; whether it was not known to be a table."""
        page = pa // PAGE
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

    def stored(self, pa: int, before: bytes) -> bool:
        """A table page may have been written, and was `before`; whether it was."""
        after = self._memory.read(pa, PAGE)
        if after == before:
            return False
        words = zip(struct.unpack("<512Q", before), struct.unpack("<512Q", after), strict=True)
        for index, (old, new) in enumerate(words):
            if old != new:
                self._stored.setdefault(pa + 8 * index, old)
        return True

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
