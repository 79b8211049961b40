# SPDX-License-Identifier: BSD-3-Clause
"""CPU models, registers and exceptions as unicorn names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from unicorn import arm64_const

CpuModel = Literal["a72", "max"]
CPU_MODELS: Mapping[CpuModel, int] = {
    "a72": arm64_const.UC_CPU_ARM64_A72,
    "max": arm64_const.UC_CPU_ARM64_MAX,
}

# QEMU's exception indices, as UC_HOOK_INTR reports them.
UNDEFINED, SVC, FETCH_ABORT, DATA_ABORT, BREAKPOINT, HVC, SMC = 1, 2, 3, 4, 7, 11, 13

# All registers by their lower-case names.
REGISTERS: dict[str, int] = {f"x{n}": getattr(arm64_const, f"UC_ARM64_REG_X{n}") for n in range(31)}
REGISTERS |= {f"q{n}": getattr(arm64_const, f"UC_ARM64_REG_Q{n}") for n in range(32)}
REGISTERS |= {
    "fp": arm64_const.UC_ARM64_REG_X29,
    "lr": arm64_const.UC_ARM64_REG_X30,
    "sp": arm64_const.UC_ARM64_REG_SP,
    "pc": arm64_const.UC_ARM64_REG_PC,
    "pstate": arm64_const.UC_ARM64_REG_PSTATE,
    "fpcr": arm64_const.UC_ARM64_REG_FPCR,
    "fpsr": arm64_const.UC_ARM64_REG_FPSR,
}
GENERAL_REGISTERS = (*(f"x{n}" for n in range(31)), "sp", "pc", "pstate")
REGISTER_NAMES = tuple(REGISTERS)
