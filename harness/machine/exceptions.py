# SPDX-License-Identifier: BSD-3-Clause
"""Taking an exception to AArch64 state as the architecture says (Arm DDI 0487, D1.3 and D1.4).

Unicorn stops at an exception and leaves the rest to its user; this is that rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.arch.bits import bit, get
from harness.arch.esr import EC_DABT_LOWER, EC_IABT_LOWER, Syndrome, decode_esr
from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.machine.engine import Engine

DAIF = 0xF << 6
PAN = 1 << 22
IL = 1 << 25
UNDEFINED_ESR = IL  # EC 0: unknown reason
EXTERNAL_ABORT = 0x10
_FNV = 1 << 10  # FAR is not valid: unicorn does not tell the virtual address of an unbacked access
_WNR = 1 << 6
_SAME_LEVEL = 1  # EC of an abort from the same level is that from a lower one, plus 1
_SPAN = 23
_AARCH32 = 4


@dataclass(frozen=True, slots=True)
class ExceptionTaken:
    """One exception as the CPU took it. `time` is instructions retired before it; `far` is None when the
    exception does not write FAR."""

    time: int
    vector: int
    esr: int
    far: int | None
    elr: int
    spsr: int
    from_el: int
    target_el: int

    @property
    def syndrome(self) -> Syndrome:
        """The ESR, decoded."""
        return decode_esr(self.esr)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an exception is taken: what goes into ESR, FAR and ELR, and where it goes."""

    esr: int
    elr: int
    target_el: int
    far: int | None = None


def current_el(pstate: int) -> int:
    """The exception level in PSTATE or SPSR."""
    return get(pstate, 3, 2)


def stack_bank(pstate: int) -> int:
    """Which SP_ELn is the stack pointer in this state (D1.2.2): SP_EL0 unless SPSel is set."""
    return current_el(pstate) if pstate & 1 else 0


def abort(access: str, status: int, pc: int, pstate: int, far: int | None) -> Cause:
    """An abort with this fault status; `far` is None where the address of a data access is not known."""
    level = current_el(pstate)
    target = max(level, 1)
    ec = (EC_IABT_LOWER if access == "x" else EC_DABT_LOWER) + (_SAME_LEVEL if level == target else 0)
    if access != "x":
        status |= (_FNV if far is None else 0) | (_WNR if access == "w" else 0)
    return Cause(ec << 26 | IL | status, pc, target, far)


def external_abort(access: str, pc: int, pstate: int) -> Cause:
    """The abort for a physical access that nothing answers."""
    return abort(access, EXTERNAL_ABORT, pc, pstate, pc if access == "x" else None)


def set_pstate(engine: Engine, new: int) -> None:
    """Change PSTATE, with the stack pointer that belongs to it, and the flags QEMU derives from both."""
    old = engine.read("pstate")
    before, after = stack_bank(old), stack_bank(new)
    if before != after:
        engine.write_system(_SP[before], engine.read("sp"))
        engine.write("sp", engine.read_system(_SP[after]))
    engine.write("pstate", new)
    engine.refresh()


_SP = {level: SYSTEM_REGISTERS[f"SP_EL{level}"] for level in (0, 1, 2)}
_ESR = {level: SYSTEM_REGISTERS[f"ESR_EL{level}"] for level in (1, 2)}
_FAR = {level: SYSTEM_REGISTERS[f"FAR_EL{level}"] for level in (1, 2)}
_ELR = {level: SYSTEM_REGISTERS[f"ELR_EL{level}"] for level in (1, 2)}
_SPSR = {level: SYSTEM_REGISTERS[f"SPSR_EL{level}"] for level in (1, 2)}
_VBAR = {level: SYSTEM_REGISTERS[f"VBAR_EL{level}"] for level in (1, 2)}
_SCTLR_EL1 = SYSTEM_REGISTERS["SCTLR_EL1"]
_ID_AA64MMFR1_EL1 = SYSTEM_REGISTERS["ID_AA64MMFR1_EL1"]


def vector_base(engine: Engine, level: int) -> int:
    """VBAR of an exception level."""
    return engine.read_system(_VBAR[level]) & ~0x7FF


def take(engine: Engine, cause: Cause, time: int) -> ExceptionTaken:
    """Enter the handler: write ESR, FAR, ELR, SPSR, switch stacks and PSTATE, go to the vector."""
    level, old = cause.target_el, engine.read("pstate")
    vector = vector_base(engine, level) + _offset(old, level)
    engine.write_system(_SPSR[level], old)
    engine.write_system(_ELR[level], cause.elr)
    if cause.far is not None:
        engine.write_system(_FAR[level], cause.far)
    engine.write_system(_ESR[level], cause.esr)
    set_pstate(engine, _entry_pstate(engine, old, level))
    engine.write("pc", vector)
    return ExceptionTaken(
        time, vector, cause.esr, cause.far, cause.elr, old, current_el(old), cause.target_el
    )


def _offset(old: int, level: int) -> int:
    """Synchronous vectors: same level on SP_EL0 or SP_ELx, lower level in AArch64 or AArch32 (D1.3.1.5)."""
    if current_el(old) == level:
        return 0x200 if old & 1 else 0x000
    return 0x600 if bit(old, _AARCH32) else 0x400


def _entry_pstate(engine: Engine, old: int, level: int) -> int:
    """ELxh, all masked. PAN is kept, or set where SCTLR_EL1.SPAN is 0 and the CPU has it (D1.3.1.4)."""
    pan = old & PAN
    if level == 1 and not bit(engine.read_system(_SCTLR_EL1), _SPAN) and has_pan(engine):
        pan = PAN
    return level << 2 | 1 | DAIF | pan


def has_pan(engine: Engine) -> bool:
    """Whether the CPU implements FEAT_PAN."""
    return get(engine.read_system(_ID_AA64MMFR1_EL1), 23, 20) != 0
