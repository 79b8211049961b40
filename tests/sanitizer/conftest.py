# SPDX-License-Identifier: BSD-3-Clause
"""The cases: functions in assembly, each of which does one thing well or badly."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checks.sanitizer import Options, Sanitizer
from harness.image import ElfImage
from harness.machine import Machine
from tests.support.cross import build
from tests.support.fixtures import *  # noqa: F403 - what pytest is to find here

CASES = Path(__file__).parent / "cases"
_EL2H = 0x3C9
RETURN = 0x00AD_DE00_0000_0000  # unmapped: fetching there ends a case


class Cases:
    """The booted kernel of the cases; `run` gives what the sanitizer found in one of them."""

    def __init__(self, image: ElfImage, options: Options | None = None) -> None:
        self.image = image
        self.machine = Machine(ram_size=64 << 20)
        self.machine.load(image.segments, image.entry)
        self.sanitizer = Sanitizer(self.machine, image, options, (RETURN,))
        stop = self.machine.run(budget=10_000)
        assert stop.kind == "wfi", stop
        self.sanitizer.end_of_call()
        self._moment = self.machine.snapshot()

    def run(self, name: str):
        """What is found in a case."""
        self._start(name)
        stop = self.machine.run(budget=100_000, until={RETURN})
        assert stop.kind == "address", stop
        self.sanitizer.settle()
        return self.sanitizer.take()

    def run_restored(self, name: str):
        """The same if the machine goes back to where it is before every instruction."""
        self._start(name)
        found = []
        while self.machine.run(budget=1, until={RETURN}).kind != "address":
            found += self.sanitizer.take()
            self.machine.restore(self.machine.snapshot())
        self.sanitizer.settle()
        return [*found, *self.sanitizer.take()]

    def _start(self, name: str):
        self.machine.restore(self._moment)
        if name.endswith("_at_el2"):
            self.machine.set_pstate(_EL2H)
        registers = self.machine.registers
        registers["pc"], registers["x30"] = self.image.symbols[name].address, RETURN


@pytest.fixture(scope="session")
def cases_image(tmp_path_factory):
    """The image of the cases."""
    return ElfImage.load(build(CASES, tmp_path_factory.mktemp("cases") / "cases.elf"))


@pytest.fixture(scope="session")
def cases(cases_image):
    """The kernel of the cases, on a machine of many CPUs as far as the sanitizer is concerned."""
    return Cases(cases_image)


def foreign(tmp_path_factory, *options):
    return build(
        Path(__file__).parent / "foreign", tmp_path_factory.mktemp("foreign") / "foreign.elf", *options
    )


@pytest.fixture(scope="session")
def foreign_elf(tmp_path_factory):
    """A kernel with 64K pages and three defects; see its source."""
    return foreign(tmp_path_factory)


@pytest.fixture(scope="session")
def stripped_elf(tmp_path_factory):
    """The same without DWARF: only its symbols say what is where."""
    return foreign(tmp_path_factory, "-g0")
