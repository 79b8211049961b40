# SPDX-License-Identifier: BSD-3-Clause
"""The software walker agrees with the emulated MMU: AT for reads and writes, a real fetch for execution."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import MachineError
from harness.machine import Machine

TABLES = 0x4100_0000
POOL = [TABLES + 0x1000 * n for n in range(8)]
SLOTS = (0, 1, 2, 4, 8, 255, 256, 511)
AF, PXN, UXN = 1 << 10, 1 << 53, 1 << 54
MAIR = 0xFF
PAN_BIT = 1 << 22
EL1H = 0x3C5


@pytest.fixture(scope="module", params=["a72", "max"])
def mmu(request):
    """A machine whose tables are written by the test."""
    with Machine(ram_size=64 << 20, cpu=request.param) as machine:
        machine.cpu_name = request.param
        machine.sysreg["MAIR_EL1"] = MAIR
        machine.sysreg["SCTLR_EL1"] |= 1
        yield machine


def tcr(bits, extra=0):
    """4K granule and 40-bit output addresses in both halves."""
    size = 64 - bits
    return size | size << 16 | 2 << 30 | 2 << 32 | extra


def expected_status(fault):
    """The emulated MMU gives a translation fault, not an external abort, for a table that is not in RAM."""
    if fault is None:
        return None
    return 0b000100 | fault.level if fault.kind == "external abort on walk" else fault.status


def is_undefined(last):
    """Whether the last descriptor of a 4K walk has reserved fields in use."""
    unaligned = last.is_leaf and last.raw & 0x0000_FFFF_FFFF_F000 != last.output_address
    return unaligned or (last.kind == "reserved" and last.level == 0)


def agree(machine, va):
    """Hold the walker against the MMU for all six accesses to one address.

    Left out are descriptors that the architecture does not define and the emulated MMU takes all the same:
    a block at level 0, and one whose address is not aligned to its size (RES0 bits set).
    """
    walk = machine.walk(va)
    if walk.steps and is_undefined(walk.steps[-1].descriptor):
        return
    for el, access in itertools.product((0, 1), "rw"):
        answer, fault = machine.translate(va, el, access), walk.check(el, access)
        context = f"{walk.describe()}\nEL{el} {access}: {answer}"
        assert answer.status == expected_status(fault), context
        assert answer.pa == (walk.pa if fault is None else None), context
    for el in (0, 1):
        fault = walk.check(el, "x")
        assert machine.can_execute(va & ~3, el) == (fault is None), f"{walk.describe()}\nEL{el} x"


@st.composite
def descriptors(draw, level):
    """A descriptor for a table at `level`: anything that the architecture defines, and much that faults."""
    kind = draw(st.sampled_from("ttttbbi" if 0 < level < 3 else "tttti" if level == 0 else "ppppir"))
    if kind == "i":
        return draw(st.integers(0, (1 << 63) - 1)) << 1
    if kind == "t":
        anywhere = draw(st.integers(0, 9)) == 0
        table = draw(st.sampled_from(POOL if anywhere else POOL[2 * level + 2 : 2 * level + 4]))
        return table | draw(st.integers(0, 31)) << 59 | 3
    size = 1 << (39 - 9 * level)
    address = draw(st.integers(0, (1 << 40) // size - 1)) * size
    lower = draw(st.integers(0, 0x3FF)) << 2 & ~0x1C  # AP, SH, AF, nG; attribute index 0
    upper = draw(st.integers(0, 0x7F)) << 53  # PXN, UXN, software bits
    accessible = AF if draw(st.integers(0, 9)) else 0
    return address | lower | accessible | upper | {"b": 1, "p": 3, "r": 1}[kind]


@st.composite
def tables(draw):
    """Two pages for each level with entries at a few slots. Some pointers go anywhere: tables may loop."""
    pages = {}
    for number, page in enumerate(POOL):
        for slot in draw(st.lists(st.sampled_from(SLOTS), min_size=3, max_size=6, unique=True)):
            pages[page + 8 * slot] = draw(descriptors(number // 2))
    return pages


@st.composite
def addresses(draw, bits):
    """Addresses that meet the slots, in both halves; now and then one outside of them."""
    va = draw(st.integers(0, 0xFFF))
    for level in range(4):
        va |= draw(st.sampled_from(SLOTS)) << (39 - 9 * level)
    va &= (1 << bits) - 1
    if draw(st.booleans()):
        va |= (1 << 64) - (1 << bits)
    return va ^ draw(st.sampled_from([0] * 9 + [1 << bits, 1 << 60, 1 << 55])) & ((1 << 64) - 1)


@pytest.mark.parametrize("bits", [39, 48, 36, 30, 25])
def test_walker_agrees_with_the_mmu_on_random_tables(mmu, bits):
    """Random tables, controls and addresses: same address, same fault, same level, for all accesses."""
    start = 4 - -(-(bits - 12) // 9)

    @settings(max_examples=60, deadline=None)
    @given(
        pages=tables(),
        roots=st.permutations(POOL[2 * start : 2 * start + 2]),
        extra=st.sampled_from([0, 0, 0, 1 << 7, 1 << 23, 1 << 37, 1 << 38, 1 << 41, 1 << 42]),
        wxn=st.booleans(),
        pan=st.booleans(),
        vas=st.lists(addresses(bits), min_size=1, max_size=12),
    )
    def check(pages, roots, extra, wxn, pan, vas):
        mmu.memory.write(TABLES, bytes(0x1000 * len(POOL)))
        for address, raw in pages.items():
            mmu.memory.write(address, struct.pack("<Q", raw & (1 << 64) - 1))
        hierarchical = extra if mmu.cpu_name == "max" else extra & ~(3 << 41)
        configure(mmu, bits, roots, hierarchical, wxn, pan and mmu.cpu_name == "max")
        for va in vas:
            agree(mmu, va)

    check()


def configure(machine, bits, roots, extra=0, wxn=False, pan=False):
    """Set the translation registers."""
    machine.sysreg["TCR_EL1"] = tcr(bits, extra)
    machine.sysreg["TTBR0_EL1"], machine.sysreg["TTBR1_EL1"] = roots[0] | 0x55 << 48, roots[1]
    machine.sysreg["SCTLR_EL1"] = machine.sysreg["SCTLR_EL1"] & ~(1 << 19) | wxn << 19
    machine.registers["pstate"] = EL1H | (PAN_BIT if pan else 0)


@pytest.mark.parametrize("wxn", [False, True], ids=["", "WXN"])
@pytest.mark.parametrize("pan", [False, True], ids=["", "PAN"])
def test_every_combination_of_permissions(mmu, wxn, pan):
    """AP, PXN, UXN of the page with APTable, PXNTable, UXNTable of the table above: all 512 of them."""
    if pan and mmu.cpu_name != "max":
        pan = False  # the A72 has no PAN; PSTATE.PAN cannot be set there
    configure(mmu, 39, (POOL[0], POOL[0]), wxn=wxn, pan=pan)
    mmu.memory.write(TABLES, bytes(0x1000 * len(POOL)))
    mmu.memory.write(POOL[1], struct.pack("<Q", POOL[2] | 3))
    for ap, uxn, pxn, table in itertools.product(range(4), (0, 1), (0, 1), range(16)):
        mmu.memory.write(POOL[0], struct.pack("<Q", POOL[1] | table << 59 | 3))
        leaf = 0x4200_0000 | AF | ap << 6 | uxn * UXN | pxn * PXN | 3
        mmu.memory.write(POOL[2], struct.pack("<Q", leaf))
        agree(mmu, 0x678)


@pytest.mark.parametrize("bits", [39, 48])
@pytest.mark.parametrize("granule", [2, 1], ids=["16K", "64K"])
def test_other_granules_agree(mmu, granule, bits):
    """16K and 64K: a chain of tables down to a page, and the block above it, for EL0 and EL1."""
    shift = {2: 14, 1: 16}[granule]
    size, stride = 1 << shift, shift - 3
    levels = -(-(bits - shift) // stride)
    mmu.sysreg["TCR_EL1"] = (64 - bits) * 0x10001 | granule << 14 | {2: 1, 1: 3}[granule] << 30 | 2 << 32
    base = 0x4200_0000
    mmu.sysreg["TTBR0_EL1"] = mmu.sysreg["TTBR1_EL1"] = base
    mmu.registers["pstate"] = EL1H
    block_shift = shift + stride
    for n in range(levels):
        mmu.memory.write(base + n * size, bytes(8 * 512))
        leaf = n == levels - 1
        entry = 0x4300_0000 & ~(size - 1) | AF | 0x40 if leaf else base + (n + 1) * size
        mmu.memory.write(base + n * size + 8, struct.pack("<Q", entry | 3))
        if n == levels - 2:
            mmu.memory.write(base + n * size + 16, struct.pack("<Q", 5 << block_shift | AF | 0xC1))
    va = sum(1 << (shift + stride * n) for n in range(levels))
    for address in (va + 0x123, va + size, va + (1 << block_shift) + 0x4567, va ^ 1 << (bits - 1)):
        agree(mmu, address)
    assert mmu.walk(va).page_size == size
    assert mmu.walk(va + (1 << block_shift)).page_size == 1 << block_shift


@pytest.mark.parametrize("index", [2, 4, 8, 511])
@pytest.mark.parametrize("entry_el", [1, 2])
def test_addresses_above_4_gib_are_not_cut(make_machine, index, entry_el):
    """SCR_EL3.RW is set: without it the EL1 regime is a 32-bit one, and uses only L1 index mod 4."""
    machine = make_machine(entry_el=entry_el)
    for slot in range(4):
        machine.memory.write(TABLES + 8 * slot, struct.pack("<Q", 0x4000_0000 | AF | 1))
    machine.memory.write(TABLES + 8 * index, struct.pack("<Q", 5 << 30 | AF | 1))
    machine.sysreg["TCR_EL1"], machine.sysreg["TTBR0_EL1"] = tcr(39), TABLES
    machine.sysreg["SCTLR_EL1"] |= 1
    assert machine.translate((index << 30) + 0x1234).pa == (5 << 30) + 0x1234
    assert machine.translate((1023 << 30) + 0x1234).status == 0b000100


@pytest.mark.parametrize("index", [2, 4, 8, 511])
def test_loads_above_4_gib_are_not_cut(bench, asm, index):
    """The same, by an instruction that runs."""
    bench.map(index << 30, 0x4000_0000, AF, level=1)
    bench.put(0x4050_0000, struct.pack("<Q", index))
    assert bench.run(asm().mov(1, (index << 30) + 0x50_0000).ldr(0, 1).wfi(), budget=100).kind == "wfi"
    assert bench.machine.registers["x0"] == index


def test_a_question_changes_nothing(bench, asm):
    """Registers, PAR_EL1, memory, count and the cached (stale) translations of the CPU stay."""
    va = 0x2_0000_0000
    entry = bench.map(va, 0x4050_0000)
    bench.put(0x4050_0000, struct.pack("<Q", 1))
    bench.put(0x4050_1000, struct.pack("<Q", 2))
    program = asm().mov(1, va).ldr(2, 1).label("ask").ldr(3, 1).wfi()
    bench.start(program)
    machine = bench.machine
    machine.sysreg["PAR_EL1"] = 0x800
    machine.run(until={0x4020_0000 + program.here("ask")})
    bench.entry(entry, 0, 0x4050_1000 | AF | 3)
    before = dict(machine.registers), machine.sysreg["PAR_EL1"], machine.memory.digest(), machine.instructions
    assert machine.translate(va).pa == 0x4050_1000
    assert machine.can_execute(va)
    assert not machine.can_execute(0x3_0000_0000, 0)
    after = dict(machine.registers), machine.sysreg["PAR_EL1"], machine.memory.digest(), machine.instructions
    assert after == before
    machine.run()
    assert machine.registers["x3"] == 1


def test_questions_are_answered_from_within_an_observer(bench, asm):
    """While the CPU runs, the oracle may be asked all the same."""
    answers = []
    bench.machine.observe(lambda taken: answers.append(bench.machine.translate(taken.far, 1, "w").status))
    bench.run_to_vector(asm().mov(1, 0x2_0000_0000).str(0, 1), 0x200)
    assert answers == [0b000101]


@pytest.mark.parametrize("question", [(2, "r"), (1, "x"), (-1, "w")])
def test_impossible_questions_are_refused(machine, question):
    """AT knows EL0 and EL1, read and write."""
    with pytest.raises(MachineError, match="EL 0 or 1"):
        machine.translate(0, *question)
    with pytest.raises(MachineError, match="EL 0 or 1"):
        machine.can_execute(0, 3)
