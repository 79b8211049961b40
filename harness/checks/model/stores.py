# SPDX-License-Identifier: BSD-3-Clause
"""Stores to tables: what each does to an entry, and what is owed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.model.change import Change, breaks, cacheable, is_global_leaf, restricts, widest
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.tables import ADDRESS, VALID, Root, Use
from harness.machine.events import Store

if TYPE_CHECKING:
    from harness.checks.model.state import Model

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
            since = self._since(change) if change.old & VALID else None
            if since is not None:
                self._owe(since)
            return
        if change.old & VALID:
            self._remake(change)
        else:
            self._make(change)
        if self._model.debts.holds_memory:
            self._map(change.use, change.new, Reliance("frame", change.time, change.pc))
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
            root.is_global = root.is_global or is_global_leaf(use, new)
        if use.is_table(new):
            self._model.book.add(
                self._model.book.child(use, change.entry, new), change.entry, self._model.entered
            )

    def _make(self, change: Change) -> None:
        """Not valid -> valid."""
        owed = self._model.debts.of(change)
        if owed is not None:
            since = change._replace(old=owed.change.old)
            if self._breaks(since) is not None:
                self._model.rely(owed, Reliance("make", change.time, change.pc))
            else:
                self._mend(owed)
                self._permit(since, since)
        self._model.fresh.append(change)
        self._model.accesses.expect(change)

    def _mend(self, owed: Owed) -> None:
        """As if it had never been broken: tables hang there again, and owe what was cleared in them since."""
        model = self._model
        model.debts.drop(owed)
        for use in owed.tables:
            model.detached.pop(use, None)
            model.book.remove(use)
        for lost in model.debts if owed.tables else ():
            if (
                lost.change.use in owed.tables
                and model.memory.read_qword(lost.change.entry) == lost.change.old
            ):
                model.debts.drop(lost)

    def _remake(self, change: Change) -> None:
        """Valid -> valid."""
        since = self._since(change)
        if since is None:
            return
        why = self._breaks(change) or self._breaks(since)
        if why is None:
            self._permit(change, since)
            return
        if self._may_be_walked(change.use.root):
            for check in self._model.checks:
                check.replaced(self._model, since, why)
        self._owe(since)

    def _since(self, change: Change) -> Change | None:
        """The change from what TLBs may hold of the entry; None: they hold nothing of it."""
        owed = self._model.debts.of(change)
        if owed is not None:
            return change._replace(old=widest(change.use, owed.change.old, change.old))
        return change if cacheable(change.use, change.old, self._model.hardware_af) else None

    def _permit(self, change: Change, since: Change) -> None:
        """A change that needs no break: what it takes away is owed, and what is put back is not any more."""
        owed = self._model.debts.of(change)
        if restricts(change) or (restricts(since) and (owed is None or owed.idle)):
            self._owe(since if restricts(since) else change)
        elif restricts(since):
            return  # that is owed already, and may have been invalidated by half
        elif not cacheable(change.use, change.new, self._model.hardware_af):
            self._owe(since, idle=True)
        elif owed is not None:
            self._model.debts.drop(owed)

    def _may_be_walked(self, root: Root) -> bool:
        """By this CPU, or by another one that runs an address space which this one has left."""
        return self._model.is_walked(root) or (self._model.others and bool(root.asids))

    def _map(self, use: Use, raw: int, reliance: Reliance) -> None:
        """Memory is mapped that another address space has given up: may that one's TLB entries be there?

        To move a page within one address space gives nobody what he did not have, in tables of two neither.
        """
        if use.is_leaf(raw):
            for owed in self._model.debts.holding(raw & ADDRESS & -(1 << use.shift), 1 << use.shift):
                had = {each.root for each in self._model.book.at(owed.change.entry)}
                if use.root not in had and not self._model.accesses.is_shared(owed):
                    self._model.rely(owed, reliance)

    def linked(self, use: Use) -> None:
        """A table came into use, with what it maps."""
        root = use.root
        if root.half == "ttbr0" and not root.is_global:
            valid = self._model.book.valid_entries(use)
            root.is_global = any(is_global_leaf(use, raw) for _, raw in valid)
        if self._model.debts.holds_memory:
            for _, raw in self._model.book.valid_entries(use):
                self._map(use, raw, self._model.now._replace(kind="frame"))

    def _breaks(self, change: Change) -> str | None:
        return breaks(change, lambda: self._same_contents(change), any_contiguous=False)

    def _same_contents(self, change: Change) -> bool:
        old, new = change.before.output_address, change.after.output_address
        size = 1 << change.use.shift
        return size <= 1 << 21 and self._model.memory.alike(old, new, size)

    def _owe(self, change: Change, *, idle: bool = False) -> None:
        """An invalidation of what TLBs may hold of an entry, and of all below it that hangs nowhere now."""
        use, old = change.use, change.old
        if not use.is_table(old):
            owed = self._debt(change, ())
            owed.idle = idle
            self._model.debts.add(owed)
            self._model.accesses.expect(owed)
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
            owed = self._debt(lost, self._linked_by(lost))
            self._model.debts.add(owed)
            for each in owed.tables:
                self._model.detached[each] = owed
            for check in self._model.checks:
                check.entry_gone(self._model, lost)

    def _linked_by(self, change: Change) -> tuple[Use, ...]:
        """The table to which an entry below an unlinked one leads: a TLBI for that one need not reach it."""
        if not change.use.is_table(change.old):
            return ()
        child = self._model.book.child(change.use, change.entry, change.old)
        return (child,) if child in self._model.detached else ()

    def cached_entries(self, use: Use) -> list[tuple[Use, int, int]]:
        """(Use, address, descriptor) of the entries of a table that TLBs may hold."""
        valid, af = self._model.book.valid_entries(use), self._model.hardware_af
        return [(use, at, raw) for at, raw in valid if cacheable(use, raw, af)]

    def _debt(self, change: Change, tables: tuple[Use, ...]) -> Owed:
        use = change.use
        is_table = use.is_table(change.old)
        is_global = is_global_leaf(use, change.old)
        asids = use.root.asids if use.root.half == "ttbr0" else self._model.asids_seen
        return Owed(change, is_table, is_global, asids, tables)
