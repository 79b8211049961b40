# SPDX-License-Identifier: BSD-3-Clause
"""Running: the loop around the engine, which delivers exceptions and firmware calls, and stops."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import U64
from harness.arch.permissions import Access
from harness.errors import MachineError
from harness.machine.devices import PsciAction, psci_call
from harness.machine.engine import DATA_ABORT, FETCH_ABORT, HVC, SMC, SVC, Engine
from harness.machine.exceptions import (
    UNDEFINED_ESR,
    Cause,
    ExceptionTaken,
    abort,
    current_el,
    external_abort,
    take,
    vector_base,
)
from harness.machine.mmu import Mmu
from harness.machine.points import WFI, Points
from harness.machine.records import Unbacked

StopKind = Literal["address", "wfi", "poweroff", "reset", "budget", "abort", "requested"]
Conduit = Literal["hvc", "smc"]

DEFAULT_BUDGET = 500_000_000
SLICE = 20_000_000  # instructions between two chances for the host to deliver Ctrl-C: about 0.3 s
RING = 256
_STORM = 16  # exceptions in a row from within the vector table: the handler itself cannot run
_VECTORS = 0x800
_IDLE_POINTS = 4


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended: `kind`, where (`pc`), after how many `instructions` of this run, and more in words.

    address     at one of the `until` addresses, before the instruction there
    wfi         after a WFI (nothing can wake this CPU: there are no interrupts)
    poweroff    PSCI SYSTEM_OFF or CPU_OFF;   reset: PSCI SYSTEM_RESET
    budget      the instruction budget is used up
    abort       the CPU cannot go on: its exception vectors cannot be executed
    requested   a callback called `Machine.request_stop`
    """

    kind: StopKind
    pc: int
    instructions: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Event:
    """What a callback of the engine saw; `kind` "reached" is an address somebody waits for."""

    kind: StopKind | Literal["reached"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Visit:
    """Why the engine stopped at an address: to call its callbacks, or because the run ends there."""

    call: bool = False
    end: bool = False


_NO_VISIT = _Visit()


@dataclass(eq=False, slots=True)
class Watch:
    """A registered callback; `remove()` ends it."""

    _remove: Callable[[], None]

    def remove(self) -> None:
        """Stop calling back. Safe to call twice."""
        self._remove()
        self._remove = lambda: None


@dataclass(frozen=True, slots=True)
class RunnerState:
    """The runner's part of a snapshot."""

    retired: int
    exceptions: tuple[ExceptionTaken, ...]
    handled: int | None


class Runner:
    """Runs the engine until something worth telling happens."""

    def __init__(
        self,
        engine: Engine,
        conduit: Conduit,
        read_instruction: Callable[[int], int | None],
        physical: Callable[[int], int | None],
    ) -> None:
        """`read_instruction` gives the word at a virtual address and `physical` what it translates to."""
        self._engine = engine
        self._conduit = conduit
        self._read_instruction = read_instruction
        self._retired = 0
        self._lost = 0  # instructions of the present engine run that were started and did not retire
        self._busy = False  # within `run`
        self._running = False  # within the engine
        self._event: _Event | None = None
        self._unbacked: Unbacked | None = None
        self._until: frozenset[int] = frozenset()
        self._start: int | None = None  # the next engine run starts here, and is not to stop for it
        self._handled: int | None = None  # the callbacks of this address have been called for this visit
        self._visit = _NO_VISIT
        self._nested = 0
        self._points = Points(engine, self._on_point, read_instruction, physical)
        self._callbacks: dict[int, list[Callable[[], None]]] = {}
        self._observers: list[Callable[[ExceptionTaken], None]] = []
        self._run_ends: list[Callable[[], None]] = []
        self.exceptions: deque[ExceptionTaken] = deque(maxlen=RING)
        self.mmu: Mmu | None = None  # instead of the engine's own
        engine.on_exception(self._on_exception)
        engine.on_unbacked(self._on_unbacked)

    # -- what others see ------------------------------------------------------------------------------

    @property
    def instructions(self) -> int:
        """Instructions retired since the machine was made. Exact, also within callbacks."""
        return self._retired + (self._engine.attempted - self._lost if self._running else 0)

    @property
    def running(self) -> bool:
        """Whether the engine is executing: true in observers, false in callbacks of addresses."""
        return self._running

    def save(self) -> RunnerState:
        """State for a snapshot."""
        return RunnerState(self._retired, tuple(self.exceptions), self._handled)

    def restore(self, state: RunnerState) -> None:
        """Back to a saved state."""
        self._retired, self._handled = state.retired, state.handled
        self._nested = 0
        self.exceptions.clear()
        self.exceptions.extend(state.exceptions)

    def jumped(self) -> None:
        """PC was set from outside: whatever was handled there is a new visit now."""
        self._handled = None

    def observe(self, callback: Callable[[ExceptionTaken], None]) -> Watch:
        """Call back after each exception that the CPU takes, with the CPU at the vector."""
        self._observers.append(callback)
        return Watch(lambda: self._observers.remove(callback))

    def on_run_end(self, callback: Callable[[], None]) -> None:
        """Call back whenever the engine has stopped, for whatever reason, before anything comes of it."""
        self._run_ends.append(callback)

    def on_address(self, va: int, callback: Callable[[], None]) -> Watch:
        """Call back, with the engine stopped, before the instruction at `va`."""
        self._callbacks.setdefault(va, []).append(callback)
        self._points.change(add=(va,))

        def remove() -> None:
            callbacks = self._callbacks[va]
            callbacks.remove(callback)
            if not callbacks:
                del self._callbacks[va]

        return Watch(remove)

    def raise_exception(self, cause: Cause) -> None:
        """Take an exception that nothing has caused."""
        self._deliver(cause, fetch=False)
        self.jumped()

    def request_stop(self, detail: str) -> None:
        """End the run as soon as the present callback returns."""
        self._event = _Event("requested", detail)
        if self._running:
            self._engine.stop()

    # -- the loop -------------------------------------------------------------------------------------

    def run(self, budget: int, until: Collection[int]) -> Stop:
        """Run until something stops it; see `Stop`."""
        if self._busy:
            raise MachineError("the machine is running: a callback cannot run it again; request_stop first")
        if budget < 0:
            raise MachineError(f"the budget must not be negative, got {budget}")
        self._busy = True
        try:
            return self._loop(budget, frozenset(until))
        finally:
            self._busy = False

    def _loop(self, budget: int, until: frozenset[int]) -> Stop:
        self._aim(until)
        before = self._retired
        self._start = self._engine.read("pc")
        while (left := budget - (self._retired - before)) > 0:
            self._go(min(left, SLICE))
            event = self._conclude()
            if event is not None and event.kind != "reached":
                return Stop(event.kind, self._engine.read("pc"), self._retired - before, event.detail)
        detail = f"the budget of {budget} instructions is used up"
        return Stop("budget", self._engine.read("pc"), self._retired - before, detail)

    def _go(self, limit: int) -> None:
        """One run of the engine, and its count; none at an address that somebody waits for."""
        self._event, self._unbacked, self._lost = None, None, 0
        pc = self._engine.read("pc")
        visit = self._visit_of(pc, known_end=self._start, known_call=self._handled)
        if visit is not None:
            self._arrive(visit)
            return
        complaint, mmu = self._execute(pc, limit), self.mmu
        if complaint and mmu and mmu.wants_step and self._event is None:
            complaint = self._step(mmu)
        if self._unbacked is not None:
            self._abort_unbacked(self._unbacked)
        elif complaint and mmu and mmu.refused:
            self._abort_refused(mmu)
        elif complaint is not None:
            raise MachineError(f"the emulator gave up at {self._engine.read('pc'):#x}: {complaint}")

    def _step(self, mmu: Mmu) -> str | None:
        """Let one instruction have what the engine was refused."""
        pc = self._engine.read("pc")
        if mmu.access == "x" and self._engine.attempted > 0:  # it was not fetched, nor looked at as a point
            visit = self._visit_of(pc)
            if visit is not None:
                self._arrive(visit)
            if visit is not None or self._spent:
                return None
        self._not_retired(mmu.access)
        with mmu.stepping():
            return self._execute(pc, 1)

    def _execute(self, pc: int, limit: int) -> str | None:
        """Let the engine run, and count; its complaint."""
        if self.mmu is not None:
            self.mmu.clear()
        self._running = True
        try:
            return self._points.run(pc, limit)
        finally:
            self._running = False
            self._start = self._handled = None  # whatever comes now is a new visit
            self._retired += self._engine.attempted - self._lost
            self._lost = 0
            for callback in self._run_ends:
                callback()

    def _visit_of(
        self, pc: int, known_end: int | None = None, known_call: int | None = None
    ) -> _Visit | None:
        """What there is to do at an address before its instruction, except for what is known already."""
        end = pc in self._until and pc != known_end
        call = pc in self._callbacks and pc != known_call
        return _Visit(call, end) if call or end else None

    def _conclude(self) -> _Event | None:
        """What the end of an engine run means; None to go on."""
        event, pc = self._event, self._engine.read("pc")
        if event is None:
            if self._engine.limit_reached or self._unbacked is not None or self._points.ends(pc):
                return None
            return self._idle(pc)
        return self._reached(pc) if event.kind == "reached" else event

    def _idle(self, pc: int) -> _Event | None:
        """The engine came back by itself: after WFI, or after a hint such as WFE or YIELD, which goes on."""
        return _Event("wfi") if self._read_instruction(pc - 4) == WFI else None

    def _reached(self, pc: int) -> _Event | None:
        """Call the callbacks of `pc`, which may change anything, PC too; then see whether the run ends."""
        visit, self._event, self._visit = self._visit, None, _NO_VISIT
        if visit.call:
            self._handled = pc
            for callback in tuple(self._callbacks.get(pc, ())):
                callback()
        if self._event is not None:
            return self._event
        now = self._engine.read("pc")
        if now in self._until if now != pc else visit.end:
            return _Event("address")
        self._start = pc if now == pc else None
        return None

    # -- addresses to stop at ---------------------------------------------------------------------------

    def _aim(self, until: frozenset[int]) -> None:
        """Arm the addresses; those of earlier runs stay for a while, because new ones cost a translation."""
        self._until = until
        idle = [va for va in self._points.armed if va not in until and va not in self._callbacks]
        self._points.change(add=until, remove=idle[:-_IDLE_POINTS])

    def _on_point(self, va: int) -> None:
        """Before an instruction somebody may wait for; `_go` has seen to the first one of a run."""
        visit = self._visit_of(va)
        if visit is not None and self._engine.attempted > 1:
            self._lost += 1  # counted, but it does not execute now
            self._arrive(visit)

    def _arrive(self, visit: _Visit) -> None:
        self._event, self._visit = _Event("reached"), visit
        if self._running:
            self._engine.stop()

    # -- exceptions -------------------------------------------------------------------------------------

    def _on_exception(self, index: int) -> None:
        pc = self._engine.read("pc")
        if index in (HVC, SMC) and self._firmware(index, pc):
            return
        record = self._engine.pending()
        if index == FETCH_ABORT and pc in self._until:
            self._arrive(_Visit(end=True))  # a return address that nothing maps: as good as an instruction
            return
        if index == FETCH_ABORT and self._spent:
            self._engine.stop()  # the limit comes first: a run ends before what its next instruction does
            return
        if index not in (SVC, HVC, SMC, FETCH_ABORT):
            self._lost += 1
        far = record.address if index in (FETCH_ABORT, DATA_ABORT) else None
        self._deliver(Cause(record.syndrome, pc, max(record.target_el, 1), far), fetch=index == FETCH_ABORT)

    @property
    def _spent(self) -> bool:
        """Whether the engine has started all instructions that it may."""
        return self._engine.attempted >= self._engine.retired_limit

    def _firmware(self, index: int, pc: int) -> bool:
        """PSCI by the machine's conduit; the other call is undefined where its level does not exist."""
        conduit = "hvc" if index == HVC else "smc"
        if conduit == self._conduit:
            result = psci_call(self._engine.read("x0"), self._engine.read("x1"))
            if result.action is None or result.action == "suspend":
                self._engine.write("x0", result.value)
            if result.action is not None:
                self._event = _Event(_STOPS[result.action], f"PSCI by {conduit}")
                self._engine.stop()
            return True
        if index == HVC and self._conduit == "smc":
            return False  # EL2 exists and takes it
        self._lost += 1
        level = max(1, current_el(self._engine.read("pstate")))
        self._deliver(Cause(UNDEFINED_ESR, (pc - 4) & U64, level), fetch=False)
        return True

    def _on_unbacked(self, access: Unbacked) -> None:
        self._unbacked = access

    def _abort_unbacked(self, access: Unbacked) -> None:
        """The engine stopped at an access that nothing answers: an external abort."""
        pc = self._engine.read("pc")
        self._abort(access.access, external_abort(access.access, pc, self._engine.read("pstate")))

    def _abort_refused(self, mmu: Mmu) -> None:
        """The engine stopped at an access that is not translated."""
        pc, access = self._engine.read("pc"), mmu.access
        pstate, far = self._engine.read("pstate"), self._engine.refused
        self._abort(access, abort(access, mmu.status, pc, pstate, far))

    def _abort(self, access: Access, cause: Cause) -> None:
        if access == "x" and cause.elr in self._until:
            self._arrive(_Visit(end=True))
        elif access != "x" or not self._spent:
            self._not_retired(access)
            self._deliver(cause, fetch=access == "x")

    def _not_retired(self, access: Access) -> None:
        """What was started and cannot go on is counted, but for an instruction that was never fetched."""
        if access != "x":
            self._retired -= 1

    def _deliver(self, cause: Cause, *, fetch: bool) -> None:
        """Take the exception, unless that leads nowhere."""
        base = vector_base(self._engine, cause.target_el)
        self._nested = self._nested + 1 if base <= cause.elr < base + _VECTORS else 0
        last = self.exceptions[-1] if self.exceptions else None
        dead_vector = fetch and self._nested and last is not None and last.vector == cause.elr
        taken = take(self._engine, cause, self.instructions)
        self.exceptions.append(taken)
        if dead_vector or self._nested >= _STORM:
            self._event = _Event("abort", _lockup(taken))
            if self._running:
                self._engine.stop()
        for observer in tuple(self._observers):
            observer(taken)


_STOPS: dict[PsciAction, StopKind] = {"poweroff": "poweroff", "reset": "reset", "suspend": "wfi"}


def _lockup(taken: ExceptionTaken) -> str:
    return (
        f"the exception handler at {taken.vector & ~0x7F:#x} cannot run ({taken.syndrome.describe()} at "
        f"{taken.elr:#x}); is VBAR_EL{taken.target_el} set, and are its vectors mapped executable?"
    )
