# SPDX-License-Identifier: BSD-3-Clause
"""A machine whose accesses are translated by Python: what it executes, counts and stops at is the same."""

from __future__ import annotations

import pytest

from tests.support.translator import Faithful

CODE, DATA = 0x4020_0000, 0x4050_0000
DC_ZVA_X1, STP_X2_X3_X1, LDP_X4_X5_X1 = 0xD50B7421, 0xA9000C22, 0xA9401424


@pytest.fixture(params=["once for each KiB", "for each instruction"])
def bench(bench, request):
    """A translator is asked."""
    bench.machine.translate_by(Faithful(bench.machine, once=request.param == "for each instruction"))
    return bench


def program(asm):
    """Accesses of all sizes, also across a page, in a loop of three rounds."""
    code = asm().mov(1, DATA).mov(2, 0x1111).mov(3, 0x2222).mov(6, 3).label("again")
    code.word(DC_ZVA_X1).word(STP_X2_X3_X1).word(LDP_X4_X5_X1)
    code.add(1, 1, 0xFF9).str(2, 1).ldr(7, 1)
    return code.sub(6, 6, 1).cbnz(6, "again").label("end").nop()


def test_instructions_execute_and_count_once(bench, asm):
    """16 before the loop and 8 in each round; what was stored is there, in two pages."""
    code = program(asm)
    stop = bench.run(code, until={CODE + code.here("end")}, budget=1000)
    assert (stop.kind, stop.instructions) == ("address", 16 + 3 * 8)
    registers = bench.machine.registers
    assert [registers[name] for name in ("x4", "x5", "x7")] == [0x1111, 0x2222, 0x1111]
    assert bench.machine.memory.read(DATA + 0xFF9, 8) == (0x1111).to_bytes(8, "little")


@pytest.mark.parametrize("budget", range(1, 41, 3))
def test_a_run_ends_with_its_budget(bench, asm, budget):
    """To the instruction."""
    stop = bench.run(program(asm), budget=budget)
    assert (stop.kind, stop.instructions) == ("budget", budget)


def test_every_visit_of_an_address_is_told_of(bench, asm):
    """Each instruction of the loop has a callback, which is called three times, in order."""
    code, told = program(asm), []
    first, end = CODE + code.here("again"), CODE + code.here("end")
    addresses = range(first, end, 4)
    watches = [bench.machine.on_address(at, lambda m: told.append(m.registers["pc"])) for at in addresses]
    bench.run(code, until={end}, budget=1000)
    for watch in watches:
        watch.remove()
    assert told == 3 * list(addresses)


def test_what_was_granted_is_asked_again_after_a_flush(bench, asm):
    """As with a TLB: flush_tlb() makes a changed table seen."""
    entry = bench.map(0x2_0000_0000, DATA, 1 << 10)
    bench.put(DATA, b"\x01")
    bench.put(DATA + 0x1000, b"\x02")
    code = asm().mov(1, 0x2_0000_0000).ldr(2, 1).label("end").nop()
    seen = []
    for page in (0, 0x1000):
        raw = bench.entry(entry & -0x1000, entry % 0x1000 // 8)
        bench.entry(entry & -0x1000, entry % 0x1000 // 8, raw & ~0xFFFF_FFFF_F000 | DATA + page)
        bench.machine.flush_tlb()
        bench.run(code, until={CODE + code.here("end")}, budget=100)
        seen.append(bench.machine.registers["x2"])
    assert seen == [1, 2]
