# SPDX-License-Identifier: BSD-3-Clause
"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.sizes import about_size, format_size, parse_size


@given(st.integers(0, 1 << 63))
def test_what_is_written_can_be_read(size: int) -> None:
    """A size in its largest exact unit is the same size again."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("0x1000", 4096),
        ("4K", 4096),
        ("256m", 256 << 20),
        ("2 GiB", 2 << 30),
        ("1GB", 1 << 30),
    ],
)
def test_units_are_powers_of_1024(text: str, size: int) -> None:
    """K, M and G mean what memory means by them, however they are spelt."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "lots", "-1", "1.5G", "0x", "4KK"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(ValueError, match="is not a size; write it as 256M"):
        parse_size(text)


def test_rounded_sizes_are_short() -> None:
    """A sum is given in the unit that leaves few digits."""
    assert [about_size(each) for each in (0, 100, 0x1000, (2 << 30) - 4096, 0x1010000)] == [
        *("0", "100", "4K", "2G", "16.06M"),
    ]
