# SPDX-License-Identifier: BSD-3-Clause
"""Far into a run, the past is near."""

from __future__ import annotations

import struct
import time

import pytest

from harness.debugger.checkpoints import Moment
from harness.debugger.timeline import GRID, Timeline
from harness.machine import Machine

CODE, DATA = 0x4020_0000, 0x4030_0000
FAR = 100_000_000
# mov x1, #DATA; again: add x0, x0, #1; and x2, x0, #0xfff8; str x0, [x1, x2]; b again
LOOP = (0xD2A8_0601, 0x9100_0400, 0x927D_3002, 0xF822_6820, 0x17FF_FFFD)


@pytest.fixture(scope="module")
def far():
    """A hundred million instructions into a loop that writes memory."""
    with Machine(ram_size=64 << 20) as machine:
        machine.memory.write(CODE, struct.pack("<5I", *LOOP))
        machine.registers["pc"] = CODE
        timeline = Timeline(machine)
        timeline.run(time=FAR)
        yield timeline


def test_one_step_back_from_a_hundred_million_takes_less_than_a_second(far):
    """And each one after it, too; the state is that of the way there."""
    for _ in range(3):
        before = far.now
        digest, registers = far.machine.memory.digest(), dict(far.machine.registers)
        started = time.process_time()
        far.goto(Moment(before.time - 1))
        assert time.process_time() - started < 1
        far.step()
        assert (far.machine.memory.digest(), dict(far.machine.registers)) == (digest, registers)
        far.goto(Moment(before.time - 1))


def test_the_way_there_kept_little(far):
    """The pages that the loop writes, not one snapshot of memory for each."""
    assert far.checkpoints.size < 16 << 20
    assert len(far.checkpoints) <= far.checkpoints.count


def test_after_one_step_back_a_checkpoint_is_near(far):
    """At most two points of the grid away, so that the next one is nearer still."""
    far.goto(Moment(FAR - 1))
    near = far.checkpoints.before(far.now)
    assert far.now.time - near.moment.time <= 2 * GRID
