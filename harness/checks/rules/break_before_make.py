# SPDX-License-Identifier: BSD-3-Clause
"""Rule 1: a live entry changes by way of an invalid one."""

from __future__ import annotations

from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack

_SEQUENCE = "a store of an invalid entry, DSB ISHST, TLBI and DSB ISH before this store"


class BreakBeforeMake(Check):
    """Valid to another valid entry at once, or broken and made again without an invalidation between."""

    rule = Rule(
        *(1, "break-before-make", "D8.16.1"),
        "a valid entry becomes another one only by way of an invalid entry, DSB, TLBI and DSB, lest a TLB "
        "holds both",
        ("made", "replaced"),
    )

    def replaced(self, model: Model, change: Change, why: str) -> None:
        """Without an invalid entry between."""
        self.found("replaced", f"a valid entry is overwritten: {why}", change, change, _SEQUENCE)

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """With an invalid entry between, but nobody told the TLBs."""
        missing = lack(owed, model.debts)
        if reliance.kind == "make" and missing.kind == "tlbi":
            message = "an entry is made where another was broken, of which TLBs were not told"
            self.found("made", message, reliance, owed.change, missing.text)
