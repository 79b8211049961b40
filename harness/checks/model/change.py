# SPDX-License-Identifier: BSD-3-Clause
"""What a store to a live descriptor is to the architecture (Arm DDI 0487, D8.16.1)."""

from __future__ import annotations

from typing import NamedTuple

from harness.arch.bits import bit, get
from harness.arch.descriptor import Descriptor, decode
from harness.checks.model.tables import Use

_ATTRIBUTES, _SHAREABILITY = 0b111 << 2, 0b11 << 8
_EL0, _READ_ONLY, _AF, _NG, _CONTIGUOUS = 1 << 6, 1 << 7, 1 << 10, 1 << 11, 1 << 52
_EXECUTE_NEVER = 1 << 53 | 1 << 54
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


def breaks(change: Change, same_contents: bool, any_contiguous: bool) -> str | None:
    """Why this change of a valid entry to another valid one needs break-before-make, or None.

    `same_contents`: both output addresses hold the same bytes. `any_contiguous`: the CPU has FEAT_BBM level 1
    or more and so allows the Contiguous bit to change.
    """
    use, old, new = change.use, change.old, change.new
    was_table, is_table = use.is_table(old), use.is_table(new)
    if was_table != is_table:
        return "a table is replaced by a block" if was_table else "a block is replaced by a table"
    if was_table:
        return "another table is linked" if use.next_table(old) != use.next_table(new) else None
    return _leaf_breaks(change, same_contents, any_contiguous)


def _leaf_breaks(change: Change, same_contents: bool, any_contiguous: bool) -> str | None:
    old, new, changed = change.old, change.new, change.old ^ change.new
    if change.before.output_address != change.after.output_address:
        read_only = old & new & _READ_ONLY
        if not (read_only and same_contents):
            return "the output address changes"
    if changed & _ATTRIBUTES and _memory(change, old) != _memory(change, new):
        return "the memory type changes"
    if changed & _SHAREABILITY:
        return "the shareability changes"
    if old & _NG and not new & _NG:
        return "the entry becomes global"
    if changed & _CONTIGUOUS and not any_contiguous:
        return "the Contiguous bit changes"
    return None


def _memory(change: Change, raw: int) -> int:
    index = get(raw, 4, 2)
    return get(change.use.root.regime.mair, 8 * index + 7, 8 * index)


def restricts(change: Change) -> bool:
    """Whether a change between valid entries takes away what a stale TLB entry would still allow."""
    old, new = change.old, change.new
    if change.use.is_table(old):
        return bool(~old & new & _TABLE_RIGHTS)
    lost = ~old & new & (_EXECUTE_NEVER | _READ_ONLY) or old & ~new & _EL0
    return bool(lost) or (not bit(old, 11) and bit(new, 11))
