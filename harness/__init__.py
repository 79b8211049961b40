# SPDX-License-Identifier: BSD-3-Clause
"""A test bench for page-table code: an emulated AArch64 machine with its MMU on, driven from Python.

    from harness import Kernel

    with Kernel(".build/va39/kernel.elf") as kernel:
        space = kernel.vmm_address_space_create()
        va = kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)
        assert kernel.read(space, va, 0x3000) == bytes(0x3000)
        assert kernel.tables(space).lookup(va).prot == "rw-"

The emulator is loaded when one of the names is used first, so that the pytest plugin costs nothing where
no test asks for a kernel.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import (
        BudgetExceeded,
        CallError,
        GuestError,
        GuestException,
        GuestPanic,
        GuestRunaway,
        GuestViolation,
        HarnessError,
        ImageError,
        MachineError,
    )
    from harness.kernel import Kernel
    from harness.machine import Machine

__all__ = [
    "BudgetExceeded",
    "CallError",
    "GuestError",
    "GuestException",
    "GuestPanic",
    "GuestRunaway",
    "GuestViolation",
    "HarnessError",
    "ImageError",
    "Kernel",
    "Machine",
    "MachineError",
]

_ROOMS = {"Kernel": "harness.kernel", "Machine": "harness.machine"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS.get(name, "harness.errors")), name)


def __dir__() -> list[str]:
    return __all__
