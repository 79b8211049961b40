# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors: every field is where the Arm ARM has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import Granule, decode

words = st.integers(0, (1 << 64) - 1)
levels = st.integers(0, 3)
FIELDS = {
    "attr_index": (4, 2),
    "ns": (5, 5),
    "ap": (7, 6),
    "sh": (9, 8),
    "af": (10, 10),
    "ng": (11, 11),
    "dbm": (51, 51),
    "contiguous": (52, 52),
    "pxn": (53, 53),
    "uxn": (54, 54),
    "software": (58, 55),
}
TABLE_FIELDS = {"pxn_table": (59, 59), "uxn_table": (60, 60), "ap_table": (62, 61), "ns_table": (63, 63)}


def field(raw, high, low):
    return raw >> low & (1 << (high - low + 1)) - 1


@pytest.mark.parametrize(
    ("low_bits", "kinds"),
    [
        (0b00, ["invalid"] * 4),
        (0b10, ["invalid"] * 4),
        (0b01, ["reserved", "block", "block", "reserved"]),
        (0b11, ["table", "table", "table", "page"]),
    ],
)
def test_the_low_bits_and_the_level_say_what_it_is(low_bits, kinds):
    """4K granule: blocks at levels 1 and 2, pages at 3, no block at 0."""
    assert [decode(low_bits, level).kind for level in range(4)] == kinds


@pytest.mark.parametrize(("granule", "first"), [(Granule.K16, 0), (Granule.K64, 1)])
def test_blocks_of_larger_granules_are_at_level_2_only(granule, first):
    """16K and 64K granules have 32 MiB and 512 MiB blocks, at level 2."""
    blocks = [level for level in range(first, 4) if decode(1, level, granule).kind == "block"]
    assert blocks == [2]


@given(raw=words, level=levels)
def test_leaf_fields(raw, level):
    """Blocks, pages, and entries that software parks with bit 0 clear: all fields decode alike."""
    entry = decode(raw, level)
    if entry.kind == "table":
        return
    assert {name: int(getattr(entry, name)) for name in FIELDS} == {
        name: field(raw, *where) for name, where in FIELDS.items()
    }
    assert all(not getattr(entry, name) for name in TABLE_FIELDS)


@given(raw=words, level=st.integers(0, 2))
def test_table_fields(raw, level):
    """A table's attributes are the hierarchical ones; the leaf attributes are zero."""
    entry = decode(raw | 3, level)
    assert {name: int(getattr(entry, name)) for name in TABLE_FIELDS} == {
        name: field(raw, *where) for name, where in TABLE_FIELDS.items()
    }
    assert all(not getattr(entry, name) for name in FIELDS)
    assert entry.output_address == raw & 0x0000_FFFF_FFFF_F000


@given(raw=words, level=levels, granule=st.sampled_from(Granule))
def test_addresses_are_aligned_to_what_the_entry_maps(raw, level, granule):
    """Output addresses never exceed 48 bits and are multiples of the size; the raw word is kept."""
    if granule is Granule.K64 and level == 0:
        return
    entry = decode(raw, level, granule)
    size = granule.value if entry.kind == "table" else granule.level_size(level)
    assert entry.raw == raw
    assert entry.output_address % size == 0
    assert entry.output_address == raw & 0x0000_FFFF_FFFF_FFFF & ~(size - 1)


def test_an_invalid_entry_keeps_its_books():
    """A parked entry is invalid, and still tells its address and software bits."""
    entry = decode(0x4567_8000 | 0b1010 << 55, 3)
    assert (entry.kind, entry.valid, entry.is_leaf) == ("invalid", False, False)
    assert (entry.output_address, entry.software) == (0x4567_8000, 0b1010)


def test_level_sizes():
    """What one entry maps, by granule and level."""
    assert [Granule.K4.level_size(n) for n in range(4)] == [512 << 30, 1 << 30, 2 << 20, 4096]
    assert [Granule.K16.level_size(n) for n in (1, 2, 3)] == [64 << 30, 32 << 20, 16384]
    assert [Granule.K64.level_size(n) for n in (1, 2, 3)] == [4 << 40, 512 << 20, 65536]


@pytest.mark.parametrize(
    ("raw", "level", "granule"),
    [(-1, 3, 4096), (1 << 64, 3, 4096), (0, 4, 4096), (0, -1, 4096), (0, 0, 65536)],
)
def test_what_is_no_descriptor_is_refused(raw, level, granule):
    """Not 64 bits, or a level that the granule does not have."""
    with pytest.raises(ValueError, match=r"descriptor has 64 bits|no table level"):
        decode(raw, level, Granule(granule))
