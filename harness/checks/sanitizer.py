# SPDX-License-Identifier: BSD-3-Clause
"""The MMU sanitizer: the model and the rules on one machine, and the findings.

sanitizer = Sanitizer(machine, image)
...                       # run the kernel
sanitizer.end_of_call()   # raises GuestViolation

Findings are of what has run since the machine was restored last: those of another past are forgotten.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.checks.findings import Entry, Finding, Where, violation
from harness.checks.model.state import Model
from harness.checks.rules import CHECKS, RULES
from harness.checks.rules.base import Breach, Moment
from harness.checks.witness import Witness
from harness.errors import HarnessError
from harness.machine import Machine

if TYPE_CHECKING:
    from harness.image import ElfImage

_LIMIT = 100  # findings of one call; the others are the same again


@dataclass(frozen=True, slots=True)
class Options:
    """How strict: `suppress` names rules ("policy") or single checks ("policy/writable-executable") to leave
    out; `others` says whether other CPUs may walk the same tables; `fatal` that a call with findings fails,
    otherwise they pile up."""

    suppress: Collection[str] = ()
    others: bool = True
    fatal: bool = True

    def __post_init__(self) -> None:
        _refuse_unknown(self.suppress)


def _refuse_unknown(names: Collection[str]) -> None:
    known = [name for rule in RULES for name in (rule.name, *(f"{rule.name}/{each}" for each in rule.checks))]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise HarnessError(f"no rule or check {', '.join(unknown)} to suppress; there are {', '.join(known)}")


class Sanitizer:
    """Watches one machine from now on."""

    def __init__(
        self,
        machine: Machine,
        image: ElfImage | None = None,
        options: Options | None = None,
        end_at: tuple[int, ...] = (),
    ) -> None:
        """`image` gives source lines; `end_at` are return addresses at which backtraces end.

        While `muted`, nothing is reported.
        """
        self._image = image
        self.options = options or Options()
        self._findings: dict[tuple[str, int], Finding] = {}
        self.muted = False
        self._left_out = frozenset(self.options.suppress)
        self._witness = Witness(machine, image, end_at, moved=self.take)
        checks = [self._witness, *(check(self._report) for check in CHECKS)]
        self.model = Model(machine, checks, self.options.others)
        self._stop = machine.events.listen(self.model)

    def close(self) -> None:
        """Watch no longer."""
        self._stop()

    def leave_out(self, names: Collection[str]) -> None:
        """Rules and checks that are not reported from now on, beside those that the options suppress."""
        _refuse_unknown(names)
        self._left_out = frozenset((*self.options.suppress, *names))

    @property
    def findings(self) -> list[Finding]:
        """What was found since `take`."""
        return list(self._findings.values())

    def take(self) -> list[Finding]:
        """The findings, which are then forgotten."""
        found = self.findings
        self._findings.clear()
        return found

    def settle(self) -> None:
        """A call into the kernel is over: by now it relies on all that it did."""
        self.model.settle(self.model.now)

    def end_of_call(self) -> None:
        """`settle`, and raise GuestViolation when anything was found since the last time."""
        self.settle()
        if self.options.fatal and self._findings:
            raise violation(self.take())

    def abandon(self) -> list[Finding]:
        """A call into the kernel ends before its time: the findings that would have failed it.

        What it left undone is forgiven, lest the next call is blamed.
        """
        found = self.take() if self.options.fatal else []
        muted, self.muted = self.muted, True
        self.settle()
        self.muted = muted
        return found

    def start_over(self) -> None:
        """The machine's registers or tables were changed from outside: learn them again."""
        self.model.restore(None)

    # -- findings -----------------------------------------------------------------------------------------

    def _report(self, breach: Breach) -> None:
        rule, pc = breach.rule, breach.at.pc
        name = f"{rule.name}/{breach.check}"
        if self.muted or rule.name in self._left_out or name in self._left_out:
            return
        known = self._findings.get((name, pc))
        if known is not None:
            self._findings[name, pc] = replace(known, more=known.more + 1)
        elif len(self._findings) < _LIMIT:
            self._findings[name, pc] = self._finding(breach)

    def _finding(self, breach: Breach) -> Finding:
        entry = None if breach.change is None else Entry.of(breach.change)
        seen = None if breach.relied is None else self._where(breach.relied)
        where = self._where(breach.at)
        about = breach.rule, breach.check, breach.message, where, entry, breach.missing, seen
        return Finding(*about, time=breach.at.time)

    def _where(self, at: Moment) -> Where:
        if self._image is None:
            return Where(at.pc, "")
        return Where(at.pc, self._image.describe(at.pc), self._witness.backtrace(at))
