# SPDX-License-Identifier: BSD-3-Clause
"""Traces: every event in its line, in JSON; and in casemate's language only what is of it."""

from __future__ import annotations

import json
import re

import pytest

from harness.arch.sysreg import Encoding, encoding
from harness.checks.tracer import TRACERS, attach
from harness.cli import main
from harness.machine import Machine
from harness.machine.events import CACHE_LIMIT, SystemOperation
from tests.machine.conftest import Asm, piece

CODE, DATA, VECTORS = 0x4020_0000, 0x4050_0000, 0x4020_0800
ISB, DC_CVAU_X1, SVC, ERET = 0xD503_3FDF, 0xD50B_7B21, 0xD400_0001, 0xD69F_03E0
MUL_X2 = 0x9B02_7C42
STR_X0_X1, STR_W0_X1 = 0xF900_0020, 0xB900_0020
OPERAND = 0x0007_3000_0004_5678  # ASID 7, TTL 3, VA 0x45678000
UPPER = 0x0007_0FFF_FF80_4000


def dsb(option):
    return 0xD503_309F | option << 8


def tlbi(crm, op2, op1=0):
    """TLBI, or one by range, of X0 (C5.5)."""
    return 0xD508_8000 | op1 << 16 | crm << 8 | op2 << 5


def msr(name):
    """MSR of X0."""
    op0, op1, crn, crm, op2 = encoding(name)
    return 0xD500_0000 | op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5


@pytest.fixture
def traced():
    """Runs code with a tracer, without an image: its lines."""
    machines = []

    def run(form, code, entry_el=1):
        machine = Machine(ram_size=64 << 20, cpu="max", entry_el=entry_el)
        machines.append(machine)
        machine.load([piece(CODE, code.code(), 0x1000)], CODE)
        lines = []
        attach(machine, None, form, lines.append)
        machine.events.watched.add(DATA, DATA + 0x1000)
        stop = machine.run(budget=100_000)
        assert stop.kind == "wfi", stop
        return lines

    yield run
    for machine in machines:
        machine.close()


# -- JSON ---------------------------------------------------------------------------------------------------


def events(lines, *kinds):
    """The events of some kinds, without what `run` has no source for."""
    found = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in each.items() if name != "source"}
        for each in found
        if each["event"] in kinds
    ]


def test_exceptions_and_their_returns_are_written(traced):
    """With syndrome and levels; the address of an exception is where it goes back to."""
    code = Asm().mov(0, VECTORS).word(msr("VBAR_EL1")).word(ISB).word(SVC).wfi()
    while len(code.code()) < VECTORS + 0x200 - CODE:
        code.nop()
    lines = traced("json", code.word(ERET))
    levels = {"from_el": 1, "target_el": 1}
    assert events(lines, "exception", "eret") == [
        {"event": "exception", "time": 7, "pc": CODE + 28, "esr": 0x5600_0000, "far": None}
        | {"vector": VECTORS + 0x200, **levels},
        {"event": "eret", "time": 7, "pc": VECTORS + 0x200},
    ]
    assert events(lines, "msr")[0]["register"] == "VBAR_EL1"


def test_loops_of_cache_maintenance_are_written_with_all_their_rounds(traced):
    """The first round, and the others in one."""
    code = Asm().mov(0, 7).mov(1, DATA).label("again").word(DC_CVAU_X1)
    lines = traced("json", code.add(1, 1, 64).sub(0, 0, 1).cbnz(0, "again").nop().wfi())
    common = {"event": "system", "pc": CODE + 32, "name": "DC CVAU"}
    assert events(lines, "system") == [
        common | {"time": 8, "operand": DATA, "rounds": 1, "step": 0},
        common | {"time": 12, "operand": DATA + 64, "rounds": 6, "step": 64},
    ]


def test_where_cache_maintenance_is_no_longer_told_of_is_written(traced):
    """Once, behind as many as there may be."""
    code = Asm().mov(0, CACHE_LIMIT + 3).label("again").word(DC_CVAU_X1).word(MUL_X2)
    lines = traced("json", code.sub(0, 0, 1).cbnz(0, "again").wfi())
    assert len(events(lines, "system")) == CACHE_LIMIT
    (flood,) = events(lines, "cache-flood")
    assert flood == {"event": "cache-flood", "time": 4 + 4 * CACHE_LIMIT, "pc": CODE + 16}


def test_stores_barriers_and_tlbi_are_written(traced):
    """With their operands."""
    code = Asm().mov(0, OPERAND).mov(1, DATA).str(0, 1, 8).word(dsb(10)).word(tlbi(3, 1)).wfi()
    assert events(traced("json", code), "store", "barrier", "system") == [
        {"event": "store", "time": 8, "pc": CODE + 32, "pa": DATA + 8, "size": 8, "value": OPERAND},
        {"event": "barrier", "time": 9, "pc": CODE + 36, "name": "DSB ISHST"},
        {"event": "system", "time": 10, "pc": CODE + 40, "name": "TLBI VAE1IS", "operand": OPERAND}
        | {"rounds": 1, "step": 0},
    ]


# -- casemate -----------------------------------------------------------------------------------------------

HEX = r"0x[0-9a-f]{1,16}"
TRANSITIONS = {
    "mem-write": rf"\(mem-order (plain|release)\) \(address {HEX}\) \(value {HEX}\)",
    "barrier": r"(isb|dsb \(kind (ish|ishst|nsh)\))",
    "tlbi": rf"(vmalls12e1(is)?|vmalle1(is)?|alle[12](is)?|(vae2is|vale2is|ipas2e1is) \(value {HEX}\))",
    "sysreg-write": rf"\(sysreg (vttbr|ttbr0|vtcr|hcr|tcr|sctlr|mair)_el2\) \(value {HEX}\)",
}
RECORD = re.compile(
    "|".join(
        rf"\({name} \(id \d+\) \(tid \d+\) (?P<{name.replace('-', '_')}>{fields}) "
        rf'\(src "[^":]{{1,400}}:\d+"\)\)'
        for name, fields in TRANSITIONS.items()
    )
)


def transitions(lines):
    """What the lines say; each is a record of the language, and they are numbered."""
    matches = [RECORD.fullmatch(line) for line in lines]
    assert [line for line, match in zip(lines, matches, strict=True) if match is None] == []
    assert [int(re.search(r"\(id (\d+)\)", line)[1]) for line in lines] == list(range(len(lines)))
    return [next(filter(None, match.groupdict().values())) for match in matches]


def words(*code, value=OPERAND):
    """These instructions, with a value in X0 and the address of a table in X1."""
    program = Asm().mov(0, value).mov(1, DATA)
    for word in code:
        program.word(word)
    return program.wfi()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ((15, 3, 11), "dsb (kind ish)"),
        ((14, 2, 10), "dsb (kind ishst)"),
        ((7,), "dsb (kind nsh)"),
        ((6, 13, 9, 5, 1), None),
    ],
    ids=["full", "stores", "local", "none"],
)
def test_barriers_are_those_that_casemate_knows(traced, options, kind):
    """SY is more than it asks for; of what is less than each of them nothing is claimed."""
    found = transitions(traced("casemate", words(*map(dsb, options), ISB)))
    assert found == [*([kind] * len(options) if kind else []), "isb"]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (tlbi(3, 1), "vae2is (value 0x300000045678)"),
        (tlbi(3, 3), "vae2is (value 0x300000045678)"),
        (tlbi(3, 5), "vale2is (value 0x300000045678)"),
        (tlbi(3, 7), "vale2is (value 0x300000045678)"),
        (tlbi(3, 0), "alle2is"),
        (tlbi(3, 2), "alle2is"),
        (tlbi(3, 4, op1=4), "alle2is"),
        (tlbi(3, 6, op1=4), "alle2is"),
        (tlbi(7, 0), "alle2"),
        (tlbi(7, 2), "alle2"),
        (tlbi(7, 1), None),
        (tlbi(7, 5), None),
        (tlbi(3, 1, op1=4), None),
    ],
    ids=[
        *("VAE1IS", "VAAE1IS", "VALE1IS", "VAALE1IS", "VMALLE1IS", "ASIDE1IS"),
        *("ALLE1IS", "VMALLS12E1IS", "VMALLE1", "ASIDE1", "VAE1", "VALE1", "VAE2IS"),
    ],
)
def test_tlbi_is_that_of_el2(traced, operation, expected):
    """Also of all: one of EL1 would leave the relabelled entries alone."""
    code = words(operation, ISB)
    assert transitions(traced("casemate", code, entry_el=2)) == [*([expected] if expected else []), "isb"]


def test_tlbi_of_later_architectures():
    """OS reaches no fewer CPUs than IS; ranges it does not know. The emulated CPUs have neither."""
    lines = []
    with Machine(ram_size=64 << 20) as machine:
        tracer = TRACERS["casemate"](machine, None, lines.append)
    for crm, op2 in ((1, 1), (1, 0), (2, 1)):
        tracer.system_operation(SystemOperation(0, CODE, Encoding(1, 0, 8, crm, op2), OPERAND))
    assert transitions(lines) == ["vae2is (value 0x300000045678)", "alle2is"]


def test_tlbi_of_the_half_that_el2_does_not_have_is_left_out(traced):
    """Cut off at 48 bits it would be for another address."""
    assert transitions(traced("casemate", words(tlbi(3, 1), ISB, value=UPPER))) == ["isb"]


@pytest.mark.parametrize(
    ("register", "value", "expected"),
    [
        ("TTBR0_EL1", 0x0007_0000_4050_0001, "(sysreg ttbr0_el2) (value 0x40500000)"),
        ("TCR_EL1", 5 << 32 | 3 << 39 | 2 << 30 | 25 << 16 | 0x3519, "(sysreg tcr_el2) (value 0x80e53519)"),
        ("MAIR_EL1", 0x44FF, "(sysreg mair_el2) (value 0x44ff)"),
        ("SCTLR_EL1", 0x1004, "(sysreg sctlr_el2) (value 0x1004)"),
        ("TTBR1_EL1", 0x4050_0000, None),
        ("VBAR_EL1", 0x4050_0000, None),
    ],
)
def test_registers_are_those_of_el2(traced, register, value, expected):
    """Without ASID, and with the fields of TCR where EL2 has them."""
    code = words(msr(register), ISB, value=value)
    assert transitions(traced("casemate", code)) == [*([expected] if expected else []), "isb"]


def test_stores_are_of_descriptors(traced):
    """Its memory has no smaller parts."""
    code = words(STR_X0_X1, STR_W0_X1, ISB)
    expected = f"(mem-order plain) (address {DATA:#x}) (value {OPERAND:#x})"
    assert transitions(traced("casemate", code)) == [expected, "isb"]


@pytest.mark.parametrize("debugged", [True, False], ids=["dwarf", "stripped"])
def test_a_whole_kernel_is_written_in_its_language(capfd, foreign_elf, stripped_elf, debugged):
    """Boot and calls; the source is a file and line where there is DWARF, and has their form elsewhere."""
    elf = foreign_elf if debugged else stripped_elf
    calls = ("--call", "map(0x100010000, 0x40400000)", "--call", "unmap(0x100010000)")
    assert main(["trace", str(elf), "--ram", "64M", "--format", "casemate", *calls]) == 0
    lines = capfd.readouterr().out.splitlines()
    found = transitions(lines)
    page = 0x40400000 | 3 | 3 << 8 | 1 << 10 | 3 << 53
    assert found[-8].endswith(f"(value {page:#x})")
    assert found[-5].endswith("(value 0x0)")
    barriers = ["dsb (kind ishst)", "isb"]
    assert found[-7:-5] + found[-4:] == [
        *barriers,
        barriers[0],
        "vae2is (value 0x100010)",
        "dsb (kind ish)",
        "isb",
    ]
    assert ("foreign.c:" in lines[-1]) == debugged
    assert ("+0x" in lines[-1]) != debugged
