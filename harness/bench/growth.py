# SPDX-License-Identifier: BSD-3-Clause
"""The cost of every operation as the number of VMAs grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.bench.ground import Cost, Ground
from harness.bench.operations import OPERATIONS
from harness.kernel import Kernel

_TYPES = tuple(f"struct {name}" for name in ("uk_vma", "vma_dma", "vma_file", "vma_shared", "region"))

Progress = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Growth:
    """Costs by operation and number of VMAs; the bytes of a VMA, of the smallest type and of the largest."""

    costs: dict[str, dict[int, Cost]]
    metadata: tuple[int, int]

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of VMAs."""
        return tuple(next(iter(self.costs.values())))


def steps(counts: Iterable[int]) -> int:
    """How often measure() calls `progress`."""
    return len(list(counts)) * (len(OPERATIONS) + 1)


def measure(kernel: Kernel, counts: Iterable[int], progress: Progress = lambda: None) -> Growth:
    """Measure with each number of VMAs, in ascending order, on a kernel that has just booted."""
    ground = Ground(kernel)
    costs: dict[str, dict[int, Cost]] = {name: {} for name in OPERATIONS}
    for count in counts:
        ground.grow(count)
        progress()
        moment = kernel.snapshot()
        for name, operation in OPERATIONS.items():
            costs[name][count] = operation(ground)
            kernel.restore(moment)
            progress()
    sizes = [kernel.sizeof(name) for name in _TYPES]
    return Growth(costs, (min(sizes), max(sizes)))
