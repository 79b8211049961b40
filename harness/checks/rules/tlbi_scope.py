# SPDX-License-Identifier: BSD-3-Clause
"""Rule 4: a TLBI names what it is for, and an ASID names one address space."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from harness.checks.findings import Rule
from harness.checks.model.change import is_global_leaf
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Root, Use
from harness.checks.rules.base import Check
from harness.checks.rules.missing import lack

_LEAVES = 64  # of a tree that are held against another; more of them are the same mistake


class TlbiScope(Check):
    """A TLBI misses the entry it is for; or entries of one address space are seen in another."""

    rule = Rule(
        *(4, "tlbi-scope", "D8.17.5 and D8.15"),
        "a TLBI reaches the entry by VA, ASID, level and CPU; an ASID stands for one address space, whose "
        "entries are not global",
        ("asid-reused", "global-entry", "local", "scope"),
    )

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """There was a TLBI, but not for this entry."""
        missing = lack(owed, model.debts)
        if missing.kind in ("scope", "local") and missing.tlbi is not None:
            message = f"{missing.tlbi.what} does not reach the changed entry"
            self.found(missing.kind, message, missing.tlbi, owed.change, missing.text, reliance)

    def settled(self, model: Model, reliance: Reliance) -> None:
        """Another address space's entries are still there, and match."""
        active = model.active["ttbr0"]
        if active is None or model.asid not in active.asids:
            return
        for root in model.roots.values():
            if root.half == "ttbr0" and root is not active:
                self._other_space(model, active, root, reliance)

    def _other_space(self, model: Model, active: Root, root: Root, reliance: Reliance) -> None:
        """What TLBs may hold of a tree that is not walked now, and take for that of the active one."""
        tables = f"the tables at {root.regime.table_base:#x}"
        if model.asid in root.asids:
            message = (
                f"ASID {model.asid} is used with the tables at {active.regime.table_base:#x}, and TLBs may "
                f"hold entries of {tables} with it"
            )
            missing = "TLBI ASIDE1IS, DSB ISH before the ASID is used again"
            self.found("asid-reused", message, reliance, missing=missing)
            root.asids -= {model.asid}
        leaves = _global_leaves(model, model.book.root_use(root), active) if root.is_global else iter(())
        for va in islice(leaves, _LEAVES):
            if not _agree(model, root, active, va):
                message = f"VA {va:#x} of {tables} is global: every other address space sees it"
                missing = "nG in the entry, or TLBI VMALLE1IS after the switch"
                self.found("global-entry", message, reliance, missing=missing)
                root.is_global = False
                return


def _global_leaves(model: Model, use: Use, other: Root) -> Iterator[int]:
    """The addresses of those below a table, but for tables that another tree has at the same place."""
    for entry, raw in model.book.valid_entries(use):
        if is_global_leaf(use, raw):
            yield use.va_of(entry)
        elif use.is_table(raw):
            child = model.book.child(use, entry, raw)
            uses = model.book.at(child.table)
            if child in uses and child._replace(root=other) not in uses:
                yield from _global_leaves(model, child, other)


def _agree(model: Model, one: Root, other: Root, va: int) -> bool:
    """Whether two trees map an address alike: what is global may be that of either."""
    mine, theirs = (model.book.leaf(model.book.root_use(root), va) for root in (one, other))
    return mine is not None and theirs is not None and mine[1] == theirs[1]
