# SPDX-License-Identifier: BSD-3-Clause
"""What the engine tells of, and what it needs to be told."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, NamedTuple

EXCEPTION = struct.Struct("<IIQI")  # CPUARMState.exception: syndrome, fsr, vaddress, target_el


class PendingException(NamedTuple):
    """What QEMU recorded when it raised an exception: the true syndrome and address."""

    syndrome: int
    address: int
    target_el: int


class MemoryAccess(NamedTuple):
    """A load or store of `size` bytes at a physical address; `value` is what a store stores."""

    write: bool
    pa: int
    size: int
    value: int


class Unbacked(NamedTuple):
    """A physical access that nothing answers."""

    access: Literal["r", "w", "x"]
    pa: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where this build of unicorn keeps what it does not export (byte offsets)."""

    exception: int
    counter: int
    refused: int
    hook: int  # from a hook's handle: its first and last address and its callback
