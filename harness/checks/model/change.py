# SPDX-License-Identifier: BSD-3-Clause
"""What a store to a live descriptor is to the architecture (Arm DDI 0487, D8.16.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from harness.arch.descriptor import Descriptor, decode
from harness.arch.replacement import Leaf, why_break
from harness.checks.model.tables import ADDRESS, Use

_EL0, _READ_ONLY, _AF = 1 << 6, 1 << 7, 1 << 10
_NG = 1 << 11
_DENIED = 1 << 53 | 1 << 54 | _READ_ONLY | _NG  # by UXN, PXN, AP[2] and nG
_SOFTWARE = 0xF << 55
_TABLE_RIGHTS = 0b11111 << 59


class Change(NamedTuple):
    """A descriptor that a store changes: where, from what to what."""

    use: Use
    entry: int
    old: int
    new: int
    time: int
    pc: int

    @property
    def va(self) -> int:
        """The first virtual address that the entry translates."""
        return self.use.va_of(self.entry)

    @property
    def before(self) -> Descriptor:
        """What it was."""
        return decode(self.old, self.use.level, self.use.root.regime.granule)

    @property
    def after(self) -> Descriptor:
        """What it is to be."""
        return decode(self.new, self.use.level, self.use.root.regime.granule)


def cacheable(use: Use, raw: int, hardware_af: bool) -> bool:
    """Whether a TLB may hold the entry: it is valid, and a leaf has its access flag set (D8.5, D8.17.2).

    With hardware management of the flag (TCR_EL1.HA) the walk sets it and the entry counts.
    """
    return use.is_table(raw) or (use.is_leaf(raw) and (bool(raw & _AF) or hardware_af))


def is_global_leaf(use: Use, raw: int) -> bool:
    """Whether TLBs may hold the entry for every address space."""
    return not raw & _NG and use.is_leaf(raw)


def breaks(change: Change, same_contents: Callable[[], bool], *, any_contiguous: bool) -> str | None:
    """Why this change of a valid entry to another valid one needs break-before-make, or None.

    For the other arguments see `why_break`.
    """
    use, old, new = change.use, change.old, change.new
    was_table, is_table = use.is_table(old), use.is_table(new)
    if was_table != is_table:
        return "a table is replaced by a block" if was_table else "a block is replaced by a table"
    if was_table:
        return "another table is linked" if use.next_table(old) != use.next_table(new) else None
    leaves = _leaf(change, change.before), _leaf(change, change.after)
    return why_break(*leaves, same_contents, any_contiguous=any_contiguous)


def _leaf(change: Change, descriptor: Descriptor) -> Leaf:
    return Leaf(descriptor, change.use.root.regime.memory_attribute(descriptor.attr_index))


def restricts(change: Change) -> bool:
    """Whether a change between valid entries takes away what a stale TLB entry would still allow."""
    old, new = change.old, change.new
    if change.use.is_table(old):
        return bool(~old & new & _TABLE_RIGHTS)
    lost = ~old & new & _DENIED or old & ~new & _EL0
    return bool(lost) or bool((old ^ new) & ADDRESS)


def widest(use: Use, one: int, other: int) -> int:
    """What a leaf allows that TLBs may hold as it was at two times; where these differ in more, the first."""
    rights = _DENIED | _EL0
    if not use.is_leaf(other) or (one ^ other) & ~rights & ~_SOFTWARE:
        return one
    return one & ~rights | one & other & _DENIED | (one | other) & _EL0
