# SPDX-License-Identifier: BSD-3-Clause
"""Rule 6: a table page is a table and nothing else for as long as a walk may come."""

from __future__ import annotations

from collections.abc import Sequence

from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import ADDRESS, Use
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack
from harness.machine.events import Store

_EL0_WRITABLE, _AP = 1 << 6, 3 << 6
_PAGE = 4096


class TablePage(Check):
    """Table pages that are elsewhere too: freed, outside RAM, linked twice, mapped for EL0."""

    rule = Rule(
        *(6, "table-page", "D8.2 and D8.17.2"),
        "a page that a walk can reach, or a walk cache may hold, is in RAM, linked once, and nobody's data",
        ("loop", "mapped-to-el0", "outside-ram", "reused", "shared"),
    )

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """An unlinked table is written while walk caches may lead there."""
        missing = lack(owed, model.debts)
        if reliance.kind == "reuse" and missing.kind == "tlbi":
            message = "a table page is used for something else while walks may still reach it"
            self.found("reused", message, reliance, owed.change, missing.text)

    def torn(self, model: Model, event: Store, uses: Sequence[Use]) -> None:
        """Nobody edits the tables of an inactive address space by bytes: the page was given away."""
        if not uses or not model.enabled:
            return
        if not any(model.is_walked(use.root) or use in model.detached for use in uses):
            root = uses[0].root
            page = f"the table page at {event.pa & -4096:#x}"
            message = f"{page} is used for something else while TLBs may hold its entries"
            asids = ", ".join(map(str, sorted(root.asids)))
            tlbi = f"TLBI ASIDE1IS, DSB ISH for ASID {asids}" if asids else "TLBI VMALLE1IS, DSB ISH"
            self.found("reused", message, event, missing=tlbi)
            model.forget(root)

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """Where it is, whether it is linked elsewhere in its tree, and what its leaves let EL0 write."""
        self._look_at_links(model, use, entry)
        for address, raw in model.book.valid_entries(use):
            if raw & _AP == _EL0_WRITABLE:
                at = model.now
                self.entry_valid(model, use, address, raw, Change(use, address, 0, raw, at.time, at.pc))

    def _look_at_links(self, model: Model, use: Use, entry: int) -> None:
        others = [each for each in model.book.at(use.table) if each.root is use.root]
        others = [each for each in others if each not in model.detached]
        if not model.memory.contains(use.table, use.entries * 8):
            self._told(model, "outside-ram", f"the table at {use.table:#x} is not in RAM", entry)
        elif any(each.level != use.level for each in others):
            self._told(model, "loop", f"the table at {use.table:#x} is used at two levels", entry)
        elif others:
            self._told(model, "shared", f"the table at {use.table:#x} is linked twice", entry)
        elif not model.book.at(use.table):
            self._look_for_data(model, use, entry)

    def _look_for_data(self, model: Model, use: Use, entry: int) -> None:
        """A page becomes a table that EL0 may write already."""
        for page in range(use.table & -_PAGE, use.table + use.entries * 8, _PAGE):
            if any(raw & _AP == _EL0_WRITABLE for _, _, raw in model.book.leaves_of(page, _PAGE)):
                message = f"EL0 may write the page at {page:#x}, which becomes a translation table"
                self._told(model, "mapped-to-el0", message, entry)

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """Tables that EL0 may write."""
        if raw & _AP != _EL0_WRITABLE or not use.is_leaf(raw):
            return
        start, size = raw & ADDRESS & -(1 << use.shift), 1 << use.shift
        pages = (start,) if size == _PAGE else model.book.pages()
        if any(start <= page < start + size and model.book.holds(page) for page in pages):
            message = "EL0 may write a page that is a translation table"
            self.found("mapped-to-el0", message, change, change)

    def _told(self, model: Model, check: str, message: str, entry: int) -> None:
        where = f", linked by the entry at {entry:#x}" if entry else ""
        self.found(check, message + where, model.now)
