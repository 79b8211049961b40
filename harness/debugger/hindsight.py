# SPDX-License-Identifier: BSD-3-Clause
"""What the sanitizer's model and the machine's events say about the past: it is executed again for that.

So nothing is watched while nobody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.arch.descriptor import decode
from harness.arch.maintenance import system_operation_name
from harness.checks.findings import describe
from harness.checks.model.owed import Stage
from harness.checks.model.state import Model
from harness.errors import HarnessError
from harness.machine import ExceptionTaken, Machine, MemoryAccess
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation
from harness.report.spaces import live_spaces

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_PAGE = 4096
_REACH = 1 << 22  # instructions back from now, at least, from where the model follows
_FILTERS = ("store", "tlbi", "barrier", "msr", "exception", "eret", "system")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: when, where, its kind (one of _FILTERS), and what it was in words."""

    time: int
    pc: int
    kind: str
    text: str


class Recorder:
    """A listener that writes down what it is told, after the model, whose book says what a store hits."""

    def __init__(self, model: Model, limit: int, kinds: frozenset[str]) -> None:
        self._model, self._kinds = model, kinds
        self.events: deque[Event] = deque(maxlen=limit)

    def _add(self, time: int, pc: int, kind: str, text: str) -> None:
        if not self._kinds or kind in self._kinds:
            self.events.append(Event(time, pc, kind, text))

    def store(self, event: Store) -> None:
        """A store to a page that is a table."""
        uses = self._model.book.at(event.pa)
        if not uses or event.size != 8:  # a table that is no more, or DC ZVA
            self._add(event.time, event.pc, "store", f"store of {event.size} bytes to PA {event.pa:#x}")
            return
        use = uses[0]
        new = describe(decode(event.value, use.level, use.root.regime.granule))
        where = f"L{use.level} entry at PA {event.pa:#x}, VA {use.va_of(event.pa):#x}"
        self._add(event.time, event.pc, "store", f"{where}: {new}")

    def unlinked(self, access: MemoryAccess, level: int, machine: Machine) -> None:
        """A store to a table of an address space that this CPU has not run with."""
        if not self._model.book.at(access.pa):
            new = describe(decode(access.value, level)) if access.size == 8 else f"{access.size} bytes"
            time, pc = machine.instructions - 1, machine.registers["pc"]
            self._add(time, pc, "store", f"L{level} entry at PA {access.pa:#x}: {new}")

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI, DC, IC, AT."""
        name = system_operation_name(event.encoding)
        kind = "tlbi" if name.startswith("TLBI") else "system"
        self._add(event.time, event.pc, kind, f"{name} {event.operand:#x}")

    def register_write(self, event: RegisterWrite) -> None:
        """MSR."""
        self._add(event.time, event.pc, "msr", f"{event.register} = {event.value:#x}")

    def barrier(self, event: BarrierDone) -> None:
        """DSB, DMB, ISB."""
        self._add(event.time, event.pc, "barrier", str(event.barrier))

    def returned(self, event: Returned) -> None:
        """ERET."""
        self._add(event.time, event.pc, "eret", "ERET")

    def exception(self, event: ExceptionTaken) -> None:
        """An exception was taken."""
        self._add(event.time, event.elr, "exception", event.syndrome.describe())

    def cache_flood(self) -> None:
        """There is more cache maintenance than is told of."""

    def paused(self) -> None:
        """The CPU stopped."""

    def save(self) -> Any:
        """Nothing: what was recorded stays."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing."""


@contextmanager
def followed(debugger: Debugger, reach: int) -> Iterator[tuple[Model, Callable[[Recorder], None]]]:
    """Within, the machine stands `reach` instructions or more before now, with the model attached.

    The second value attaches a recorder and executes up to now. Afterwards it is as if nothing had been.
    """
    timeline, machine = debugger.timeline, debugger.machine
    now = timeline.now
    with debugger.aside():
        kept = [each.moment for each in timeline.checkpoints if each.moment.time <= max(0, now.time - reach)]
        timeline.goto(max(kept, default=timeline.start))
        sanitizer = debugger.motion.sanitizer
        model = Model(machine, [], others=True) if sanitizer is None else sanitizer.model
        ends = [] if sanitizer is not None else [machine.events.listen(model)]

        def execute(recorder: Recorder) -> None:
            ends.append(machine.events.listen(recorder))
            timeline.replay(now)

        try:
            yield model, execute
        finally:
            for end in ends:
                end()
            if sanitizer is None:
                model.detach()  # a machine has room for one model


def events(debugger: Debugger, count: int, kinds: frozenset[str]) -> list[Event]:
    """The last `count` events before now, of some kinds or of all."""
    reach, tables = _REACH, _tables_of_spaces(debugger)
    while True:
        with followed(debugger, reach) as (model, execute):
            begin = debugger.timeline.now
            recorder = Recorder(model, count, kinds)
            with _watched(debugger, recorder, tables):
                execute(recorder)
        if len(recorder.events) >= count or begin <= debugger.timeline.start:
            return list(recorder.events)
        reach *= 4


def _tables_of_spaces(debugger: Debugger) -> dict[int, int]:
    """The tables of the address spaces that are alive now, by PA, with their level: TTBR0 may never have had
    them. Empty where the kernel cannot say."""
    kernel = debugger.kernel
    try:
        with debugger.aside():
            spaces = [kernel.tables(each) for each in live_spaces(kernel)]
            return {page.pa: page.level for space in spaces for page in space.pages()}
    except HarnessError:
        return {}


@contextmanager
def _watched(debugger: Debugger, recorder: Recorder, tables: dict[int, int]) -> Iterator[None]:
    """Within, stores to tables that the model does not follow are recorded too."""

    def see(access: MemoryAccess) -> None:
        recorder.unlinked(access, tables[access.pa & -_PAGE], debugger.machine)

    watches = [debugger.machine.on_memory(pa, _PAGE, "w", see) for pa in tables]
    try:
        yield
    finally:
        for watch in watches:
            watch.remove()


@dataclass(frozen=True, slots=True)
class Debt:
    """An entry that a TLB may still hold, and what has to be done before it cannot."""

    va: int
    level: int
    entry: int
    old: str
    new: str
    waits_for: str
    pc: int
    time: int


_WAITS = {
    Stage.STORED: "DSB, then TLBI, DSB, ISB",
    Stage.VISIBLE: "TLBI, then DSB, ISB",
    Stage.ISSUED: "DSB after the TLBI, then ISB",
    Stage.COMPLETE: "ISB",
}


def debts(debugger: Debugger) -> list[Debt]:
    """What may still be cached at this moment although the tables say something else."""
    with followed(debugger, _REACH) as (model, execute):
        execute(Recorder(model, 1, frozenset()))
        owed = [*model.debts, *model.unsynced]
        return [
            Debt(
                va=each.change.va,
                level=each.change.use.level,
                entry=each.change.entry,
                old=describe(each.change.before),
                new=describe(each.change.after),
                waits_for=_WAITS[each.stage],
                pc=each.change.pc,
                time=each.change.time,
            )
            for each in owed
        ]


def kinds_of(words: list[str]) -> frozenset[str]:
    """Kinds of events by their names. Raises UsageError for others."""
    from harness.debugger.commands.table import UsageError

    unknown = sorted(set(words) - set(_FILTERS))
    if unknown:
        raise UsageError(f"no events are called {unknown[0]!r}; there are {', '.join(_FILTERS)}")
    return frozenset(words)
