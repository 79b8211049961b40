# SPDX-License-Identifier: BSD-3-Clause
"""Barriers, and the instructions that maintain TLBs and caches (Arm DDI 0487, C5.3 to C5.5, C6.2).

A TLBI by VA takes in Xt:   63:48 ASID | 47:44 TTL | 43:0 VA[55:12]
A TLBI by range:            63:48 ASID | 47:46 TG | 45:44 SCALE | 43:39 NUM | 38:37 TTL | 36:0 BaseADDR
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from harness.arch.bits import U64, bit, get, mask
from harness.arch.sysreg import Encoding

BarrierKind = Literal["dsb", "dmb", "isb"]
Domain = Literal["osh", "nsh", "ish", "sy"]
Target = Literal["all", "asid", "va"]

ERET = 0xD69F03E0
_BARRIER, _BARRIER_MASK = 0xD503301F, 0xFFFFF01F
_KINDS: dict[int, BarrierKind] = {4: "dsb", 5: "dmb", 6: "isb"}
_DOMAINS: tuple[Domain, ...] = ("osh", "nsh", "ish", "sy")
_TYPES = {1: "ld", 2: "st", 3: ""}


class Barrier(NamedTuple):
    """A barrier: which accesses it waits for, and how far they must have got."""

    kind: BarrierKind
    domain: Domain = "sy"
    reads: bool = True
    writes: bool = True

    @property
    def shared(self) -> bool:
        """Whether it reaches the other CPUs of the Inner Shareable domain."""
        return self.domain != "nsh"

    @property
    def completes_maintenance(self) -> bool:
        """Whether TLB and cache maintenance before it is complete behind it: only a DSB for all accesses."""
        return self.kind == "dsb" and self.reads and self.writes

    def __str__(self) -> str:
        if self.kind == "isb":
            return "ISB"
        types = "" if self.reads and self.writes else "ST" if self.writes else "LD"
        domain = "" if self.domain == "sy" and types else self.domain.upper()
        return f"{self.kind.upper()} {domain}{types}"


@cache
def barrier(word: int) -> Barrier | None:
    """The barrier that an instruction word is. Reserved options are full barriers of the system (C6.2)."""
    if word & _BARRIER_MASK != _BARRIER or get(word, 7, 5) not in _KINDS:
        return None
    kind, option = _KINDS[get(word, 7, 5)], get(word, 11, 8)
    if kind == "isb" or option & 3 not in _TYPES:
        return Barrier(kind)
    types = _TYPES[option & 3]
    return Barrier(kind, _DOMAINS[option >> 2], reads=types != "st", writes=types != "ld")


# -- TLB maintenance ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TlbiOperation:
    """What a TLBI instruction does to the EL1&0 regime, whatever its operand."""

    name: str
    target: Target
    broadcast: bool
    any_asid: bool = False
    last_level: bool = False
    by_range: bool = False
    regime: int = 1  # exception level of the translation regime

    @property
    def local_name(self) -> str:
        """The name without what makes it reach other CPUs."""
        return self.name.removesuffix("IS").removesuffix("OS")


class Invalidation(NamedTuple):
    """One TLBI as it was executed: the entries it reaches are those that translate something in [start, end).

    `level` is the hint of the entry's level (FEAT_TTL), or None.
    """

    operation: TlbiOperation
    start: int
    end: int
    asid: int
    level: int | None = None

    def __str__(self) -> str:
        text = f"TLBI {self.operation.name}"
        if self.operation.target == "va":
            text += f" of VA {self.start:#x}"
        if self.operation.target != "all" and not self.operation.any_asid:
            text += f" ASID {self.asid}"
        return text


_CRM = {1: ("OS", False), 2: ("IS", True), 3: ("IS", False), 5: ("OS", True), 6: ("", True), 7: ("", False)}
_EL1: dict[int, tuple[str, Target, bool, bool]] = {  # op2: name, target, any ASID, last level only
    0: ("VMALLE1", "all", True, False),
    1: ("VAE1", "va", False, False),
    2: ("ASIDE1", "asid", False, False),
    3: ("VAAE1", "va", True, False),
    5: ("VALE1", "va", False, True),
    7: ("VAALE1", "va", True, True),
}
_FROM_EL2 = {4: "ALLE1", 6: "VMALLS12E1"}  # these reach the EL1&0 regime


@cache
def tlbi_operation(encoding: Encoding) -> TlbiOperation | None:
    """The TLBI that a system instruction is, or None."""
    op0, op1, crn, crm, op2 = encoding
    if op0 != 1 or crn not in (8, 9) or crm not in _CRM:
        return None
    suffix, by_range = _CRM[crm]
    if op1 == 4 and op2 in _FROM_EL2:
        return TlbiOperation(_FROM_EL2[op2] + suffix, "all", bool(suffix), any_asid=True)
    if op1 != 0:
        level = 2 if op1 == 4 else 3
        return TlbiOperation(f"of the EL{level} regime", "va", bool(suffix), regime=level)
    if op2 not in _EL1:
        return None
    name, target, any_asid, last_level = _EL1[op2]
    name = f"{'R' if by_range else ''}{name}{suffix}"
    return TlbiOperation(name, target, bool(suffix), any_asid, last_level, by_range)


def invalidation(operation: TlbiOperation, operand: int) -> Invalidation:
    """A TLBI with the value of its register."""
    asid = get(operand, 63, 48)
    if operation.target != "va":
        return Invalidation(operation, 0, 1 << 64, asid)
    if operation.by_range:
        return _by_range(operation, operand, asid)
    start = _canonical(get(operand, 43, 0) << 12, 55)
    return Invalidation(operation, start, start + 0x1000, asid, _hint(get(operand, 47, 44)))


def _hint(ttl: int) -> int | None:
    """TTL: 3:2 granule, 0 for no hint; 1:0 level."""
    return ttl & 3 if ttl >> 2 else None


def _by_range(operation: TlbiOperation, operand: int, asid: int) -> Invalidation:
    shift = {1: 12, 2: 14, 3: 16}.get(get(operand, 47, 46), 12)
    start = _canonical(get(operand, 36, 0) << shift, 36 + shift)
    pages = (get(operand, 43, 39) + 1) << (5 * get(operand, 45, 44) + 1)
    ttl = get(operand, 38, 37)
    return Invalidation(operation, start, start + (pages << shift), asid, ttl or None)


def _canonical(address: int, top: int) -> int:
    return address | (U64 & ~mask(top, 0)) if bit(address, top) else address


# -- caches -------------------------------------------------------------------------------------------------

DC_ZVA = Encoding(1, 3, 7, 4, 1)
_CACHE = {
    (0, 1, 0): "IC IALLUIS",
    (0, 5, 0): "IC IALLU",
    (3, 5, 1): "IC IVAU",
    (0, 6, 1): "DC IVAC",
    (0, 6, 2): "DC ISW",
    (0, 10, 2): "DC CSW",
    (0, 14, 2): "DC CISW",
    (3, 4, 1): "DC ZVA",
    (3, 10, 1): "DC CVAC",
    (3, 11, 1): "DC CVAU",
    (3, 14, 1): "DC CIVAC",
    (0, 8, 0): "AT S1E1R",
    (0, 8, 1): "AT S1E1W",
    (0, 8, 2): "AT S1E0R",
    (0, 8, 3): "AT S1E0W",
}


@cache
def system_operation_name(encoding: Encoding) -> str:
    """A system instruction as an assembler writes it."""
    tlbi = tlbi_operation(encoding)
    if tlbi is not None:
        return f"TLBI {tlbi.name}"
    _, op1, crn, crm, op2 = encoding
    return _CACHE.get((op1, crm, op2) if crn == 7 else (-1, 0, 0), f"SYS {encoding}")
