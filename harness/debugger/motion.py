# SPDX-License-Identifier: BSD-3-Clause
"""Going on and going back until something stops it.

Forwards, the machine runs at full speed and is stopped by addresses and exceptions. Accesses cannot stop
it in time, so they are noted, and the moment after the first one is gone back to. Backwards, each stretch
between two checkpoints is executed again, the latest first, and the last thing in it that would have stopped
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from harness.checks.findings import Finding
from harness.checks.sanitizer import Sanitizer
from harness.debugger.checkpoints import Checkpoint, Moment, moment_of
from harness.debugger.probes import Accesses, Hit, caught, exceptions
from harness.debugger.stops import Stoppoint, Stoppoints
from harness.debugger.timeline import Timeline
from harness.machine import ExceptionTaken, Machine, Stop

Reason = Literal[
    "breakpoint", "watchpoint", "catch", "finished", "step", "wfi", "poweroff", "reset", "abort",
    "interrupt", "history", "time",
]  # fmt: skip
Accept = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the debugger has control again.

    `stoppoint` is what was hit, `hit` the access to what it watches, `taken` the exception; `detail` says
    more in words. "finished" is the address that the command waited for, "history" the start of the past.
    """

    reason: Reason
    stoppoint: Stoppoint | None = None
    hit: Hit | None = None
    taken: ExceptionTaken | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    moment: Moment
    halt: Halt


class Motion:
    """Moves one machine along its timeline."""

    def __init__(
        self, timeline: Timeline, stoppoints: Stoppoints, condition: Callable[[Stoppoint], bool]
    ) -> None:
        """`condition` says, with the machine at the place, whether a stoppoint's condition holds."""
        self.timeline, self.stoppoints = timeline, stoppoints
        self._condition = condition
        self.sanitizer: Sanitizer | None = None

    @property
    def machine(self) -> Machine:
        """The machine."""
        return self.timeline.machine

    # -- forwards ---------------------------------------------------------------------------------------

    def forward(
        self, extra: Collection[int] = (), accept: Accept = lambda: True, time: int | None = None
    ) -> Halt:
        """Run until a stoppoint, until an address of `extra` at which `accept` agrees, or until a time."""
        while True:
            halt = self._leg(frozenset(extra), accept, time)
            if halt is not None:
                return halt

    def _leg(self, extra: frozenset[int], accept: Accept, time: int | None) -> Halt | None:
        """Run to the next thing that may stop us; None where it does not."""
        waiting, seen = self.stoppoints.addresses(), list[tuple[Stoppoint, ExceptionTaken]]()
        accesses = Accesses(self.machine, self.stoppoints.watches())
        with (
            accesses.collecting(),
            exceptions(self.machine, self._catcher(seen)),
            self._interrupted_by(accesses),
            self._sanitizing(),
        ):
            stop = self.timeline.run(until=waiting.keys() | extra, time=time)
        found = self._found()
        if found and not (accesses.hits and accesses.hits[0].before.time < found[0].time):
            return self._violated(found[0])
        if accesses.hits:
            return self._accessed(accesses.hits)
        if seen:
            point, taken = seen[0]
            return Halt("catch", point, taken=taken) if self._counts(point) else None
        if stop.kind == "address":
            return self._reached(waiting.get(stop.pc, []), extra, accept)
        reached = self._reached(waiting.get(stop.pc, []), extra, accept) if stop.kind == "wfi" else None
        return reached or _ended(stop)

    def _catcher(
        self, seen: list[tuple[Stoppoint, ExceptionTaken]]
    ) -> Callable[[ExceptionTaken], None] | None:
        catches = self.stoppoints.catches()
        if not catches:
            return None

        def see(taken: ExceptionTaken) -> None:
            point = next((each for each in catches if caught(each, taken)), None)
            if point is not None:
                seen.append((point, taken))
                self.machine.request_stop("catch")

        return see

    def _interrupted_by(self, accesses: Accesses) -> _Interrupting:
        return _Interrupting(self.timeline, lambda: self._noted(accesses), watching=self._watching(accesses))

    def _watching(self, accesses: Accesses) -> bool:
        return bool(accesses.watched) or self._sanitizer_point() is not None

    def _noted(self, accesses: Accesses) -> bool:
        caught = self._sanitizer_point() is not None and self.sanitizer is not None
        return bool(accesses.hits) or (caught and bool(self.sanitizer and self.sanitizer.findings))

    # -- the sanitizer ----------------------------------------------------------------------------------

    def _sanitizer_point(self) -> Stoppoint | None:
        catches = (each for each in self.stoppoints.catches() if each.event == "sanitizer")
        return next(catches, None)

    @contextmanager
    def _sanitizing(self) -> Iterator[None]:
        """Within, findings count; elsewhere the machine only comes by again what was found already."""
        if self.sanitizer is None or self._sanitizer_point() is None:
            yield
            return
        self.sanitizer.take()
        self.sanitizer.muted = False
        try:
            yield
        finally:
            self.sanitizer.muted = True

    def _found(self) -> list[Finding]:
        """What the sanitizer has found, the earliest first."""
        if self.sanitizer is None or self._sanitizer_point() is None:
            return []
        return sorted(self.sanitizer.take(), key=lambda finding: finding.time)

    def _violated(self, finding: Finding) -> Halt | None:
        """Stand after the instruction that the finding is about."""
        point = self._sanitizer_point()
        self.timeline.goto(Moment(finding.time + 1))
        assert point is not None
        return Halt("catch", point, detail=str(finding)) if self._counts(point) else None

    def _accessed(self, hits: list[Hit]) -> Halt | None:
        hit = hits[0]
        self.timeline.goto(hit.after)
        return Halt("watchpoint", hit.watchpoint, hit) if self._counts(hit.watchpoint) else None

    def _reached(self, points: list[Stoppoint], extra: frozenset[int], accept: Accept) -> Halt | None:
        for point in points:
            if self._counts(point):
                return Halt("catch" if point.kind == "catchpoint" else "breakpoint", point)
        if self.machine.registers["pc"] in extra and accept():
            return Halt("finished")
        return None

    def _counts(self, point: Stoppoint) -> bool:
        """Whether a stoppoint that was reached stops: its condition, its hits to ignore."""
        if not self._condition(point):
            return False
        point.hits += 1
        if point.ignore:
            point.ignore -= 1
            return False
        return True

    def stopped_here(self) -> Halt | None:
        """The stoppoint at the address where a step has ended, if it stops."""
        return self._reached(
            self.stoppoints.addresses().get(self.machine.registers["pc"], []), frozenset(), bool
        )

    def step(self) -> Halt:
        """One instruction, or the exception it raises. Only catchpoints and watchpoints count as hit."""
        seen: list[tuple[Stoppoint, ExceptionTaken]] = []
        accesses = Accesses(self.machine, self.stoppoints.watches())
        with accesses.collecting(), exceptions(self.machine, self._catcher(seen)):
            stop = self.timeline.step()
        if accesses.hits and self._counts(accesses.hits[0].watchpoint):
            return Halt("watchpoint", accesses.hits[0].watchpoint, accesses.hits[0])
        if seen and self._counts(seen[0][0]):
            return Halt("catch", seen[0][0], taken=seen[0][1])
        return Halt("step") if stop.kind in ("budget", "requested", "address") else _ended(stop)

    # -- backwards --------------------------------------------------------------------------------------

    def backward(self, extra: Collection[int] = (), accept: Accept = lambda: True) -> Halt:
        """Back to the last moment before now at which `forward` would have stopped."""
        end = self.timeline.now
        while end > self.timeline.start:
            begin = self.timeline.checkpoints.before(_just_before(end))
            assert begin is not None
            found = self._stretch(begin, end, frozenset(extra), accept)
            if found is not None:
                self.timeline.goto(found.moment)
                return found.halt
            if self.timeline.interrupted():
                self.timeline.goto(begin.moment)
                return Halt("interrupt")
            end = begin.moment
        self.timeline.goto(self.timeline.start)
        return Halt("history")

    def step_back(self) -> Halt:
        """One instruction, or one exception, back."""
        now = self.timeline.now
        if now <= self.timeline.start:
            return Halt("history")
        if now.taken:
            self.timeline.goto(Moment(now.time, now.taken - 1))
            return Halt("step")
        self.timeline.goto(Moment(now.time - 1))
        while self.timeline.now.time == now.time - 1:  # the exceptions before that instruction
            before = self.timeline.now
            self.timeline.step()
        self.timeline.goto(before)
        return Halt("step")

    def _stretch(
        self, begin: Checkpoint, end: Moment, extra: frozenset[int], accept: Accept
    ) -> _Candidate | None:
        """The last stop in [begin, end)."""
        candidates: list[_Candidate] = []
        waiting, catches = self.stoppoints.addresses(), self.stoppoints.catches()

        def taken(each: ExceptionTaken) -> None:
            point = next((point for point in catches if caught(point, each)), None)
            moment = moment_of(self.machine)
            if point is not None and moment < end:
                candidates.append(_Candidate(moment, Halt("catch", point, taken=each)))

        self.timeline.restore(begin)
        accesses = Accesses(self.machine, self.stoppoints.watches())
        until = waiting.keys() | extra
        observer = taken if catches else None
        with accesses.collecting(), exceptions(self.machine, observer), self._sanitizing():
            at_address = self.machine.registers["pc"] in until
            while self.timeline.now < end:
                if at_address:
                    candidates += self._here(waiting, extra, accept)
                stop = self.timeline.run(until=until, time=end.time)
                at_address = stop.kind == "address"
                if stop.kind == "budget":
                    break
        hits = [hit for hit in accesses.hits if hit.before < end]
        candidates += [_Candidate(hit.before, Halt("watchpoint", hit.watchpoint, hit)) for hit in hits]
        point = self._sanitizer_point()
        for finding in self._found():
            if finding.time < end.time:
                halt = Halt("catch", point, detail=str(finding))
                candidates.append(_Candidate(Moment(finding.time), halt))
        return self._last(candidates)

    def _here(
        self, waiting: dict[int, list[Stoppoint]], extra: frozenset[int], accept: Accept
    ) -> list[_Candidate]:
        """What stops at the address where the machine stands; conditions are asked here and now."""
        pc, now = self.machine.registers["pc"], self.timeline.now
        for point in waiting.get(pc, []):
            if self._condition(point):
                kind: Reason = "catch" if point.kind == "catchpoint" else "breakpoint"
                return [_Candidate(now, Halt(kind, point))]
        return [_Candidate(now, Halt("finished"))] if pc in extra and accept() else []

    def _last(self, candidates: list[_Candidate]) -> _Candidate | None:
        """The latest one; accesses and exceptions have their conditions asked at their moment."""
        for each in sorted(candidates, key=lambda candidate: candidate.moment, reverse=True):
            point = each.halt.stoppoint
            asked = each.halt.reason in ("breakpoint", "finished") or point is None or not point.condition
            if asked:
                return each
            self.timeline.goto(each.moment)
            if self._condition(point):  # type: ignore[arg-type]  # asked covers None
                return each
        return None


class _Interrupting:
    """Lets a run end soon after something was noted."""

    def __init__(self, timeline: Timeline, noted: Callable[[], bool], *, watching: bool) -> None:
        self._timeline, self._noted, self._watching = timeline, noted, watching
        self._before = (timeline.interrupted, timeline.dense)

    def __enter__(self) -> None:
        asked = self._before[0]
        if self._watching:
            self._timeline.dense = True
            self._timeline.interrupted = lambda: self._noted() or asked()

    def __exit__(self, *_: object) -> None:
        self._timeline.interrupted, self._timeline.dense = self._before


def _just_before(moment: Moment) -> Moment:
    return Moment(moment.time, moment.taken - 1) if moment.taken else Moment(moment.time - 1, 1 << 30)


def _ended(stop: Stop) -> Halt:
    """A stop of the machine's own."""
    if stop.kind == "requested":
        return Halt("interrupt")
    if stop.kind == "budget":
        return Halt("time")
    assert stop.kind != "address"
    return Halt(stop.kind, detail=stop.detail)
