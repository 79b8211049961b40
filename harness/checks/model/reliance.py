# SPDX-License-Identifier: BSD-3-Clause
"""When a kernel relies on what it did."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Reliance(NamedTuple):
    """The moment at which a kernel stands on what it did to its tables.

    make    another entry is made where one was broken      eret   control goes to EL0
    reuse   a table page that was unlinked is written        end    a call from outside is over
    frame   memory is mapped or written by others that an entry gave up
    access  EL1 itself goes by way of the entry
    execute instructions that were written are executed
    """

    kind: Literal["make", "reuse", "frame", "access", "execute", "eret", "end"]
    time: int
    pc: int
