# SPDX-License-Identifier: BSD-3-Clause
"""What a running kernel does to its translation regime, told as it happens, in order.

A `Listener` is told of

    Store            to the physical ranges it asked for with `Events.watch`
    SystemOperation  TLBI, and DC, IC, AT but DC ZVA (whose stores arrive as Store, byte by byte); a loop of
                     cache maintenance (`harness.machine.loops`) is one for its first round and one for all
                     others; of what is not in such loops only CACHE_LIMIT until the CPU stops, then
                     `cache_flood`
    RegisterWrite    MSR to a register of `harness.machine.scan.REGISTERS`
    BarrierDone      DSB, DMB, ISB;     Returned   ERET
    ExceptionTaken   and `paused` when the CPU stops

Instructions are found in the executable segments when a program is loaded: those that a guest brings in
later are not told of. Times are instructions retired before. Nothing of this costs anything elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from harness.arch.bits import U64
from harness.arch.maintenance import Barrier
from harness.arch.sysreg import Encoding
from harness.machine.engine import Engine
from harness.machine.exceptions import ExceptionTaken
from harness.machine.hooks import Hook, PlacedHook, RangeHook
from harness.machine.loops import CacheLoop
from harness.machine.runner import Runner
from harness.machine.scan import REGISTERS, Findings, Mark, scan
from harness.machine.watched import WatchedCode, WatchedRanges


class Store(NamedTuple):
    """A store that is about to be made: `size` bytes of `value` at the physical address `pa`."""

    time: int
    pc: int
    pa: int
    size: int
    value: int


class Access(NamedTuple):
    """A load, or a store that is about to be made, at the physical address `pa`."""

    time: int
    pc: int
    pa: int
    size: int
    write: bool


class SystemOperation(NamedTuple):
    """A TLBI, DC, IC or AT; `rounds` of them in a loop, with operands `step` apart."""

    time: int
    pc: int
    encoding: Encoding
    operand: int
    rounds: int = 1
    step: int = 0


class RegisterWrite(NamedTuple):
    """An MSR that is about to take effect."""

    time: int
    pc: int
    register: str
    value: int


class BarrierDone(NamedTuple):
    """A barrier."""

    time: int
    pc: int
    barrier: Barrier


class Returned(NamedTuple):
    """An ERET."""

    time: int
    pc: int


class _Rounds(NamedTuple):
    """A loop that goes on unseen: its first round, and by how much the operand grows with each other one."""

    first: SystemOperation
    step: int
    length: int  # in instructions


class Listener(Protocol):
    """Who is told. `save` and `restore` keep what it knows in step with the machine's snapshots."""

    def store(self, event: Store) -> None:
        """Before a store to a watched range."""

    def system_operation(self, event: SystemOperation) -> None:
        """Before a TLBI, DC, IC or AT."""

    def register_write(self, event: RegisterWrite) -> None:
        """Before an MSR."""

    def cache_flood(self) -> None:
        """There is more cache maintenance than is told of."""

    def barrier(self, event: BarrierDone) -> None:
        """After a barrier, at the latest before the next event of any kind."""

    def returned(self, event: Returned) -> None:
        """After an ERET, at the latest before the next event of any kind."""

    def exception(self, event: ExceptionTaken) -> None:
        """After an exception was taken."""

    def paused(self) -> None:
        """The CPU has stopped, for whatever reason."""

    def save(self) -> Any:
        """What is to be given back by `restore`."""

    def restore(self, state: Any) -> None:
        """The machine went back to the moment of `save`; None: to one before this listener was there."""


CACHE_LIMIT = 1024
_NOTHING: tuple[tuple[int, int, Mark], ...] = ()


class Events:
    """The events of one machine. Without a listener it hooks nothing."""

    def __init__(self, engine: Engine, runner: Runner) -> None:
        self._engine, self._runner = engine, runner
        self._listeners: list[Listener] = []
        self._hooks: list[Hook] = []
        self._cache_hooks: dict[int, PlacedHook] = {}  # by the address of the instruction
        self._cached = 0  # cache maintenance outside of loops since the CPU stopped last
        self._loops: dict[int, CacheLoop] = {}  # by the address of their DC or IC
        self._rounds: _Rounds | None = None
        self._texts: list[tuple[int, Findings]] = []
        self._starts: list[int] = []
        self._runs: list[tuple[int, tuple[tuple[int, Mark], ...]]] = []
        self._marks: dict[int, tuple[tuple[int, int, Mark], ...]] = {}  # by where a block starts
        self._entered = 0  # when the present run was entered
        self._ahead = _NOTHING  # its marks that may not have executed: instructions to it, address, mark
        self.watched = WatchedRanges(engine, self._store)
        self._observing: Callable[[], None] | None = None

    # -- who and what -------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of everything from now on. The result, when called, ends that."""
        self._listeners.append(listener)
        if self._observing is None:
            observer = self._runner.observe(self._exception)
            self._runner.on_run_end(self._pause)
            self._observing = observer.remove
            self._install()

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def load(self, texts: Iterable[tuple[bytes, tuple[int, ...]]]) -> None:
        """A program was loaded: its texts, each with the addresses that the CPU may run it at."""
        self._texts = [(base, scan(data)) for data, bases in texts for base in sorted(set(bases))]
        if self._observing is not None:
            self._install()

    def _install(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        found = [
            (base + run.start, tuple((base + offset, mark) for offset, mark in run.marks))
            for base, text in self._texts
            for run in text.runs
        ]
        self._runs = sorted(found, key=lambda each: each[0])
        self._starts = [start for start, _ in self._runs]
        self._marks.clear()
        engine = self._engine
        self._hooks = engine.on_blocks([(start, marks[-1][0]) for start, marks in self._runs], self._enter)
        tlbi = [(base + offset, each) for base, text in self._texts for offset, each in text.tlbi]
        msr = [(base + offset, each) for base, text in self._texts for offset, each in text.msr]
        self._hooks += engine.on_system("sys", tlbi, self._system)
        self._hooks += engine.on_system("msr", msr, self._register)
        cache = [(base + offset, each) for base, text in self._texts for offset, each in text.cache]
        hooks = engine.on_system("sys", cache, self._cache)
        self._cache_hooks = {
            pc: engine.placed(hook.handle) for (pc, _), hook in zip(cache, hooks, strict=True)
        }
        self._loops = {base + 4 * each.operation: each for base, text in self._texts for each in text.loops}
        exits = [base + 4 * each.exit for base, text in self._texts for each in text.loops]
        self._hooks += hooks + engine.on_blocks([(va, va) for va in exits], lambda _: self.settle())
        self._rounds, self._cached = None, 0

    def on_access(self, ranges: int, callback: Callable[[Access], None]) -> RangeHook:
        """Call back for accesses to the physical ranges that the result covers, so many at a time."""

        def accessed(pa: int, size: int, write: bool) -> None:
            callback(Access(self._now(), self._engine.pc, pa, size, write))

        return self._engine.on_access(ranges, accessed)

    def watch_code(self, callback: Callable[[int, int], None]) -> WatchedCode:
        """Ranges of virtual addresses, none at first: `callback(va, size)` before a block in one executes."""

        def entered(va: int, size: int) -> None:
            self.settle()
            callback(va, size)

        return WatchedCode(self._engine, entered)

    # -- from the engine ----------------------------------------------------------------------------------

    def _enter(self, va: int) -> None:
        """A block of a run is about to execute, from `va` on."""
        now = self._runner.instructions
        if self._ahead or self._rounds is not None:
            self._settle(now)
        marks = self._marks.get(va)
        if marks is None:
            run = self._runs[bisect_right(self._starts, va) - 1][1]
            marks = tuple(((at - va) // 4, at, mark) for at, mark in run if at >= va)
            self._marks[va] = marks
        self._entered, self._ahead = now, marks

    def _settle(self, now: int) -> None:
        """Tell of what has executed unseen by now, which is before the next instruction counts."""
        if self._rounds is not None:
            self._end_loop(self._rounds, now)
        entered, ahead = self._entered, self._ahead
        while ahead and ahead[0][0] < now - entered:
            (distance, pc, mark), ahead = ahead[0], ahead[1:]
            self._ahead = ahead
            if isinstance(mark, Barrier):
                done = BarrierDone(entered + distance, pc, mark)
                for listener in self._listeners:
                    listener.barrier(done)
            else:
                for listener in self._listeners:
                    listener.returned(Returned(entered + distance, pc))

    def settle(self) -> None:
        """Tell of all that has executed by now; from a callback that no event is for."""
        if self._ahead or self._rounds is not None:
            self._settle(self._runner.instructions)

    def _now(self) -> int:
        """The time of an instruction that is executing; the counter has counted it already."""
        now = self._runner.instructions - 1
        if self._ahead or self._rounds is not None:
            self._settle(now)
        return now

    def _begin_loop(self, loop: CacheLoop, first: SystemOperation) -> None:
        """The first round of a loop was told of; the others follow from the number of instructions."""
        step = loop.step
        grows = step.value if step.register is None else step.sign * self._engine.read(f"x{step.register}")
        self._rounds = _Rounds(first, grows, loop.length)
        self._cache_hooks[first.pc].silence()

    def _end_loop(self, rounds: _Rounds, now: int) -> None:
        self._rounds = None
        first, step, length = rounds
        self._cache_hooks[first.pc].resume()
        count = (now - 1 - first.time) // length
        if count > 0:
            operand = (first.operand + step) & U64
            others = first._replace(time=first.time + length, operand=operand, rounds=count, step=step)
            self._tell(others)

    def _store(self, pa: int, size: int, value: int) -> None:
        event = Store(self._now(), self._engine.pc, pa, size, value)
        for listener in self._listeners:
            listener.store(event)

    def _system(self, pc: int, encoding: Encoding, value: int) -> None:
        self._tell(SystemOperation(self._now(), pc, encoding, value))

    def _tell(self, event: SystemOperation) -> None:
        for listener in self._listeners:
            listener.system_operation(event)

    def _cache(self, pc: int, encoding: Encoding, value: int) -> None:
        """A kernel that goes through megabytes line by line in its own way is listened to for a while."""
        if pc in self._loops:
            first = SystemOperation(self._now(), pc, encoding, value)
            self._tell(first)
            self._begin_loop(self._loops[pc], first)
            return
        self._cached += 1
        if self._cached <= CACHE_LIMIT:
            self._system(pc, encoding, value)
            return
        for hook in self._out_of_loops():
            hook.silence()
        for listener in self._listeners:
            listener.cache_flood()

    def _out_of_loops(self) -> list[PlacedHook]:
        return [hook for pc, hook in self._cache_hooks.items() if pc not in self._loops]

    def _register(self, pc: int, encoding: Encoding, value: int) -> None:
        event = RegisterWrite(self._now(), pc, REGISTERS[encoding], value)
        for listener in self._listeners:
            listener.register_write(event)

    def _exception(self, taken: ExceptionTaken) -> None:
        self._settle(taken.time)
        self._ahead = _NOTHING
        for listener in self._listeners:
            listener.exception(taken)

    def _pause(self) -> None:
        """The CPU stopped; where it goes on, it enters the rest of the run anew."""
        self._settle(self._runner.instructions)
        self._ahead = _NOTHING
        if self._cached > CACHE_LIMIT:
            for hook in self._out_of_loops():
                hook.resume()
        self._cached = 0
        for listener in self._listeners:
            listener.paused()

    # -- snapshots ------------------------------------------------------------------------------------------

    def save(self) -> tuple[tuple[Listener, Any], ...]:
        """What the listeners know."""
        return tuple((listener, listener.save()) for listener in self._listeners)

    def restore(self, states: tuple[tuple[Listener, Any], ...]) -> None:
        """Give it back; a listener that came later starts afresh."""
        self._ahead = _NOTHING
        known = {id(listener): state for listener, state in states}
        for listener in self._listeners:
            listener.restore(known.get(id(listener)))
