# SPDX-License-Identifier: BSD-3-Clause
"""Branches of A64, decoded from words that an assembler made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch.a64 import Branch, branch, condition, is_system

HERE = 0xFFFF_FF80_4020_0000

# Words of GNU as; the number beside each is the distance to the target.
BRANCHES = {
    "b .+8": (0x14000002, "jump", 8),
    "b .-4": (0x17FFFFFF, "jump", -4),
    "bl .+16": (0x94000004, "call", 16),
    "b.ne .-8": (0x54FFFFC1, "conditional", -8),
    "b.al .+8": (0x5400004E, "jump", 8),
    "cbz w0, .+12": (0x34000060, "conditional", 12),
    "cbnz x3, .-16": (0xB5FFFF83, "conditional", -16),
    "tbz x5, #40, .+8": (0xB6400045, "conditional", 8),
    "tbnz w5, #3, .-4": (0x371FFFE5, "conditional", -4),
    "br x4": (0xD61F0080, "indirect", None),
    "blr x4": (0xD63F0080, "indirect call", None),
    "braa x4, x5": (0xD71F0885, "indirect", None),
    "ret": (0xD65F03C0, "return", None),
    "eret": (0xD69F03E0, "return", None),
    "svc #0": (0xD4000001, "exception", None),
    "brk #1": (0xD4200020, "exception", None),
    "udf #0": (0x00000000, "exception", None),
}


@pytest.mark.parametrize(("word", "flow", "distance"), BRANCHES.values(), ids=BRANCHES)
def test_branches_and_their_targets(word: int, flow: str, distance: int | None) -> None:
    """Every class of branch, with targets before and behind it."""
    found = branch(word, HERE)
    assert found == Branch(flow, None if distance is None else HERE + distance)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "word", [0xD503201F, 0xD5033FDF, 0x91000400, 0xF9400020, 0xD2800000, 0xB4000000 ^ 1 << 30]
)
def test_other_instructions_are_no_branches(word: int) -> None:
    """NOP, ISB, ADD, LDR, MOVZ, and one that differs from CBZ in a single bit."""
    assert branch(word, HERE) is None


@given(st.integers(-(1 << 18), (1 << 18) - 1), st.integers(0, 13))
def test_conditional_targets_reach_a_mebibyte(words: int, cond: int) -> None:
    """B.cond with every offset and condition."""
    found = branch(0x54000000 | (words & 0x7FFFF) << 5 | cond, HERE)
    assert found == Branch("conditional", HERE + 4 * words)


@pytest.mark.parametrize(
    ("one", "other"),
    [(0x54000040, 0x54000041), (0x5400004A, 0x5400004B), (0x34000060, 0x35000060), (0x36180005, 0x37180005)],
    ids=["eq ne", "ge lt", "cbz cbnz", "tbz tbnz"],
)
def test_opposite_branches_test_the_same(one: int, other: int) -> None:
    """The compiler may turn a branch round: the test is the same, the truth that branches the opposite."""
    (test, truth), (same, opposite) = condition(one), condition(other)
    assert (test, truth) == (same, not opposite)


def test_different_conditions_are_different() -> None:
    """All eight pairs of flags, zero, and bit."""
    words = [*(0x54000040 | 2 * pair for pair in range(7)), 0x34000060, 0x36180005]
    assert len({condition(word)[0] for word in words}) == len(words)


def test_system_class() -> None:
    """Barriers, hints, MSR and TLBI are; ERET and a load are not."""
    assert all(map(is_system, (0xD5033F9F, 0xD503201F, 0xD5182000, 0xD508871F)))
    assert not any(map(is_system, (0xD69F03E0, 0xF9400020)))
