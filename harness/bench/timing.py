# SPDX-License-Identifier: BSD-3-Clause
"""Host time: what a test costs, beside booting afresh. Only the ratios mean something on another machine."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

from harness.errors import HarnessError
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.machine import Machine

QEMU = "qemu-system-aarch64"
BREAKPOINTS = 20
_TESTS, _BOOTS, _ROUNDS = 200, 3, 5
_WORK = 4 << 20  # bytes of a region whose pages are zeroed


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds: of restoring after a small test, of that test, of boots; `qemu` None: not there.

    `breakpoints` is how many times as long the kernel runs with BREAKPOINTS addresses to stop at, none of
    which it comes to.
    """

    restore: float
    test: float
    boot: float
    qemu: float | None
    breakpoints: float

    @property
    def tests_per_second(self) -> float:
        """Small tests, each with its restore."""
        return 1 / (self.restore + self.test)

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: seconds, and the boots as multiples of a restore."""
        ratios = {
            "boot_ratio": self.boot / self.restore,
            "qemu_ratio": None if self.qemu is None else self.qemu / self.restore,
        }
        return {**asdict(self), "tests_per_second": self.tests_per_second, **ratios}


def measure(image: ElfImage, kernel: Kernel, progress: Callable[[], None] = lambda: None) -> Times:
    """Time everything on a booted kernel of `image`."""
    moment, restores, tests = kernel.snapshot(), [], []
    for _ in range(_TESTS):
        tests.append(_seconds(lambda: _small_test(kernel)))
        restores.append(_seconds(lambda: kernel.restore(moment)))
    progress()
    boots = [_seconds(lambda: Kernel(image, sanitize=None).close()) for _ in range(_BOOTS)]
    progress()
    qemu = [_seconds(lambda: _boot_qemu(image)) for _ in range(_BOOTS)] if shutil.which(QEMU) else []
    progress()
    waiting = breakpoint_ratio(kernel)
    progress()
    return Times(median(restores), median(tests), median(boots), median(qemu) if qemu else None, waiting)


def breakpoint_ratio(kernel: Kernel) -> float:
    """The time of a few million instructions with BREAKPOINTS, over that without."""
    with_points, without = [], []
    for _ in range(_ROUNDS):
        without.append(_seconds(lambda: _work(kernel), time.process_time))
        watches = [kernel.machine.on_address(each, _never) for each in _unreached(kernel)]
        _work(kernel)  # translates the code again
        with_points.append(_seconds(lambda: _work(kernel), time.process_time))
        for watch in watches:
            watch.remove()
        _work(kernel)
    return min(with_points) / min(without)


def _unreached(kernel: Kernel) -> list[int]:
    """Instructions that a kernel which is well does not come to: after where panic() begins."""
    start = kernel.image.symbols["panic"].address
    return [start + 4 * at for at in range(1, BREAKPOINTS + 1) if (start + 4 * at) % 4096]


def _never(_machine: Machine) -> None:
    raise HarnessError("the kernel panicked while it was timed")


def _work(kernel: Kernel) -> None:
    """Mostly instructions of the guest, hardly any of the harness's."""
    space = kernel.vmm_address_space_create()
    kernel.vmm_address_space_region_create(space, _WORK, kernel.AS_REGION_RW)
    kernel.vmm_address_space_destroy(space)


def _seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    action()
    return clock() - start


def _small_test(kernel: Kernel) -> None:
    """An address space and a region: what most tests begin with."""
    space = kernel.vmm_address_space_create()
    kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)


def _boot_qemu(image: ElfImage) -> None:
    """From the start of the process to the kernel's first line."""
    command = [QEMU, "-M", "virt", "-cpu", "cortex-a72", "-m", "2G", "-nographic", "-kernel", str(image.path)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as guest:
        assert guest.stdout is not None
        said = guest.stdout.readline()
        guest.kill()
    if not said:
        raise HarnessError(f"{QEMU} ended before the kernel said anything")
