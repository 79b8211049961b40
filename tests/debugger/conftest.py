# SPDX-License-Identifier: BSD-3-Clause
"""Machines whose past is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.debugger.timeline import Timeline
from harness.image import ElfImage
from harness.machine import Machine

GRID = 1 << 12  # small, so that little has to be executed to cross it


@pytest.fixture(scope="session")
def image(kernel_elf) -> ElfImage:
    """The kernel under test, read once."""
    return ElfImage.load(kernel_elf)


@pytest.fixture
def travel(image) -> Iterator[Callable[..., Timeline]]:
    """Makes timelines of the kernel from reset."""
    machines: list[Machine] = []

    def make(**options: Any) -> Timeline:
        machine = Machine(ram_size=256 << 20)
        machines.append(machine)
        machine.load(image.segments, image.entry)
        return Timeline(machine, **{"grid": GRID, **options})

    yield make
    for machine in machines:
        machine.close()
