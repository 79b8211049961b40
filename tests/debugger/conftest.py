# SPDX-License-Identifier: BSD-3-Clause
"""Machines whose past is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.debugger.session import Debugger
from harness.debugger.timeline import Timeline
from harness.image import ElfImage
from harness.kernel import Kernel
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


@pytest.fixture
def debugger(image) -> Iterator[Debugger]:
    """A debugger of the kernel at its first instruction, without the context display."""
    with Kernel(image, ram_size=256 << 20, boot=False, sanitize=None) as kernel:
        made = Debugger(kernel)
        made.settings["context"] = "off"
        yield made


@pytest.fixture
def say(debugger) -> Callable[[str], str]:
    """Obeys a command, which must succeed, and gives its text."""

    def obey(line: str) -> str:
        result = debugger.execute(line)
        assert not result.failed, f"{line}: {result.text}"
        return result.text

    return obey


@pytest.fixture
def refuse(debugger) -> Callable[[str], str]:
    """Obeys a command, which must fail without moving anything, and gives the reason."""

    def obey(line: str) -> str:
        before = debugger.timeline.now
        result = debugger.execute(line)
        assert result.failed, f"{line}: {result.text}"
        assert debugger.timeline.now == before
        return result.text

    return obey
