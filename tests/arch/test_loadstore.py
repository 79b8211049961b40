# SPDX-License-Identifier: BSD-3-Clause
"""Addresses of loads and stores, decoded from words that an assembler made."""

from __future__ import annotations

import pytest

from harness.arch.loadstore import accessed_address

PC, BASE, STACK = 0xFFFF_FF80_4020_0000, 0x1_0000_0000, 0x8000
REGISTERS = {"x2": BASE, "x3": 0xFFFF_FFF0, "sp": STACK}

# Words of GNU as, and what is accessed first.
ACCESSES = {
    "ldr x1, [x2]": (0xF9400041, BASE),
    "ldr x1, [x2, #16]": (0xF9400841, BASE + 16),
    "ldrb w1, [sp, #3]": (0x39400FE1, STACK + 3),
    "str q1, [x2, #32]": (0x3D800841, BASE + 32),
    "ldrsw x1, [x2, #8]": (0xB9800841, BASE + 8),
    "ldur x1, [x2, #-8]": (0xF85F8041, BASE - 8),
    "ldr x1, [x2], #24": (0xF8418441, BASE),
    "str w1, [x2, #-4]!": (0xB81FCC41, BASE - 4),
    "ldtr x1, [x2, #8]": (0xF8408841, BASE + 8),
    "ldr x1, [x2, x3]": (0xF8636841, BASE + 0xFFFF_FFF0),
    "ldr x1, [x2, x3, lsl #3]": (0xF8637841, BASE + 0x7_FFFF_FF80),
    "ldrh w1, [x2, w3, sxtw #1]": (0x7863D841, BASE - 32),
    "ldr x1, [x2, w3, uxtw]": (0xF8634841, BASE + 0xFFFF_FFF0),
    "ldr x1, [x2, xzr]": (0xF87F6841, BASE),
    "stp x1, x4, [sp, #-16]!": (0xA9BF13E1, STACK - 16),
    "ldp w1, w4, [x2, #8]": (0x29411041, BASE + 8),
    "ldp q1, q4, [x2], #32": (0xACC11041, BASE),
    "ldpsw x1, x4, [x2, #4]": (0x69409041, BASE + 4),
    "ldp d1, d4, [x2, #16]": (0x6D411041, BASE + 16),
    "stnp x1, x4, [x2, #-16]": (0xA83F1041, BASE - 16),
    "ldr x1, .+20": (0x580000A1, PC + 20),
    "ldr q1, .-4": (0x9CFFFFE1, PC - 4),
    "ldxr x1, [x2]": (0xC85F7C41, BASE),
    "stlr w1, [x2]": (0x889FFC41, BASE),
    "ldaxp x1, x4, [x2]": (0xC87F9041, BASE),
    "ld1 {v1.16b}, [x2], #16": (0x4CDF7041, BASE),
    "ldadd x1, x4, [x2]": (0xF8210044, BASE),
    "cas x1, x4, [x2]": (0xC8A17C44, BASE),
    "dc zva, x2": (0xD50B7422, BASE),
}

OTHERS = {
    "add x1, x2, x3": 0x8B030041,
    "dc cvau, x2": 0xD50B7B22,
    "b .+8": 0x14000002,
}


@pytest.mark.parametrize(("word", "address"), ACCESSES.values(), ids=ACCESSES)
def test_the_address_is_what_base_and_offset_give(word, address):
    """Before writeback, in every form that the architecture has."""
    assert accessed_address(word, PC, REGISTERS.__getitem__) == address


@pytest.mark.parametrize("word", OTHERS.values(), ids=OTHERS)
def test_what_is_no_load_and_no_store_accesses_nothing(word):
    """Cache maintenance but DC ZVA reads no data."""
    assert accessed_address(word, PC, REGISTERS.__getitem__) is None
