# SPDX-License-Identifier: BSD-3-Clause
"""Rule 9: system registers change in an order without a window between."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.arch.bits import bit, get
from harness.arch.maintenance import Invalidation
from harness.checks.findings import Rule
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Root
from harness.checks.rules.base import Check, Report
from harness.machine.events import BarrierDone, RegisterWrite, SystemOperation

_M = 0


class _Space(NamedTuple):
    """What TTBR0 says: a tree and an ASID; `maps`: anything at all; `held`: TLBs may hold others by that."""

    table: int
    asid: int
    maps: bool
    held: bool


class _Redefined(NamedTuple):
    """MAIR_EL1 has another meaning for entries that TLBs hold: how far their invalidation has got."""

    event: RegisterWrite
    indices: frozenset[int]
    synchronized: bool = False
    issued: bool = False


class SystemRegister(Check):
    """Registers of translation without their ISB, or table and ASID changed one after the other."""

    rule = Rule(
        *(9, "system-register", "D24.1.2, D8.16.2 and D8.17"),
        "an ISB follows a change of TTBR, TCR, MAIR or SCTLR before anything stands on it; table and ASID "
        "change at once, or by way of tables that map nothing; what MAIR redefines is invalidated",
        ("enabled-before-isb", "memory-type", "no-isb", "tlbi-before-isb", "two-steps"),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._spaces: tuple[_Space, ...] = ()  # the last three
        self._redefined: _Redefined | None = None
        self._asid = 0  # that is in effect

    def register_write(self, model: Model, event: RegisterWrite) -> None:
        """The MMU is switched on with registers that need not be in effect yet; MAIR changes under it."""
        if event.register == "MAIR_EL1":
            self._redefine(model, event)
        if event.register == "SCTLR_EL1" and bit(event.value, _M) and not model.enabled:
            waiting = sorted(name for name in model.written if name != "SCTLR_EL1")
            if waiting:
                message = f"the MMU is switched on before {', '.join(waiting)} are in effect"
                self.found("enabled-before-isb", message, event, missing="an ISB before the MSR of SCTLR_EL1")

    def _redefine(self, model: Model, event: RegisterWrite) -> None:
        """Entries that are mapped, and in TLBs, get another memory type."""
        old, new = model.registers["MAIR_EL1"], event.value
        changed = {at for at in range(8) if get(old ^ new, 8 * at + 7, 8 * at)}
        used = frozenset(changed) & _used(model) if changed else frozenset()
        if used:
            self._redefined = _Redefined(event, used)

    def synchronized(self, model: Model) -> None:
        """From now on walks know of the new MAIR, and of the new ASID."""
        self._asid = model.asid
        if self._redefined is not None:
            self._redefined = self._redefined._replace(synchronized=True)

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """The TLBI is complete: nothing holds what the old MAIR said."""
        alone = not model.others or not model.enabled
        waited = event.barrier.completes_maintenance and (event.barrier.shared or alone)
        if self._redefined is not None and self._redefined.issued and waited:
            self._redefined = None

    def tlbi(self, model: Model, event: SystemOperation, what: Invalidation) -> None:
        """What the old TTBR says can come in again behind it."""
        late = [name for name in model.written if name.startswith(("TTBR", "TCR"))]
        comes_back = what.operation.target == "all" or (
            what.operation.target == "asid" and what.asid == self._asid
        )
        if model.enabled and late and comes_back:
            message = f"{what} is executed before {', '.join(sorted(late))} is in effect"
            self.found("tlbi-before-isb", message, event, missing="an ISB between the MSR and the TLBI")
        alone = not model.others or not model.enabled
        everything = what.operation.target == "all" and (what.operation.broadcast or alone)
        in_effect = self._redefined is not None and (self._redefined.synchronized or not model.enabled)
        if self._redefined is not None and in_effect and everything:
            self._redefined = self._redefined._replace(issued=True)

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Three states of TTBR0: was the one between old and new a mixture that walks could use?"""
        low = model.active["ttbr0"]
        if event is None:
            self._asid = model.asid
        if low is None or event is None:
            return
        maps = bool(model.book.valid_entries(model.book.root_use(low)))
        held = any(model.asid in other.asids for other in model.roots.values() if other is not low)
        now = _Space(low.regime.table_base, model.asid, maps, held)
        if root is not low and now in self._spaces[-1:]:
            return  # TTBR1 has no part in it
        self._spaces = (*self._spaces[-2:], now)
        if len(self._spaces) == 3 and _mixed(*self._spaces):
            message = "table and ASID are changed one after the other, and between them walks used a mixture"
            missing = "one MSR for both, or tables that map nothing between them"
            self.found("two-steps", message, event, missing=missing)

    def settled(self, model: Model, reliance: Reliance) -> None:
        """A call is over. (ERET is a context synchronization event itself.)"""
        if self._redefined is not None:
            indices = ", ".join(map(str, sorted(self._redefined.indices)))
            message = (
                f"MAIR_EL1 has another memory type for attribute {indices}, which TLBs may hold as it was"
            )
            missing = "an ISB, then TLBI VMALLE1IS, DSB ISH behind the MSR"
            self.found("memory-type", message, self._redefined.event, missing=missing, relied=reliance)
            self._redefined = None
        if reliance.kind == "end" and model.enabled:
            model.rely_registers(tuple(model.written), reliance)

    def register_relied(self, model: Model, event: RegisterWrite, reliance: Reliance) -> None:
        """The old value may still be in effect."""
        message = f"{event.register} was changed, and nothing makes that take effect"
        self.found("no-isb", message, event, missing="an ISB behind the MSR", relied=reliance)

    def save(self) -> Any:
        """The last states of TTBR0, what MAIR redefined, and the ASID."""
        return self._spaces, self._redefined, self._asid

    def restore(self, state: Any) -> None:
        """Back to them."""
        self._spaces, self._redefined, self._asid = state or ((), None, 0)


def _mixed(before: _Space, between: _Space, now: _Space) -> bool:
    if not between.maps or before.table == now.table or before.asid == now.asid:
        return False
    old_table = between.table == before.table and between.asid == now.asid and now.held
    new_table = between.table == now.table and between.asid == before.asid and between.held
    return old_table or new_table


def _used(model: Model) -> frozenset[int]:
    """The attributes that leaves have by now."""
    leaves = ((use, raw) for use in model.book.uses() for _, raw in model.book.valid_entries(use))
    return frozenset(get(raw, 4, 2) for use, raw in leaves if use.is_leaf(raw))
