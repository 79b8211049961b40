# SPDX-License-Identifier: BSD-3-Clause
"""Stores to tables: what each does to an entry, and what is owed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.model.change import Change, breaks, cacheable, restricts
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.tables import VALID, Use
from harness.machine.events import Store

if TYPE_CHECKING:
    from harness.checks.model.state import Model

_NG = 1 << 11
_SUBTREE = 4096  # entries below an unlinked table that are followed one by one


class TableStores:
    """The part of a model that looks at stores."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def store(self, event: Store) -> None:
        """A store to a table, or to what a check watches."""
        uses = self._model.book.at(event.pa)
        if not uses:
            for check in self._model.checks:
                check.data_store(self._model, event)
            return
        if event.size != 8 or event.pa & 7:
            for check in self._model.checks:
                check.torn(self._model, event, uses)
            self._store_bytes(event)
            return
        old = self._model.memory.read_qword(event.pa)
        if old is not None and old != event.value:
            for use in uses:
                self._change(Change(use, event.pa, old, event.value, event.time, event.pc))

    def _store_bytes(self, event: Store) -> None:
        """A store that is not one descriptor: what it makes of each that it touches."""
        data = event.value.to_bytes(event.size, "little")
        for entry in range(event.pa & ~7, event.pa + event.size, 8):
            old = self._model.memory.read_qword(entry)
            if old is None:
                continue
            content = bytearray(old.to_bytes(8, "little"))
            for at in range(max(entry, event.pa), min(entry + 8, event.pa + event.size)):
                content[at - entry] = data[at - event.pa]
            new = int.from_bytes(content, "little")
            for use in self._model.book.at(entry):
                if new != old:
                    self._change(Change(use, entry, old, new, event.time, event.pc))

    def _change(self, change: Change) -> None:
        use = change.use
        detached = self._model.detached.get(use)
        if detached is not None:
            if change.new & VALID:
                self._model.rely(detached, Reliance("reuse", change.time, change.pc))
            return
        if change.old & VALID:
            for check in self._model.checks:
                check.entry_gone(self._model, change)
        if not change.new & VALID:
            if change.old & VALID:
                self._unmake(change)
            return
        if change.old & VALID:
            self._remake(change)
        else:
            self._make(change)
        self._hold(change)
        for check in self._model.checks:
            check.entry_valid(self._model, use, change.entry, change.new, change)

    def _hold(self, change: Change) -> None:
        """TLBs may hold the new entry from now on."""
        use, new = change.use, change.new
        root = use.root
        if root.half == "ttbr0":
            if self._model.is_walked(root):
                root.asids |= {self._model.asid}
            if not new & _NG and not use.is_table(new) and root.first_global is None:
                root.first_global = change.va
        if use.is_table(new):
            self._model.book.add(
                self._model.book.child(use, change.entry, new), change.entry, self._model.entered
            )

    def _make(self, change: Change) -> None:
        """Not valid -> valid."""
        owed = self._model.debts.by_entry.get(change.entry)
        if owed is not None:
            since = change._replace(old=owed.change.old)
            if self._breaks(since) is not None:
                self._model.rely(owed, Reliance("make", change.time, change.pc))
            else:
                self._model.debts.drop(owed)  # as if it had never been broken
                if restricts(since):
                    self._owe(since)
        self._model.fresh.append(change)

    def _remake(self, change: Change) -> None:
        """Valid -> valid."""
        why = self._breaks(change)
        if not cacheable(change.use, change.old, self._model.hardware_af):
            return
        if why is None:
            if restricts(change):
                self._owe(change)
            return
        if self._model.is_walked(change.use.root):
            for check in self._model.checks:
                check.replaced(self._model, change, why)
        self._owe(change)

    def _breaks(self, change: Change) -> str | None:
        return breaks(change, lambda: self._same_contents(change), any_contiguous=False)

    def _same_contents(self, change: Change) -> bool:
        old, new = change.before.output_address, change.after.output_address
        size = 1 << change.use.shift
        return size <= 1 << 21 and self._model.memory.alike(old, new, size)

    def _unmake(self, change: Change) -> None:
        """Valid -> not valid."""
        if cacheable(change.use, change.old, self._model.hardware_af):
            self._owe(change)

    def _owe(self, change: Change) -> None:
        """An invalidation of what TLBs may hold of an entry, and of all below it that hangs nowhere now."""
        use, old = change.use, change.old
        if not use.is_table(old):
            self._model.debts.add(self._debt(change, ()))
            return
        child = self._model.book.child(use, change.entry, old)
        gone = not use.is_table(change.new) or use.next_table(old) != use.next_table(change.new)
        tables = (
            tuple(self._model.book.below(child)) if gone and child in self._model.book.at(child.table) else ()
        )
        owed = self._debt(change, tables)
        self._model.debts.add(owed)
        for each in tables:
            self._model.detached[each] = owed
        below = [found for each in tables for found in self.cached_entries(each)]
        for entry_use, entry, raw in below[:_SUBTREE]:
            lost = Change(entry_use, entry, raw, 0, change.time, change.pc)
            self._model.debts.add(self._debt(lost, ()))
            for check in self._model.checks:
                check.entry_gone(self._model, lost)

    def cached_entries(self, use: Use) -> list[tuple[Use, int, int]]:
        """(Use, address, descriptor) of the entries of a table that TLBs may hold."""
        valid, af = self._model.book.valid_entries(use), self._model.hardware_af
        return [(use, at, raw) for at, raw in valid if cacheable(use, raw, af)]

    def _debt(self, change: Change, tables: tuple[Use, ...]) -> Owed:
        use = change.use
        is_table = use.is_table(change.old)
        is_global = not is_table and not change.old & _NG
        asids = use.root.asids if use.root.half == "ttbr0" else self._model.asids_seen
        return Owed(change, is_table, is_global, asids, tables)
