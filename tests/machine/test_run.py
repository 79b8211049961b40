# SPDX-License-Identifier: BSD-3-Clause
"""Running: exact counts, budgets, addresses, callbacks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MachineError

CODE, USER_CODE = 0x4020_0000, 0x4040_0000
USER_VA = 0x1_0000_0000


@pytest.fixture
def loop(bench, asm):
    """Counts x0 down; 4 instructions to set up, 3 a turn, and WFI."""
    program = asm().mov(0, 100).label("again").nop().sub(0, 0, 1).cbnz(0, "again").label("end").wfi()
    bench.start(program)
    bench.end = CODE + program.here("end")
    bench.again = CODE + program.here("again")
    return bench


def test_wfi_ends_a_run_after_itself(loop):
    """WFI is executed and counted; PC is behind it, and the next run goes on from there."""
    stop = loop.machine.run()
    assert (stop.kind, stop.pc, stop.instructions) == ("wfi", loop.end + 4, 305)
    assert loop.machine.instructions == 305


def test_wfe_does_not_end_a_run(bench, asm):
    """WFE and YIELD are hints: the run goes on."""
    assert bench.run(asm().wfe().word(0xD503203F).nop().wfi()).instructions == 4


def test_until_stops_before_the_instruction(loop):
    """The instruction at the address is neither executed nor counted."""
    stop = loop.machine.run(until={loop.end})
    assert (stop.kind, stop.pc, stop.instructions) == ("address", loop.end, 304)


def test_a_run_from_an_until_address_goes_on(loop):
    """Each run makes one turn of the loop when the loop's head is where to stop."""
    assert loop.machine.run(until={loop.again}).instructions == 4
    for left in (99, 98, 97):
        stop = loop.machine.run(until={loop.again, loop.end})
        assert (stop.instructions, loop.machine.registers["x0"]) == (3, left)


def test_until_an_address_nothing_maps(bench, asm):
    """A return to an unmapped address of `until` stops there, without an exception."""
    for sentinel in (0xFFFF_0000_0000_0F00, 0x3_0000_0000):
        stop = bench.run(asm().mov(30, sentinel).ret(), until={sentinel})
        assert (stop.kind, stop.pc, stop.instructions) == ("address", sentinel, 5)
    assert not bench.machine.exceptions


def test_until_at_unbacked_memory_with_the_mmu_off(machine, asm):
    """The same before there is a translation: address 0 has no memory."""
    machine.memory.write(CODE, asm().mov(30, 0).ret().code())
    machine.registers["pc"] = CODE
    stop = machine.run(until={0})
    assert (stop.kind, stop.pc, stop.instructions) == ("address", 0, 5)


def test_until_in_code_already_translated(loop):
    """An address inside a block that has run before is not missed."""
    loop.machine.run()
    loop.machine.registers["pc"] = CODE
    assert loop.machine.run(until={loop.again + 4}).kind == "address"


def test_many_until_addresses_over_time_do_not_pile_up(loop):
    """Old addresses are given up, and do not stop a run that no longer asks for them."""
    machine = loop.machine
    for offset in range(0, 400, 4):
        machine.run(until={CODE + 0x1000 + offset}, budget=0)
    assert len(machine._runner._points.armed) <= 6
    assert machine.run().instructions == 305


@given(first=st.integers(0, 320), second=st.integers(0, 320))
def test_a_run_cut_in_pieces_is_the_same_run(shared_loop, first, second):
    """Budgets stop after exactly that many instructions, and the pieces add up."""
    machine, snapshot = shared_loop
    machine.restore(snapshot)
    total = 0
    for budget in (first, second):
        stop = machine.run(budget=budget)
        assert stop.kind == ("budget" if total + budget < 305 else "wfi")
        assert stop.instructions == machine.instructions - total
        total = machine.instructions
        if stop.kind == "wfi":
            break
        assert stop.instructions == budget
    if total < 305:
        assert machine.run().kind == "wfi"
        assert machine.instructions == 305


@pytest.fixture(scope="module")
def shared_loop():
    """The loop of `loop` on one machine for all examples."""
    import struct

    from harness.machine import Machine

    words = (0xD2800C80, 0xD503201F, 0xD503201F, 0xD503201F, 0xD503201F, 0xD1000400, 0xB5FFFFC0, 0xD503207F)
    with Machine(ram_size=16 << 20) as machine:
        machine.memory.write(CODE, struct.pack("<8I", *words))
        machine.registers["pc"] = CODE
        yield machine, machine.snapshot()


def test_budget_longer_than_a_slice(loop, monkeypatch):
    """A run is cut in slices for Ctrl-C's sake; nobody notices."""
    monkeypatch.setattr("harness.machine.runner.SLICE", 7)
    assert loop.machine.run(budget=303).instructions == 303
    assert loop.machine.run().instructions == 2


def test_a_slice_that_ends_where_the_run_began(loop, monkeypatch):
    """The first instruction is passed over only once, also when a slice starts there again."""
    loop.machine.run(until={loop.again})
    monkeypatch.setattr("harness.machine.runner.SLICE", 3)
    assert loop.machine.run(until={loop.again}).instructions == 3


def test_an_endless_loop_ends_with_the_budget(bench, asm):
    """A runaway is stopped, and says so."""
    stop = bench.run(asm().label("x").b("x"), budget=10_000)
    assert (stop.kind, stop.pc, stop.instructions) == ("budget", CODE, 10_000)


def test_negative_budget_is_refused(machine):
    """A clear error instead of an endless run."""
    with pytest.raises(MachineError, match="budget"):
        machine.run(budget=-1)


def test_on_address_calls_before_the_instruction_each_time(loop):
    """The callback sees exact state and count; it changes nothing by being there."""
    seen = []
    watch = loop.machine.on_address(
        loop.again + 4, lambda m: seen.append((m.registers["x0"], m.instructions, m.registers["pc"]))
    )
    assert loop.machine.run().instructions == 305
    assert seen == [(100 - n, 5 + 3 * n, loop.again + 4) for n in range(100)]
    watch.remove()
    loop.machine.registers["pc"] = CODE
    assert loop.machine.run().instructions == 305
    assert len(seen) == 100


def test_on_address_at_the_first_instruction(loop):
    """A callback at the very PC where the run starts is called, once."""
    seen = []
    loop.machine.on_address(CODE, lambda m: seen.append(m.instructions))
    loop.machine.run()
    assert seen == [0]


def test_a_callback_forces_a_functions_return(bench, asm):
    """Fault injection: at the function's entry set x0 and PC; the body does not run."""
    program = asm().mov(30, 0).b("call").label("callee").mov(0, 1).mov(9, 9).ret()
    program.label("call").word(0x97FFFFF7).label("end").wfi()  # bl callee
    callee, end = CODE + program.here("callee"), CODE + program.here("end")

    def fail(machine):
        machine.registers["x0"] = (1 << 64) - 12
        machine.registers["pc"] = machine.registers["lr"]

    watch = bench.machine.on_address(callee, fail)
    stop = bench.run(program)
    assert (stop.kind, bench.machine.registers["x0"]) == ("wfi", (1 << 64) - 12)
    assert bench.machine.registers["x9"] == 0
    assert stop.instructions == 4 + 1 + 1 + 1
    watch.remove()
    assert bench.run(program).kind == "wfi"
    assert (bench.machine.registers["x0"], bench.machine.registers["x9"]) == (1, 9)
    assert bench.machine.on_address(callee, fail)
    assert bench.run(program, until={end}).pc == end


def test_a_callback_that_jumps_to_an_until_address_ends_the_run(loop):
    """Forced to where the run is to stop, the CPU executes nothing there."""
    loop.machine.on_address(loop.again, lambda m: m.registers.__setitem__("pc", 0x5000))
    stop = loop.machine.run(until={0x5000})
    assert (stop.kind, stop.pc, stop.instructions) == ("address", 0x5000, 4)


def test_a_callback_stops_the_run_and_the_next_goes_on(loop):
    """request_stop ends the run before the instruction; going on does not call the callback again."""
    seen = []

    def stop(machine):
        seen.append(machine.instructions)
        machine.request_stop("enough")

    loop.machine.on_address(loop.again, stop)
    for expected in (4, 7, 10):
        ended = loop.machine.run()
        assert (ended.kind, ended.detail, ended.pc) == ("requested", "enough", loop.again)
        assert loop.machine.instructions == expected
    assert seen == [4, 7, 10]


def test_an_observer_stops_the_run(bench, asm):
    """request_stop from an observer leaves the CPU at the vector."""
    bench.machine.observe(lambda taken: bench.machine.request_stop(taken.syndrome.ec_name))
    stop = bench.run(asm().svc())
    assert (stop.kind, stop.detail, stop.pc) == ("requested", "SVC", 0x4020_8200)


def test_a_callbacks_error_comes_out_and_the_machine_goes_on(loop):
    """The exception of a callback ends the run with the CPU where it was."""
    watch = loop.machine.on_address(loop.again, lambda _m: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.machine.run()
    assert loop.machine.registers["pc"] == loop.again
    watch.remove()
    assert loop.machine.run().kind == "wfi"
    assert loop.machine.instructions == 305


def test_a_callback_cannot_run_the_machine(loop):
    """Nested runs are refused with an error."""
    loop.machine.on_address(loop.again, lambda m: m.run())
    with pytest.raises(MachineError, match="running"):
        loop.machine.run()


def test_code_changed_by_the_host_runs_changed(loop, asm):
    """Translated code of memory that the host writes is dropped, MMU on, while the TLB is kept."""
    loop.machine.run()
    loop.put(loop.again, asm().wfi().code())
    loop.machine.registers["pc"] = CODE
    assert loop.machine.run().instructions == 5


def test_stale_tlb_entries_are_real(bench, asm):
    """A table entry changed by the host has no effect until a TLBI: as on hardware."""
    va = 0x2_0000_0000
    entry = bench.map(va, 0x4050_0000)
    bench.put(0x4050_0000, (1).to_bytes(8, "little"))
    bench.put(0x4050_1000, (2).to_bytes(8, "little"))
    program = asm().mov(1, va).ldr(2, 1).label("changed").ldr(3, 1).tlbi_all().ldr(4, 1).wfi()
    bench.start(program)
    bench.machine.run(until={CODE + program.here("changed")})
    bench.entry(entry, 0, 0x4050_1000 | AF | 3)
    bench.machine.run()
    assert [bench.machine.registers[f"x{n}"] for n in (2, 3, 4)] == [1, 1, 2]


AF = 1 << 10


def test_until_at_a_pages_first_instruction(bench, asm):
    """The page before is not mapped: nothing is fetched from it on the way to the address."""
    bench.start(asm().mov(1, USER_VA).br(1))
    bench.put(USER_CODE, asm().nop(4).wfi().code())
    bench.map(USER_VA, USER_CODE)
    stop = bench.machine.run(until={USER_VA})
    assert (stop.kind, stop.pc, stop.instructions) == ("address", USER_VA, 5)
    assert not bench.machine.exceptions


@pytest.mark.parametrize("jumped", [False, True])
def test_until_after_a_wfi(bench, asm, jumped):
    """Arriving there by a branch is reaching the address; arriving by the WFI is idling."""
    program = asm().b("after") if jumped else asm().nop()
    program.wfi().label("after").nop(2).wfi()
    bench.start(program)
    stop = bench.machine.run(until={CODE + program.here("after")})
    assert (stop.kind, stop.instructions) == (("address", 1) if jumped else ("wfi", 2))


def test_a_run_goes_on_from_an_address_that_the_tables_place_elsewhere(bench, asm):
    """Code that was remapped without a TLBI still runs from where the TLB has it."""
    program = asm().mov(0, 3).b("again").label("again").nop().sub(0, 0, 1).wfi()
    entry = bench.map(USER_VA + 0x1000, CODE)
    again = USER_VA + 0x1000 + program.here("again")
    bench.start(program)
    bench.put(CODE + 0x1000, program.code())
    bench.machine.registers["pc"] = USER_VA + 0x1000
    assert bench.machine.run(until={again}).kind == "address"
    bench.put(entry, (bench.entry(entry, 0) + 0x1000).to_bytes(8, "little"))
    assert bench.machine.run(until={again}, budget=100).kind == "wfi"


@settings(deadline=None)
@given(addresses=st.sets(st.integers(0, 11).map(lambda n: CODE + 4 * n), min_size=1))
def test_stopping_on_the_way_changes_nothing(shared_loop, addresses):
    """However often a run stops, it retires the same instructions and ends in the same state."""
    machine, start = shared_loop
    machine.restore(start)
    whole = machine.run()
    registers = dict(machine.registers)
    machine.restore(start)
    total = 0
    for _ in range(1000):
        stop = machine.run(until=addresses)
        total += stop.instructions
        if stop.kind == "wfi":
            break
        assert stop.pc in addresses
    assert (total, dict(machine.registers)) == (whole.instructions, registers)


@pytest.mark.parametrize("target", [0x3_0000_0000, 0x7000_0000])
def test_a_budget_ends_before_the_abort_of_the_next_fetch(bench, asm, target):
    """Where nothing is mapped, and where nothing backs the address; the next run takes the exception."""
    bench.map(0x7000_0000, 0x7000_0000, level=2)
    bench.start(asm().mov(1, target).br(1))
    stop = bench.machine.run(budget=5)
    assert (stop.kind, stop.pc, stop.instructions) == ("budget", target, 5)
    assert not bench.machine.exceptions
    bench.machine.run(budget=1)
    assert bench.machine.exceptions[0].elr == target


def test_a_wfi_is_seen_although_an_address_behind_it_was_asked_for_early(make_machine, asm, segment):
    """Before the MMU is on, what is there is known from what was loaded."""
    machine = make_machine()
    high = 0xFFFF_FF80_0000_0000
    program = asm().nop().wfi().nop().label("x").b("x")
    machine.load([segment(CODE, program.code(), vaddr=high)], CODE)
    machine.run(until={high + 8}, budget=0)
    assert not machine._runner._points.ends(high + 8)
