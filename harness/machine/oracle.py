# SPDX-License-Identifier: BSD-3-Clause
"""The emulated MMU as an oracle, asked without the running CPU noticing.

A second CPU sees the same RAM and gets the same translation registers. It runs AT instructions and fetches;
PAR_EL1, TLB and everything else of the first one stay as they are, so a question may be asked at any moment,
also from within a callback. Its TLB is empty for every question: the answer is about the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import bit, get, mask
from harness.arch.esr import fault_level, fault_status_name
from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding
from harness.errors import MachineError
from harness.machine.calibration import layout_of
from harness.machine.engine import CpuModel, Engine
from harness.machine.exceptions import DAIF, PAN, has_pan
from harness.machine.memory import RAM_BASE
from harness.machine.ram import Ram
from harness.machine.reset import reset

_COPIED = tuple(
    SYSTEM_REGISTERS[name] for name in ("SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1")
)
_PAR = SYSTEM_REGISTERS["PAR_EL1"]
_EL1H, _EL0T = 5, 0


@dataclass(frozen=True, slots=True)
class Translation:
    """The answer of an AT instruction: a physical address or a fault status code (as ESR_EL1.DFSC)."""

    va: int
    par: int
    pa: int | None
    status: int | None

    @property
    def level(self) -> int | None:
        """The level of the fault."""
        return None if self.status is None else fault_level(self.status)

    def __str__(self) -> str:
        if self.status is not None:
            return f"{self.va:#x}: {fault_status_name(self.status)}"
        return f"{self.va:#x} -> {self.pa:#x}"


class Oracle:
    """Asks the MMU."""

    def __init__(self, cpu: CpuModel, running: Engine, ram: Ram) -> None:
        self._running = running
        self._engine = Engine(cpu)
        self._engine.use_layout(layout_of(cpu))
        self._engine.map_memory(RAM_BASE, ram.size, ram.host_address)
        reset(self._engine, 1)
        self._engine.on_exception(self._faulted)
        self._engine.on_every_instruction(lambda _va: self._engine.stop())
        self._fetch_failed = False

    def close(self) -> None:
        """Free the second CPU."""
        self._engine.close()

    def translate(self, va: int, el: int, access: Literal["r", "w"]) -> Translation:
        """AT S1E<el><R|W> of `va`, or its PAN variant where PSTATE.PAN is set."""
        if el not in (0, 1) or access not in ("r", "w"):
            raise MachineError(f"translate asks for EL 0 or 1 and access 'r' or 'w', got {el} and {access!r}")
        self._synchronise(_EL1H)
        pan = el == 1 and bool(self._running.read("pstate") & PAN) and has_pan(self._engine)
        operation = Encoding(1, 0, 7, 9 if pan else 8, (0 if el else 2) + (access == "w"))
        self._engine.write_system(operation, va)
        return _decode_par(va, self._engine.read_system(_PAR))

    def can_execute(self, va: int, el: int) -> bool:
        """Whether the MMU lets the CPU fetch at `va`. Nothing is executed.

        Only the translation is asked: memory that nothing backs does not make it false.
        """
        if el not in (0, 1):
            raise MachineError(f"can_execute asks for EL 0 or 1, got {el}")
        self._synchronise(_EL1H if el else _EL0T)
        self._fetch_failed = False
        self._engine.run(va, 1)
        return not self._fetch_failed

    def _synchronise(self, mode: int) -> None:
        for register in _COPIED:
            self._engine.write_system(register, self._running.read_system(register))
        self._engine.write("pstate", mode | DAIF | self._running.read("pstate") & PAN)
        self._engine.refresh()
        self._engine.flush_tlb()

    def _faulted(self, _index: int) -> None:
        self._fetch_failed = True
        self._engine.stop()


def _decode_par(va: int, par: int) -> Translation:
    if bit(par, 0):
        return Translation(va, par, None, get(par, 6, 1))
    return Translation(va, par, par & mask(47, 12) | va & mask(11, 0), None)
