# SPDX-License-Identifier: BSD-3-Clause
"""What may take the place of a valid leaf without break-before-make."""

from __future__ import annotations

import pytest

from harness.arch.descriptor import decode
from harness.arch.replacement import Leaf, why_break

PAGE, NG, READ_ONLY, CONTIGUOUS = 0x4000_0403, 1 << 11, 1 << 7, 1 << 52
EL0, INNER, EXECUTE_NEVER, SOFTWARE = 1 << 6, 3 << 8, 3 << 53, 1 << 55


def why(old, new, *, same=False, any_contiguous=False, memory=(0xFF, 0xFF)):
    """Of two descriptors of level 3, and what MAIR has for them."""
    leaves = [Leaf(decode(raw, 3), attribute) for raw, attribute in zip((old, new), memory, strict=True)]
    return why_break(*leaves, lambda: same, any_contiguous=any_contiguous)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (PAGE, PAGE + 0x1000, "the output address changes"),
        (PAGE | INNER, PAGE, "the shareability changes"),
        (PAGE | NG, PAGE, "the entry becomes global"),
        (PAGE, PAGE | CONTIGUOUS, "the Contiguous bit changes"),
    ],
)
def test_what_two_entries_in_a_tlb_must_not_differ_in_needs_a_break(old, new, reason):
    """Each has its reason."""
    assert why(old, new) == reason


@pytest.mark.parametrize("changed", [0, NG, EL0, READ_ONLY, EXECUTE_NEVER, SOFTWARE])
def test_rights_and_no_more_being_global_need_none(changed):
    """A TLB may hold both."""
    assert why(PAGE, PAGE | changed) is None


def test_the_memory_type_is_what_mair_says():
    """Whatever the index is."""
    assert why(PAGE, PAGE, memory=(0xFF, 0x44)) == "the memory type changes"
    assert why(PAGE, PAGE | 1 << 2) is None


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("old", [0, READ_ONLY])
@pytest.mark.parametrize("new", [0, READ_ONLY])
def test_memory_may_move_if_it_is_read_only_and_the_same_at_both_places(old, new, same):
    """Before and after."""
    moved = why(PAGE | old, PAGE + 0x1000 | new, same=same)
    assert (moved is None) == bool(old and new and same)


def test_the_contiguous_bit_may_change_where_the_cpu_allows_it():
    """FEAT_BBM."""
    assert why(PAGE, PAGE | CONTIGUOUS, any_contiguous=True) is None
