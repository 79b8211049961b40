# SPDX-License-Identifier: BSD-3-Clause
"""The adversarial TLB: what a missing step of an update makes a program read, with no sanitizer to say so."""

from __future__ import annotations

import re

import pytest

from harness import GuestError, Kernel
from harness.checks.tlb import AdversarialTlb
from harness.machine import Machine
from tests.sanitizer.conftest import CASES, RETURN
from tests.sanitizer.test_rules import GOOD

SEEDS = range(24)
FRAMES, PAGE, COUNT = 0x40800000, 0x1000, 40
WINDOW = 0xFFFF_0000_8000_0000
ADDRESSES = [base + page * PAGE for base in (0, 0x200000, 0x400000, WINDOW) for page in range(10)]
EL2H = 0x3C9
PAIRS = re.findall(r"^    pair +(\w+)$", (CASES / "stale.S").read_text(), re.MULTILINE)


class Program:
    """The kernel of the cases, booted anew, behind a TLB or the emulator's own."""

    def __init__(self, image, tlb: AdversarialTlb | None = None) -> None:
        self.image = image
        self.machine = Machine(ram_size=64 << 20)
        if tlb is not None:
            tlb.attach(self.machine)
        self.machine.load(image.segments, image.entry)
        assert self.machine.run(budget=10_000).kind == "wfi"
        for frame in range(COUNT):
            content = 3 if frame == 4 else frame  # these two are alike, as start.S says
            self.machine.memory.write(FRAMES + frame * PAGE, content.to_bytes(8, "little"))
        self.moment = self.machine.snapshot()

    def __enter__(self):
        return self

    def __exit__(self, *_error) -> None:
        self.machine.close()

    def run(self, name: str) -> int:
        """What a case leaves in x0, run from just after boot."""
        self.machine.restore(self.moment)
        if name.endswith("_at_el2"):
            self.machine.set_pstate(EL2H)
        return self.call(name)

    def call(self, name: str, argument: int = 0) -> int:
        """The same of a function, run as things are."""
        registers = self.machine.registers
        registers["x0"], registers["x30"] = argument, RETURN
        registers["pc"] = self.image.symbols[name].address
        stop = self.machine.run(budget=10_000, until={RETURN})
        assert stop.kind == "address", stop
        return registers["x0"]


@pytest.fixture(scope="module")
def results(cases_image):
    """Name of a case -> what it gives for each seed; and the same for the emulator's own TLB, as "plain"."""
    names = [f"{kind}_{name}" for name in PAIRS for kind in ("right", "wrong")]
    found = {}
    with Program(cases_image) as plain:
        found["plain"] = {name: plain.run(name) for name in names}
    for seed in SEEDS:
        with Program(cases_image, AdversarialTlb(seed)) as program:
            found[seed] = {name: program.run(name) for name in names}
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_correct_code_reads_what_the_tables_say(results, pair):
    """For every seed, as with a TLB that forgives."""
    name = f"right_{pair}"
    assert {results[seed][name] for seed in SEEDS} == {results["plain"][name]}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_step_left_out_changes_what_is_read(results, pair):
    """For some seed, and not for all."""
    expected = results["plain"][f"right_{pair}"]
    differing = [seed for seed in SEEDS if results[seed][f"wrong_{pair}"] != expected]
    assert 0 < len(differing) < len(SEEDS)


@pytest.fixture(scope="module")
def programs(cases_image):
    """Behind the emulator's own TLB, and behind some others."""
    made = [Program(cases_image), *(Program(cases_image, AdversarialTlb(seed)) for seed in SEEDS[:3])]
    yield made
    for each in made:
        each.machine.close()


@pytest.mark.parametrize("name", GOOD)
def test_behind_what_the_sanitizer_allows_every_address_reads_as_with_any_tlb(programs, name):
    """All cases of correct code, of whichever rule."""
    seen = []
    for program in programs:
        program.run(name)
        seen.append([program.call("load", va) for va in ADDRESSES])
    assert seen == [seen[0]] * len(seen)


def peek_after(foreign_elf, unmap, seed):
    """How a load from a page of a foreign kernel ends, which uses it and then calls a function of its own."""
    va, pa = 0x1_0001_0000, 0x4040_0000
    with Kernel(foreign_elf, ram_size=64 << 20, tlb=AdversarialTlb(seed), sanitize=None) as kernel:
        kernel.machine.memory.write(pa, b"\x07")
        kernel.map(va, pa)
        assert kernel.peek(va) == 7
        kernel.function(unmap)(va)
        try:
            return kernel.peek(va)
        except GuestError:  # it has no vectors
            return "abort"


@pytest.mark.parametrize(
    ("unmap", "outcomes"), [("unmap", {"abort"}), ("unmap_unshifted", {"abort", 7})], ids=["right", "wrong"]
)
def test_a_foreign_kernel_with_pages_of_64k_reads_what_its_tlbi_missed(foreign_elf, unmap, outcomes):
    """Another granule, a root that is smaller than a page, tables that are larger than one."""
    assert {peek_after(foreign_elf, unmap, seed) for seed in SEEDS} == outcomes
