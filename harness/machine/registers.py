# SPDX-License-Identifier: BSD-3-Clause
"""Registers as mappings: `machine.registers["x0"]`, `machine.sysreg["TTBR0_EL1"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping

from harness.arch.bits import U64
from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding, encoding
from harness.errors import MachineError
from harness.machine.engine import GENERAL_REGISTERS, REGISTER_NAMES, Engine
from harness.machine.exceptions import current_el, set_pstate, stack_bank

_ALIASES = {"w" + str(n): f"x{n}" for n in range(31)}


class Registers(MutableMapping[str, int]):
    """x0 to x30 (also fp, lr), sp, pc, pstate, q0 to q31, fpcr, fpsr. Iterating gives the general ones."""

    def __init__(self, engine: Engine, on_jump: Callable[[], None]) -> None:
        self._engine = engine
        self._on_jump = on_jump

    def __getitem__(self, name: str) -> int:
        return self._engine.read(_known(name))

    def __setitem__(self, name: str, value: int) -> None:
        name = _known(name)
        _check_width(name, value, 128 if name.startswith("q") else 64)
        if name == "pstate":
            set_pstate(self._engine, value)
            return
        self._engine.write(name, value)
        if name == "pc":
            self._on_jump()

    def __delitem__(self, name: str) -> None:
        raise MachineError(f"a register cannot be deleted: {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(GENERAL_REGISTERS)

    def __len__(self) -> int:
        return len(GENERAL_REGISTERS)

    def frame(self) -> tuple[int, int, int]:
        """sp, x29 and x30, from which a backtrace starts: at once, for who asks often."""
        return self._engine.read_frame()

    @property
    def el(self) -> int:
        """The current exception level."""
        return current_el(self._engine.read("pstate"))


class SystemRegisters(MutableMapping[str, int]):
    """System registers by their names in the Arm ARM. Writes drop cached translations, as a debugger's must.

    `answers` gives the registers whose value the machine makes up (identification overrides, the counter).
    """

    def __init__(self, engine: Engine, answers: Callable[[Encoding], int | None]) -> None:
        self._engine = engine
        self._answers = answers

    def __getitem__(self, name: str) -> int:
        register = _encoding(name)
        made_up = self._answers(register)
        if made_up is not None:
            return made_up
        if register == self._live_stack():
            return self._engine.read("sp")
        return self._engine.read_system(register)

    def __setitem__(self, name: str, value: int) -> None:
        register = _encoding(name)
        _check_width(name, value, 64)
        if register.is_identification or self._answers(register) is not None:
            raise MachineError(f"{name} is read-only; give another value with Machine(id_registers=...)")
        if register == self._live_stack():
            self._engine.write("sp", value)
        else:
            self._engine.write_system(register, value)
            self._engine.flush_tlb()

    def __delitem__(self, name: str) -> None:
        raise MachineError(f"a register cannot be deleted: {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(SYSTEM_REGISTERS)

    def __len__(self) -> int:
        return len(SYSTEM_REGISTERS)

    def _live_stack(self) -> Encoding | None:
        """The SP_ELn that is the stack pointer at present: its bank is stale while it is in use."""
        return SYSTEM_REGISTERS.get(f"SP_EL{stack_bank(self._engine.read('pstate'))}")


def identification(overrides: Mapping[str, int]) -> dict[Encoding, int]:
    """Check overrides of identification registers and key them by encoding."""
    checked: dict[Encoding, int] = {}
    for name, value in overrides.items():
        register = _encoding(name)
        if not register.is_identification:
            raise MachineError(f"{name} is no identification register; use machine.sysreg[{name!r}]")
        _check_width(name, value, 64)
        checked[register] = value
    return checked


def _encoding(name: str) -> Encoding:
    try:
        return encoding(name)
    except KeyError as error:
        raise MachineError(str(error.args[0])) from None


def _known(name: str) -> str:
    lower = name.lower()
    if lower not in REGISTER_NAMES:
        wide = _ALIASES.get(lower)
        hint = f"take the 64-bit {wide}" if wide else "there are x0-x30, sp, pc, pstate, q0-q31, fpcr, fpsr"
        raise MachineError(f"unknown register {name!r}; {hint}")
    return lower


def _check_width(name: str, value: int, bits: int) -> None:
    if not 0 <= value < 1 << bits:
        raise MachineError(f"{name} has {bits} bits and holds no {value:#x}; mask it with {U64:#x}")
