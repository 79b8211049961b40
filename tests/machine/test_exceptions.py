# SPDX-License-Identifier: BSD-3-Clause
"""Exceptions arrive as the architecture says: vector, ESR, FAR, ELR, SPSR, stack, and back."""

from __future__ import annotations

import pytest

from harness.arch import decode_esr
from tests.support.translator import Faithful

CODE, USER_VA, VECTORS = 0x4020_0000, 0x1_0000_0000, 0x4020_8000
CURRENT_SP0, CURRENT, LOWER = 0x000, 0x200, 0x400
AF, EL0, RO, PXN, UXN = 1 << 10, 1 << 6, 1 << 7, 1 << 53, 1 << 54
HOLE = 0x2_0000_0000


@pytest.fixture(params=["own MMU", "translator", "translator, by single instructions"])
def bench(bench, request):
    """Whoever translates, exceptions are the same."""
    if request.param != "own MMU":
        bench.machine.translate_by(Faithful(bench.machine, request.param != "translator"))
    return bench


def syndrome(bench, level=1):
    return decode_esr(bench.machine.sysreg[f"ESR_EL{level}"])


def test_svc_from_el0_enters_the_lower_el_vector(bench, asm):
    """ESR has the immediate, ELR the next instruction, SPSR EL0t; the stack is SP_EL1, all is masked."""
    bench.run_to_vector(asm().nop().svc(0x1234).nop(), LOWER, el0=True)
    registers, sysreg = bench.machine.registers, bench.machine.sysreg
    assert sysreg["ESR_EL1"] == 0x15 << 26 | 1 << 25 | 0x1234
    assert sysreg["ELR_EL1"] == USER_VA + 8
    assert sysreg["SPSR_EL1"] == 0x3C0
    assert registers["pstate"] == 0x3C5
    assert (registers["sp"], sysreg["SP_EL0"]) == (0x4060_0000, 0x4061_0000)


def test_eret_goes_back_to_el0_with_its_stack(bench, asm):
    """After the handler's ERET, EL0 goes on behind the SVC with SP_EL0 as its stack pointer."""
    program = asm().svc().nop().label("end").b("end")
    stop = bench.run(program, el0=True, until={USER_VA + program.here("end")}, budget=100)
    assert stop.kind == "address"
    assert bench.machine.registers["pstate"] & 0xF == 0
    assert bench.machine.registers["sp"] == 0x4061_0000
    assert stop.instructions == 3  # SVC, ERET, NOP


def test_svc_from_el1_enters_the_current_el_vector(bench, asm):
    """From EL1h the vector is 0x200, and ERET continues at EL1h."""
    program = asm().svc(7).label("end").nop()
    stop = bench.run(program, until={CODE + program.here("end")}, budget=100)
    assert stop.kind == "address"
    taken = bench.machine.exceptions[-1]
    assert (taken.vector, taken.from_el, taken.syndrome.immediate) == (VECTORS + CURRENT, 1, 7)


def test_exception_on_sp_el0_takes_the_first_vectors(bench, asm):
    """At EL1t the vector is 0x000, and the handler runs on SP_EL1."""
    bench.start(asm().svc(), pstate=0x3C4)
    assert bench.machine.registers["sp"] == 0x4061_0000
    stop = bench.machine.run(until={VECTORS + CURRENT_SP0}, budget=100)
    assert stop.kind == "address"
    assert bench.machine.registers["sp"] == 0x4060_0000
    assert bench.machine.sysreg["SPSR_EL1"] & 0xF == 0b0100


@pytest.mark.parametrize("el0", [False, True], ids=["EL1", "EL0"])
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_translation_fault_has_level_direction_and_address(bench, asm, el0, write, level):
    """A hole at each level: EC, WnR, DFSC, FAR and ELR are those of the very access."""
    anchor = HOLE + {1: 0x4000_0000, 2: 0x20_0000, 3: 0x1000}[level]
    if level > 1:
        bench.map(HOLE, 0x4050_0000, AF | EL0, level)
    program = asm().mov(1, anchor + 0x128)
    program = program.str(0, 1) if write else program.ldr(0, 1)
    bench.run_to_vector(program, LOWER if el0 else CURRENT, el0=el0)
    abort = syndrome(bench)
    assert abort.ec == (0x24 if el0 else 0x25)
    assert (abort.wnr, abort.status) == (write, 0b000100 | level)
    assert bench.machine.sysreg["FAR_EL1"] == anchor + 0x128
    assert bench.machine.sysreg["ELR_EL1"] == (USER_VA if el0 else CODE) + 16


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize(
    ("attributes", "status"),
    [(AF | RO | EL0, 0b001100), (RO | EL0, 0b001000)],
    ids=["permission", "access flag"],
)
def test_write_to_a_leaf_that_forbids_it(bench, asm, level, attributes, status):
    """Permission and access flag faults name the level of the leaf."""
    bench.map(HOLE, 0x4000_0000, attributes, level)
    bench.run_to_vector(asm().mov(1, HOLE).str(0, 1), LOWER, el0=True)
    assert syndrome(bench).status == status | level
    assert syndrome(bench).wnr


def test_el0_cannot_reach_a_kernel_page(bench, asm):
    """A page without AP[1] is a permission fault for EL0, read or write."""
    bench.run_to_vector(asm().mov(1, 0x4050_0000).ldr(0, 1), LOWER, el0=True)
    assert syndrome(bench).describe() == (
        "data abort from a lower level (EC 0x24): permission fault, level 1 on read"
    )


@pytest.mark.parametrize(
    ("target", "attributes", "status"),
    [(HOLE, None, 0b000101), (HOLE, AF | EL0 | UXN, 0b001111), (HOLE, EL0, 0b001011)],
    ids=["translation", "permission", "access flag"],
)
def test_instruction_abort_from_el0(bench, asm, target, attributes, status):
    """A branch to where EL0 may not execute aborts there: EC 0x20, FAR and ELR are the target."""
    if attributes is not None:
        bench.map(target, 0x4050_0000, attributes)
    bench.run_to_vector(asm().mov(1, target + 0x40).br(1), LOWER, el0=True)
    assert (syndrome(bench).ec, syndrome(bench).status) == (0x20, status)
    assert bench.machine.sysreg["FAR_EL1"] == bench.machine.sysreg["ELR_EL1"] == target + 0x40


def test_instruction_abort_from_el1_on_a_user_writable_page(bench, asm):
    """What EL0 may write is never executable at EL1: EC 0x21, permission fault."""
    bench.map(HOLE, 0x4050_0000, AF | EL0)
    bench.run_to_vector(asm().mov(1, HOLE).br(1), CURRENT)
    assert (syndrome(bench).ec, syndrome(bench).status) == (0x21, 0b001111)


@pytest.mark.parametrize(
    ("emit", "ec", "elr"),
    [
        (lambda p: p.brk(0x55), 0x3C, 0),
        (lambda p: p.udf(), 0x00, 0),
        (lambda p: p.smc(), 0x00, 0),
        (lambda p: p.msr("TTBR0_EL1", 0), 0x00, 0),
        (lambda p: p.svc(), 0x15, 4),
    ],
    ids=["BRK", "UDF", "SMC without EL3", "MSR at EL0", "SVC"],
)
def test_instruction_exceptions_at_el0(bench, asm, emit, ec, elr):
    """ELR is the instruction itself, except after SVC; FAR keeps what it was."""
    bench.machine.sysreg["FAR_EL1"] = 0xABCD
    bench.run_to_vector(emit(asm()), LOWER, el0=True)
    assert syndrome(bench).ec == ec
    assert bench.machine.sysreg["ELR_EL1"] == USER_VA + elr
    assert bench.machine.sysreg["FAR_EL1"] == 0xABCD
    assert bench.machine.exceptions[-1].far is None


def test_trapped_system_register_names_it(bench, asm):
    """An EL0 read of CNTVCT_EL0 that CNTKCTL_EL1 forbids is EC 0x18 with the register in the ISS."""
    bench.run_to_vector(asm().mrs(3, "CNTVCT_EL0"), LOWER, el0=True)
    assert syndrome(bench).describe().endswith("MRS from S3_3_C14_C0_2, x3")


def test_a_fault_repaired_is_retried(bench, asm):
    """The instruction that faulted runs after ERET, and is counted once."""
    entry = bench.map(HOLE, 0x4050_0000, 0) & ~7
    handler = asm().mov(10, entry).mov(11, 0x4050_0000 | AF | EL0 | 3).str(11, 10).tlbi_all().eret()
    bench.put(VECTORS + LOWER, handler.code())
    bench.put(0x4050_0000, bytes(8))
    bench.entry(entry, 0, 0)
    program = asm().mov(1, HOLE).mov(0, 77).str(0, 1).label("end").nop()
    stop = bench.run(program, el0=True, until={USER_VA + program.here("end")}, budget=1000)
    assert stop.kind == "address"
    assert bench.machine.memory.read(0x4050_0000, 8) == (77).to_bytes(8, "little")
    assert stop.instructions == 9 + 13
    assert [e.syndrome.ec for e in bench.machine.exceptions] == [0x24]


@pytest.mark.parametrize("cpu", ["a72", "max"])
@pytest.mark.parametrize(("emit", "access"), [("ldr", "r"), ("str", "w")])
def test_unbacked_memory_is_an_external_abort(make_bench, asm, cpu, emit, access):
    """A translation to where nothing answers: DFSC 0x10, with FnV because the address is not known."""
    bench = make_bench(cpu=cpu).mmu_on()
    bench.map(HOLE, 0x7000_0000)
    program = asm().mov(1, HOLE)
    getattr(program, emit)(0, 1)
    stop = bench.run_to_vector(program, CURRENT)
    assert (syndrome(bench).status, syndrome(bench).access) == (0x10, access)
    assert not syndrome(bench).far_valid
    assert bench.machine.sysreg["ELR_EL1"] == CODE + 16
    assert stop.instructions == 4


def test_fetch_from_unbacked_memory_is_an_external_abort(bench, asm):
    """An instruction fetch from there: IFSC 0x10, with the address."""
    bench.map(HOLE, 0x7000_0000)
    bench.run_to_vector(asm().mov(1, HOLE).br(1), CURRENT)
    assert (syndrome(bench).ec, syndrome(bench).status) == (0x21, 0x10)
    assert bench.machine.sysreg["FAR_EL1"] == HOLE


def test_vectors_that_cannot_run_stop_the_machine(bench, asm):
    """No endless loop: the run ends, and says that VBAR is to blame."""
    bench.machine.sysreg["VBAR_EL1"] = HOLE
    stop = bench.run(asm().svc())
    assert (stop.kind, stop.pc) == ("abort", HOLE + CURRENT)
    assert "VBAR_EL1" in stop.detail


def test_a_handler_that_faults_for_ever_stops_the_machine(bench, asm):
    """A first instruction of the handler that always aborts ends in "abort", not in the budget."""
    bench.put(VECTORS + CURRENT, asm().sub(31, 31, 16).word(0xF94003FF).code())  # ldr xzr, [sp]
    bench.machine.sysreg["SP_EL1"] = HOLE
    bench.start(asm().svc())
    assert bench.machine.run().kind == "abort"


def test_undefined_instruction_before_any_vectors_stops(machine, asm):
    """At reset VBAR is 0, where nothing is: the very first exception ends the run."""
    machine.memory.write(CODE, asm().udf().code())
    machine.registers["pc"] = CODE
    stop = machine.run()
    assert stop.kind == "abort"
    assert machine.exceptions[0].syndrome.ec == 0
    assert stop.instructions == 0


def test_pan_is_set_on_entry_unless_span(make_bench, asm):
    """SCTLR_EL1.SPAN = 0 sets PSTATE.PAN at entry on a CPU that has it; SPAN = 1 leaves it."""
    pan, span = 1 << 22, 1 << 23
    for keep in (True, False):
        bench = make_bench(cpu="max").mmu_on()
        bench.machine.sysreg["SCTLR_EL1"] = bench.machine.sysreg["SCTLR_EL1"] & ~span | (span if keep else 0)
        bench.run_to_vector(asm().svc(), LOWER, el0=True)
        assert bench.machine.registers["pstate"] & pan == (0 if keep else pan)


def test_flags_survive_an_exception(bench, asm):
    """NZCV is saved in SPSR at entry and comes back with ERET."""
    program = asm().word(0xEB1F03FF).svc().label("end").nop()  # cmp xzr, xzr: Z and C
    stop = bench.run(program, el0=True, until={USER_VA + program.here("end")}, budget=100)
    assert stop.kind == "address"
    assert bench.machine.registers["pstate"] >> 28 == 0b0110
    assert bench.machine.exceptions[-1].spsr >> 28 == 0b0110


def test_exceptions_are_observed_and_kept(bench, asm):
    """Observers see each exception with the count at that moment; the ring is bounded."""
    seen = []
    watch = bench.machine.observe(seen.append)
    program = asm().mov(0, 300).label("again").svc().sub(0, 0, 1).cbnz(0, "again").wfi()
    before = bench.machine.instructions
    bench.run(program)
    assert [taken.time - before for taken in seen[:2]] == [5, 9]
    assert len(seen) == 300
    assert list(bench.machine.exceptions) == seen[-256:]
    watch.remove()
    watch.remove()
    bench.run(program)
    assert len(seen) == 300


def test_an_observers_error_ends_the_run(bench, asm):
    """What an observer raises comes out of run, with the exception taken and the machine usable."""

    def complain(_taken):
        raise RuntimeError("seen")

    watch = bench.machine.observe(complain)
    with pytest.raises(RuntimeError, match="seen"):
        bench.run(asm().svc().wfi())
    assert bench.machine.registers["pc"] == VECTORS + CURRENT
    watch.remove()
    assert bench.machine.run().kind == "wfi"


@pytest.mark.parametrize("cpu", ["a72", "max"])
def test_el2_entry_takes_hvc_from_el1(make_bench, asm, cpu):
    """Entered at EL2, ERET goes down to EL1, HVC comes back up to VBAR_EL2 + 0x400, and returns."""
    bench = make_bench(cpu=cpu, entry_el=2)
    machine = bench.machine
    machine.registers["pc"] = CODE
    assert machine.registers["pstate"] == 0x3C9
    down = asm().mov(0, 1 << 31).msr("HCR_EL2", 0).mov(0, 0x3C5).msr("SPSR_EL2", 0)
    down.mov(0, CODE + 0x100).msr("ELR_EL2", 0).mov(0, VECTORS).msr("VBAR_EL2", 0).eret()
    bench.put(CODE, down.code())
    bench.put(CODE + 0x100, asm().hvc(9).wfi().code())
    stop = machine.run(until={VECTORS + LOWER}, budget=1000)
    assert stop.kind == "address"
    assert machine.registers.el == 2
    assert (syndrome(bench, 2).ec, syndrome(bench, 2).immediate) == (0x16, 9)
    assert machine.sysreg["ELR_EL2"] == CODE + 0x104
    assert machine.run().kind == "wfi"
    assert machine.registers.el == 1


def test_exception_at_el2_stays_at_el2(make_bench, asm):
    """Before the drop to EL1, an undefined instruction goes to VBAR_EL2 + 0x200."""
    bench = make_bench(entry_el=2)
    bench.machine.sysreg["VBAR_EL2"] = VECTORS
    bench.put(CODE, asm().udf().code())
    bench.machine.registers["pc"] = CODE
    assert bench.machine.run(until={VECTORS + CURRENT}, budget=10).kind == "address"
    assert bench.machine.exceptions[-1].target_el == 2
