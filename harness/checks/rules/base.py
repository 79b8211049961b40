# SPDX-License-Identifier: BSD-3-Clause
"""What a rule is made of: the moments it may look at, and its way to report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from harness.arch.maintenance import Invalidation
from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.owed import Owed
from harness.checks.model.tables import Root, Use
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation

if TYPE_CHECKING:
    from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model


class Moment(Protocol):
    """Anything that happened: an event, a change, a reliance."""

    @property
    def time(self) -> int:
        """Instructions retired before."""

    @property
    def pc(self) -> int:
        """The instruction."""


class Breach(NamedTuple):
    """What a check has found: `at` is the instruction at fault, `relied` the moment that made it matter."""

    rule: Rule
    check: str
    message: str
    at: Moment
    change: Change | None
    missing: str
    relied: Reliance | None


Report = Callable[[Breach], None]
"""Where findings go."""


class Check:
    """A rule that looks on. Every method is called at its moment and by default does nothing."""

    rule: ClassVar[Rule]

    def __init__(self, report: Report) -> None:
        self._report = report

    def found(
        self,
        check: str,
        message: str,
        at: Moment,
        change: Change | None = None,
        missing: str = "",
        relied: Reliance | None = None,
    ) -> None:
        """Report a violation; see `Breach`."""
        self._report(Breach(self.rule, check, message, at, change, missing, relied))

    def register_write(self, model: Model, event: RegisterWrite) -> None:
        """Before the model knows of it."""

    def register_relied(self, model: Model, event: RegisterWrite, reliance: Reliance) -> None:
        """Something relies on an MSR that no ISB has put into effect."""

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """A tree is walked from now on; `event` None: as it was found."""

    def table_found(self, model: Model, use: Use, entry: int) -> None:
        """A page serves as table; `entry` is the address of what links it, 0 for a TTBR."""

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """An entry is about to be valid with this value."""

    def entry_gone(self, model: Model, change: Change) -> None:
        """A valid entry is about to be replaced, or not to be valid."""

    def data_store(self, model: Model, event: Store) -> None:
        """A store to what `watches` names."""

    def torn(self, model: Model, event: Store, uses: Sequence[Use]) -> None:
        """A store to a watched page that is not an aligned one of 64 bits."""

    def replaced(self, model: Model, change: Change, why: str) -> None:
        """A valid entry becomes another valid one, which needs break-before-make."""

    def relied(self, model: Model, owed: Owed, reliance: Reliance) -> None:
        """Something relies on an invalidation that is not complete."""

    def fresh_relied(self, model: Model, change: Change, reliance: Reliance, *, visible: bool) -> None:
        """Something relies on a new entry too early; `visible`: behind the DSB, only the ISB is missing."""

    def tlbi(self, model: Model, event: SystemOperation, what: Invalidation) -> None:
        """Before a TLBI takes effect."""

    def cache_operation(self, model: Model, event: SystemOperation) -> None:
        """DC or IC."""

    def cache_flood(self, model: Model) -> None:
        """More DC and IC than is told of."""

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """After a barrier."""

    def synchronized(self, model: Model) -> None:
        """A context synchronization event: ISB, exception entry, ERET."""

    def returned(self, model: Model, event: Returned) -> None:
        """ERET."""

    def settled(self, model: Model, reliance: Reliance) -> None:
        """Control goes to EL0, or a call is over."""

    def watches(self) -> list[tuple[int, int]]:
        """Physical ranges beside the tables that the check has asked to be told of."""
        return []

    def save(self) -> Any:
        """What the check itself remembers, for `restore`."""

    def restore(self, state: Any) -> None:
        """Back to what `save` gave; None: to nothing."""
