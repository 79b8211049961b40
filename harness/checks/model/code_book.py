# SPDX-License-Identifier: BSD-3-Clause
"""The pages that are executable or were maintained as code, and what of them the machine is asked to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from harness.checks.model.code_page import PAGE, CacheLines, CodePage, Stage
from harness.checks.model.tables import ADDRESS, Use
from harness.machine import Machine
from harness.machine.watched import WatchedCode

_ENTRIES = 1000  # of blocks of a page, behind which it is not asked who executes it, until it changes

_LARGEST = 2 << 20  # of an executable leaf that is followed; who maps all RAM so means no code by it
_EL0, _READ_ONLY, _PXN, _UXN = 1 << 6, 1 << 7, 1 << 53, 1 << 54

Entered = Callable[[int, int], None]
"""Told of blocks that EL1 may execute: address and size."""


class Leaf(NamedTuple):
    """Where a leaf maps a page, and who may execute it there."""

    va: int
    at_el0: bool
    at_el1: bool

    @classmethod
    def of(cls, raw: int, va: int) -> Leaf:
        """A descriptor by itself. What EL0 may write is never executable at EL1 (D8.4.5)."""
        at_el1 = not raw & _PXN and (not raw & _EL0 or bool(raw & _READ_ONLY))
        return cls(va, bool(raw & _EL0 and not raw & _UXN), at_el1)


Leaves = Mapping[int, Leaf]
"""Those of a page, by the address of the descriptor."""


def executable_pages(use: Use, raw: int) -> range:
    """The physical pages that a descriptor lets anyone execute."""
    size, leaf = 1 << use.shift, Leaf.of(raw, 0)
    if not (leaf.at_el0 or leaf.at_el1) or size > _LARGEST or not use.is_leaf(raw):
        return range(0)
    start = raw & ADDRESS & -size
    return range(start, start + size, PAGE)


class Executed:
    """The virtual addresses of pages at which execution is told of."""

    def __init__(self, entered: Entered) -> None:
        self._entered = entered
        self._watched: WatchedCode | None = None
        self._addresses: dict[int, frozenset[int]] = {}  # by page
        self._pages: dict[int, set[int]] = {}  # by address

    def watch(self, machine: Machine, page: int, addresses: frozenset[int]) -> None:
        """From now on a page is watched at these addresses."""
        known = self._addresses.pop(page, frozenset())
        if addresses:
            self._addresses[page] = addresses
        for va in addresses - known:
            pages = self._pages.setdefault(va, set())
            if not pages:
                self._open(machine).add(va, va + PAGE)
            pages.add(page)
        for va in known - addresses:
            self._pages[va].discard(page)
            if not self._pages[va]:
                self._open(machine).remove(va, va + PAGE)
                del self._pages[va]

    def _open(self, machine: Machine) -> WatchedCode:
        if self._watched is None:
            self._watched = machine.events.watch_code(self._entered)
        return self._watched

    def restore(self, addresses: Mapping[int, frozenset[int]]) -> None:
        """Exactly these, by page."""
        self._addresses = {page: each for page, each in addresses.items() if each}
        self._pages = {}
        for page, each in self._addresses.items():
            for va in each:
                self._pages.setdefault(va, set()).add(page)
        if self._watched is not None:
            self._watched.set([(va, va + PAGE) for va in self._pages])


class CodeBook:
    """Pages by address. Those that are not known were neither executable nor maintained."""

    def __init__(self, entered: Entered) -> None:
        self.leaves: dict[int, Leaves] = {}
        self.pages: dict[int, CodePage] = {}
        self.unfinished: set[int] = set()
        self._dirty: set[int] = set()  # as a whole, or written since somebody looked: not watched
        self._lines: CacheLines | None = None
        self._local: set[int] = set()  # that EL1 could ever execute
        self._executed = Executed(entered)
        self._entries: dict[int, int] = {}  # of blocks of a page since it changed

    def lines(self, machine: Machine) -> CacheLines:
        """Those of the machine's caches."""
        if self._lines is None:
            self._lines = CacheLines.of(machine.sysreg["CTR_EL0"])
        return self._lines

    def map(self, machine: Machine, page: int, entry: int, leaf: Leaf, state: CodePage) -> None:
        """A leaf makes a page executable."""
        self.leaves[page] = {**self.leaves.get(page, {}), entry: leaf}
        if leaf.at_el1:
            self._local.add(page)
        self.changed(machine, page, state)

    def unmap(self, machine: Machine, page: int, entry: int) -> None:
        """A leaf is gone; with the last one, what was never maintained is of no interest."""
        left = {at: leaf for at, leaf in self.leaves.pop(page).items() if at != entry}
        if left:
            self.leaves[page] = left
        untouched = not left and page in self._dirty and self.pages[page].before is None
        self.put(machine, page, None if untouched else self.pages[page])

    def changed(self, machine: Machine, page: int, state: CodePage) -> None:
        """A page is written, or executable somewhere else: it matters who executes it."""
        self._entries.pop(page, None)
        self.put(machine, page, state)

    def executed(self, machine: Machine, page: int) -> None:
        """A block was entered and nothing was wrong: who runs loops in a page is not asked for ever."""
        self._entries[page] = self._entries.get(page, 0) + 1
        if self._entries[page] == _ENTRIES:
            self.put(machine, page, self.pages[page])

    def put(self, machine: Machine, page: int, state: CodePage | None) -> None:
        """A page has got so far; None: it is of no interest any more."""
        was_watched = page in self.pages and page not in self._dirty
        if state is None:
            self._drop(page)
        else:
            self.pages[page] = state
            dirty = state.before is not None or state.stages[Stage.DIRTY] == self.lines(machine).all
            (self._dirty.add if dirty else self._dirty.discard)(page)
            (self.unfinished.add if state.unfinished else self.unfinished.discard)(page)
        is_watched = state is not None and page not in self._dirty
        if is_watched and not was_watched:
            machine.events.watched.add(page, page + PAGE)
        elif was_watched and not is_watched:
            machine.events.watched.remove(page, page + PAGE)
        if page in self._local:
            self._executed.watch(machine, page, self._addresses(page))

    def _drop(self, page: int) -> None:
        self.pages.pop(page, None)
        self.leaves.pop(page, None)
        self.unfinished.discard(page)
        self._dirty.discard(page)

    def _addresses(self, page: int) -> frozenset[int]:
        """Where EL1 may execute what is not ready."""
        if page not in self.unfinished or self._entries.get(page, 0) >= _ENTRIES:
            return frozenset()
        return frozenset(leaf.va for leaf in self.leaves.get(page, {}).values() if leaf.at_el1)

    # -- following it ---------------------------------------------------------------------------------------

    def looked_at(self, machine: Machine, page: int) -> CodePage:
        """A page with all that was written by now."""
        state = self.pages[page]
        if state.before is not None:
            state = state.looked_at(self.lines(machine), machine.memory.read_block(page, PAGE))
            self.put(machine, page, state)
        return state

    def advance(
        self, machine: Machine, page: int, stage: Stage, to: Stage | None, lines: int | None = None
    ) -> None:
        """Lines at one stage reach another: those that maintenance named, or (None) all."""
        state = self.pages[page]
        whole = self.lines(machine).all if lines is None else lines
        after = state.advanced(whole, stage, to, by_address=lines is not None)
        if after is not state:
            self.put(machine, page, after)

    def filled(self, machine: Machine, page: int) -> int:
        """The lines that hold anything but zeros: no instruction, and what fresh memory is."""
        return self.lines(machine).unlike(machine.memory.read_block(page, PAGE), bytes(PAGE))

    # -- snapshots ------------------------------------------------------------------------------------------

    def watches(self) -> list[tuple[int, int]]:
        """The pages whose stores matter."""
        return [(page, page + PAGE) for page in self.pages if page not in self._dirty]

    def save(self) -> Any:
        """All pages."""
        return dict(self.leaves), dict(self.pages), set(self.unfinished), set(self._dirty)

    def restore(self, state: Any) -> None:
        """Back to them."""
        leaves, pages, unfinished, dirty = state or ({}, {}, set(), set())
        self.leaves, self.pages = dict(leaves), dict(pages)
        self.unfinished, self._dirty = set(unfinished), set(dirty)
        self._local = {
            page for page, leaves in self.leaves.items() if any(each.at_el1 for each in leaves.values())
        }
        self._entries.clear()
        self._executed.restore({page: self._addresses(page) for page in self.unfinished & self._local})
