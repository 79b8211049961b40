# SPDX-License-Identifier: BSD-3-Clause
"""Kernels that have been booted once, to be restored for each test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.image import ElfImage
from harness.kernel import Kernel
from harness.pytest_plugin.options import Settings

if TYPE_CHECKING:
    from harness.kernel.kernel import Moment


@dataclass(frozen=True, slots=True)
class _Booted:
    kernel: Kernel
    moment: Moment


class Pool:
    """The images that were read and the kernels that were booted by this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._images: dict[Path, ElfImage] = {}
        self._booted: dict[Path, _Booted] = {}

    def fresh(self, path: Path) -> Kernel:
        """The kernel of an image, as it was when it had just booted."""
        if path not in self._booted:
            kernel = self.boot(path)
            self._booted[path] = _Booted(kernel, kernel.snapshot())
        booted = self._booted[path]
        booted.kernel.restore(booted.moment)
        return booted.kernel

    def boot(self, path: Path, **options: Any) -> Kernel:
        """Another kernel of an image; `options` of `Kernel` go before those of the command line."""
        if path not in self._images:
            self._images[path] = ElfImage.load(path)
        settings = self._settings
        standard = {"cpu": settings.cpu, "ram_size": settings.ram_size, "entry_el": settings.entry_el}
        standard |= settings.checks
        return Kernel(self._images[path], **{**standard, **options})

    def forget_images(self) -> None:
        """Read them again for the next boot: the file stands for another image now."""
        self._images.clear()

    def close(self) -> None:
        """Free all machines."""
        for booted in self._booted.values():
            booted.kernel.close()
        self._booted.clear()
