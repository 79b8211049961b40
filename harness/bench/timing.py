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

QEMU = "qemu-system-aarch64"
_TESTS, _BOOTS = 200, 3


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds: of restoring after a small test, of that test, of boots; `qemu` None: not there."""

    restore: float
    test: float
    boot: float
    qemu: float | None

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
    boots = [_seconds(lambda: Kernel(image).close()) for _ in range(_BOOTS)]
    progress()
    qemu = [_seconds(lambda: _boot_qemu(image)) for _ in range(_BOOTS)] if shutil.which(QEMU) else []
    progress()
    return Times(median(restores), median(tests), median(boots), median(qemu) if qemu else None)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


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
