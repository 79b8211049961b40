# SPDX-License-Identifier: BSD-3-Clause
"""Devices as on QEMU's `virt` board: the PL011 UART and the PSCI firmware interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import U64

UART_BASE, UART_SIZE = 0x0900_0000, 0x1000
UART_CLOCK_HZ = 24_000_000

# PL011 (Arm DDI 0183): offsets of its registers, and FR with both FIFOs empty.
_DR, _FR, _RIS, _MIS = 0x00, 0x18, 0x3C, 0x40
_FR_TXFE, _FR_RXFE = 1 << 7, 1 << 4
_STORED = {0x20: 0, 0x24: 0, 0x28: 0, 0x2C: 0, 0x30: 0x300, 0x34: 0x12, 0x38: 0, 0x48: 0}
_PERIPHERAL_ID = (0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)
_IDENTIFICATION = dict(zip(range(0xFE0, 0x1000, 4), _PERIPHERAL_ID, strict=True))

Sink = Callable[[str], None]


class Pl011:
    """A UART whose transmitter is always ready and whose receiver is always empty; it raises no interrupt."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self._sent = bytearray()
        self._registers = dict(_STORED)

    @property
    def text(self) -> str:
        """All that was sent. Bytes that are not UTF-8 show as U+FFFD."""
        return self._sent.decode("utf-8", errors="replace")

    def read(self, offset: int, _size: int) -> int:
        """A register read by the guest."""
        if offset == _FR:
            return _FR_TXFE | _FR_RXFE
        return self._registers.get(offset, _IDENTIFICATION.get(offset, 0))

    def write(self, offset: int, _size: int, value: int) -> None:
        """A register written by the guest."""
        if offset == _DR:
            self._sent.append(value & 0xFF)
            if self.sink is not None:
                self.sink(chr(value & 0xFF))
        elif offset in self._registers:
            self._registers[offset] = value

    def save(self) -> tuple[bytes, dict[int, int]]:
        """State for a snapshot."""
        return bytes(self._sent), dict(self._registers)

    def restore(self, state: tuple[bytes, dict[int, int]]) -> None:
        """Back to a saved state."""
        sent, registers = state
        self._sent[:] = sent
        self._registers = dict(registers)


PsciAction = Literal["poweroff", "reset", "suspend"]

# PSCI 1.1 (Arm DEN 0022): function numbers; bit 30 marks the 64-bit calling convention.
VERSION = 0x8400_0000
CPU_SUSPEND = 0x8400_0001
CPU_OFF = 0x8400_0002
CPU_ON = 0x8400_0003
AFFINITY_INFO = 0x8400_0004
MIGRATE_INFO_TYPE = 0x8400_0006
SYSTEM_OFF = 0x8400_0008
SYSTEM_RESET = 0x8400_0009
FEATURES = 0x8400_000A
_SMC64 = 1 << 30
_HAVE_64 = (CPU_SUSPEND, CPU_ON, AFFINITY_INFO)
_IMPLEMENTED = {
    VERSION,
    *(CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO),
    *(function | _SMC64 for function in _HAVE_64),
    *(MIGRATE_INFO_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES),
}
_VERSION_1_1 = 0x0001_0001
_NO_MIGRATION = 2
_SUCCESS, _NOT_SUPPORTED, _INVALID_PARAMETERS, _ALREADY_ON = 0, -1, -2, -4


@dataclass(frozen=True, slots=True)
class PsciResult:
    """What a PSCI call gives back in x0, or what it does to the machine."""

    value: int = 0
    action: PsciAction | None = None


def psci_call(function: int, argument: int) -> PsciResult:
    """Firmware call `function` (W0) with its first argument (X1), on a machine with one CPU."""
    function &= 0xFFFF_FFFF
    actions: dict[int, PsciAction] = {SYSTEM_OFF: "poweroff", CPU_OFF: "poweroff", SYSTEM_RESET: "reset"}
    if function in actions:
        return PsciResult(action=actions[function])
    if function not in _IMPLEMENTED:
        return PsciResult(_NOT_SUPPORTED & U64)
    if function == FEATURES:
        known = argument & 0xFFFF_FFFF in _IMPLEMENTED
        return PsciResult((_SUCCESS if known else _NOT_SUPPORTED) & U64)
    base = function & ~_SMC64
    if base == CPU_SUSPEND:
        return PsciResult(_SUCCESS, action="suspend")
    if base == CPU_ON:
        return PsciResult((_INVALID_PARAMETERS if argument else _ALREADY_ON) & U64)
    if base == AFFINITY_INFO:
        return PsciResult((_INVALID_PARAMETERS if argument else _SUCCESS) & U64)
    return PsciResult(_VERSION_1_1 if base == VERSION else _NO_MIGRATION)
