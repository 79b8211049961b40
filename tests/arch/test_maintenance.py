# SPDX-License-Identifier: BSD-3-Clause
"""Barriers and TLB maintenance as their encodings say."""

from __future__ import annotations

import pytest

from harness.arch.maintenance import barrier, invalidation, system_operation_name, tlbi_operation
from harness.arch.sysreg import Encoding

DSB, DMB, ISB = 0xD503309F, 0xD50330BF, 0xD50330DF


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (DSB | 11 << 8, "DSB ISH"),
        (DSB | 10 << 8, "DSB ISHST"),
        (DSB | 9 << 8, "DSB ISHLD"),
        (DSB | 15 << 8, "DSB SY"),
        (DSB | 14 << 8, "DSB ST"),
        (DSB | 7 << 8, "DSB NSH"),
        (DSB | 3 << 8, "DSB OSH"),
        (DMB | 10 << 8, "DMB ISHST"),
        (ISB | 15 << 8, "ISB"),
        (DSB | 8 << 8, "DSB SY"),  # reserved: a full barrier
    ],
)
def test_barriers_are_decoded(word, text):
    """Kind, domain and accesses."""
    assert str(barrier(word)) == text


@pytest.mark.parametrize("word", [0xD503201F, 0xD503305F, 0xD503309E, 0])
def test_other_words_are_no_barriers(word):
    """NOP, CLREX, a register that is not XZR."""
    assert barrier(word) is None


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ((1, 0, 8, 3, 1), "TLBI VAE1IS"),
        ((1, 0, 8, 7, 5), "TLBI VALE1"),
        ((1, 0, 8, 1, 2), "TLBI ASIDE1OS"),
        ((1, 0, 8, 2, 1), "TLBI RVAE1IS"),
        ((1, 4, 8, 3, 4), "TLBI ALLE1IS"),
        ((1, 3, 7, 11, 1), "DC CVAU"),
        ((1, 0, 7, 1, 0), "IC IALLUIS"),
    ],
)
def test_system_instructions_have_their_names(encoding, name):
    """As an assembler writes them."""
    assert system_operation_name(Encoding(*encoding)) == name


def made(operand, crm=3, op2=1):
    operation = tlbi_operation(Encoding(1, 0, 8, crm, op2))
    assert operation is not None
    return invalidation(operation, operand)


def test_tlbi_by_va_names_a_page_and_an_asid():
    """VA[55:12] and the ASID; bit 55 says which half it is."""
    low, high = made(0x7 << 48 | 0x12345), made(0xFFF_FFC0_0000)
    assert (low.start, low.end, low.asid) == (0x12345000, 0x12346000, 7)
    assert high.start == 0xFFFF_FFFC_0000_0000


@pytest.mark.parametrize(("ttl", "level"), [(0, None), (0b0111, 3), (0b0110, 2), (0b0011, None)])
def test_level_hint(ttl, level):
    """TTL: no granule, no hint."""
    assert made(ttl << 44 | 1).level == level


def test_tlbi_by_range_covers_the_pages_it_counts():
    """(NUM + 1) * 2**(5 * SCALE + 1) pages of the granule TG from BaseADDR."""
    found = made(1 << 46 | 1 << 44 | 2 << 39 | 0x100, crm=2)
    assert (found.start, found.end) == (0x100000, 0x100000 + 3 * 64 * 0x1000)


def test_tlbi_of_everything_has_no_operand():
    """VMALLE1 covers the whole address space."""
    found = made(0, op2=0)
    assert (found.start, found.end) == (0, 1 << 64)
