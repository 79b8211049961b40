# SPDX-License-Identifier: BSD-3-Clause
"""Rule 2: first the store, then the TLBI."""

from __future__ import annotations

from harness.checks.findings import Rule
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack


class EarlyTlbi(Check):
    """A TLBI while its store may still be on its way: a walk can bring the old entry back."""

    rule = Rule(
        *(2, "early-tlbi", "D8.17.5 and B2.3.12"),
        "a DSB makes the changed entry visible to walks before the TLBI, lest the old entry comes back",
        ("no-dsb",),
    )

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """Told once it matters: a second TLBI may yet come."""
        missing = lack(owed, model.debts)
        if missing.kind == "early" and missing.tlbi is not None:
            message = f"{missing.tlbi.what} comes before the store it is for is complete"
            self.found("no-dsb", message, missing.tlbi, owed.change, missing.text, reliance)
