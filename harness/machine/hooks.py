# SPDX-License-Identifier: BSD-3-Clause
"""What the engine gives for a registered callback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.machine.engine import Engine


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


@dataclass(eq=False, slots=True)
class StoreHook:
    """One callback for the stores to any number of physical ranges, which may change at any time."""

    engine: Engine
    function: object

    def cover(self, start: int, end: int) -> int:
        """Call back for stores to [start, end) too; the result is what `uncover` takes."""
        return self.engine.cover(self.function, start, end)

    def uncover(self, handle: int) -> None:
        """Leave out a range again."""
        self.engine.uncover(handle)
