# SPDX-License-Identifier: BSD-3-Clause
"""The addresses that A64 loads and stores access (Arm DDI 0487, C4.1.94), and DC ZVA."""

from __future__ import annotations

from collections.abc import Callable

from harness.arch.bits import U64, get, sign_extend

_DC_ZVA = 0xD50B_7420  # with its register at [4:0]


def accessed_address(word: int, pc: int, read: Callable[[str], int]) -> int | None:
    """The first virtual address that the instruction `word` at `pc` accesses, or None for another one.

    `read` gives the registers by name ("x0", "sp") as they are before the instruction. For exclusives,
    atomics, structures and DC ZVA it is what their one register holds.
    """
    if word & ~0x1F == _DC_ZVA:
        return read(f"x{get(word, 4, 0)}") if get(word, 4, 0) != 31 else 0
    if not get(word, 27, 27) or get(word, 25, 25):
        return None
    if get(word, 29, 27) == 0b011:
        return (pc + 4 * sign_extend(get(word, 23, 5), 19)) & U64
    base = read("sp" if get(word, 9, 5) == 31 else f"x{get(word, 9, 5)}")
    return (base + _offset(word, read)) & U64


def _offset(word: int, read: Callable[[str], int]) -> int:
    """What is added to the base before the access."""
    form, mode = get(word, 29, 27), get(word, 25, 24)
    if form == 0b101 and get(word, 24, 23) != 1:  # a pair; 1: post-index
        return sign_extend(get(word, 21, 15), 7) << _pair_scale(word)
    if form != 0b111:
        return 0
    if mode == 1:
        return get(word, 21, 10) << _scale(word)
    if not get(word, 21, 21):  # unscaled, unprivileged, pre-index; 1: post-index
        return 0 if get(word, 11, 10) == 1 else sign_extend(get(word, 20, 12), 9)
    return _index(word, read) if get(word, 11, 10) == 2 else 0


def _index(word: int, read: Callable[[str], int]) -> int:
    """Rm at [20:16], extended by option at [15:13], shifted if S at [12]."""
    number, option = get(word, 20, 16), get(word, 15, 13)
    value = read(f"x{number}") if number != 31 else 0
    if option & 3 == 2:
        value &= 0xFFFF_FFFF
        value = sign_extend(value, 32) if option & 4 else value
    return value << (_scale(word) if get(word, 12, 12) else 0)


def _scale(word: int) -> int:
    """log2 of the size: [31:30], or 128 bits of a vector register with V at [26] and opc<1> at [23]."""
    return 4 if get(word, 26, 26) and get(word, 23, 23) else get(word, 31, 30)


def _pair_scale(word: int) -> int:
    return get(word, 31, 30) + 2 if get(word, 26, 26) else 2 + get(word, 31, 31)
