# SPDX-License-Identifier: BSD-3-Clause
"""Rule 11: nothing is owed."""

from __future__ import annotations

from harness.checks.findings import Rule
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack


class NothingOwed(Check):
    """A call is over and nobody has told the TLBs what it changed."""

    rule = Rule(
        *(11, "owed", "D8.17"),
        "when a call into the kernel is over, every entry that it broke or restricted has been invalidated",
        ("not-invalidated",),
    )

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """No TLBI at all."""
        missing = lack(owed, model.debts)
        if reliance.kind == "end" and missing.kind == "tlbi":
            message = "a changed entry was never invalidated: TLBs may still hold what it was"
            self.found("not-invalidated", message, owed.change, owed.change, missing.text, reliance)
