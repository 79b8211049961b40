# SPDX-License-Identifier: BSD-3-Clause
"""System registers by name: how MRS and MSR encode them, and what their fields are.

Encodings: Arm DDI 0487, D23.3; fields: D24.2.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.arch.bits import get

MRS_OPCODE = 0xD5300000  # MRS <Xt>, with op0 in bits 20:19 (bit 20 is always set), Rt in 4:0


class Encoding(NamedTuple):
    """(op0, op1, CRn, CRm, op2) as in S<op0>_<op1>_C<n>_C<m>_<op2>."""

    op0: int
    op1: int
    crn: int
    crm: int
    op2: int

    def __str__(self) -> str:
        return f"S{self.op0}_{self.op1}_C{self.crn}_C{self.crm}_{self.op2}"

    @property
    def mrs(self) -> int:
        """The instruction word of MRS X0, <this register>."""
        fields = (self.op0 & 1) << 19 | self.op1 << 16 | self.crn << 12 | self.crm << 8 | self.op2 << 5
        return MRS_OPCODE | fields

    @property
    def is_identification(self) -> bool:
        """Whether this is a read-only identification register (op0 3, CRn 0)."""
        return self.op0 == 3 and self.crn == 0


def _table() -> dict[str, Encoding]:
    rows = """
    MIDR_EL1 3 0 0 0 0          MPIDR_EL1 3 0 0 0 5         REVIDR_EL1 3 0 0 0 6
    ID_AA64PFR0_EL1 3 0 0 4 0   ID_AA64PFR1_EL1 3 0 0 4 1
    ID_AA64DFR0_EL1 3 0 0 5 0   ID_AA64DFR1_EL1 3 0 0 5 1
    ID_AA64ISAR0_EL1 3 0 0 6 0  ID_AA64ISAR1_EL1 3 0 0 6 1
    ID_AA64MMFR0_EL1 3 0 0 7 0  ID_AA64MMFR1_EL1 3 0 0 7 1  ID_AA64MMFR2_EL1 3 0 0 7 2
    CTR_EL0 3 3 0 0 1           DCZID_EL0 3 3 0 0 7
    SCTLR_EL1 3 0 1 0 0         ACTLR_EL1 3 0 1 0 1         CPACR_EL1 3 0 1 0 2
    SCTLR_EL2 3 4 1 0 0         HCR_EL2 3 4 1 1 0           CPTR_EL2 3 4 1 1 2
    MDCR_EL2 3 4 1 1 1          HSTR_EL2 3 4 1 1 3
    SCTLR_EL3 3 6 1 0 0         SCR_EL3 3 6 1 1 0           CPTR_EL3 3 6 1 1 2
    TTBR0_EL1 3 0 2 0 0         TTBR1_EL1 3 0 2 0 1         TCR_EL1 3 0 2 0 2
    TTBR0_EL2 3 4 2 0 0         TCR_EL2 3 4 2 0 2
    VTTBR_EL2 3 4 2 1 0         VTCR_EL2 3 4 2 1 2
    SPSR_EL1 3 0 4 0 0          ELR_EL1 3 0 4 0 1           SP_EL0 3 0 4 1 0
    SPSR_EL2 3 4 4 0 0          ELR_EL2 3 4 4 0 1           SP_EL1 3 4 4 1 0
    SPSR_EL3 3 6 4 0 0          ELR_EL3 3 6 4 0 1           SP_EL2 3 6 4 1 0
    AFSR0_EL1 3 0 5 1 0         AFSR1_EL1 3 0 5 1 1
    ESR_EL1 3 0 5 2 0           ESR_EL2 3 4 5 2 0           ESR_EL3 3 6 5 2 0
    FAR_EL1 3 0 6 0 0           FAR_EL2 3 4 6 0 0           HPFAR_EL2 3 4 6 0 4
    PAR_EL1 3 0 7 4 0
    MAIR_EL1 3 0 10 2 0         AMAIR_EL1 3 0 10 3 0        MAIR_EL2 3 4 10 2 0
    VBAR_EL1 3 0 12 0 0         VBAR_EL2 3 4 12 0 0         ISR_EL1 3 0 12 1 0
    CONTEXTIDR_EL1 3 0 13 0 1
    TPIDR_EL0 3 3 13 0 2        TPIDRRO_EL0 3 3 13 0 3      TPIDR_EL1 3 0 13 0 4
    TPIDR_EL2 3 4 13 0 2
    CNTFRQ_EL0 3 3 14 0 0       CNTPCT_EL0 3 3 14 0 1       CNTVCT_EL0 3 3 14 0 2
    CNTKCTL_EL1 3 0 14 1 0      CNTHCTL_EL2 3 4 14 1 0      CNTVOFF_EL2 3 4 14 0 3
    MDSCR_EL1 2 0 0 2 2
    """
    words = rows.split()
    return {words[i]: Encoding(*(int(n) for n in words[i + 1 : i + 6])) for i in range(0, len(words), 6)}


SYSTEM_REGISTERS = _table()
"""Every register known by name."""

_SCTLR_EL1 = (
    "M 0 0, A 1 1, C 2 2, SA 3 3, SA0 4 4, CP15BEN 5 5, nAA 6 6, ITD 7 7, SED 8 8, UMA 9 9, EnRCTX 10 10, "
    "EOS 11 11, I 12 12, EnDB 13 13, DZE 14 14, UCT 15 15, nTWI 16 16, nTWE 18 18, WXN 19 19, TSCXT 20 20, "
    "IESB 21 21, EIS 22 22, SPAN 23 23, E0E 24 24, EE 25 25, UCI 26 26, EnDA 27 27, nTLSMD 28 28, "
    "LSMAOE 29 29, EnIB 30 30, EnIA 31 31, BT0 35 35, BT1 36 36, DSSBS 44 44"
)
_TCR_EL1 = (
    "T0SZ 5 0, EPD0 7 7, IRGN0 9 8, ORGN0 11 10, SH0 13 12, TG0 15 14, T1SZ 21 16, A1 22 22, EPD1 23 23, "
    "IRGN1 25 24, ORGN1 27 26, SH1 29 28, TG1 31 30, IPS 34 32, AS 36 36, TBI0 37 37, TBI1 38 38, HA 39 39, "
    "HD 40 40, HPD0 41 41, HPD1 42 42"
)
_SPSR = (
    "M 3 0, nRW 4 4, F 6 6, I 7 7, A 8 8, D 9 9, BTYPE 11 10, SSBS 12 12, IL 20 20, SS 21 21, PAN 22 22, "
    "UAO 23 23, DIT 24 24, TCO 25 25, V 28 28, C 29 29, Z 30 30, N 31 31"
)
_ESR = "ISS 24 0, IL 25 25, EC 31 26, ISS2 36 32"
_MAIR = ", ".join(f"Attr{n} {8 * n + 7} {8 * n}" for n in range(8))
_TTBR = "CnP 0 0, BADDR 47 1, ASID 63 48"
_PAR = "F 0 0, FST 6 1, SH 8 7, PTW 8 8, NS 9 9, S 9 9, PA 47 12, ATTR 63 56"
_HCR_EL2 = (
    "VM 0 0, SWIO 1 1, PTW 2 2, FMO 3 3, IMO 4 4, AMO 5 5, TWI 13 13, TWE 14 14, TSC 19 19, TVM 26 26, "
    "TGE 27 27, HCD 29 29, TRVM 30 30, RW 31 31, E2H 34 34"
)
_LAYOUTS = {
    "SCTLR_EL1": _SCTLR_EL1,
    "TCR_EL1": _TCR_EL1,
    "TTBR0_EL1": _TTBR,
    "TTBR1_EL1": _TTBR,
    "MAIR_EL1": _MAIR,
    "ESR_EL1": _ESR,
    "ESR_EL2": _ESR,
    "PAR_EL1": _PAR,
    "PSTATE": _SPSR,
    "SPSR_EL1": _SPSR,
    "SPSR_EL2": _SPSR,
    "HCR_EL2": _HCR_EL2,
    "SCR_EL3": "NS 0 0, IRQ 1 1, FIQ 2 2, EA 3 3, SMD 7 7, HCE 8 8, SIF 9 9, RW 10 10, ST 11 11",
    "CPACR_EL1": "ZEN 17 16, FPEN 21 20, TTA 28 28",
    "VBAR_EL1": "Base 63 11",
    "ID_AA64PFR0_EL1": "EL0 3 0, EL1 7 4, EL2 11 8, EL3 15 12, FP 19 16, AdvSIMD 23 20, GIC 27 24, SVE 35 32",
    "ID_AA64MMFR0_EL1": (
        "PARange 3 0, ASIDBits 7 4, BigEnd 11 8, SNSMem 15 12, BigEndEL0 19 16, TGran16 23 20, "
        "TGran64 27 24, TGran4 31 28, ExS 47 44"
    ),
    "ID_AA64MMFR1_EL1": "HAFDBS 3 0, VMIDBits 7 4, VH 11 8, HPDS 15 12, LO 19 16, PAN 23 20, XNX 31 28",
    "ID_AA64MMFR2_EL1": "CnP 3 0, UAO 7 4, LSM 11 8, IESB 15 12, VARange 19 16, CCIDX 23 20, ST 31 28",
    "CTR_EL0": "IminLine 3 0, L1Ip 15 14, DminLine 19 16, ERG 23 20, CWG 27 24, IDC 28 28, DIC 29 29",
    "DCZID_EL0": "BS 3 0, DZP 4 4",
    "MPIDR_EL1": "Aff0 7 0, Aff1 15 8, Aff2 23 16, MT 24 24, U 30 30, Aff3 39 32",
    "MIDR_EL1": "Revision 3 0, PartNum 15 4, Architecture 19 16, Variant 23 20, Implementer 31 24",
}


def _parse(layout: str) -> dict[str, tuple[int, int]]:
    parts = (entry.split() for entry in layout.split(","))
    return {name: (int(high), int(low)) for name, high, low in parts}


FIELDS = {register: _parse(layout) for register, layout in _LAYOUTS.items()}
"""Field layouts: register -> field -> (high bit, low bit)."""


def encoding(name: str) -> Encoding:
    """The encoding of the register called `name`, in any case. Raises KeyError with near names."""
    try:
        return SYSTEM_REGISTERS[name.upper()]
    except KeyError:
        stem = name.upper().split("_")[0]
        near = [known for known in SYSTEM_REGISTERS if known.startswith(stem[:4])]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise KeyError(f"unknown system register {name!r}{hint}") from None


def fields(name: str, value: int) -> dict[str, int]:
    """The fields of register `name` in `value`, lowest first. A register without a layout gives {}."""
    return {field: get(value, high, low) for field, (high, low) in FIELDS.get(name.upper(), {}).items()}
