# SPDX-License-Identifier: BSD-3-Clause
"""What GDB is told of the machine: its registers (target.xml) and its memory map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.debugger.views.registers import MMU_REGISTERS
from harness.machine import Machine


@dataclass(frozen=True, slots=True)
class Register:
    """A register by its name for GDB and for the machine; `size` in bytes."""

    name: str
    machine: str
    size: int
    is_system: bool = False


CORE: Final = (
    *(Register(f"x{n}", f"x{n}", 8) for n in range(31)),
    *(Register("sp", "sp", 8), Register("pc", "pc", 8), Register("cpsr", "pstate", 4)),
)
VECTOR: Final = (
    *(Register(f"v{n}", f"q{n}", 16) for n in range(32)),
    *(Register("fpsr", "fpsr", 4), Register("fpcr", "fpcr", 4)),
)
SYSTEM: Final = tuple(Register(name, name, 8, is_system=True) for name in MMU_REGISTERS)
REGISTERS: Final = (*CORE, *VECTOR, *SYSTEM)
"""By GDB's numbers, which count on through the features."""

_TYPES = {"sp": "data_ptr", "pc": "code_ptr", "cpsr": "cpsr_flags"}
_FLAGS = (
    *(("M", 0, 3), ("nRW", 4, 4), ("F", 6, 6), ("I", 7, 7), ("A", 8, 8), ("D", 9, 9), ("IL", 20, 20)),
    *(("SS", 21, 21), ("PAN", 22, 22), ("V", 28, 28), ("C", 29, 29), ("Z", 30, 30), ("N", 31, 31)),
)


def target_xml() -> str:
    """The registers as GDB's target descriptions have them."""
    fields = "".join(f'<field name="{name}" start="{low}" end="{high}"/>' for name, low, high in _FLAGS)
    flags = f'<flags id="cpsr_flags" size="4">{fields}</flags>'
    return (
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">'
        "<architecture>aarch64</architecture>"
        f"{_feature('org.gnu.gdb.aarch64.core', CORE, flags)}"
        f"{_feature('org.gnu.gdb.aarch64.fpu', VECTOR)}"
        f"{_feature('lukos.system', SYSTEM)}</target>"
    )


def _feature(name: str, registers: tuple[Register, ...], types: str = "") -> str:
    return f'<feature name="{name}">{types}{"".join(_register(each) for each in registers)}</feature>'


def _register(register: Register) -> str:
    kind = _TYPES.get(register.name, "uint128" if register.size == 16 else "int")
    if register.is_system:
        kind = "uint64"
    group = ' group="system"' if register.is_system else ""
    return f'<reg name="{register.name}" bitsize="{8 * register.size}" type="{kind}"{group}/>'


def memory_map(_machine: Machine) -> str:
    """All virtual addresses may be RAM: which are is for the translation tables to say."""
    return (
        '<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
        '"http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map>'
        '<memory type="ram" start="0x0" length="0xffffffffffffffff"/></memory-map>'
    )
