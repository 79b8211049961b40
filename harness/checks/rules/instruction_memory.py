# SPDX-License-Identifier: BSD-3-Clause
"""Rule 10: what is executed was cleaned and invalidated after it was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.arch.bits import bit
from harness.arch.maintenance import system_operation_name
from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.code_book import CodeBook, Leaf, executable_pages
from harness.checks.model.code_page import PAGE, CodePage, Stage
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Root, Use
from harness.checks.rules.base import Check, Moment, Report
from harness.errors import MachineError
from harness.machine.events import BarrierDone, RegisterWrite, Store, SystemOperation

_NEVER = 1 << 53 | 1 << 54  # PXN, UXN
_CLEAN = ("DC CVAU", "DC CVAC", "DC CIVAC")
_IDC, _DIC = 28, 29  # CTR_EL0: no clean, no invalidation needed

_MISSING = {
    Stage.DIRTY: "DC CVAU, DSB ISH, IC IVAU, DSB ISH",
    Stage.CLEANED: "a DSB ISH behind DC CVAU, then IC IVAU, DSB ISH",
    Stage.CLEAN: "IC IVAU, DSB ISH behind the cleaning",
    Stage.INVALIDATED: "a DSB ISH behind IC IVAU",
    Stage.COMPLETE: "an ISB behind the DSB that completed IC IVAU",
}


class _Cause(NamedTuple):
    """What made maintenance necessary: a store, or the leaf that made the page executable."""

    since: Moment
    change: Change | None


class InstructionMemory(Check):
    """Pages that are executable, with lines of which instruction caches may hold what they were.

    Stores are told of to pages that are not dirty as a whole, until the first one: what else is written then
    tells from the contents. What EL0 may execute is to be ready at ERET, anything else at the end of a call,
    or when EL1 executes it. Nobody saw when the other lines were written of a page that is maintained in
    part: those count that hold anything, for EL0, and for EL1 those that it executes.
    """

    rule = Rule(
        *(10, "instruction-memory", "B2.7.4 and D7.5.9"),
        "each line of code that was written is cleaned to the point of unification, and invalidated in the "
        "instruction caches behind a DSB, before anyone executes it; EL1 needs an ISB too",
        ("no-isb", "not-maintained"),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._book = CodeBook(self._entered)
        self._causes: dict[int, _Cause] = {}  # of executable pages that are not finished
        self._flooded = False  # there was more maintenance than is told of
        self._deaf = False  # and the CPU has not stopped since
        self._model: Model | None = None  # that execution is told of
        self._leaf = range(0)  # virtual addresses of the leaf that was walked last
        self._offset = 0  # from them to physical ones

    # -- what is executable -------------------------------------------------------------------------------

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """A leaf makes pages executable."""
        self._leaf, self._model = range(0), model
        pages = executable_pages(use, raw)
        if not any(map(model.machine.is_loaded, pages)):  # around the program too, nobody has written yet
            for page in pages:
                self._map(model, page, change, Leaf.of(raw, change.va + page - pages.start))

    def _map(self, model: Model, page: int, change: Change, leaf: Leaf) -> None:
        state = self._book.pages.get(page)
        if state is None:
            if not model.memory.contains(page) or model.book.holds(page):
                return
            ready = self._flooded or model.learning
            state = CodePage() if ready else CodePage.unknown(self._book.lines(model.machine))
        self._book.map(model.machine, page, change.entry, leaf, state)
        if page in self._book.unfinished:
            self._causes[page] = _Cause(change, change)

    def entry_gone(self, model: Model, change: Change) -> None:
        """A leaf is no more."""
        self._leaf = range(0)
        for page in executable_pages(change.use, change.old):
            if change.entry in self._book.leaves.get(page, ()):
                self._book.unmap(model.machine, page, change.entry)
                if page not in self._book.leaves:
                    self._causes.pop(page, None)

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """A page that becomes a table is code no more; its leaves may make others executable."""
        for page in range(use.table & -PAGE, use.table + 8 * use.entries, PAGE):
            self._finish(model, page, None)
        at = model.now
        for address, raw in model.book.valid_entries(use):
            if raw & _NEVER != _NEVER:
                change = Change(use, address, 0, raw, at.time, at.pc)
                self.entry_valid(model, use, change.entry, raw, change)

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Addresses mean something else now."""
        self._leaf = range(0)

    def _finish(self, model: Model, page: int, state: CodePage | None) -> None:
        """Nothing is to be done for a page; with None it is of no interest either."""
        self._causes.pop(page, None)
        if page in self._book.pages:
            self._book.put(model.machine, page, state)

    # -- writing and maintaining --------------------------------------------------------------------------

    def data_store(self, model: Model, event: Store) -> None:
        """Code is written, or what was code and may become it again."""
        page = event.pa & -PAGE
        state = self._book.pages.get(page)
        if self._deaf or state is None:
            return
        lines = self._book.lines(model.machine).between(event.pa, event.pa + event.size)
        before = model.memory.read_block(page, PAGE) if state.before is None else state.before
        self._book.changed(model.machine, page, state.dirtied(lines)._replace(before=before))
        if page in self._book.leaves:
            self._causes[page] = _Cause(event, None)

    def cache_operation(self, model: Model, event: SystemOperation) -> None:
        """DC by VA cleans, IC invalidates what is clean."""
        name = system_operation_name(event.encoding)
        book, machine = self._book, model.machine
        if name == "IC IALLUIS" or (name == "IC IALLU" and not model.others):
            for page in tuple(book.unfinished):
                book.advance(machine, page, Stage.CLEAN, Stage.INVALIDATED, book.lines(machine).all)
        elif name == "IC IVAU":
            for page, lines in self._touched(model, event, book.lines(machine).instruction):
                if page in book.unfinished:
                    book.advance(machine, page, Stage.CLEAN, Stage.INVALIDATED, lines)
        elif name in _CLEAN:
            for page, lines in self._touched(model, event, book.lines(machine).data):
                if page in book.pages or self._is_followed(model, page):
                    self._clean(model, page, lines)

    @staticmethod
    def _is_followed(model: Model, page: int) -> bool:
        """Code of the program itself was never written, and tables are no code."""
        return (
            model.memory.contains(page) and not model.machine.is_loaded(page) and not model.book.holds(page)
        )

    def _clean(self, model: Model, page: int, lines: int) -> None:
        book, machine = self._book, model.machine
        known = book.looked_at(machine, page) if page in book.pages else None
        state = CodePage.unknown(book.lines(machine)) if known is None else known
        after = state.advanced(lines, Stage.DIRTY, Stage.CLEANED, by_address=True)
        if after is not known:
            book.put(machine, page, after)

    def _touched(self, model: Model, event: SystemOperation, size: int) -> Iterator[tuple[int, int]]:
        """The physical pages that an operation, or all of a loop, was about, each with its lines."""
        lines = self._book.lines(model.machine)
        for low, high in _spans(event, size):
            for va in range(low & -PAGE, high, PAGE):
                pa = self._physical(model, va)
                if pa is not None:
                    yield pa, lines.between(pa + max(low - va, 0), pa + high - va)

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

    def cache_flood(self, model: Model) -> None:
        """So much is maintained that what was never seen is taken for it from now on."""
        self._flooded = self._deaf = True
        for page in tuple(self._book.unfinished):
            self._finish(model, page, CodePage())

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """A DSB completes what was begun."""
        if not event.barrier.completes_maintenance or (model.others and not event.barrier.shared):
            return
        ctr, book, machine = model.cache_type, self._book, model.machine
        invalid = Stage.COMPLETE if bit(ctr, _DIC) else Stage.CLEAN
        for page in tuple(book.unfinished):
            if bit(ctr, _IDC):
                book.looked_at(machine, page)
                book.advance(machine, page, Stage.DIRTY, Stage.CLEANED)
            book.advance(machine, page, Stage.INVALIDATED, Stage.COMPLETE)
            book.advance(machine, page, Stage.CLEANED, invalid)

    def synchronized(self, model: Model) -> None:
        """An ISB, or what is one too."""
        for page in tuple(self._book.unfinished):
            self._book.advance(model.machine, page, Stage.COMPLETE, None)
            if page not in self._book.unfinished:
                self._causes.pop(page, None)

    # -- executing ----------------------------------------------------------------------------------------

    def _entered(self, va: int, size: int) -> None:
        """A block is executed in a page that is not ready. (What EL0 executes was judged at ERET.)"""
        model = self._model
        if model is None or not model.enabled:
            return
        page = self._physical(model, va & -PAGE)
        if page is None or page not in self._causes:
            return
        state = self._book.looked_at(model.machine, page)
        at = page + va % PAGE
        stage = state.first_stage(self._book.lines(model.machine).between(at, at + size))
        if stage is None:
            self._book.executed(model.machine, page)
        else:
            self._tell(model, page, stage, Reliance("execute", model.machine.instructions, va))

    def settled(self, model: Model, reliance: Reliance) -> None:
        """From now on anyone may execute it."""
        at_end = reliance.kind == "end"
        self._deaf = self._deaf and not at_end
        for page in tuple(self._causes):
            if at_end or self._is_user(page):
                self._judge(model, page, reliance)
        for page in tuple(self._book.unfinished) if at_end else ():
            keep = self._book.pages[page].is_worth_keeping(self._book.lines(model.machine))
            if page not in self._book.leaves and not keep:
                self._finish(model, page, None)

    def _is_user(self, page: int) -> bool:
        return any(leaf.at_el0 for leaf in self._book.leaves[page].values())

    def _judge(self, model: Model, page: int, reliance: Reliance) -> None:
        """Whether all lines are ready that matter."""
        book, user = self._book, self._is_user(page)
        state, lines = book.looked_at(model.machine, page), book.lines(model.machine).all
        if state.unseen != lines:
            lines &= ~state.unseen | (book.filled(model.machine, page) if user else 0)
        stage = state.first_stage(lines)
        local = any(leaf.at_el1 and not leaf.at_el0 for leaf in book.leaves[page].values())
        if stage is not None and (stage is not Stage.COMPLETE or local):
            self._tell(model, page, stage, reliance)
        elif user:
            self._finish(model, page, CodePage())

    def _tell(self, model: Model, page: int, stage: Stage, reliance: Reliance) -> None:
        cause = self._causes[page]
        at_once = stage is Stage.COMPLETE
        what = (
            "the CPU may have fetched what it was" if at_once else "instruction caches may hold what it was"
        )
        message = f"the page at PA {page:#x} is executable, and {what}"
        check = "no-isb" if at_once else "not-maintained"
        self.found(check, message, cause.since, cause.change, _MISSING[stage], reliance)
        self._finish(model, page, CodePage())

    # -- snapshots ----------------------------------------------------------------------------------------

    def watches(self) -> list[tuple[int, int]]:
        """The pages whose stores matter."""
        return self._book.watches()

    def save(self) -> Any:
        """All pages."""
        return self._book.save(), dict(self._causes), self._flooded

    def restore(self, state: Any) -> None:
        """Back to them."""
        book, causes, self._flooded = state or (None, {}, False)
        self._book.restore(book)
        self._causes = dict(causes)
        self._leaf, self._deaf = range(0), False


def _spans(event: SystemOperation, size: int) -> Iterator[tuple[int, int]]:
    """The virtual ranges [start, end) of the lines of `size` that an operation and its loop name."""
    last, step = event.operand + (event.rounds - 1) * event.step, abs(event.step)
    low, high = min(event.operand, last), max(event.operand, last)
    if step <= size:
        yield low & -size, (high & -size) + size
        return
    for va in range(low, high + 1, step):
        yield va & -size, (va & -size) + size
