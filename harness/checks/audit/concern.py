# SPDX-License-Identifier: BSD-3-Clause
"""What an audit finds, and what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.arch.regime import Half
from harness.arch.walker import Mapping, Walker

Leaves = Sequence[tuple[Walker, Mapping]]


@dataclass(frozen=True, slots=True)
class Concern:
    """Something wrong: the name of the check, in words, and where."""

    check: str
    message: str
    half: Half
    va: int
    pa: int

    @classmethod
    def of(cls, check: str, message: str, walker: Walker, leaf: Mapping) -> Concern:
        """What is wrong with a leaf."""
        return cls(check, message, walker.regime.half, leaf.va, leaf.pa)

    def __str__(self) -> str:
        return f"{self.check}: {self.message} (VA {self.va:#x}, PA {self.pa:#x})"
