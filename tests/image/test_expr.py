# SPDX-License-Identifier: BSD-3-Clause
"""The DWARF expression evaluator."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ImageError
from harness.image.expr import MASK, evaluate

# Half of them negative as signed numbers, which integers(0, MASK) alone hardly ever draws.
words = st.integers(-(1 << 63), MASK >> 1).map(lambda value: value & MASK)


class Machine:
    """Register n holds 100 n, memory at a holds a + 1."""

    def register(self, number: int) -> int:
        """100 times its number."""
        return 100 * number

    def memory(self, address: int, size: int) -> int:
        """Its address plus one, cut to size."""
        return (address + 1) & ((1 << 8 * size) - 1)


def signed(value: int) -> int:
    """As a signed 64-bit number."""
    return struct.unpack("<q", struct.pack("<Q", value))[0]


@pytest.mark.parametrize(
    ("expression", "stack", "value"),
    [
        ("08 ff", (), 255),
        ("09 ff", (), MASK),
        ("0b fe ff", (), MASK - 1),
        ("10 e5 8e 26", (), 624485),
        ("11 80 7f", (), (-128) & MASK),
        ("4f", (), 31),
        ("8f 70", (), 3100 - 16),
        ("92 22 08", (), 3408),
        ("06", (7,), 8),
        ("94 01", (0xFF,), 0),
        ("12 22", (21,), 42),
        ("14", (1, 2), 1),
        ("15 02", (1, 2, 3), 1),
        ("16", (1, 2), 1),
        ("17", (1, 2, 3), 2),
        ("17 13", (1, 2, 3), 1),
        ("17 13 13", (1, 2, 3), 3),
        ("13", (1, 2), 1),
        ("23 81 01", (1,), 130),
        ("31 28 01 00 35 34", (), 4),
        ("2f 01 00 35 36", (), 6),
        ("96", (5,), 5),
    ],
)
def test_operations(expression: str, stack: tuple[int, ...], value: int) -> None:
    """Each operation does what DWARF 5, 2.5 says."""
    assert evaluate(bytes.fromhex(expression), Machine(), stack) == value


@given(words, words)
def test_arithmetic_is_that_of_64_bit_machines(left: int, right: int) -> None:
    """Binary operations wrap to 64 bits; division and comparisons are signed."""
    expected = {
        0x1A: left & right, 0x1C: left - right, 0x1E: left * right, 0x21: left | right,
        0x22: left + right, 0x27: left ^ right, 0x29: left == right, 0x2E: left != right,
        0x2A: signed(left) >= signed(right), 0x2B: signed(left) > signed(right),
        0x2C: signed(left) <= signed(right), 0x2D: signed(left) < signed(right),
    }  # fmt: skip
    for code, value in expected.items():
        assert evaluate(bytes([code]), Machine(), (left, right)) == value & MASK


@given(words, st.integers(0, 200))
def test_shifts_of_any_distance(value: int, distance: int) -> None:
    """Shifting by 64 or more leaves nothing, or the sign."""
    assert evaluate(b"\x24", Machine(), (value, distance)) == (value << distance) & MASK
    assert evaluate(b"\x25", Machine(), (value, distance)) == value >> distance
    assert evaluate(b"\x26", Machine(), (value, distance)) == (signed(value) >> distance) & MASK


@given(words, words.filter(bool))
def test_division_truncates_towards_zero(left: int, right: int) -> None:
    """Quotient times divisor is at most one divisor away, on the side of zero."""
    quotient = signed(evaluate(b"\x1b", Machine(), (left, right)))
    if not (signed(left) == -(1 << 63) and signed(right) == -1):
        remainder = signed(left) - quotient * signed(right)
        assert abs(remainder) < abs(signed(right))
        assert remainder == 0 or (remainder < 0) == (signed(left) < 0)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "malformed"),
        ("22", "malformed"),
        ("31 30 1b", "malformed"),
        ("08", "malformed"),
        ("2f fd ff", "does not end"),
        ("2f 70 00", "branch to"),
        ("50", "0x50 is not supported"),
    ],
)
def test_malformed_expressions_are_refused(expression: str, message: str) -> None:
    """Empty stacks, division by zero, missing operands, endless loops and places are errors."""
    with pytest.raises(ImageError, match=message):
        evaluate(bytes.fromhex(expression), Machine())


@given(st.binary(max_size=30))
def test_no_bytes_raise_anything_but_image_errors(expression: bytes) -> None:
    """Whatever the bytes, there is a 64-bit value or an ImageError."""
    try:
        value = evaluate(expression, Machine(), (1, 2, 3))
    except ImageError:
        return
    assert 0 <= value <= MASK
