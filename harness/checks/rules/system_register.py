# SPDX-License-Identifier: BSD-3-Clause
"""Rule 9: system registers change in an order without a window between."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.arch.bits import bit
from harness.arch.maintenance import Invalidation
from harness.checks.findings import Rule
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Root
from harness.checks.rules.base import Check, Report
from harness.machine.events import RegisterWrite, SystemOperation

_M = 0


class _Space(NamedTuple):
    """What TTBR0 says: a tree and an ASID; `maps`: anything at all."""

    table: int
    asid: int
    maps: bool


class SystemRegister(Check):
    """Registers of translation without their ISB, or table and ASID changed one after the other."""

    rule = Rule(
        *(9, "system-register", "D24.1.2 and D8.16.2"),
        "an ISB follows a change of TTBR, TCR, MAIR or SCTLR before anything stands on it; table and ASID "
        "change at once, or by way of tables that map nothing",
        ("enabled-before-isb", "no-isb", "tlbi-before-isb", "two-steps"),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._spaces: tuple[_Space, ...] = ()  # the last three

    def register_write(self, model: Model, event: RegisterWrite) -> None:
        """The MMU is switched on with registers that need not have their values yet."""
        if event.register == "SCTLR_EL1" and bit(event.value, _M) and not model.enabled:
            waiting = sorted(name for name in model.written if name != "SCTLR_EL1")
            if waiting:
                message = f"the MMU is switched on before {', '.join(waiting)} are in effect"
                self.found("enabled-before-isb", message, event, missing="an ISB before the MSR of SCTLR_EL1")

    def tlbi(self, model: Model, event: SystemOperation, what: Invalidation) -> None:
        """What the old TTBR says can come in again behind it."""
        late = [name for name in model.written if name.startswith(("TTBR", "TCR"))]
        if model.enabled and late and what.operation.target != "va":
            message = f"{what} is executed before {', '.join(sorted(late))} is in effect"
            self.found("tlbi-before-isb", message, event, missing="an ISB between the MSR and the TLBI")

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """Three states of TTBR0: was the one between old and new a mixture that walks could use?"""
        if root.half != "ttbr0" or event is None:
            return
        first = model.book.root_use(root)
        maps = bool(model.book.valid_entries(first))
        now = _Space(root.regime.table_base, model.asid, maps)
        self._spaces = (*self._spaces[-2:], now)
        if len(self._spaces) == 3 and _mixed(*self._spaces):
            message = "table and ASID are changed one after the other, and between them walks used a mixture"
            missing = "one MSR for both, or tables that map nothing between them"
            self.found("two-steps", message, event, missing=missing)

    def settled(self, model: Model, reliance: Reliance) -> None:
        """A call is over. (ERET is a context synchronization event itself.)"""
        if reliance.kind == "end" and model.enabled:
            model.rely_registers(tuple(model.written), reliance)

    def register_relied(self, model: Model, event: RegisterWrite, reliance: Reliance) -> None:
        """The old value may still be in effect."""
        message = f"{event.register} was changed, and nothing makes that take effect"
        self.found("no-isb", message, event, missing="an ISB behind the MSR", relied=reliance)

    def save(self) -> Any:
        """The last states of TTBR0."""
        return self._spaces

    def restore(self, state: Any) -> None:
        """Back to them."""
        self._spaces = state or ()


def _mixed(before: _Space, between: _Space, now: _Space) -> bool:
    if not between.maps or before.table == now.table or before.asid == now.asid:
        return False
    old_table = between.table == before.table and between.asid == now.asid
    new_table = between.table == now.table and between.asid == before.asid
    return old_table or new_table
