# SPDX-License-Identifier: BSD-3-Clause
"""Syndromes: all kinds of abort, and the words for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import decode_esr
from harness.arch.esr import fault_status_name

IL = 1 << 25
KINDS = {0b0000: "address size", 0b0001: "translation", 0b0010: "access flag", 0b0011: "permission"}


@pytest.mark.parametrize("ec", [0x20, 0x21, 0x24, 0x25])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("wnr", [0, 1])
def test_aborts(ec, kind, level, wnr):
    """Data and instruction aborts, from lower and same level, by kind, level and direction."""
    abort = decode_esr(ec << 26 | IL | wnr << 6 | kind << 2 | level)
    assert (abort.is_data_abort, abort.is_instruction_abort) == (ec >= 0x24, ec < 0x24)
    assert abort.from_lower_level == (ec in (0x20, 0x24))
    assert (abort.level, abort.status) == (level, kind << 2 | level)
    assert abort.access == ("x" if ec < 0x24 else "w" if wnr else "r")
    assert abort.wnr == (wnr == 1 and ec >= 0x24)
    verb = {"x": "execute", "w": "write", "r": "read"}[abort.access]
    assert f"{KINDS[kind]} fault, level {level} on {verb}" in abort.describe()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0x5600_1234, "SVC (EC 0x15) #0x1234"),
        (0x5A00_0001, "HVC (EC 0x16) #0x1"),
        (0x5E00_0000, "SMC (EC 0x17) #0x0"),
        (0xF200_03E8, "BRK (EC 0x3c) #0x3e8"),
        (0x0200_0000, "unknown reason (undefined instruction) (EC 0x00)"),
        (0x6230_0001, "trapped MSR, MRS or system instruction (EC 0x18): MRS from S3_0_C0_C0_0, x0"),
        (0x623A_8060, "trapped MSR, MRS or system instruction (EC 0x18): MSR to S3_2_C0_C0_5, x3"),
        (0x9600_0450, "data abort from the same level (EC 0x25): synchronous external abort on write"),
        (0x9200_0021, "data abort from a lower level (EC 0x24): alignment fault on read"),
        (0x9600_0096, "data abort from the same level (EC 0x25): synchronous external abort on table walk, "
         "level 2 on read, in a stage 1 walk"),
        (0x8A00_0000, "PC alignment fault (EC 0x22)"),
        (0xFC00_0000, "reserved exception class 0x3f (EC 0x3f)"),
    ],
)  # fmt: skip
def test_descriptions(value, text):
    """One line for a person to read."""
    assert decode_esr(value).describe() == text


def test_far_validity():
    """FnV (bit 10) says that FAR does not hold the address; what is no abort has none at all."""
    assert decode_esr(0x9600_0050).far_valid
    assert not decode_esr(0x9600_0450).far_valid
    assert not decode_esr(0x5600_0000).far_valid


@given(st.integers(0, (1 << 64) - 1))
def test_every_value_decodes(value):
    """No syndrome, however odd, makes the decoder fail."""
    decoded = decode_esr(value)
    assert decoded.value == value
    assert decoded.ec == value >> 26 & 0x3F
    assert decoded.iss == value & 0x1FF_FFFF
    assert decoded.describe()
    assert decoded.is_abort == (decoded.access != "")


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_what_is_no_syndrome_is_refused(value):
    """An ESR has 64 bits."""
    with pytest.raises(ValueError, match="64 bits"):
        decode_esr(value)


def test_reserved_status_codes_have_a_name():
    """Codes that the architecture does not define are called reserved, not guessed at."""
    assert fault_status_name(0x3F) == "reserved fault status 0x3f"
