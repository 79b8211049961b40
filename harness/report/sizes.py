# SPDX-License-Identifier: BSD-3-Clause
"""Sizes of memory as people write them: 4K, 2M, 1G."""

from __future__ import annotations

import re

_UNITS = "KMGTPE"
_PATTERN = re.compile(r"(0x[0-9a-f]+|[0-9]+) ?([KMGTPE]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of "256M", "2G", "0x1000" or "4096". Raises ValueError."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size; write it as 256M, 2G or 4096")
    unit = found[2].upper()
    return int(found[1], 0) << (10 * (_UNITS.index(unit) + 1) if unit else 0)


def format_size(size: int) -> str:
    """The size in the largest unit that divides it: "12K", "1G", "100" for bytes."""
    power = 0
    while size and size % 1024 == 0 and power < len(_UNITS):
        size, power = size // 1024, power + 1
    return f"{size}{_UNITS[power - 1]}" if power else str(size)


def about_size(size: int) -> str:
    """The size in the unit that leaves a short number, rounded: "2G", "16.1M"."""
    power = min(max(size.bit_length() - 1, 0) // 10, len(_UNITS))
    return f"{size / (1 << 10 * power):.4g}{_UNITS[power - 1] if power else ''}"
