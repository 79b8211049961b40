# SPDX-License-Identifier: BSD-3-Clause
"""Time travel by checkpoints and deterministic re-execution.

    0 ----+--------------+-------+---+-+-> now      + checkpoint, denser towards the present
          '-- restore, then execute --> any moment

A moment is reached by restoring the checkpoint before it and executing from there. That gives the same
state, however often and from wherever: the guest has no input, its clock counts instructions, and at each
multiple of GRID the TLB is emptied, whether or not a checkpoint is there, so that what a kernel without its
TLBI does depends on the time alone.

What is changed from outside (a register, memory, a called function) is an edge: the moment is kept with the
change made, the future of before is forgotten, and re-execution that comes by takes the change along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import perf_counter

from harness.debugger.checkpoints import Checkpoint, Checkpoints, Moment, moment_of
from harness.errors import HarnessError
from harness.machine import ExceptionTaken, Machine, Stop

GRID = 1 << 18  # instructions
MEMORY_LIMIT = 512 << 20  # bytes
COUNT_LIMIT = 160
_COST = 4  # a checkpoint is taken when executing took this many times as long as taking the last one
_FAR = 0.4  # seconds of execution, after which one is taken whatever it costs
_STUCK = 16
_WAITS = 1_000  # in a row, for an interrupt: none comes


class HistoryError(HarnessError):
    """A moment that cannot be reached."""


class Timeline:
    """The past and present of one machine."""

    def __init__(
        self, machine: Machine, *, limit: int = MEMORY_LIMIT, count: int = COUNT_LIMIT, grid: int = GRID
    ) -> None:
        """History starts at the present moment. `limit` bounds the checkpoints' memory, in bytes."""
        self.machine = machine
        self.checkpoints = Checkpoints(limit, count)
        self.interrupted: Callable[[], bool] = lambda: False
        self.progress: Callable[[], None] = lambda: None
        self.dense = False  # keep a checkpoint at every point of the grid: going back is near
        self._grid = grid
        self._executing = False
        self._snapshot_cost = 0.0
        self._since = perf_counter()
        self._keep(edge=True)

    @property
    def now(self) -> Moment:
        """The present moment."""
        return moment_of(self.machine)

    @property
    def start(self) -> Moment:
        """The oldest moment that can be reached."""
        return self.checkpoints.first.moment

    # -- changes from outside ---------------------------------------------------------------------------

    def commit(self) -> None:
        """What was changed at the present moment is part of history now, and the future before it is not."""
        self.machine.flush_tlb()
        self.checkpoints.forget_after(self.now)
        self._keep(edge=True)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Within, the caller changes state and runs the machine; all of it becomes part of history.

        Unless that raises a HarnessError: then nothing has happened.
        """
        before, end = self.machine.snapshot(), self.record()
        try:
            yield
        except HarnessError:
            self.restore(Checkpoint(self.now, before))
            raise
        finally:
            end()
            self.commit()

    def record(self) -> Callable[[], None]:
        """From now on, whoever runs the machine makes history: the state at the start of each run is kept.

        The result, when called, ends that.
        """

        def keep() -> None:
            if not self._executing:
                self.checkpoints.forget_after(self.now)
                self._keep(edge=True)

        return self.machine.before_run(keep).remove

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, the caller may go anywhere and run the machine; it leaves no trace."""
        here, executing = self.now, self._executing
        before = Checkpoint(here, self.machine.snapshot())
        self._executing = True
        try:
            yield
        finally:
            self._executing = executing
            near = self.checkpoints.before(here)
            self.restore(near or before)
            self.goto(here)

    def _keep(self, *, edge: bool = False) -> None:
        started = perf_counter()
        self.checkpoints.add(Checkpoint(self.now, self.machine.snapshot(), edge))
        self._since = perf_counter()
        self._snapshot_cost = self._since - started

    # -- going ------------------------------------------------------------------------------------------

    def goto(self, moment: Moment, *, interruptible: bool = False) -> bool:
        """Stand at a moment, past or future; False: on the way there it was interrupted, if that is allowed.

        Raises HistoryError where it cannot be reached.
        """
        if moment < self.start:
            raise HistoryError(f"history starts at {self.start}; {moment} is before it")
        near, now = self.checkpoints.before(moment), self.now
        assert near is not None
        if not near.moment <= now <= moment:
            self.restore(near)
        if not self.replay(moment, interruptible=interruptible):
            return False
        if self.now != moment:
            raise HistoryError(
                f"there is no moment {moment}: at {self.now} another exception does not follow"
            )
        return True

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand at a checkpoint."""
        self.machine.restore(checkpoint.snapshot)
        self._since = perf_counter()

    def replay(self, moment: Moment, *, interruptible: bool = False) -> bool:
        """Execute from the present moment to a later one, wherever a checkpoint may be; as goto()."""
        if not self._replay_time(moment.time, interruptible):
            return False
        edge = self.checkpoints.next_edge(self.now)
        if edge is not None and edge.moment <= moment:
            self.restore(edge)
        while self.now < moment:
            before_exception = self.now
            self.step()
            if self.now.time > moment.time or self.now == before_exception:
                break
        return True

    def _replay_time(self, time: int, interruptible: bool) -> bool:
        stuck = waits = 0
        while self.machine.instructions < time:
            before = self.machine.instructions
            stop = self._execute(time, frozenset(), keep_from=time - self._grid)
            if interruptible and stop.kind == "requested":
                return False
            stuck = stuck + 1 if self.machine.instructions == before else 0
            waits = waits + 1 if stop.kind == "wfi" else 0
            if stuck >= _STUCK or waits >= _WAITS:
                raise HistoryError(f"the machine ends at {self.now}: {stop.detail or stop.kind}")
        return True

    def run(self, *, until: Collection[int] = (), time: int | None = None) -> Stop:
        """Execute forwards until an address of `until`, a time, or something else stops the machine.

        Kinds of stops are those of `Machine.run`; "budget" means that the time has come, and "requested" with
        the detail "interrupt" that `interrupted` said so.
        """
        return self._execute(time, frozenset(until))

    def step(self, until: Collection[int] = ()) -> Stop:
        """Execute one instruction, or take the exception that it raises instead."""
        before = self.machine.instructions

        def taken(each: ExceptionTaken) -> None:
            if each.time == before:
                self.machine.request_stop("exception")

        watch = self.machine.observe(taken)
        try:
            return self._execute(before + 1, frozenset(until))
        finally:
            watch.remove()

    def _execute(self, time: int | None, until: frozenset[int], keep_from: int | None = None) -> Stop:
        """Run in pieces that end at the grid and at edges."""
        began = self.machine.instructions
        while True:
            here = self.machine.instructions
            if time is not None and here >= time:
                return self._stop("budget", began)
            target = self._piece(here, time)
            executing, self._executing = self._executing, True
            try:
                stop = self.machine.run(budget=target - here, until=until)
            finally:
                self._executing = executing
            if self.machine.instructions == target:
                self._arrive(target, keep_from)
            if stop.kind != "budget":
                return stop
            self.progress()
            if self.machine.registers["pc"] in until:
                return self._stop("address", began)
            if self.interrupted():
                return self._stop("requested", began, "interrupt")

    def _piece(self, here: int, time: int | None) -> int:
        """Where to stop next at the latest."""
        target = here + self._grid - here % self._grid
        edge = self.checkpoints.next_edge(Moment(here, _STUCK))
        if edge is not None:
            target = min(target, edge.moment.time)
        return target if time is None else min(target, time)

    def _arrive(self, time: int, keep_from: int | None) -> None:
        """What belongs to a time when it is reached: the TLB of the grid, a change from outside."""
        edge = self.checkpoints.before(Moment(time, _STUCK))
        if edge is not None and edge.edge and edge.moment.time == time:
            self.restore(edge)
        elif time % self._grid == 0:
            self.machine.flush_tlb()
            executed = perf_counter() - self._since
            near = keep_from is not None and time >= keep_from
            if near or self.dense or executed > min(_COST * self._snapshot_cost, _FAR):
                self._keep_new(time)

    def _keep_new(self, time: int) -> None:
        known = self.checkpoints.before(Moment(time))
        if known is None or known.moment.time != time:
            self._keep()

    def _stop(self, kind: str, began: int, detail: str = "") -> Stop:
        pc, executed = self.machine.registers["pc"], self.machine.instructions - began
        return Stop(kind, pc, executed, detail)  # type: ignore[arg-type]
