# SPDX-License-Identifier: BSD-3-Clause
"""Seeing accesses and exceptions while the machine executes, without stopping it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from harness.debugger.checkpoints import Moment, is_call
from harness.debugger.stops import Catchpoint, Watchpoint
from harness.machine import ExceptionTaken, Machine, MemoryAccess


@dataclass(frozen=True, slots=True)
class Hit:
    """An access to what a watchpoint watches: the moment before the instruction, and the bytes before it."""

    watchpoint: Watchpoint
    before: Moment
    old: bytes
    access: MemoryAccess

    @property
    def after(self) -> Moment:
        """The moment after the instruction."""
        return Moment(self.before.time + 1)


class Accesses:
    """Collects accesses to watched ranges, in order; of one instruction only the first counts."""

    def __init__(self, machine: Machine, watchpoints: Sequence[Watchpoint]) -> None:
        self._machine, self.watched = machine, watchpoints
        self.hits: list[Hit] = []

    @contextmanager
    def collecting(self) -> Iterator[Accesses]:
        """Within, accesses are collected."""
        watches = [
            self._machine.on_memory(each.pa, each.size, "rw" if each.access == "rw" else each.access, see)
            for each in self.watched
            for see in (partial(self._see, each),)
        ]
        try:
            yield self
        finally:
            for watch in watches:
                watch.remove()

    def _see(self, watchpoint: Watchpoint, access: MemoryAccess) -> None:
        old = self._machine.memory.read(watchpoint.pa, watchpoint.size)
        unchanged = watchpoint.access == "w" and watchpoint.changes
        if unchanged and stored(old, watchpoint.pa, access) == old:
            return
        before = moment_before(self._machine)
        if not (self.hits and self.hits[-1].before == before and self.hits[-1].watchpoint is watchpoint):
            self.hits.append(Hit(watchpoint, before, old, access))


def stored(old: bytes, base: int, access: MemoryAccess) -> bytes:
    """The bytes at `base` after a store."""
    data, new = access.value.to_bytes(access.size, "little"), bytearray(old)
    for at, byte in enumerate(data, access.pa - base):
        if 0 <= at < len(new):
            new[at] = byte
    return bytes(new)


def moment_before(machine: Machine) -> Moment:
    """From within an access: the moment before the instruction that makes it."""
    time, taken = machine.instructions - 1, 0
    for each in reversed(machine.exceptions):
        if each.time != time:
            break
        taken += not is_call(each)
    return Moment(time, taken)


def caught(catchpoint: Catchpoint, taken: ExceptionTaken) -> bool:
    """Whether an exception is what a catchpoint waits for."""
    syndrome = taken.syndrome
    return {
        "exception": True,
        "fault": not is_call(taken),
        "svc": is_call(taken) and syndrome.ec_name == "SVC",
    }.get(catchpoint.event, False)


@contextmanager
def exceptions(machine: Machine, callback: Callable[[ExceptionTaken], None] | None) -> Iterator[None]:
    """Within, `callback` is called with each exception."""
    if callback is None:
        yield
        return
    watch = machine.observe(callback)
    try:
        yield
    finally:
        watch.remove()
