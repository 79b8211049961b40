# SPDX-License-Identifier: BSD-3-Clause
"""An emulated AArch64 machine with its MMU on."""

from harness.machine.engine import CpuModel
from harness.machine.exceptions import ExceptionTaken
from harness.machine.machine import Machine, Segment, Snapshot
from harness.machine.oracle import Translation
from harness.machine.records import MemoryAccess
from harness.machine.runner import Stop, StopKind, Watch

__all__ = [
    "CpuModel",
    "ExceptionTaken",
    "Machine",
    "MemoryAccess",
    "Segment",
    "Snapshot",
    "Stop",
    "StopKind",
    "Translation",
    "Watch",
]
