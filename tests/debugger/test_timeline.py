# SPDX-License-Identifier: BSD-3-Clause
"""Going back and forth in time: the same moment is the same state, whatever the way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.debugger.checkpoints import Moment
from harness.debugger.timeline import HistoryError, Timeline
from harness.machine import Machine
from tests.machine.conftest import AF, DATA, UXN, Asm, Bench

END = 60_000


def state(timeline):
    """All that the guest could see, and the console."""
    machine = timeline.machine
    system = {name: machine.sysreg[name] for name in ("TTBR0_EL1", "TTBR1_EL1", "SCTLR_EL1", "ESR_EL1")}
    return timeline.now, dict(machine.registers), system, machine.memory.digest(), machine.console


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(0, END), min_size=1, max_size=6), count=st.integers(2, 12))
def test_a_moment_is_the_same_state_by_any_way(travel, times, count):
    """Straight from reset, or by wild jumps with few or many checkpoints."""
    wild = travel(count=count)
    for time in times:
        wild.goto(Moment(time))
    straight = travel()
    straight.run(time=times[-1])
    assert state(wild) == state(straight)


def test_a_step_back_and_a_step_on_cancel_out(travel):
    """Also across a point of the grid."""
    timeline = travel()
    for time in (1, 4096, 4097, END):
        timeline.goto(Moment(time))
        before = state(timeline)
        timeline.goto(Moment(time - 1))
        assert timeline.machine.instructions == time - 1
        timeline.step()
        assert state(timeline) == before


def test_a_change_from_outside_is_part_of_history(travel):
    """Execution that comes by from before takes the change along; the moment before is as it was."""
    timeline = travel()
    timeline.run(time=5_000)
    before = timeline.machine.registers["x27"]
    with timeline.changing():
        timeline.machine.registers["x27"] = before ^ 0x1234_5678
    timeline.run(time=5_003)
    changed = state(timeline)
    timeline.goto(Moment(4_999))
    assert timeline.machine.registers["x27"] == before
    timeline.run(time=5_003)
    assert state(timeline) == changed


def test_a_change_in_the_past_forgets_the_future(travel):
    """What was to come is computed anew from the change."""
    timeline = travel()
    timeline.run(time=5_000)
    with timeline.changing():
        timeline.machine.registers["x27"] = 1
    timeline.goto(Moment(3_000))
    with timeline.changing():
        timeline.machine.registers["x26"] = 2
    timeline.run(time=5_000)
    assert timeline.machine.registers["x27"] != 1


def test_runs_by_others_are_recorded(travel):
    """What a caller does to the machine between its runs can be gone back to."""
    timeline = travel()
    stop = timeline.record()
    machine = timeline.machine
    machine.run(budget=3_000)
    machine.registers["x28"] = 0xABCD
    machine.run(budget=10)
    machine.registers["x28"] = 0
    stop()
    timeline.commit()
    timeline.goto(Moment(3_005))
    assert machine.registers["x28"] == 0xABCD
    timeline.goto(Moment(2_999))
    assert machine.registers["x28"] != 0xABCD
    timeline.run(time=3_010)
    assert machine.registers["x28"] == 0


def test_time_before_the_start_is_refused(travel):
    """With the moment at which history starts."""
    timeline = travel()
    with pytest.raises(HistoryError, match="history starts at 0"):
        timeline.goto(Moment(-1))


def test_checkpoints_are_bounded_and_denser_towards_the_present(travel):
    """As many as allowed, the first kept, and the gaps grow with age."""
    timeline = travel(count=8, grid=512)
    timeline.dense = True
    timeline.run(time=END)
    times = [each.moment.time for each in timeline.checkpoints]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == 8
    assert times[0] == 0
    assert gaps[0] == max(gaps) > 8 * gaps[-1]


def test_checkpoints_keep_to_their_memory(travel):
    """Dirty pages count once for all checkpoints that have them."""
    timeline = travel(limit=1 << 20, grid=512)
    timeline.dense = True
    timeline.run(time=END)
    assert len(timeline.checkpoints) > 2
    assert timeline.checkpoints.size <= 1 << 20


def test_a_run_that_ends_on_the_grid_at_an_address_says_so(travel):
    """The address is not passed over because a piece of the run ends there."""
    timeline = travel()
    timeline.goto(Moment(4096))
    pc = timeline.machine.registers["pc"]
    timeline.goto(Moment(4095))
    stop = timeline.run(until={pc}, time=4100)
    assert (stop.kind, stop.pc, timeline.now.time) == ("address", pc, 4096)


def test_an_interrupt_stops_a_run(travel):
    """Between two pieces, with an exact time."""
    timeline = travel()
    timeline.interrupted = lambda: timeline.machine.instructions > 10_000
    stop = timeline.run()
    assert (stop.kind, stop.detail) == ("requested", "interrupt")
    assert timeline.now.time == 3 * 4096


def test_an_interrupt_stops_the_way_to_a_moment_only_where_it_may(travel):
    """Else the moment is reached, whatever is asked."""
    timeline = travel()
    timeline.interrupted = lambda: timeline.machine.instructions > 10_000
    assert not timeline.goto(Moment(50_000), interruptible=True)
    assert timeline.now.time == 3 * 4096
    assert timeline.goto(Moment(50_000))
    assert timeline.now.time == 50_000


def test_a_moment_after_the_machine_has_gone_idle_is_refused(travel):
    """It waits for interrupts, and none comes."""
    timeline = travel()
    timeline.run()
    with pytest.raises(HistoryError, match=r"the machine ends at .*wfi"):
        timeline.goto(Moment(1 << 60))


FAULT = (0xD280_0AA0, 0xF940_0001, 0xD280_0021, 0xD503_207F)  # mov x0, #0x55; ldr x1, [x0]; ...


def test_a_fault_is_a_moment_of_its_own(travel):
    """Before and after the exception, the same number of instructions has retired."""
    timeline = travel()
    machine = timeline.machine
    timeline.machine.run()  # idle: its vectors are in place
    with timeline.changing():
        machine.memory.write(
            machine.walk(machine.registers["pc"]).pa, b"".join(w.to_bytes(4, "little") for w in FAULT)
        )
    at, time = machine.registers["pc"], machine.instructions
    timeline.run(time=time + 1)
    assert (timeline.now, machine.registers["pc"]) == (Moment(time + 1), at + 4)
    timeline.step()
    assert timeline.now == Moment(time + 1, 1)
    assert machine.sysreg["ELR_EL1"] == at + 4
    after = state(timeline)
    timeline.goto(Moment(time))
    timeline.goto(Moment(time + 1, 1))
    assert state(timeline) == after
    timeline.goto(Moment(time + 1))
    assert machine.registers["pc"] == at + 4


VA = 0x1_0000_0000


@pytest.fixture
def stale():
    """A guest that redirects a page without a TLBI, and adds up what it reads there from then on."""
    with Machine(ram_size=64 << 20) as machine:
        bench = Bench(machine).mmu_on()
        entry = bench.map(VA, DATA, AF | UXN)
        for page, value in ((DATA, 1), (DATA + 0x1000, 2)):
            bench.put(page, value.to_bytes(8, "little"))
        program = (
            Asm().mov(0, VA).mov(4, entry).ldr(2, 0).ldr(5, 4).add(5, 5, 0x800).add(5, 5, 0x800).str(5, 4)
        )
        bench.start(program.label("again").ldr(2, 0).word(0x8B02_0063).b("again"))  # add x3, x3, x2
        yield Timeline(machine, grid=512)


def test_what_a_stale_tlb_entry_does_depends_on_the_time_alone(stale):
    """Not on where checkpoints were, and not on the way: it is gone at the next point of the grid."""
    stale.dense = True
    stale.run(time=400)
    assert stale.machine.registers["x2"] == 1
    stale.run(time=2_000)
    assert stale.machine.registers["x2"] == 2
    total = stale.machine.registers["x3"]
    for time in (1_999, 600, 511, 30, 1_200):
        stale.goto(Moment(time))
        stale.goto(Moment(2_000))
        assert stale.machine.registers["x3"] == total
