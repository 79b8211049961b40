# SPDX-License-Identifier: BSD-3-Clause
"""What coverage is computed from: each pair of entries that followed one another in a trace of blocks."""

from __future__ import annotations

from array import array

from harness.machine import Machine

Step = tuple[int, int]
"""An entry of a trace of blocks and the one after it: see `harness.machine.blocks`."""


class Recorder:
    """The steps of any number of machines. Loops add nothing, so it stays small however long they run."""

    def __init__(self) -> None:
        self._steps: set[Step] = set()

    def attach(self, machine: Machine) -> None:
        """Record from now on what `machine` executes. Costs about half of the speed of the guest."""
        machine.trace_blocks(self._consume)

    def _consume(self, entries: array[int]) -> None:
        self._steps.update(zip(entries, memoryview(entries)[1:], strict=False))

    def take(self) -> set[Step]:
        """The steps recorded since the last call."""
        taken, self._steps = self._steps, set()
        return taken
