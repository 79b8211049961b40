# SPDX-License-Identifier: BSD-3-Clause
"""Regimes: TCR, TTBR and MAIR decoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import Granule, Regime
from harness.arch.regime import coherence, memory_type, start_level

TG0 = {Granule.K4: 0, Granule.K64: 1, Granule.K16: 2}
TG1 = {Granule.K16: 1, Granule.K4: 2, Granule.K64: 3}


def tcr(granule, tsz):
    return tsz | tsz << 16 | TG0[granule] << 14 | TG1[granule] << 30 | 5 << 32


@pytest.mark.parametrize(
    ("granule", "va_bits", "level"),
    [
        (Granule.K4, 48, 0),
        (Granule.K4, 40, 0),
        (Granule.K4, 39, 1),
        (Granule.K4, 31, 1),
        (Granule.K4, 30, 2),
        (Granule.K4, 25, 2),
        (Granule.K16, 48, 0),
        (Granule.K16, 47, 1),
        (Granule.K16, 36, 2),
        (Granule.K16, 25, 3),
        (Granule.K64, 48, 1),
        (Granule.K64, 42, 2),
        (Granule.K64, 29, 3),
    ],
)
def test_start_levels(granule, va_bits, level):
    """The tables of the Arm ARM (D8.2.7 to D8.2.9)."""
    assert start_level(granule, va_bits) == level


@given(granule=st.sampled_from(Granule), tsz=st.integers(16, 39), half=st.sampled_from(["ttbr0", "ttbr1"]))
def test_halves_cover_their_range(granule, tsz, half):
    """TTBR0 from 0 upwards, TTBR1 up to 2**64; the first table holds just the range."""
    regime = Regime.from_registers(tcr(granule, tsz), 0, 0, half)
    assert (regime.va_bits, regime.granule) == (64 - tsz, granule)
    assert regime.root_entries * granule.level_size(regime.start_level) == regime.size
    assert regime.covers(regime.base)
    assert regime.covers(regime.end - 1)
    assert not regime.covers(regime.end % (1 << 64))
    assert not regime.covers((regime.base - 1) % (1 << 64))
    assert (regime.base, regime.end) == (
        (0, 1 << 64 - tsz) if half == "ttbr0" else (2**64 - 2 ** (64 - tsz), 2**64)
    )


def test_ttbr_parts():
    """CnP and ASID are not part of the address; TCR.AS gives the ASID 8 or 16 bits."""
    ttbr = 0xABCD << 48 | 0x4567_8000 | 1
    wide = Regime.from_registers(tcr(Granule.K4, 25) | 1 << 36, ttbr, 0)
    narrow = Regime.from_registers(tcr(Granule.K4, 25), ttbr, 0)
    assert wide.table_base == narrow.table_base == 0x4567_8000
    assert (wide.asid, narrow.asid) == (0xABCD, 0xCD)


def test_a_small_first_table_has_a_small_alignment():
    """With 34 bits of VA the first table has 16 entries, at any multiple of 128 bytes."""
    regime = Regime.from_registers(tcr(Granule.K4, 30), 0x4567_8080, 0)
    assert (regime.root_entries, regime.table_base) == (16, 0x4567_8080)


def test_flags_are_of_the_right_half():
    """EPD, TBI and HPD of TTBR0 and TTBR1 are told apart."""
    base = tcr(Granule.K4, 25)
    for position, half, name in [
        (7, "ttbr0", "epd"), (23, "ttbr1", "epd"), (37, "ttbr0", "tbi"),
        (38, "ttbr1", "tbi"), (41, "ttbr0", "hpd"), (42, "ttbr1", "hpd"),
    ]:  # fmt: skip
        for other in ("ttbr0", "ttbr1"):
            regime = Regime.from_registers(base | 1 << position, 0, 0, other)
            assert getattr(regime, name) == (other == half)


def test_tbi_ignores_the_top_byte():
    """With TBI any top byte will do, and bit 55 chooses the half; without it, none but the canonical one."""
    low, high = 0x12_3456_7000, 0xFFFF_FF80_0000_1000
    for tbi in (False, True):
        flags = tcr(Granule.K4, 25) | (3 << 37 if tbi else 0)
        lower, upper = (Regime.from_registers(flags, 0, 0, half) for half in ("ttbr0", "ttbr1"))
        assert lower.covers(low | 0xAB << 56) == tbi
        assert upper.covers(high & ~(0xFF << 56)) == tbi
        assert not lower.covers(high)
        assert not upper.covers(low)


@pytest.mark.parametrize(("tsz", "va_bits"), [(0, 48), (15, 48), (16, 48), (39, 25), (40, 25), (63, 25)])
def test_sizes_beyond_the_architecture_are_clamped(tsz, va_bits):
    """As the hardware may, and the emulated one does."""
    assert Regime.from_registers(tcr(Granule.K4, tsz), 0, 0).va_bits == va_bits


@pytest.mark.parametrize(("half", "bits"), [("ttbr0", 3 << 14), ("ttbr1", 0)])
def test_reserved_granules_are_refused(half, bits):
    """TG0 = 3 and TG1 = 0 are reserved; the error says which field."""
    with pytest.raises(ValueError, match=f"TG{half[-1]}"):
        Regime.from_registers(25 | 25 << 16 | bits, 0, 0, half)


@pytest.mark.parametrize(
    ("attr", "text"),
    [
        (0x00, "Device-nGnRnE"),
        (0x04, "Device-nGnRE"),
        (0x0C, "Device-GRE"),
        (0x44, "Normal NC"),
        (0xFF, "Normal WB RAWA"),
        (0xBB, "Normal WT RAWA"),
        (0x4F, "Normal inner WB RAWA, outer NC"),
        (0xF0, "Normal tagged"),
        (0x01, "reserved (0x01)"),
        (0x40, "reserved (0x40)"),
    ],
)
def test_memory_types(attr, text):
    """MAIR attributes in words."""
    assert memory_type(attr) == text
    assert Regime.from_registers(tcr(Granule.K4, 25), 0, attr << 24).memory_type(3) == text


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ((0xFF, 3), (0xEE, 3), True),  # allocation hints
        ((0xFF, 3), (0x77, 3), True),
        ((0xF0, 3), (0xFF, 3), True),
        ((0xBB, 3), (0x3B, 3), True),
        ((0xFF, 3), (0xBB, 3), False),
        ((0xFF, 3), (0x44, 3), False),
        ((0xFF, 3), (0x4F, 3), False),
        ((0xFF, 3), (0xFF, 2), False),
        ((0x44, 0), (0x44, 3), True),
        ((0x00, 0), (0x00, 3), True),
        ((0x00, 2), (0x04, 2), False),
    ],
)
def test_mappings_of_a_location_agree_or_do_not(one, other, agree):
    """By the attribute in MAIR and SH."""
    assert (coherence(*one) == coherence(*other)) is agree


@pytest.mark.parametrize(("half", "bits"), [("ttbr0", 3 << 14 | 1 << 7), ("ttbr1", 1 << 23)])
def test_granule_of_a_half_that_is_switched_off_is_of_no_matter(half, bits):
    """EPD: nothing is walked, and kernels leave TG as it was after reset."""
    assert Regime.from_registers(25 | 25 << 16 | bits, 0, 0, half).epd
