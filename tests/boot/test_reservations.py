# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel's record of the machine keeps from being handed out."""

from __future__ import annotations

import pytest

RANGES = [(0x1000, 0x2000, False), (0x3000, 0x3001, True), (0x3000, 0x4000, True), (0x9000, 0xA000, False)]


@pytest.fixture
def platform(kernel):
    """A record with these reservations."""
    made = kernel.new("struct platform")
    for start, end, unmapped in RANGES:
        kernel.platform_reserve(made, {"start": start, "end": end}, unmapped)
    return made


def reserved(platform):
    """What is reserved, in no order."""
    count = platform.reserved_count
    return sorted(
        (platform.reserved[at].start, platform.reserved[at].end, platform.unmapped[at]) for at in range(count)
    )


@pytest.mark.parametrize("which", RANGES)
def test_a_reservation_can_be_taken_back(kernel, platform, which):
    """The others stay, each mapped or not as it was."""
    kernel.platform_release(platform, {"start": which[0], "end": which[1]})
    assert reserved(platform) == [each for each in RANGES if each != which]


@pytest.mark.parametrize("range", [(0, 0), (0x1000, 0x1800), (0x1000, 0x4000), (0x8000, 0xA000)])
def test_only_what_was_reserved_is_taken_back(kernel, platform, range):
    """Not a part of it, nor more."""
    kernel.platform_release(platform, {"start": range[0], "end": range[1]})
    assert reserved(platform) == RANGES
