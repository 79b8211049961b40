# SPDX-License-Identifier: BSD-3-Clause
"""VMSAv8-64 stage 1 translation table descriptors (Arm DDI 0487, D8.3).

Block and page, 4K granule, 48-bit output address:

    63 62   59 58   55 54  53  52   51  50 48 47             n 11 10 9   8 7   6  5  4    2 1 0
    +--+-------+-------+---+---+----+---+-----+--+-----------+--+--+-----+-----+---+------+---+
    |  | PBHA  |  SW   |UXN|PXN|Cont|DBM| res | GP|  output  |nG|AF| SH  | AP  |NS | Attr |b 1|
    +--+-------+-------+---+---+----+---+-----+--+-----------+--+--+-----+-----+---+------+---+

Table:  63 NSTable | 62:61 APTable | 60 UXNTable/XNTable | 59 PXNTable | next-level address | 1 1
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from harness.arch.bits import bit, get, mask

Kind = Literal["invalid", "reserved", "table", "block", "page"]

LAST_LEVEL = 3
OA_TOP = 47  # no LPA2: the output address ends at bit 47


class Granule(enum.IntEnum):
    """Translation granule: its value is the size of a page in bytes."""

    K4 = 4096
    K16 = 16384
    K64 = 65536

    @property
    def shift(self) -> int:
        """log2 of the page size."""
        return self.bit_length() - 1

    @property
    def stride(self) -> int:
        """VA bits resolved by one level (a full table holds 2**stride entries)."""
        return self.shift - 3

    def level_shift(self, level: int) -> int:
        """Lowest VA bit that indexes the table at `level`."""
        shift = self.bit_length() - 1  # asked for each entry of each table: not by way of properties
        return shift + (shift - 3) * (LAST_LEVEL - level)

    def level_size(self, level: int) -> int:
        """Bytes mapped by one entry at `level`."""
        return 1 << self.level_shift(level)

    @property
    def block_levels(self) -> tuple[int, ...]:
        """Levels at which a block descriptor is allowed (without LPA2, D8.3.1)."""
        return (1, 2) if self is Granule.K4 else (2,)


CONTIGUOUS_RUN = {
    Granule.K4: {1: 16, 2: 16, 3: 16},
    Granule.K16: {2: 32, 3: 128},
    Granule.K64: {2: 32, 3: 32},
}
"""Entries of a contiguous run, by granule and level (D8.7.1)."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One decoded descriptor. Attribute fields are those of its kind; the others are zero.

    An `invalid` descriptor keeps its attributes and address decoded as the leaf it would be with
    bit 0 set, because software keeps books in entries that the hardware does not look at.
    """

    raw: int
    level: int
    kind: Kind
    output_address: int
    attr_index: int = 0
    ns: bool = False
    ap: int = 0
    sh: int = 0
    af: bool = False
    ng: bool = False
    dbm: bool = False
    contiguous: bool = False
    pxn: bool = False
    uxn: bool = False
    software: int = 0
    ap_table: int = 0
    uxn_table: bool = False
    pxn_table: bool = False
    ns_table: bool = False

    @property
    def valid(self) -> bool:
        """Whether the hardware may use this entry (bit 0 set and not a reserved encoding)."""
        return self.kind in ("table", "block", "page")

    @property
    def is_leaf(self) -> bool:
        """Whether the entry maps memory."""
        return self.kind in ("block", "page")


def kind_of(raw: int, level: int, granule: Granule) -> Kind:
    """What bits [1:0] mean at `level` (D8.3.1, D8.3.2)."""
    if not raw & 1:
        return "invalid"
    if raw & 2:
        return "page" if level == LAST_LEVEL else "table"
    return "block" if level in granule.block_levels else "reserved"


def decode(raw: int, level: int, granule: Granule = Granule.K4) -> Descriptor:
    """Decode the 64-bit descriptor `raw` found in a table at `level`.

    Raises ValueError when `raw` is not a 64-bit value or `level` not a level of this granule.
    """
    if not 0 <= raw < 1 << 64:
        raise ValueError(f"a descriptor has 64 bits, got {raw:#x}")
    if not 0 <= level <= LAST_LEVEL or granule.level_shift(level) > OA_TOP:
        raise ValueError(f"a granule of {granule.value} bytes has no table level {level}")
    kind = kind_of(raw, level, granule)
    if kind == "table":
        return _table(raw, level, granule)
    return _leaf(raw, level, granule, kind)


def _table(raw: int, level: int, granule: Granule) -> Descriptor:
    return Descriptor(
        raw=raw,
        level=level,
        kind="table",
        output_address=raw & mask(OA_TOP, granule.shift),
        ns_table=bit(raw, 63),
        ap_table=get(raw, 62, 61),
        uxn_table=bit(raw, 60),
        pxn_table=bit(raw, 59),
    )


def _leaf(raw: int, level: int, granule: Granule, kind: Kind) -> Descriptor:
    return Descriptor(
        raw=raw,
        level=level,
        kind=kind,
        output_address=raw & mask(OA_TOP, granule.level_shift(level)),
        attr_index=get(raw, 4, 2),
        ns=bit(raw, 5),
        ap=get(raw, 7, 6),
        sh=get(raw, 9, 8),
        af=bit(raw, 10),
        ng=bit(raw, 11),
        dbm=bit(raw, 51),
        contiguous=bit(raw, 52),
        pxn=bit(raw, 53),
        uxn=bit(raw, 54),
        software=get(raw, 58, 55),
    )
