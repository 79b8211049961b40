# SPDX-License-Identifier: BSD-3-Clause
"""Locks on one CPU: whoever wants one gets it at once."""

from __future__ import annotations

from hypothesis import settings

from harness.checks.coverage import Program, Recorder, reach
from tests.support.vmm import PAGE, Vmm
from tests.uk.guest import Guest
from tests.uk.machine import run_steps
from tests.uk.machine_family import SETTINGS, FamilyMachine
from tests.uk.machine_files import FilesMachine

FEW = settings(SETTINGS, max_examples=4)


def waits(program):
    """The branches in copies of lock_acquire() that go back and try again."""
    found = set()
    for at in program.instructions:
        branch, location = program.branch(at), program.image.location(at)
        if branch is None or branch.flow != "conditional" or branch.target > at or location is None:
            continue
        if location.file.endswith("lib/lock.h") and program.image.source_at(at)[0].function == "lock_acquire":
            found.add(at)
    return found


def test_no_lock_is_waited_for(boot_kernel):
    """Nobody else has it, and who has it does not want it again: a CPU that goes back waits for itself."""
    kernel = boot_kernel(ram_size=64 << 20, sanitize=None)
    recorder = Recorder()
    recorder.attach(kernel.machine)
    vmm = Vmm(kernel)
    space = vmm.space()
    vmm.set_prop(space, vmm.create(space, PAGE), "RO")
    assert kernel.vmm_address_space_next(None)
    guest = Guest(kernel)
    assert guest.vases["user"].limit() is None
    for machine in (FilesMachine, FamilyMachine):
        run_steps(guest, 0, 1, 40, machine, FEW)
    program = Program(kernel.image)
    reached = reach(program, recorder.take())
    back = waits(program)
    assert len(back & reached.instructions) > len(back) / 2
    assert [hex(at) for at, taken in reached.outcomes if taken and at in back] == []
