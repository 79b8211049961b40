# SPDX-License-Identifier: BSD-3-Clause
"""Rule 5: new entries are whole, and visible before they are relied upon."""

from __future__ import annotations

from collections.abc import Sequence

from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Use
from harness.checks.rules.base import Check
from harness.machine.events import Store


class NewEntry(Check):
    """A new entry that walks need not see yet, or may see half of."""

    rule = Rule(
        *(5, "new-entry", "D8.2.6 and B2.3.12"),
        "a new entry is one aligned 64-bit store, then DSB ISHST, and for the kernel itself an ISB, before "
        "anything relies on it",
        ("no-dsb", "no-isb", "torn-store"),
    )

    def fresh_relied(self, model: Model, change: Change, reliance: Reliance, *, visible: bool) -> None:
        """Made, and relied upon before walks must see it."""
        check = "no-isb" if visible else "no-dsb"
        missing = "an ISB behind the DSB" if visible else "a DSB ISHST behind the store"
        message = "a new entry is relied upon before a walk must see it"
        self.found(check, message, change, change, missing, reliance)

    def torn(self, model: Model, event: Store, uses: Sequence[Use]) -> None:
        """A walk may see a part of it."""
        if any(model.is_walked(use.root) and use not in model.detached for use in uses):
            message = f"{event.size} bytes at PA {event.pa:#x} are written in a table that is walked"
            self.found("torn-store", message, event, missing="one aligned 64-bit store for each entry")
