# SPDX-License-Identifier: BSD-3-Clause
"""Registers whose value the machine makes up: the virtual counter, and identification overrides.

MRS instructions that read them are found in the loaded segments and hooked one by one, at their physical
address and at the one they are linked at; all other MRS run at full speed. Code that a guest brings in later,
or runs at a third address, reads what the emulated CPU has: for the counter, that is host time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from harness.arch.sysreg import SYSTEM_REGISTERS, Encoding
from harness.machine.engine import Engine
from harness.machine.hooks import Hook
from harness.machine.reset import COUNTER_HZ

_COUNTERS = (SYSTEM_REGISTERS["CNTVCT_EL0"], SYSTEM_REGISTERS["CNTPCT_EL0"])
_NS_PER_TICK = 1_000_000_000 // COUNTER_HZ


class Answers:
    """Answers MRS of the registers it knows."""

    def __init__(
        self, engine: Engine, identification: Mapping[Encoding, int], instructions: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._fixed = dict(identification)
        self._instructions = instructions
        self._hooks: list[Hook] = []
        self._pattern = _any_of((*self._fixed, *_COUNTERS))

    def value(self, register: Encoding) -> int | None:
        """The made-up value of a register; None leaves it to the CPU."""
        if register in _COUNTERS:
            return self._instructions() // _NS_PER_TICK
        return self._fixed.get(register)

    def forget(self) -> None:
        """Remove all hooks, before another image is loaded."""
        while self._hooks:
            self._hooks.pop().remove()

    def watch(self, data: bytes, addresses: tuple[int, ...]) -> None:
        """Hook the MRS instructions in `data`, which the CPU may run at each of `addresses`."""
        for offset in self._reads(data):
            for base in set(addresses):
                self._hooks.append(self._engine.on_mrs(base + offset, self.value))

    def _reads(self, data: bytes) -> Iterator[int]:
        """Offsets of MRS of our registers. A false find in data does no harm: it never executes."""
        found = (match.start() for match in self._pattern.finditer(data))
        return (offset for offset in found if offset % 4 == 0)


def _any_of(registers: tuple[Encoding, ...]) -> re.Pattern[bytes]:
    """MRS <any Xt>, register: little-endian, with Rt in the low five bits of the first byte."""
    words = []
    for register in registers:
        low, *rest = register.mrs.to_bytes(4, "little")
        first = b"".join(re.escape(bytes([low | rt])) for rt in range(32))
        words.append(b"[" + first + b"]" + re.escape(bytes(rest)))
    return re.compile(b"(?=" + b"|".join(words) + b")", re.DOTALL)
