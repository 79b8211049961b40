# SPDX-License-Identifier: BSD-3-Clause
"""What may take the place of a valid block or page descriptor at once (Arm DDI 0487, D8.16.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from harness.arch.descriptor import Descriptor

_READ_ONLY = 0b10  # of AP[2:1]


class Leaf(NamedTuple):
    """A block or page descriptor, and the attribute that MAIR_EL1 has for its index."""

    descriptor: Descriptor
    memory: int


def why_break(
    older: Leaf, newer: Leaf, same_contents: Callable[[], bool], *, any_contiguous: bool
) -> str | None:
    """Why a leaf needs break-before-make to become another one of the same address and size, or None.

    `same_contents`: whether both output addresses hold the same bytes; asked only where that matters.
    `any_contiguous`: the CPU has FEAT_BBM level 1 or more and so allows the Contiguous bit to change.
    """
    old, new = older.descriptor, newer.descriptor
    if old.output_address != new.output_address and not (old.ap & new.ap & _READ_ONLY and same_contents()):
        return "the output address changes"
    if older.memory != newer.memory:
        return "the memory type changes"
    if old.sh != new.sh:
        return "the shareability changes"
    if old.ng and not new.ng:
        return "the entry becomes global"
    if old.contiguous != new.contiguous and not any_contiguous:
        return "the Contiguous bit changes"
    return None
