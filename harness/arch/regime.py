# SPDX-License-Identifier: BSD-3-Clause
"""One half of the EL1&0 stage 1 translation regime, as TCR_EL1, TTBRn_EL1 and MAIR_EL1 set it up.

Arm DDI 0487, D8.2 (translation process) and D24.2 (TCR_EL1). LPA2 and 52-bit addresses are not decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from harness.arch.bits import U64, align_down, bit, get, mask
from harness.arch.descriptor import LAST_LEVEL, OA_TOP, Granule

Half = Literal["ttbr0", "ttbr1"]

MIN_TSZ, MAX_TSZ = 16, 39  # without LVA and TTST; outside, hardware may clamp (D24.2, T0SZ), as it does here

_TG0 = {0: Granule.K4, 1: Granule.K64, 2: Granule.K16}
_TG1 = {1: Granule.K16, 2: Granule.K4, 3: Granule.K64}
_OUTPUT_BITS = (32, 36, 40, 42, 44, 48, 48, 48)


@dataclass(frozen=True, slots=True)
class _Fields:
    """Where TCR_EL1 keeps the settings of one half (bit positions)."""

    tsz: int
    epd: int
    granule: int
    tbi: int
    hpd: int


_LAYOUT: dict[Half, _Fields] = {
    "ttbr0": _Fields(tsz=0, epd=7, granule=14, tbi=37, hpd=41),
    "ttbr1": _Fields(tsz=16, epd=23, granule=30, tbi=38, hpd=42),
}


@dataclass(frozen=True, slots=True)
class Regime:
    """How virtual addresses of one half are translated."""

    half: Half
    granule: Granule
    va_bits: int
    table_base: int
    asid: int
    output_bits: int
    mair: int
    tbi: bool = False
    epd: bool = False
    hpd: bool = False
    wxn: bool = False
    pan: bool = False

    @classmethod
    def from_registers(
        cls, tcr: int, ttbr: int, mair: int, half: Half = "ttbr0", *, wxn: bool = False, pan: bool = False
    ) -> Regime:
        """Decode the regime of `half` from TCR_EL1, that half's TTBR and MAIR_EL1.

        `wxn` is SCTLR_EL1.WXN and `pan` PSTATE.PAN. Raises ValueError for a reserved granule encoding.
        """
        at = _LAYOUT[half]
        granule = _granule(get(tcr, at.granule + 1, at.granule), half, bit(tcr, at.epd))
        va_bits = 64 - min(max(get(tcr, at.tsz + 5, at.tsz), MIN_TSZ), MAX_TSZ)
        return cls(
            half=half,
            granule=granule,
            va_bits=va_bits,
            table_base=_table_base(ttbr, granule, va_bits),
            asid=get(ttbr, 63, 48) if bit(tcr, 36) else get(ttbr, 55, 48),
            output_bits=_OUTPUT_BITS[get(tcr, 34, 32)],
            mair=mair,
            tbi=bit(tcr, at.tbi),
            epd=bit(tcr, at.epd),
            hpd=bit(tcr, at.hpd),
            wxn=wxn,
            pan=pan,
        )

    @property
    def start_level(self) -> int:
        """Level of the first lookup."""
        return start_level(self.granule, self.va_bits)

    @property
    def base(self) -> int:
        """Lowest virtual address of this half."""
        return 0 if self.half == "ttbr0" else (1 << 64) - self.size

    @property
    def size(self) -> int:
        """Bytes of virtual address space that this half translates."""
        return 1 << self.va_bits

    @property
    def end(self) -> int:
        """One past the highest virtual address of this half (2**64 for the upper one)."""
        return self.base + self.size

    @property
    def root_entries(self) -> int:
        """Entries in the first table: as many as the VA width leaves for its level."""
        return 1 << (self.va_bits - self.granule.level_shift(self.start_level))

    def canonical(self, va: int) -> int:
        """`va` with the bits replaced that TBI makes the hardware ignore."""
        if not self.tbi:
            return va & U64
        low = va & mask(55, 0)
        return low | mask(63, 56) if bit(va, 55) else low

    def covers(self, va: int) -> bool:
        """Whether this half translates `va`."""
        return self.base <= self.canonical(va) < self.end

    def memory_type(self, attr_index: int) -> str:
        """The memory type that MAIR_EL1 gives to attribute `attr_index`, in words."""
        return memory_type(self.memory_attribute(attr_index))

    def memory_attribute(self, attr_index: int) -> int:
        """The same as MAIR_EL1 encodes it: 8 bits."""
        return get(self.mair, attr_index * 8 + 7, attr_index * 8)


def start_level(granule: Granule, va_bits: int) -> int:
    """Level of the first lookup for a VA width: each level resolves `granule.stride` bits."""
    levels = -(-(va_bits - granule.shift) // granule.stride)
    return LAST_LEVEL + 1 - levels


def _granule(field: int, half: Half, disabled: bool) -> Granule:
    known = _TG0 if half == "ttbr0" else _TG1
    if field in known:
        return known[field]
    if disabled:
        return Granule.K4  # of no matter: nothing is walked
    raise ValueError(
        f"TCR_EL1.TG{half[-1]} = {field:#04b} is a reserved granule encoding; "
        f"is TCR_EL1 initialised and the half enabled?"
    )


def _table_base(ttbr: int, granule: Granule, va_bits: int) -> int:
    """Drop ASID and CnP; a first table smaller than a page is aligned to its own size (D24.2, BADDR)."""
    index_bits = va_bits - granule.level_shift(start_level(granule, va_bits))
    return align_down(ttbr & mask(OA_TOP, 1), 1 << (index_bits + 3))


_DEVICE = {0x0: "Device-nGnRnE", 0x4: "Device-nGnRE", 0x8: "Device-nGRE", 0xC: "Device-GRE"}
_TAGGED = 0xF0


def memory_type(attr: int) -> str:
    """An 8-bit MAIR attribute in words (D24.2, MAIR_EL1)."""
    if attr >> 4 == 0:
        return _DEVICE.get(attr, f"reserved ({attr:#04x})")
    if attr == _TAGGED:
        return "Normal tagged"
    outer, inner = _cacheability(attr >> 4), _cacheability(attr & 0xF)
    if attr & 0xF == 0:
        return f"reserved ({attr:#04x})"
    return f"Normal {inner}" if outer == inner else f"Normal inner {inner}, outer {outer}"


class Coherence(NamedTuple):
    """What all mappings of a location have to agree in (B2.11): memory type, cacheability, shareability."""

    memory: str
    shareability: int

    @property
    def is_reserved(self) -> bool:
        """Whether MAIR_EL1 gives it no meaning."""
        return self.memory.startswith("reserved")

    def __str__(self) -> str:
        return f"{self.memory}, {_SHAREABLE[self.shareability]}"


_SHAREABLE = ("not shareable", "reserved shareability", "outer shareable", "inner shareable")


@cache
def coherence(attr: int, sh: int) -> Coherence:
    """That of a leaf, by its attribute in MAIR_EL1 and SH. Allocation hints are no part of cacheability.

    What is not cacheable is outer shareable, whatever SH says (D8.6.2).
    """
    attr = 0xFF if attr == _TAGGED else attr
    if attr >> 4 == 0 or attr & 0xF == 0:
        return Coherence(memory_type(attr), 2)
    outer, inner = (_cacheability(nibble).split()[0] for nibble in (attr >> 4, attr & 0xF))
    if outer == inner == "NC":
        return Coherence("Normal NC", 2)
    return Coherence(f"Normal {inner}" if outer == inner else f"Normal inner {inner}, outer {outer}", sh)


def _cacheability(nibble: int) -> str:
    if nibble == 0b0100:
        return "NC"
    policy = "WB" if nibble & 0b0100 else "WT"
    transient = "" if nibble & 0b1000 else " transient"
    hints = ("RA" if nibble & 2 else "") + ("WA" if nibble & 1 else "")
    return f"{policy}{transient} {hints or 'no-allocate'}"
