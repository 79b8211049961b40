# SPDX-License-Identifier: BSD-3-Clause
"""The way that control takes: which blocks of instructions the CPU enters, in order.

A block is what the emulator translates as one: instructions up to a branch at the latest. Addresses of
instructions are multiples of 4; the two low bits of an entry say what it is:

    0  ENTERED    the block at this address was entered
    1  EXCEPTION  an exception was taken that returns to this address (ELR): where the block before it ended
    2  PAUSE      the CPU stopped before the instruction at this address; what follows is another run

So the block before a mark ran up to the mark, and every other to its end, or to where the next begins.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

from harness.machine.engine import Engine
from harness.machine.exceptions import ExceptionTaken
from harness.machine.runner import Runner

ENTERED, EXCEPTION, PAUSE = 0, 1, 2
ADDRESS = ~3

Consumer = Callable[["array[int]"], None]


class BlockTrace:
    """Collects during a run and hands over when it ends; the array is used again afterwards."""

    def __init__(self, engine: Engine, runner: Runner, consumer: Consumer) -> None:
        self._engine, self._consumer = engine, consumer
        self._entries: array[int] = array("Q")
        engine.trace_blocks(self._entries)
        runner.observe(self._exception)
        runner.on_run_end(self._pause)

    def _exception(self, taken: ExceptionTaken) -> None:
        self._entries.append(taken.elr & ADDRESS | EXCEPTION)

    def _pause(self) -> None:
        self._entries.append(self._engine.read("pc") & ADDRESS | PAUSE)
        self._consumer(self._entries)
        del self._entries[:]
