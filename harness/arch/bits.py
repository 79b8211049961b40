# SPDX-License-Identifier: BSD-3-Clause
"""Bit fields of 64-bit words, numbered as in the Arm ARM: [high:low], both inclusive."""

from __future__ import annotations

U64 = (1 << 64) - 1


def mask(high: int, low: int) -> int:
    """The word with bits [high:low] set."""
    return ((1 << (high - low + 1)) - 1) << low


def get(word: int, high: int, low: int) -> int:
    """Bits [high:low] of `word` as a number."""
    return (word >> low) & ((1 << (high - low + 1)) - 1)


def bit(word: int, position: int) -> bool:
    """Whether bit `position` of `word` is set."""
    return bool((word >> position) & 1)


def align_down(value: int, size: int) -> int:
    """`value` rounded down to a multiple of `size`, which is a power of two."""
    return value & ~(size - 1)


def sign_extend(value: int, width: int) -> int:
    """The low `width` bits of `value`, taken for a number in two's complement."""
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value
