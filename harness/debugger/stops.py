# SPDX-License-Identifier: BSD-3-Clause
"""What a run can be stopped by: breakpoints, watchpoints, catchpoints, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from harness.debugger.expressions.values import ExpressionError
from harness.image.types import CType

Access = Literal["w", "r", "rw"]
CATCHES = ("exception", "fault", "svc", "eret", "tlbi", "ttbr", "sanitizer")


@dataclass(slots=True)
class Stoppoint:
    """What all kinds have: `what` as the user wrote it, a condition, a count of hits to ignore."""

    what: str
    number: int = 0
    enabled: bool = True
    temporary: bool = False
    condition: str = ""
    ignore: int = 0
    hits: int = 0
    commands: list[str] = field(default_factory=list)

    kind = ""


@dataclass(slots=True)
class Breakpoint(Stoppoint):
    """Stops before the instructions at `addresses`."""

    addresses: tuple[int, ...] = ()

    kind = "breakpoint"


@dataclass(slots=True)
class Watchpoint(Stoppoint):
    """Stops after an access to [pa, pa + size).

    With `changes`, stores that leave everything as it is do not count for access "w". `type` is that of the
    expression that is watched, None for a plain range.
    """

    pa: int = 0
    size: int = 0
    access: Access = "w"
    type: CType | None = None
    changes: bool = True

    @property
    def kind(self) -> str:  # type: ignore[override]
        """As GDB calls it."""
        return {"w": "hw watchpoint", "r": "read watchpoint", "rw": "acc watchpoint"}[self.access]


@dataclass(slots=True)
class Catchpoint(Stoppoint):
    """Stops at an event: one of CATCHES. Those that are instructions have their addresses."""

    event: str = ""
    addresses: tuple[int, ...] = ()

    kind = "catchpoint"


class Stoppoints:
    """All of them, by number."""

    def __init__(self) -> None:
        self._all: dict[int, Stoppoint] = {}
        self._next = 1

    def __iter__(self) -> Iterator[Stoppoint]:
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Stoppoint:
        try:
            return self._all[number]
        except KeyError:
            raise ExpressionError(f"No breakpoint number {number}.") from None

    def add(self, stoppoint: Stoppoint) -> Stoppoint:
        """Give it a number."""
        stoppoint.number = self._next
        self._next += 1
        self._all[stoppoint.number] = stoppoint
        return stoppoint

    def remove(self, number: int) -> None:
        """Delete one. Raises ExpressionError where there is none."""
        del self._all[self[number].number]

    def addresses(self) -> dict[int, list[Stoppoint]]:
        """The enabled ones that wait at addresses."""
        found: dict[int, list[Stoppoint]] = {}
        for each in self:
            if each.enabled and isinstance(each, Breakpoint | Catchpoint):
                for address in each.addresses:
                    found.setdefault(address, []).append(each)
        return found

    def watches(self) -> list[Watchpoint]:
        """The enabled watchpoints."""
        return [each for each in self if each.enabled and isinstance(each, Watchpoint)]

    def catches(self) -> list[Catchpoint]:
        """The enabled catchpoints of exceptions."""
        return [each for each in self if each.enabled and isinstance(each, Catchpoint) and not each.addresses]
