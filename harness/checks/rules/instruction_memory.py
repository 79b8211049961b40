# SPDX-License-Identifier: BSD-3-Clause
"""Rule 10: what is executed was cleaned and invalidated after it was written."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from harness.arch.bits import bit
from harness.arch.maintenance import system_operation_name
from harness.checks.findings import Rule
from harness.checks.model.change import VALID, Change
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import ADDRESS, Root, Use
from harness.checks.rules.base import Check, Moment, Report
from harness.errors import MachineError
from harness.machine.events import BarrierDone, RegisterWrite, Store, SystemOperation

_PAGE = 4096
_LARGEST = 2 << 20  # of an executable leaf that is followed; who maps all RAM so means no code by it
_EL0, _READ_ONLY, _PXN, _UXN = 1 << 6, 1 << 7, 1 << 53, 1 << 54
_NEVER = _PXN | _UXN
_CLEAN = ("DC CVAU", "DC CVAC", "DC CIVAC")
_IDC, _DIC = 28, 29  # CTR_EL0: no clean, no invalidation needed


class Stage(enum.IntEnum):
    """How far the maintenance of a page has got."""

    DIRTY = 0
    CLEANED = 1
    CLEAN = 2
    INVALIDATED = 3
    DONE = 4


_MISSING = {
    Stage.DIRTY: "DC CVAU, DSB ISH, IC IVAU, DSB ISH",
    Stage.CLEANED: "a DSB ISH behind DC CVAU, then IC IVAU, DSB ISH",
    Stage.CLEAN: "IC IVAU, DSB ISH behind the cleaning",
    Stage.INVALIDATED: "a DSB ISH behind IC IVAU",
}


@dataclass(frozen=True, slots=True)
class _Code:
    """A page: its maintenance, the leaves that make it executable, and what made it necessary.

    Leaves by address: one that is found by several roots is told of by each, and gone once.
    """

    stage: Stage
    leaves: frozenset[int] = frozenset()
    user: bool = False
    since: Moment | None = None
    change: Change | None = None


class InstructionMemory(Check):
    """Pages that are executable and hold what no instruction cache need know of yet."""

    rule = Rule(
        *(10, "instruction-memory", "B2.7.4 and D7.5.9"),
        "code that was written is cleaned to the point of unification, and invalidated in the instruction "
        "caches behind a DSB, before anyone executes it",
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._pages: dict[int, _Code] = {}
        self._flooded = False  # there was more maintenance than is told of
        self._deaf = False  # and the CPU has not stopped since
        self._translated: dict[int, int | None] = {}

    # -- what is executable -------------------------------------------------------------------------------

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """A leaf makes pages executable."""
        self._translated.clear()
        pages = _pages_of(use, raw) if _executable(use, raw) else ()
        if not any(map(model.machine.is_loaded, pages)):  # around the program too, nobody has written yet
            for page in pages:
                self._map(model, page, change)

    def _map(self, model: Model, page: int, change: Change) -> None:
        known = self._pages.get(page)
        if known is None:
            if not model.memory.contains(page) or model.book.at(page):
                return
            known = _Code(Stage.DONE if self._flooded or model.learning else Stage.DIRTY)
        if not known.leaves:
            model.machine.events.watched.add(page, page + _PAGE)
        leaves = known.leaves | {change.entry}
        known = replace(known, leaves=leaves, user=known.user or bool(change.new & _EL0))
        if known.stage is not Stage.DONE:
            known = replace(known, since=change, change=change)
        self._pages[page] = known

    def entry_gone(self, model: Model, change: Change) -> None:
        """A leaf is no more."""
        self._translated.clear()
        if _executable(change.use, change.old):
            for page in _pages_of(change.use, change.old):
                known = self._pages.get(page)
                if known is not None and known.leaves == {change.entry}:
                    self._forget(model, page)
                elif known is not None:
                    self._pages[page] = replace(known, leaves=known.leaves - {change.entry})

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """A page that becomes a table is code no more; its leaves may make others executable."""
        if use.table in self._pages:
            self._forget(model, use.table)
        at = model.now
        for index, raw in enumerate(model.book.words(use)):
            if raw & VALID and raw & _NEVER != _NEVER:
                change = Change(use, use.table + 8 * index, 0, raw, at.time, at.pc)
                self.entry_valid(model, use, change.entry, raw, change)

    def _forget(self, model: Model, page: int) -> None:
        if self._pages.pop(page).leaves:
            model.machine.events.watched.remove(page, page + _PAGE)

    # -- writing and maintaining --------------------------------------------------------------------------

    def data_store(self, model: Model, event: Store) -> None:
        """Code is written."""
        page = event.pa & -_PAGE
        if page in self._pages and not self._deaf:
            self._pages[page] = replace(self._pages[page], stage=Stage.DIRTY, since=event, change=None)

    def cache_operation(self, model: Model, event: SystemOperation) -> None:
        """DC by VA cleans, IC invalidates what is clean."""
        name = system_operation_name(event.encoding)
        if name in ("IC IALLU", "IC IALLUIS"):
            self._advance(self._pages, Stage.CLEAN, Stage.INVALIDATED)
            return
        page = self._physical(model, event.operand) if name in (*_CLEAN, "IC IVAU") else None
        if page is None or model.machine.is_loaded(page):
            return
        self._pages.setdefault(page, _Code(Stage.DIRTY))
        if name == "IC IVAU":
            self._advance((page,), Stage.CLEAN, Stage.INVALIDATED)
        else:
            self._advance((page,), Stage.DIRTY, Stage.CLEANED)

    def _physical(self, model: Model, va: int) -> int | None:
        """The page that a virtual address is in; walks are remembered while no entry changes."""
        if not model.enabled:
            return va & -_PAGE
        page = va & -_PAGE
        if page not in self._translated:
            try:
                self._translated[page] = model.machine.walk(page).pa
            except MachineError:
                self._translated[page] = None
        return self._translated[page]

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Addresses mean something else now."""
        self._translated.clear()

    def cache_flood(self, model: Model) -> None:
        """So much is maintained that what was never seen is taken for it from now on."""
        self._flooded = self._deaf = True
        self._pages = {page: replace(code, stage=Stage.DONE) for page, code in self._pages.items()}

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """A DSB completes what was begun."""
        if event.barrier.completes_maintenance and self._pages:
            ctr = model.cache_type
            if bit(ctr, _IDC):
                self._advance(self._pages, Stage.DIRTY, Stage.CLEANED)
            self._advance(self._pages, Stage.INVALIDATED, Stage.DONE)
            self._advance(self._pages, Stage.CLEANED, Stage.DONE if bit(ctr, _DIC) else Stage.CLEAN)

    def _advance(self, pages: Iterable[int], stage: Stage, to: Stage) -> None:
        for page in tuple(pages):
            if self._pages[page].stage is stage:
                self._pages[page] = replace(self._pages[page], stage=to)

    # -- executing ----------------------------------------------------------------------------------------

    def settled(self, model: Model, reliance: Reliance) -> None:
        """From now on anyone may execute it."""
        self._deaf = self._deaf and reliance.kind != "end"
        for page, code in list(self._pages.items()):
            relied = code.user or reliance.kind == "end"
            if code.leaves and code.stage is not Stage.DONE and relied and code.since is not None:
                message = (
                    f"the page at PA {page:#x} is executable, and instruction caches may hold what it was"
                )
                missing = _MISSING[code.stage]
                self.found("not-maintained", message, code.since, code.change, missing, reliance)
                self._pages[page] = replace(code, stage=Stage.DONE)
            elif not code.leaves and code.stage is not Stage.DONE and reliance.kind == "end":
                del self._pages[page]

    # -- snapshots ----------------------------------------------------------------------------------------

    def watches(self) -> list[tuple[int, int]]:
        """The executable pages."""
        return [(page, page + _PAGE) for page, code in self._pages.items() if code.leaves]

    def save(self) -> Any:
        """All pages."""
        return dict(self._pages), self._flooded

    def restore(self, state: Any) -> None:
        """Back to them."""
        pages, self._flooded = state or ({}, False)
        self._pages, self._deaf = dict(pages), False
        self._translated.clear()


def _executable(use: Use, raw: int) -> bool:
    """By EL0 where it may be reached, or by EL1."""
    if not use.is_leaf(raw) or 1 << use.shift > _LARGEST:
        return False
    if raw & _EL0 and not raw & _UXN:
        return True
    return not raw & _PXN and (not raw & _EL0 or bool(raw & _READ_ONLY))


def _pages_of(use: Use, raw: int) -> range:
    start = raw & ADDRESS & -(1 << use.shift)
    return range(start, start + (1 << use.shift), _PAGE)
