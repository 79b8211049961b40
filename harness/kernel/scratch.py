# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory that belongs to the harness: arguments of calls, and what tests make with `kernel.new`.

The machine's device tree reserves it, so that the kernel maps it as RAM and never gives it to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import CallError
from harness.kernel.values import Memory
from harness.machine import Segment
from harness.machine.memory import RAM_BASE

SCRATCH_SIZE = 1 << 20


def scratch_range(segments: Iterable[Segment]) -> tuple[int, int]:
    """The lowest SCRATCH_SIZE bytes that are free above the device tree at the start of RAM."""
    taken = sorted((each.paddr, each.paddr + each.memory_size) for each in segments)
    start = RAM_BASE + SCRATCH_SIZE
    for low, high in taken:
        if low < start + SCRATCH_SIZE and start < high:
            start = -(-high // SCRATCH_SIZE) * SCRATCH_SIZE
    return start, start + SCRATCH_SIZE


class Scratch:
    """A stack of allocations in [base, base + size) of the kernel's virtual addresses."""

    def __init__(self, memory: Memory, base: int, size: int) -> None:
        self._memory, self.base, self.size = memory, base, size
        self.used = 0

    def place(self, data: bytes, align: int = 16) -> int:
        """Put `data` in the next free bytes and return its virtual address."""
        start = -(-self.used // align) * align
        if start + len(data) > self.size:
            raise CallError(
                f"{len(data)} bytes do not fit in the harness's {self.size} bytes of guest memory, "
                f"{self.used} of which are used: pass smaller pieces"
            )
        self._memory.write(self.base + start, data)
        self.used = start + max(len(data), 1)
        return self.base + start
