# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots: everything goes back, and the way there does not matter."""

from __future__ import annotations

import gc
import os
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MachineError
from harness.machine import Machine
from harness.machine.ram import Ram

CODE, DATA, UART = 0x4020_0000, 0x4050_0000, 0x0900_0000
STEPS = 400


def state(machine):
    """All that a snapshot promises to bring back."""
    vectors = {f"q{n}": machine.registers[f"q{n}"] for n in (0, 31)}
    system = {
        n: machine.sysreg[n] for n in ("ESR_EL1", "FAR_EL1", "TTBR0_EL1", "SCTLR_EL1", "SP_EL0", "SP_EL1")
    }
    return (
        dict(machine.registers) | vectors | system,
        machine.memory.digest(),
        machine.console,
        machine.instructions,
        tuple(machine.exceptions),
    )


@pytest.fixture
def busy(bench, asm):
    """A program that stores all over RAM, prints and takes exceptions: 10 instructions a turn."""
    program = asm().mov(0, 1).mov(1, 0x4100_0000).mov(2, 0x900_0000).label("again")
    program.str(0, 1).add(1, 1, 0xFF8).add(1, 1, 0x28).strb(0, 2).svc().add(0, 0, 1).str(1, 1, 8).str(0, 31)
    program.b("again")
    bench.map(0x0, 0x0, (1 << 10) | (2 << 2), level=1)
    bench.start(program)
    return bench.machine


def test_restore_brings_everything_back(busy):
    """Memory, registers, console, count and exceptions, from the first snapshot and from later ones."""
    busy.run(budget=100)
    moments = []
    for _ in range(4):
        moments.append((busy.snapshot(), state(busy)))
        busy.run(budget=STEPS)
    for snapshot, expected in [*reversed(moments), *moments]:
        busy.restore(snapshot)
        assert state(busy) == expected


def test_the_way_to_a_moment_does_not_matter(busy):
    """From any snapshot, running on to a count gives the identical state."""
    snapshots = [busy.snapshot()]
    for _ in range(3):
        busy.run(budget=STEPS)
        snapshots.append(busy.snapshot())
    ends = []
    for taken, snapshot in enumerate(snapshots):
        busy.restore(snapshot)
        busy.run(budget=STEPS * (4 - taken))
        ends.append(state(busy))
    assert ends == [ends[0]] * 4


@settings(max_examples=30, deadline=None)
@given(choices=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 300)), min_size=1, max_size=8))
def test_any_order_of_runs_and_restores(explorer, choices):
    """A model of moments: run on, snapshot, go back to any; each has the state it had."""
    machine, start = explorer
    machine.restore(start)
    known = [(start, state(machine))]
    for back, steps in choices:
        snapshot, expected = known[back % len(known)]
        machine.restore(snapshot)
        assert state(machine) == expected
        machine.run(budget=steps)
        known.append((machine.snapshot(), state(machine)))


@pytest.fixture(scope="module")
def explorer():
    """A machine without an MMU that fills memory with a counter."""
    import struct

    # again: str x0,[x1,x0,lsl #3]; add x0,x0,#0x1b5; and x0,x0,#0xfffff; b again
    words = (0xF8207820, 0x9106D400, 0x92404C00, 0x17FFFFFD)
    with Machine(ram_size=16 << 20) as machine:
        machine.memory.write(CODE, struct.pack("<4I", *words))
        machine.registers["pc"], machine.registers["x1"] = CODE, 0x4040_0000
        yield machine, machine.snapshot()


@pytest.mark.parametrize("flush_above", [2000, 0], ids=["page by page", "all at once"])
def test_restored_code_is_the_code_that_runs(bench, asm, monkeypatch, flush_above):
    """Code overwritten and run after a snapshot, by host or guest, does not survive its restore."""
    monkeypatch.setattr("harness.machine.machine._FLUSH_RUNS", flush_above)
    bench.start(asm().mov(0, 1).wfi())
    snapshot = bench.machine.snapshot()
    bench.machine.run()
    later = {}
    for value in (2, 3):
        bench.put(CODE, asm().mov(0, value).wfi().code())
        bench.machine.registers["pc"] = CODE
        later[value] = bench.machine.snapshot()
        bench.machine.run()
        assert bench.machine.registers["x0"] == value
    for chosen, value in ((snapshot, 1), (later[2], 2), (later[3], 3), (snapshot, 1), (later[3], 3)):
        bench.machine.restore(chosen)
        bench.machine.run()
        assert bench.machine.registers["x0"] == value


def test_a_patched_program_runs_from_every_snapshot(bench, asm):
    """Now, after going back, and until it is patched again; what the guest has written itself stays."""
    bench.start(asm().mov(0, 1).wfi())
    machine, words = bench.machine, {value: asm().mov(0, value).code() for value in (1, 2, 3)}
    first = machine.snapshot()
    machine.run()
    machine.memory.write(DATA, b"own")
    later = machine.snapshot()
    for value in (2, 3, 1):
        machine.patch(CODE, words[value])
        for moment, data in ((None, b"own"), (first, bytes(3)), (later, b"own")):
            if moment is not None:
                machine.restore(moment)
            machine.registers["pc"] = CODE
            machine.run()
            assert (machine.registers["x0"], machine.memory.read(DATA, 3)) == (value, data)


def test_restore_drops_cached_translations(bench, asm):
    """A translation made after the snapshot is not used after going back."""
    va = 0x2_0000_0000
    bench.start(asm().mov(1, va).ldr(2, 1).wfi())
    snapshot = bench.machine.snapshot()
    bench.map(va, 0x4050_0000)
    assert bench.machine.run().kind == "wfi"
    bench.machine.restore(snapshot)
    assert bench.machine.run(until={0x4020_8200}, budget=100).kind == "address"


def test_snapshots_share_what_did_not_change(busy):
    """The pages of a later snapshot that equal those of the one before are the same objects."""
    busy.snapshot()
    busy.run(budget=STEPS)
    first = busy.snapshot()
    busy.run(budget=20)
    second = busy.snapshot()
    shared = [offset for offset in first.pages if second.pages[offset] is first.pages[offset]]
    assert len(shared) >= len(first.pages) - 4
    assert first.size == len(first.pages) * 4096 > 30 * 4096


def test_a_snapshot_inside_a_callback(busy):
    """Callbacks of addresses see a stopped CPU: a snapshot taken there is a good one."""
    taken = []

    def once(machine):
        if not taken:
            taken.append((machine.snapshot(), state(machine)))

    busy.on_address(CODE + 48 + 16, once)
    busy.run(budget=200)
    end = state(busy)
    busy.restore(taken[0][0])
    assert state(busy) == taken[0][1]
    busy.run(budget=200 - busy.instructions)
    assert state(busy) == end


def test_restore_from_an_observer_is_refused(bench, asm):
    """While the CPU runs nothing can go back; the error says what to do."""
    snapshot = bench.machine.snapshot()
    bench.machine.observe(lambda _taken: bench.machine.restore(snapshot))
    with pytest.raises(MachineError, match="request_stop"):
        bench.run(asm().svc())


def test_a_foreign_snapshot_is_refused(make_machine):
    """A snapshot belongs to its machine."""
    with pytest.raises(MachineError, match="another machine"):
        make_machine().restore(make_machine().snapshot())


@pytest.mark.parametrize("supported", [True, False], ids=["PAGEMAP_SCAN", "pagemap"])
def test_dirty_pages_are_found_both_ways(supported):
    """The ioctl and the older interface agree with what was written."""
    ram = Ram(64 << 20)
    ram._scan_supported = supported
    ram.write(0x5000, b"base")
    ram.fold()
    assert ram.dirty_runs() == []
    assert ram.read(0x5000, 4) == b"base"
    for offset in (0x0, 0x1000, 0x5004, 0x3FF_F000):
        ram.write(offset, b"x")
    assert ram.dirty_runs() == [(0x0, 0x2000), (0x5000, 0x6000), (0x3FF_F000, 0x400_0000)]
    list(ram.become({}))
    assert ram.dirty_runs() == []
    assert ram.read(0x5000, 8) == b"base\0\0\0\0"
    ram.close()


@pytest.mark.parametrize("supported", [True, False], ids=["PAGEMAP_SCAN", "pagemap"])
def test_a_forked_process_finds_its_own_dirty_pages(supported):
    """And not those of its parent, which has written others meanwhile."""
    ram = Ram(1 << 20)
    ram._scan_supported = supported
    ram.write(0x1000, b"both")
    (child_ready, tell_parent), (parent_wrote, tell_child) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        ram.write(0x4000, b"child")
        os.write(tell_parent, b"1")
        os.read(parent_wrote, 1)
        os._exit(ram.dirty_runs() != [(0x1000, 0x2000), (0x4000, 0x5000)])
    os.read(child_ready, 1)
    ram.write(0x8000, b"parent")
    os.write(tell_child, b"1")
    assert os.waitpid(child, 0)[1] == 0
    assert ram.dirty_runs() == [(0x1000, 0x2000), (0x8000, 0x9000)]
    ram.close()
    for end in (child_ready, tell_parent, parent_wrote, tell_child):
        os.close(end)


def test_more_dirty_runs_than_one_request_returns():
    """Every second page of 64 MiB: 8192 runs, found in several requests."""
    ram = Ram(64 << 20)
    for offset in range(0, 64 << 20, 0x2000):
        ram.write(offset, b"x")
    assert ram.dirty_runs() == [(at, at + 0x1000) for at in range(0, 64 << 20, 0x2000)]
    ram.close()


def test_digest_is_of_contents_only():
    """Zeroes written are zeroes; what differs by one byte differs."""
    first, second = Ram(1 << 20), Ram(1 << 20)
    first.write(0x4000, bytes(0x1000))
    assert first.digest() == second.digest()
    first.write(0x8000, b"a")
    second.write(0x9000, b"a")
    assert first.digest() != second.digest()
    second.write(0x9000, b"\0")
    second.write(0x8000, b"a")
    second.fold()
    assert first.digest() == second.digest()
    first.close()
    second.close()


def test_close_frees_everything(asm):
    """A closed machine with hooks and callbacks is not kept alive by reference cycles."""
    machine = Machine(ram_size=16 << 20)
    machine.on_address(CODE, lambda m: None)
    machine.translate(CODE)
    machine.snapshot()
    gc.collect()
    gc.disable()
    try:
        engine = weakref.ref(machine._engine._uc)
        machine.close()
        machine.close()
        assert engine() is None
    finally:
        gc.enable()
    with pytest.raises(MachineError, match="closed"):
        machine.run()
