# SPDX-License-Identifier: BSD-3-Clause
"""Hooks of the engine: registered, and changed where unicorn keeps them.

To take a hook away and add another is dear: until the CPU stops, unicorn goes through those that are gone as
well, and what is translated already does not know of those that are new. What a hook says of itself can be
changed instead, at any moment, from a callback too.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.machine.engine import Engine

# int pthread_equal(a, b) of the C library, called with the CPU's address and a register's number, which are
# not equal: 0, which lets an instruction execute.
_NOTHING = ctypes.cast(ctypes.CDLL(None).pthread_equal, ctypes.c_void_p).value or 0
NOWHERE = (1 << 64) - 4096  # no access and no instruction has this address


@dataclass(eq=False, slots=True)
class Hook:
    """A registered callback; `remove` takes it away."""

    engine: Engine
    handle: int
    address: int | None = None

    def remove(self) -> None:
        """Stop calling back. Safe to call twice."""
        if self.handle:
            self.engine.remove_hook(self)
            self.handle = 0


class PlacedHook:
    """What unicorn keeps of a hook: first and last address, and the callback, as three words in a row."""

    __slots__ = ("_callback", "_words")

    def __init__(self, address: int) -> None:
        self._words = (ctypes.c_uint64 * 3).from_address(address)
        self._callback = self._words[2]

    def cover(self, start: int, end: int) -> None:
        """Call back for [start, end)."""
        self._words[0], self._words[1] = start, end - 1

    def park(self) -> None:
        """Call back for nothing, until `cover` says for what."""
        self.cover(NOWHERE, NOWHERE + 1)

    def silence(self) -> None:
        """Let the instruction that it is for execute unseen, until `resume`."""
        self._words[2] = _NOTHING

    def resume(self) -> None:
        """Call back again."""
        self._words[2] = self._callback


class RangeHook:
    """One callback for what happens in any number of ranges of addresses, which may change at any time."""

    def __init__(self, engine: Engine, kind: int, function: object) -> None:
        """`kind` is unicorn's; `function` is called by it."""
        self._engine, self._kind, self._function = engine, kind, function
        self._spare: list[PlacedHook] = []

    def reserve(self, ranges: int) -> None:
        """Have so many that cover nothing yet. While code is running new ones come too late for it."""
        for placed in [self.cover(NOWHERE, NOWHERE + 1) for _ in range(ranges)]:
            self.uncover(placed)

    @property
    def has_spare(self) -> bool:
        """Whether a range can be covered without a new hook."""
        return bool(self._spare)

    def cover(self, start: int, end: int) -> PlacedHook:
        """Call back for [start, end) too; the result can be moved, and goes back to `uncover`."""
        if not self._spare:
            return self._engine.placed(self._engine.cover(self._kind, self._function, start, end))
        placed = self._spare.pop()
        placed.cover(start, end)
        return placed

    def uncover(self, placed: PlacedHook) -> None:
        """Leave out a range again."""
        placed.park()
        self._spare.append(placed)
