# SPDX-License-Identifier: BSD-3-Clause
"""The registers of the translation regime as they are in effect: no MSR need be before an ISB (D24.1.2)."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.arch.bits import bit
from harness.arch.regime import Half, Regime
from harness.checks.tlb.choices import Choices
from harness.machine import Machine

NAMES = ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "SCTLR_EL1")
_OLD = 2
_M, _WXN, _A1 = 0, 19, 22


class Context(NamedTuple):
    """What accesses are translated by; None: no such half. `old`: an ISB will change some of it."""

    enabled: bool
    lower: Regime | None
    upper: Regime | None
    asid: int
    old: bool

    def regime(self, va: int) -> Regime | None:
        """That of the half of an address."""
        return self.upper if bit(va, 55) else self.lower

    @property
    def roots(self) -> tuple[int, ...]:
        """The first tables."""
        return tuple(each.table_base for each in (self.lower, self.upper) if each is not None)


class Registers:
    """What was written, and what of it is in effect."""

    def __init__(self, machine: Machine, choices: Choices) -> None:
        self._machine, self._choices = machine, choices
        self._now = self._read()
        self._before: dict[str, int] = {}  # the values of those whose MSR no ISB has followed
        self._context: tuple[int, Context] | None = None  # at a moment

    def _read(self) -> dict[str, int]:
        return {name: self._machine.sysreg[name] for name in NAMES}

    def refresh(self) -> bool:
        """Whether somebody has changed registers of the stopped machine, which is in effect at once."""
        now = self._read()
        if now == self._now:
            return False
        self._now, self._before, self._context = now, {}, None
        return True

    def write(self, name: str, value: int) -> None:
        """MSR."""
        self._before.setdefault(name, self._now[name])
        self._now[name] = value
        self._context = None

    def synchronize(self) -> None:
        """ISB, exception entry or return."""
        if self._before:
            self._before, self._context = {}, None

    @property
    def context(self) -> Context:
        """What is in effect at this moment."""
        moment = self._choices.moment
        if self._context is None or self._context[0] != moment:
            old = {name: value for name, value in self._before.items() if self._is_old(name)}
            self._context = moment, _context({**self._now, **old}, bool(old))
        return self._context[1]

    @property
    def latest(self) -> Context:
        """What will be in effect behind an ISB."""
        return _context(self._now, False)

    def _is_old(self, name: str) -> bool:
        return self._choices.yes(_OLD, NAMES.index(name))

    def save(self) -> Any:
        """For `restore`."""
        return dict(self._now), dict(self._before)

    def restore(self, state: Any) -> None:
        """Back to a saved state; None: what they are."""
        now, before = state or (self._read(), {})
        self._now, self._before, self._context = dict(now), dict(before), None


def _context(values: dict[str, int], old: bool) -> Context:
    lower, upper = (_regime(values, half) for half in ("ttbr0", "ttbr1"))
    tagging = upper if bit(values["TCR_EL1"], _A1) else lower
    enabled = bit(values["SCTLR_EL1"], _M)
    return Context(enabled, lower, upper, tagging.asid if tagging else 0, old)


def _regime(values: dict[str, int], half: Half) -> Regime | None:
    tcr, ttbr = values["TCR_EL1"], values[f"{half.upper()}_EL1"]
    try:
        return Regime.from_registers(tcr, ttbr, values["MAIR_EL1"], half, wxn=bit(values["SCTLR_EL1"], _WXN))
    except ValueError:  # a reserved granule: before the kernel has set TCR_EL1
        return None
