# SPDX-License-Identifier: BSD-3-Clause
"""The trace of blocks: every block entered, exceptions and pauses between them."""

from __future__ import annotations

import pytest

from harness.machine.blocks import EXCEPTION, PAUSE

CODE, VECTORS = 0x4020_0000, 0x4020_8000


@pytest.fixture
def traced(bench):
    """A bench and all entries of its runs."""
    bench.entries = []
    bench.machine.trace_blocks(bench.entries.extend)
    return bench


def test_every_turn_of_a_loop_is_there(traced, asm):
    """Blocks are told each time they are entered, not only when they are translated."""
    program = asm().mov(0, 3).label("again").sub(0, 0, 1).cbnz(0, "again").label("end").wfi()
    traced.run(program)
    again, end = (CODE + program.here(name) for name in ("again", "end"))
    assert traced.entries == [CODE, again, again, end, end + 4 | PAUSE]


def test_a_run_that_stops_in_a_block_says_where(traced, asm):
    """The block before the mark ran up to it; the next run starts a block there."""
    traced.run(asm().nop(4).wfi(), until={CODE + 8})
    traced.machine.run()
    assert traced.entries[:3] == [CODE, CODE + 8 | PAUSE, CODE + 8]
    assert traced.entries[-1] == CODE + 20 | PAUSE


def test_an_exception_says_where_the_block_ended(traced, asm):
    """UDF in the middle: its address, the vector; here the handler stops."""
    traced.run_to_vector(asm().nop(2).udf().nop(), 0x200)
    assert traced.entries[:2] == [CODE, CODE + 8 | EXCEPTION]
    assert traced.entries[-1] == VECTORS + 0x200 | PAUSE


def test_restored_machines_are_still_traced(traced, asm):
    """Translated code outlives a restore, and is told all the same."""
    traced.start(asm().nop().wfi())
    moment = traced.machine.snapshot()
    runs = []
    for _ in range(2):
        traced.machine.restore(moment)
        traced.machine.run()
        runs.append(list(traced.entries))
        traced.entries.clear()
    assert runs[0] == runs[1] != []


def test_counting_is_the_same_with_it(make_bench, asm):
    """A trace changes nothing that the guest or a test can see."""
    counts = []
    for traced in (False, True):
        bench = make_bench().mmu_on()
        if traced:
            bench.machine.trace_blocks(lambda entries: None)
        counts.append(bench.run(asm().mov(0, 50).label("x").sub(0, 0, 1).cbnz(0, "x").wfi()).instructions)
    assert counts[0] == counts[1] == 105


def test_two_traces_see_the_same(traced, asm):
    """Each has entries of its own."""
    other = []
    traced.machine.trace_blocks(other.extend)
    traced.run(asm().mov(0, 3).label("again").sub(0, 0, 1).cbnz(0, "again").wfi())
    assert other == traced.entries != []
