# SPDX-License-Identifier: BSD-3-Clause
"""Leaves that map the same memory with mismatched attributes, found as they are made.

Nearly all leaves of a kernel agree, so those that do not are kept, by blocks of 2M. To an ordinary leaf only
these can be unlike; for one of the others all tables are looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.arch.bits import get
from harness.arch.regime import Coherence, coherence
from harness.checks.model.change import Change
from harness.checks.model.state import Model
from harness.checks.model.tables import ADDRESS, Use

_BLOCK = 21
_NOT_ORDINARY = "Device"  # the first leaf that is none says what most others are


class Mismatched:
    """Follows the leaves of one model. What it keeps are hints: what they say is held against memory."""

    def __init__(self) -> None:
        self._ordinary: Coherence | None = None
        self._others: dict[int, frozenset[int]] = {}  # addresses of leaves, by block

    def is_ordinary(self, use: Use, raw: int) -> bool:
        """Whether a leaf is like most."""
        return _attributes(use, raw) == self._ordinary

    def is_alone(self, use: Use, raw: int) -> bool:
        """Whether no leaf that is not like most was ever near the memory that this one maps."""
        if use.shift <= _BLOCK:
            return (raw & ADDRESS) >> _BLOCK not in self._others
        return not any(block in self._others for block in _blocks(use, raw))

    def twin(self, model: Model, change: Change) -> str | None:
        """What the leaf that is made now disagrees with, in words."""
        use, raw = change.use, change.new
        mine = _attributes(use, raw)
        if self._ordinary is None and not mine.memory.startswith(_NOT_ORDINARY):
            self._ordinary = mine
        if mine == self._ordinary:
            leaves = self._kept(model, use, raw)
        else:
            self._keep(change)
            leaves = model.book.leaves_of(_start(use, raw), 1 << use.shift)
        for other, entry, leaf in leaves:
            theirs = _attributes(other, leaf)
            if entry != change.entry and theirs != mine and not (mine.is_reserved or theirs.is_reserved):
                return f"{mine} here and {theirs} at VA {other.va_of(entry):#x}"
        return None

    def _keep(self, change: Change) -> None:
        for block in _blocks(change.use, change.new):
            self._others[block] = self._others.get(block, frozenset()) | {change.entry}

    def _kept(self, model: Model, use: Use, raw: int) -> Iterator[tuple[Use, int, int]]:
        """The leaves that were kept and still map some of what this one maps."""
        start, end = _start(use, raw), _start(use, raw) + (1 << use.shift)
        for block in _blocks(use, raw):
            for entry in self._others.get(block, ()):
                leaf = model.memory.read_qword(entry) or 0
                uses = [other for other in model.book.at(entry) if other.is_leaf(leaf)]
                if not uses:
                    self._forget(block, entry)
                for other in uses:
                    first = _start(other, leaf)
                    if first < end and start < first + (1 << other.shift):
                        yield other, entry, leaf

    def _forget(self, block: int, entry: int) -> None:
        self._others[block] -= {entry}
        if not self._others[block]:
            del self._others[block]

    def save(self) -> Any:
        """For `restore`."""
        return self._ordinary, dict(self._others)

    def restore(self, state: Any) -> None:
        """Back to what `save` gave; None: to nothing."""
        ordinary, others = state or (None, {})
        self._ordinary, self._others = ordinary, dict(others)


def _attributes(use: Use, raw: int) -> Coherence:
    return coherence(use.root.regime.memory_attribute(get(raw, 4, 2)), get(raw, 9, 8))


def _start(use: Use, raw: int) -> int:
    return raw & ADDRESS & -(1 << use.shift)


def _blocks(use: Use, raw: int) -> range:
    start = _start(use, raw)
    return range(start >> _BLOCK, (start + (1 << use.shift) - 1 >> _BLOCK) + 1)
