# SPDX-License-Identifier: BSD-3-Clause
"""What a failed guest looked like at that moment, as text and as objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.arch.walker import Walk
from harness.image import ElfImage
from harness.image.unwind import Backtrace
from harness.machine import ExceptionTaken, Machine

_CONSOLE_LINES = 12


@dataclass(frozen=True, slots=True)
class Autopsy:
    """The state of a machine that stopped where nobody wanted it.

    `fault` is the exception taken from EL1 that led there, if one did; `walk` that of its fault address.
    """

    backtrace: Backtrace
    registers: Mapping[str, int]
    console: str
    fault: ExceptionTaken | None
    walk: Walk | None

    def __str__(self) -> str:
        parts = ["backtrace:", _indent(str(self.backtrace))]
        if self.fault is not None:
            parts += ["exception:", _indent(describe_exception(self.fault))]
        if self.walk is not None:
            parts.append(_indent(self.walk.describe()))
        parts += ["registers:", _indent(register_table(self.registers))]
        if self.console:
            parts += ["console:", _indent("\n".join(self.console.splitlines()[-_CONSOLE_LINES:]))]
        return "\n".join(parts)


def autopsy(machine: Machine, image: ElfImage, since: int, end_at: tuple[int, ...] = ()) -> Autopsy:
    """Look at a stopped machine. Exceptions before the instruction count `since` do not matter."""
    taken = (each for each in reversed(machine.exceptions) if each.time >= since and each.from_el == 1)
    fault = next(taken, None)
    return Autopsy(
        backtrace=backtrace(machine, image, end_at),
        registers=dict(machine.registers),
        console=machine.console,
        fault=fault,
        walk=machine.walk(fault.far) if fault is not None and fault.far is not None else None,
    )


def backtrace(machine: Machine, image: ElfImage, end_at: tuple[int, ...] = ()) -> Backtrace:
    """The chain of callers of where the machine stands, up to a return address in `end_at`."""

    def read_register(name: str) -> int:
        return machine.sysreg["ELR_EL1"] if name == "elr" else machine.registers[name]

    return image.unwinder.backtrace(read_register, machine.read_virtual, end_at=end_at)


def describe_exception(taken: ExceptionTaken) -> str:
    """One exception in two lines: what, and the registers that say so."""
    far = "" if taken.far is None else f"  FAR_EL1 {taken.far:#018x}"
    return f"{taken.syndrome.describe()}\nESR_EL1 {taken.esr:#010x}  ELR_EL1 {taken.elr:#018x}{far}"


def register_table(registers: Mapping[str, int]) -> str:
    """All registers, four to a line."""
    cells = [f"{name:>6} {value:#018x}" for name, value in registers.items()]
    return "\n".join(" ".join(cells[at : at + 4]) for at in range(0, len(cells), 4))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
