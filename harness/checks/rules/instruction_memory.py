# SPDX-License-Identifier: BSD-3-Clause
"""Rule 10: what is executed was cleaned and invalidated after it was written."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from harness.arch.bits import bit
from harness.arch.maintenance import system_operation_name
from harness.checks.findings import Rule
from harness.checks.model.change import Change
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
    """An executable page: the leaves that make it so, and whether one of them is EL0's.

    Leaves by address: one that is found by several roots is told of by each, and gone once.
    """

    leaves: frozenset[int] = frozenset()
    user: bool = False


class _Cause(NamedTuple):
    """What made maintenance necessary: a store, or the leaf that made the page executable."""

    since: Moment
    change: Change | None


class InstructionMemory(Check):
    """Pages that are executable and hold what no instruction cache need know of yet.

    Stores are told of to executable and to maintained pages, until the first one: more say nothing new.
    """

    rule = Rule(
        *(10, "instruction-memory", "B2.7.4 and D7.5.9"),
        "code that was written is cleaned to the point of unification, and invalidated in the instruction "
        "caches behind a DSB, before anyone executes it",
        ("not-maintained",),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._code: dict[int, _Code] = {}  # by page
        self._stages: dict[int, Stage] = {}  # of pages that are executable or maintained, and not DONE
        self._done: set[int] = set()
        self._causes: dict[int, _Cause] = {}  # of executable pages that are not DONE
        self._flooded = False  # there was more maintenance than is told of
        self._deaf = False  # and the CPU has not stopped since
        self._leaf = range(0)  # virtual addresses of the leaf that was walked last
        self._offset = 0  # from them to physical ones

    # -- what is executable -------------------------------------------------------------------------------

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """A leaf makes pages executable."""
        self._leaf = range(0)
        pages = _pages_of(use, raw) if _executable(use, raw) else ()
        if not any(map(model.machine.is_loaded, pages)):  # around the program too, nobody has written yet
            for page in pages:
                self._map(model, page, change)

    def _map(self, model: Model, page: int, change: Change) -> None:
        known = self._code.get(page, _Code())
        if page not in self._done and page not in self._stages:
            if not model.memory.contains(page) or model.book.at(page):
                return
            self._put(model, page, Stage.DONE if self._flooded or model.learning else Stage.DIRTY)
        self._code[page] = _Code(known.leaves | {change.entry}, known.user or bool(change.new & _EL0))
        if page in self._stages:
            self._causes[page] = _Cause(change, change)

    def entry_gone(self, model: Model, change: Change) -> None:
        """A leaf is no more."""
        self._leaf = range(0)
        if _executable(change.use, change.old):
            for page in _pages_of(change.use, change.old):
                known = self._code.get(page)
                if known is not None and known.leaves == {change.entry}:
                    self._unmap(model, page)
                elif known is not None:
                    self._code[page] = replace(known, leaves=known.leaves - {change.entry})

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """A page that becomes a table is code no more; its leaves may make others executable."""
        for page in range(use.table & -_PAGE, use.table + 8 * use.entries, _PAGE):
            self._forget(model, page)
        at = model.now
        for address, raw in model.book.valid_entries(use):
            if raw & _NEVER != _NEVER:
                change = Change(use, address, 0, raw, at.time, at.pc)
                self.entry_valid(model, use, change.entry, raw, change)

    def _unmap(self, model: Model, page: int) -> None:
        """Nobody can execute it now; what has been maintained is so until it is written."""
        del self._code[page]
        self._causes.pop(page, None)
        if self._stages.get(page) is Stage.DIRTY:
            self._put(model, page, None)

    def _forget(self, model: Model, page: int) -> None:
        self._code.pop(page, None)
        self._put(model, page, None)

    def _put(self, model: Model, page: int, stage: Stage | None) -> None:
        """A page has got so far; None: it is of no interest any more."""
        was_watched = page in self._done or self._stages.get(page, Stage.DIRTY) is not Stage.DIRTY
        self._done.discard(page)
        self._stages.pop(page, None)
        if stage is Stage.DONE:
            self._done.add(page)
        elif stage is not None:
            self._stages[page] = stage
        if stage is None or stage is Stage.DONE:
            self._causes.pop(page, None)
        watched = stage is not None and stage is not Stage.DIRTY
        if watched and not was_watched:
            model.machine.events.watched.add(page, page + _PAGE)
        elif was_watched and not watched:
            model.machine.events.watched.remove(page, page + _PAGE)

    # -- writing and maintaining --------------------------------------------------------------------------

    def data_store(self, model: Model, event: Store) -> None:
        """Code is written, or what was code and may become it again."""
        page = event.pa & -_PAGE
        if self._deaf or (page not in self._done and page not in self._stages):
            return
        if page in self._code:
            self._put(model, page, Stage.DIRTY)
            self._causes[page] = _Cause(event, None)
        else:
            self._forget(model, page)

    def cache_operation(self, model: Model, event: SystemOperation) -> None:
        """DC by VA cleans, IC invalidates what is clean."""
        name = system_operation_name(event.encoding)
        if name in ("IC IALLU", "IC IALLUIS"):
            self._advance(model, tuple(self._stages), Stage.CLEAN, Stage.INVALIDATED)
        elif name in (*_CLEAN, "IC IVAU"):
            pages = [page for page in self._pages(model, event) if self._is_followed(model, page)]
            if name == "IC IVAU":
                self._advance(model, pages, Stage.CLEAN, Stage.INVALIDATED)
            else:
                self._advance(model, pages, Stage.DIRTY, Stage.CLEANED)

    @staticmethod
    def _is_followed(model: Model, page: int) -> bool:
        """Code of the program itself was never written, and tables are no code."""
        return model.memory.contains(page) and not model.machine.is_loaded(page) and not model.book.at(page)

    def _pages(self, model: Model, event: SystemOperation) -> Iterator[int]:
        """The physical pages that an operation, or all of a loop, was about."""
        last = event.operand + (event.rounds - 1) * event.step
        low, high = min(event.operand, last), max(event.operand, last)
        for va in range(low & -_PAGE, high + 1, max(_PAGE, abs(event.step))):
            pa = self._physical(model, va)
            if pa is not None:
                yield pa & -_PAGE

    def _physical(self, model: Model, va: int) -> int | None:
        """The page that a virtual one is; the last leaf is remembered while no entry changes."""
        if not model.enabled:
            return va
        if va not in self._leaf:
            try:
                walk = model.machine.walk(va)
            except MachineError:
                return None
            if walk.pa is None:
                return None
            start = va & -walk.page_size
            self._leaf, self._offset = range(start, start + walk.page_size), walk.pa - va
        return va + self._offset

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Addresses mean something else now."""
        self._leaf = range(0)

    def cache_flood(self, model: Model) -> None:
        """So much is maintained that what was never seen is taken for it from now on."""
        self._flooded = self._deaf = True
        for page in tuple(self._stages):
            self._put(model, page, Stage.DONE)

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """A DSB completes what was begun."""
        if event.barrier.completes_maintenance and self._stages:
            ctr, pages = model.cache_type, tuple(self._stages)
            if bit(ctr, _IDC):
                self._advance(model, pages, Stage.DIRTY, Stage.CLEANED)
            self._advance(model, pages, Stage.INVALIDATED, Stage.DONE)
            self._advance(model, pages, Stage.CLEANED, Stage.DONE if bit(ctr, _DIC) else Stage.CLEAN)

    def _advance(self, model: Model, pages: Iterable[int], stage: Stage, to: Stage) -> None:
        for page in pages:
            if page not in self._done and self._stages.get(page, Stage.DIRTY) is stage:
                self._put(model, page, to)

    # -- executing ----------------------------------------------------------------------------------------

    def settled(self, model: Model, reliance: Reliance) -> None:
        """From now on anyone may execute it."""
        at_end = reliance.kind == "end"
        self._deaf = self._deaf and not at_end
        for page, cause in list(self._causes.items()):
            if self._code[page].user or at_end:
                message = (
                    f"the page at PA {page:#x} is executable, and instruction caches may hold what it was"
                )
                missing = _MISSING[self._stages[page]]
                self.found("not-maintained", message, cause.since, cause.change, missing, reliance)
                self._put(model, page, Stage.DONE)
        for page in tuple(self._stages) if at_end else ():
            self._forget(model, page)

    # -- snapshots ----------------------------------------------------------------------------------------

    def watches(self) -> list[tuple[int, int]]:
        """The pages whose stores matter."""
        clean = [page for page, stage in self._stages.items() if stage is not Stage.DIRTY]
        return [(page, page + _PAGE) for page in (*self._done, *clean)]

    def save(self) -> Any:
        """All pages."""
        return dict(self._code), dict(self._stages), set(self._done), dict(self._causes), self._flooded

    def restore(self, state: Any) -> None:
        """Back to them."""
        code, stages, done, causes, self._flooded = state or ({}, {}, set(), {}, False)
        self._code, self._stages, self._done, self._causes = dict(code), dict(stages), set(done), dict(causes)
        self._leaf, self._deaf = range(0), False


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
