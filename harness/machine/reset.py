# SPDX-License-Identifier: BSD-3-Clause
"""The state in which the machine hands over to the guest.

Unicorn resets SCR_EL3 to 0, which makes the EL1 regime a 32-bit one: addresses are cut to 32 bits without a
word. So SCR_EL3.RW, and for an entry at EL1 HCR_EL2.RW, are set before anything runs. A guest entered at EL2
has to set HCR_EL2.RW itself, as on hardware.
"""

from __future__ import annotations

from typing import Literal

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.machine.engine import Engine
from harness.machine.exceptions import DAIF

EntryLevel = Literal[1, 2]

COUNTER_HZ = 62_500_000  # as on QEMU's virt board; one instruction counts as a nanosecond
_SP_ELX = 1
_SCR_EL3 = 0x531  # RW, HCE, NS, and its RES1 bits 5:4
_HCR_EL2_RW = 1 << 31
_CNTHCTL_EL2_NO_TRAPS = 3


def reset(engine: Engine, entry_el: EntryLevel) -> None:
    """True reset state, MMU off, all exceptions masked, on SP_ELx."""
    engine.write_system(SYSTEM_REGISTERS["SCR_EL3"], _SCR_EL3)
    engine.write_system(SYSTEM_REGISTERS["CNTFRQ_EL0"], COUNTER_HZ)
    engine.write_system(SYSTEM_REGISTERS["HCR_EL2"], _HCR_EL2_RW if entry_el == 1 else 0)
    engine.write_system(SYSTEM_REGISTERS["CNTHCTL_EL2"], _CNTHCTL_EL2_NO_TRAPS)
    engine.write("pstate", entry_el << 2 | _SP_ELX | DAIF)
    engine.refresh()
    engine.flush_tlb()
