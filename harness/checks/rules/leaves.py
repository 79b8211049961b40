# SPDX-License-Identifier: BSD-3-Clause
"""What rules about single entries have in common: they look at each new one, however many there are."""

from __future__ import annotations

from abc import ABC, abstractmethod

from harness.checks.model.change import Change
from harness.checks.model.state import Model
from harness.checks.model.tables import ADDRESS, Root, Use
from harness.checks.rules.base import Check, Report
from harness.machine.events import RegisterWrite

Pattern = tuple[int, int, str]
"""What an entry is but for its address: other bits, level, half."""


class EntryCheck(Check, ABC):
    """A rule about entries: it looks at those that differ from good ones in more than the address."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._good: set[Pattern] = set()

    @abstractmethod
    def look(self, model: Model, change: Change) -> bool:
        """Report what is wrong with `change.new`; True when any entry with other addresses is good too."""

    def good_address(self, model: Model, use: Use, raw: int) -> bool:
        """Whether the address of an entry, of which all else is known to be good, is good too."""
        return True

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """One that is stored now."""
        if not self._is_good(model, use, raw) and self.look(model, change):
            self._good.add((raw & ~ADDRESS, use.level, use.root.half))

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """All that a table held when it was linked."""
        if any(each.root is use.root for each in model.book.at(use.table)):
            return  # linked twice: its entries are looked at where they belong
        for address, raw in model.book.valid_entries(use):
            if not self._is_good(model, use, raw):
                at = model.now
                change = Change(use, address, 0, raw, at.time, at.pc)
                self.entry_valid(model, use, change.entry, raw, change)

    def _is_good(self, model: Model, use: Use, raw: int) -> bool:
        pattern = (raw & ~ADDRESS, use.level, use.root.half)
        return pattern in self._good and self.good_address(model, use, raw)

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Other registers give entries another meaning."""
        self._good.clear()
