# SPDX-License-Identifier: BSD-3-Clause
"""What it costs to look on: host time with sanitizer, coverage or trace over that without, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from harness.bench.ground import Ground
from harness.bench.operations import populate_pages
from harness.checks import tracer
from harness.checks.coverage import Recorder
from harness.checks.sanitizer import Options
from harness.image import ElfImage
from harness.kernel import Kernel

_ROUNDS = 9
_CALLS = 5  # of a round


@dataclass(frozen=True, slots=True)
class Watching:
    """How many times as long: a small test with its restore, and the worst case, a populate of 512 pages."""

    test: float
    populate: float


def measure(image: ElfImage, progress: Callable[[], None] = lambda: None) -> dict[str, Watching]:
    """Each way of looking on by its name. All are booted first and then take turns."""
    with ExitStack() as stack:
        stages = {name: _Stage(stack.enter_context(boot(image))) for name, boot in _WAYS.items()}
        for _ in range(_ROUNDS):
            for stage in stages.values():
                stage.run()
        progress()
    alone = stages.pop("alone")
    return {
        name: Watching(stage.test / alone.test, stage.populate / alone.populate)
        for name, stage in stages.items()
    }


class _Stage:
    """A kernel on which the same is done again and again; the shortest times, in seconds of this process."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._ground = kernel, Ground(kernel)
        self._moment = kernel.snapshot()
        self.test = self.populate = float("inf")
        self.run()  # translates the code
        self.test = self.populate = float("inf")

    def run(self) -> None:
        self.test = min(self.test, self._seconds(self._small_test))
        self.populate = min(self.populate, self._seconds(lambda: populate_pages(self._ground)))

    def _small_test(self) -> None:
        """An address space and a region: what most tests begin with."""
        kernel = self._kernel
        space = kernel.vmm_address_space_create()
        kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)

    def _seconds(self, action: Callable[[], object]) -> float:
        start = time.process_time()
        for _ in range(_CALLS):
            action()
            self._kernel.restore(self._moment)
        return time.process_time() - start


@contextmanager
def _alone(image: ElfImage) -> Iterator[Kernel]:
    with Kernel(image, sanitize=None) as kernel:
        yield kernel


@contextmanager
def _sanitized(image: ElfImage) -> Iterator[Kernel]:
    with Kernel(image, sanitize=Options()) as kernel:
        yield kernel


@contextmanager
def _covered(image: ElfImage) -> Iterator[Kernel]:
    with Kernel(image, sanitize=None, boot=False) as kernel:
        Recorder().attach(kernel.machine)
        kernel.session.boot(None)
        yield kernel


@contextmanager
def _traced(image: ElfImage) -> Iterator[Kernel]:
    """With the sanitizer, which decides which stores are told of."""
    with Kernel(image, sanitize=Options()) as kernel:
        tracer.attach(kernel.machine, image, "json", lambda _line: None)
        yield kernel


_WAYS = {"alone": _alone, "sanitizer": _sanitized, "coverage": _covered, "trace": _traced}
