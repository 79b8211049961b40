# SPDX-License-Identifier: BSD-3-Clause
"""Rule 8: rights that no kernel should give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.arch.bits import bit
from harness.arch.descriptor import Descriptor
from harness.arch.permissions import Permissions, TableLimits, permissions
from harness.arch.regime import Regime
from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Use
from harness.checks.rules.base import Report
from harness.checks.rules.leaves import EntryCheck
from harness.checks.rules.mismatched import Mismatched

_WXN = 19
_SUSPECTS = 64  # that are looked at again; more of them are the same mistake


class Policy(EntryCheck):
    """Writable and executable at once, the kernel's pages open to EL0, devices as code."""

    rule = Rule(
        *(8, "policy", "D8.4 and B2.11"),
        "no page is writable and executable, user pages are not executable at EL1, EL0 has no part in the "
        "kernel's half, devices hold no code, all mappings of a page agree in memory type and shareability",
        (
            *("device-executable", "kernel-page-at-el0", "mismatched-attributes", "user-page-at-el1"),
            "writable-executable",
        ),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._suspects: dict[int, Change] = {}
        self._mismatched = Mismatched()

    def look(self, model: Model, change: Change) -> bool:
        """By the entry alone; tables above it may take rights away, so it is looked at again later."""
        if not change.use.is_leaf(change.new):
            return True
        twin = self._mismatched.twin(model, change)
        if twin is not None:
            message = f"the same memory has mismatched attributes: {twin}"
            self.found("mismatched-attributes", message, change, change)
        wxn = bit(model.registers["SCTLR_EL1"], _WXN)
        granted = permissions(change.after, TableLimits(), wxn=wxn)
        if not any(violations(change.use.root.regime, change.after, granted)):
            return self._mismatched.is_ordinary(change.use, change.new)
        if len(self._suspects) < _SUSPECTS:
            self._suspects[change.entry] = change
        return False

    def good_address(self, model: Model, use: Use, raw: int) -> bool:
        """Where no leaf is that could be unlike this one, which is ordinary."""
        return self._mismatched.is_alone(use, raw)

    def settled(self, model: Model, reliance: Reliance) -> None:
        """With what the tables above an entry take away."""
        for change in self._suspects.values():
            ttbr = change.use.root.regime.table_base if change.use.root.half == "ttbr0" else None
            walk = model.machine.walk(change.va, ttbr)
            if walk.leaf is not None and walk.steps[-1].entry_address == change.entry:
                for check, message in violations(change.use.root.regime, walk.leaf, walk.permissions):
                    self.found(check, message, change, change)
        self._suspects.clear()

    def save(self) -> Any:
        """What is still to be looked at."""
        return dict(self._suspects), self._mismatched.save()

    def restore(self, state: Any) -> None:
        """Back to it."""
        suspects, mismatched = state or ({}, None)
        self._suspects = dict(suspects)
        self._mismatched.restore(mismatched)
        self._good.clear()


def violations(regime: Regime, leaf: Descriptor, granted: Permissions) -> Iterator[tuple[str, str]]:
    """What is against the policy: (check, message)."""
    el0, el1 = granted.el0, granted.el1
    if (el0.write and el0.execute) or (el1.write and el1.execute):
        yield "writable-executable", f"a page is writable and executable: {granted}"
    if el0.read and el1.execute:
        yield "user-page-at-el1", "a page of EL0 is executable at EL1: PXN is clear"
    if regime.half == "ttbr1" and (el0.read or el0.execute):
        yield "kernel-page-at-el0", f"a page of the kernel's half can be reached from EL0: {granted}"
    if regime.memory_type(leaf.attr_index).startswith("Device") and (el0.execute or el1.execute):
        yield "device-executable", f"a device is executable: {granted}"
