# SPDX-License-Identifier: BSD-3-Clause
"""Rule 3: a TLBI is waited for."""

from __future__ import annotations

from harness.checks.findings import Rule
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack

_DONE = {
    "make": "another entry is made in its place",
    "reuse": "the table page is used for something else",
    "frame": "the memory that it mapped is used for something else",
    "access": "the kernel goes by way of it",
    "eret": "control goes to EL0",
    "end": "the kernel's call is over",
}


class IncompleteTlbi(Check):
    """Something relies on an invalidation that no DSB has completed, or no ISB has synchronized."""

    rule = Rule(
        *(3, "incomplete-tlbi", "D8.17.5 and D8.17.6"),
        "only a DSB for reads and writes completes a TLBI, and only then may entry, frame or table be used "
        "again; in its own half the kernel needs an ISB too",
        ("no-dsb", "no-isb", "not-invalidated"),
    )

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """A TLBI without DSB, a DSB without ISB; or EL0 runs on what was not invalidated at all."""
        missing = lack(owed, model.debts)
        unflushed = missing.kind == "tlbi" and reliance.kind in ("eret", "frame", "access")
        if missing.kind in ("dsb", "isb") or unflushed:
            check = "not-invalidated" if unflushed else f"no-{missing.kind}"
            message = f"{_DONE[reliance.kind]} before the invalidation of an entry is complete"
            self.found(check, message, owed.change, owed.change, missing.text, reliance)
