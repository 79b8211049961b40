# SPDX-License-Identifier: BSD-3-Clause
"""All counts of an image, and whether they are the same from boot to boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.bench import calls, growth
from harness.bench.calls import Costs
from harness.bench.ground import Cost
from harness.bench.growth import Growth, Progress
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Scope:
    """With how many VMAs, and with regions of which sizes, by their names."""

    counts: tuple[int, ...]
    sizes: Mapping[str, int]

    @property
    def steps(self) -> int:
        """How often measure() calls `progress`."""
        return sum(1 for _ in calls.steps(self.sizes)) + growth.steps(self.counts)


FULL = Scope((1, 10, 100, 1_000, 10_000, 100_000), calls.SIZES)
DEBUG_COUNTS = (1, 10_000)
# What is quick enough for a test; zeroing 1G is not.
COMMITTED = Scope((1, 10_000, 100_000), {name: size for name, size in calls.SIZES.items() if size < 1 << 30})


@dataclass(frozen=True, slots=True)
class Figures:
    """What the calls of lukos/vmm.h cost just after boot, and those of uk/vmem.h with N VMAs."""

    calls: Costs
    growth: Growth

    def flat(self) -> dict[str, int]:
        """Every count by a name of its own."""
        found = {
            f"{name}({label})": cost for name, costs in self.calls.items() for label, cost in costs.items()
        }
        for name, by_count in self.growth.costs.items():
            for count, cost in by_count.items():
                found[f"{name}, N = {count}"] = cost.instructions
                found[f"{name}, N = {count}, TLBI"] = cost.tlbi
                found[f"{name}, N = {count}, DSB"] = cost.dsb
        return found | dict(zip(("smallest VMA", "largest VMA"), self.growth.metadata, strict=True))

    def to_json(self) -> dict[str, Any]:
        """All of it, for from_json()."""
        operations = {
            name: {str(count): asdict(cost) for count, cost in costs.items()}
            for name, costs in self.growth.costs.items()
        }
        return {"calls": self.calls, "operations": operations, "bytes": list(self.growth.metadata)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Figures:
        """What to_json() gave. Raises KeyError, TypeError, ValueError or AttributeError for anything else."""
        costs = {
            name: {int(count): Cost(**cost) for count, cost in by_count.items()}
            for name, by_count in data["operations"].items()
        }
        low, high = data["bytes"]
        return cls(dict(data["calls"]), Growth(costs, (low, high)))


def measure(image: ElfImage, scope: Scope, progress: Progress = lambda: None) -> Figures:
    """Boot an image, once for each group of figures, and count."""
    with Kernel(image, sanitize=None) as kernel:
        costs = calls.measure(kernel, scope.sizes, progress)
    with Kernel(image, sanitize=None) as kernel:
        return Figures(costs, growth.measure(kernel, scope.counts, progress))


def measure_twice(image: ElfImage, scope: Scope, progress: Progress = lambda: None) -> Figures:
    """The same twice over. Raises HarnessError where a count depends on more than the call."""
    figures = measure(image, scope, progress)
    first, second = figures.flat(), measure(image, scope, progress).flat()
    different = [name for name in first if first[name] != second[name]]
    if different:
        raise HarnessError(f"two boots differ in instructions: {', '.join(different)}")
    return figures
