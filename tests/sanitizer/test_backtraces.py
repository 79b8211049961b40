# SPDX-License-Identifier: BSD-3-Clause
"""Findings say who called, also when they are made long after the instruction at fault has returned."""

from __future__ import annotations

import json
import struct

import pytest

from harness import GuestViolation, Kernel
from harness.checks.export import as_json
from harness.checks.sanitizer import Options
from harness.cli import main
from harness.kernel.faults import SkipInstruction
from harness.kernel.session import RETURN_ADDRESS
from tests.support.vmm import PAGE, Vmm

VA, PA, FOREIGN_PAGE = 0x100010000, 0x40400000, 0x10000
BUDGET = 1000  # instructions; more than any call here takes
DATA_VA, DATA_PA = 0x100200000, 0x40600000
PAGE_RW = 3 | 3 << 8 | 1 << 10 | 3 << 53
SOFTWARE = 1 << 55
EARLIER = "(of an earlier time that it was executed)"


@pytest.fixture(scope="module")
def booted(foreign_elf):
    with Kernel(foreign_elf, ram_size=64 << 20, sanitize=Options()) as kernel:
        yield kernel, kernel.snapshot()


@pytest.fixture
def foreign(booted):
    """The kernel of other hands."""
    kernel, moment = booted
    kernel.restore(moment)
    return kernel


@pytest.mark.parametrize(
    ("kind", "check"),
    [("TLBI", "incomplete-tlbi/not-invalidated"), ("DSB", "early-tlbi/no-dsb")],
    ids=["reused", "early"],
)
def test_our_kernel(kernel_elf, kind, check):
    """From the interface down to the store or TLBI, in text and JSON."""
    with Kernel(kernel_elf, ram_size=64 << 20, sanitize=Options()) as kernel:
        vmm = Vmm(kernel)
        space = vmm.space()
        vmm.create(space, PAGE)
        va = vmm.create(space, PAGE)
        vmm.activate(space)
        with SkipInstruction(kind).inject(kernel), pytest.raises(GuestViolation) as caught:
            vmm.destroy(space, va)
    (finding,) = caught.value.findings
    assert finding.name == check
    frames = as_json([finding])[0]["where"]["backtrace"]
    assert frames[0].split()[1] == f"{finding.where.pc:#018x}"
    assert "vmm_address_space_region_destroy" in frames[-1]
    assert finding.where.backtrace.splitlines() == frames
    assert all(f"  {frame}" in str(caught.value) for frame in frames)


def test_a_foreign_kernel(capfd, foreign_elf):
    """The function at fault, and the one that called it."""
    calls = ("--call", f"map({VA}, {PA})", "--call", f"give_up({VA})")
    assert main(["check", str(foreign_elf), "--ram", "64M", "--format", "json", *calls]) == 1
    (finding,) = json.loads(capfd.readouterr().out)
    assert (finding["rule"], finding["check"]) == ("tlbi-scope", "scope")
    functions = [frame.split(" in ")[1].split()[0] for frame in finding["where"]["backtrace"]]
    assert functions == ["invalidate", "unmap_unshifted", "give_up"]


def test_a_call_that_goes_on_from_a_snapshot(foreign):
    """What was kept goes with the snapshot."""
    machine, registers = foreign.machine, foreign.machine.registers
    foreign.map(VA, PA)
    registers["x0"], registers["x30"] = VA, RETURN_ADDRESS
    registers["pc"] = foreign.function("give_up").address
    machine.run(budget=BUDGET, until={foreign.image.symbols["peek"].address})
    machine.restore(machine.snapshot())
    machine.run(budget=BUDGET, until={RETURN_ADDRESS})
    with pytest.raises(GuestViolation) as caught:
        foreign.session.sanitizer.end_of_call()
    assert " in give_up " in caught.value.findings[0].where.backtrace


def test_of_many_stores_in_a_row_the_first_speak_for_the_others(foreign):
    """And the report says so: they may have been called from elsewhere."""
    for page in range(8):
        foreign.map(VA + page * FOREIGN_PAGE, PA + page * FOREIGN_PAGE)
    foreign.map(DATA_VA, DATA_PA)
    values = [PA + page * FOREIGN_PAGE | PAGE_RW | SOFTWARE for page in range(8)]
    for bad, is_exact in ((0, True), (7, False)):
        moment = foreign.snapshot()
        entries = struct.pack("<8Q", *values[:bad], 0, *values[bad + 1 :])
        foreign.machine.memory.write(DATA_PA, entries)
        with pytest.raises(GuestViolation) as caught:
            foreign.fill(VA, DATA_VA, 8)
        (finding,) = caught.value.findings
        assert finding.name == "owed/not-invalidated"
        assert " in fill " in finding.where.backtrace.splitlines()[0]
        assert (EARLIER in finding.where.backtrace) != is_exact
        foreign.restore(moment)
