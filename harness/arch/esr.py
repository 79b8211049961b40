# SPDX-License-Identifier: BSD-3-Clause
"""Exception syndromes: ESR_ELx (Arm DDI 0487, D24.2). The layout:

63      37 36     32 31    26 25 24                                  0
+---------+---------+--------+--+------------------------------------+
|  RES0   |  ISS2   |   EC   |IL|                ISS                 |
+---------+---------+--------+--+------------------------------------+
data abort ISS:  24 ISV | 23:22 SAS | 20:16 SRT | 10 FnV | 9 EA | 8 CM | 7 S1PTW | 6 WnR | 5:0 DFSC
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.arch.bits import bit, get

EC_NAMES = {
    0x00: "unknown reason (undefined instruction)",
    0x01: "trapped WFI or WFE",
    0x07: "trapped FP or SIMD access",
    0x0E: "illegal execution state",
    0x15: "SVC",
    0x16: "HVC",
    0x17: "SMC",
    0x18: "trapped MSR, MRS or system instruction",
    0x1C: "pointer authentication failure",
    0x20: "instruction abort from a lower level",
    0x21: "instruction abort from the same level",
    0x22: "PC alignment fault",
    0x24: "data abort from a lower level",
    0x25: "data abort from the same level",
    0x26: "SP alignment fault",
    0x2C: "trapped floating-point exception",
    0x2F: "SError",
    0x30: "breakpoint from a lower level",
    0x31: "breakpoint from the same level",
    0x32: "software step from a lower level",
    0x33: "software step from the same level",
    0x34: "watchpoint from a lower level",
    0x35: "watchpoint from the same level",
    0x3C: "BRK",
}

EC_SVC64, EC_HVC64, EC_SMC64, EC_SYSREG, EC_BRK64 = 0x15, 0x16, 0x17, 0x18, 0x3C
EC_IABT_LOWER, EC_IABT_SAME, EC_DABT_LOWER, EC_DABT_SAME = 0x20, 0x21, 0x24, 0x25

_LEVELLED = {
    0b0000: "address size fault",
    0b0001: "translation fault",
    0b0010: "access flag fault",
    0b0011: "permission fault",
    0b0101: "synchronous external abort on table walk",
    0b0111: "synchronous parity or ECC error on table walk",
}

_OTHER_STATUS = {
    0x10: "synchronous external abort",
    0x11: "synchronous tag check fault",
    0x18: "synchronous parity or ECC error",
    0x21: "alignment fault",
    0x30: "TLB conflict abort",
    0x34: "implementation defined fault (lockdown)",
    0x35: "implementation defined fault (unsupported exclusive or atomic)",
}


@dataclass(frozen=True, slots=True)
class Syndrome:
    """A decoded ESR. The fields of aborts are meaningful when `is_abort`."""

    value: int
    ec: int
    ec_name: str
    il: bool
    iss: int
    is_data_abort: bool
    is_instruction_abort: bool
    wnr: bool
    s1ptw: bool
    far_valid: bool
    status: int
    status_name: str
    level: int | None

    @property
    def is_abort(self) -> bool:
        """Whether this is a data or an instruction abort."""
        return self.is_data_abort or self.is_instruction_abort

    @property
    def from_lower_level(self) -> bool:
        """Whether an abort came from a lower exception level."""
        return self.ec in (EC_IABT_LOWER, EC_DABT_LOWER)

    @property
    def access(self) -> str:
        """The kind of access that aborted: "r", "w", "x", or "" when this is no abort."""
        if self.is_instruction_abort:
            return "x"
        return "" if not self.is_data_abort else "w" if self.wnr else "r"

    @property
    def immediate(self) -> int | None:
        """The immediate of SVC, HVC, SMC or BRK."""
        return get(self.iss, 15, 0) if self.ec in (EC_SVC64, EC_HVC64, EC_SMC64, EC_BRK64) else None

    def describe(self) -> str:
        """The syndrome in one line."""
        text = f"{self.ec_name} (EC {self.ec:#04x})"
        if self.is_abort:
            verb = {"x": "execute", "w": "write", "r": "read"}[self.access]
            text += f": {self.status_name} on {verb}"
            if self.s1ptw:
                text += ", in a stage 1 walk"
        elif self.immediate is not None:
            text += f" #{self.immediate:#x}"
        elif self.ec == EC_SYSREG:
            text += f": {_trapped_access(self.iss)}"
        return text


def decode_esr(value: int) -> Syndrome:
    """Decode the 64-bit value of an ESR_ELx. Raises ValueError for a value of more than 64 bits."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"an ESR has 64 bits, got {value:#x}")
    ec, iss = get(value, 31, 26), get(value, 24, 0)
    data, fetch = ec in (EC_DABT_LOWER, EC_DABT_SAME), ec in (EC_IABT_LOWER, EC_IABT_SAME)
    abort = data or fetch
    status = get(iss, 5, 0) if abort else 0
    return Syndrome(
        value=value,
        ec=ec,
        ec_name=EC_NAMES.get(ec, f"reserved exception class {ec:#04x}"),
        il=bit(value, 25),
        iss=iss,
        is_data_abort=data,
        is_instruction_abort=fetch,
        wnr=data and bit(iss, 6),
        s1ptw=abort and bit(iss, 7),
        far_valid=abort and not bit(iss, 10),
        status=status,
        status_name=fault_status_name(status) if abort else "",
        level=fault_level(status) if abort else None,
    )


def fault_level(status: int) -> int | None:
    """The level in a fault status code, or None for a code that has none."""
    return status & 3 if status >> 2 in _LEVELLED else None


def fault_status_name(status: int) -> str:
    """A DFSC, IFSC or PAR_EL1.FST code in words."""
    if status >> 2 in _LEVELLED:
        return f"{_LEVELLED[status >> 2]}, level {status & 3}"
    return _OTHER_STATUS.get(status, f"reserved fault status {status:#04x}")


def _trapped_access(iss: int) -> str:
    """ISS of EC 0x18: 21:20 Op0, 19:17 Op2, 16:14 Op1, 13:10 CRn, 9:5 Rt, 4:1 CRm, 0 read."""
    op0, op2, op1 = get(iss, 21, 20), get(iss, 19, 17), get(iss, 16, 14)
    name = f"S{op0}_{op1}_C{get(iss, 13, 10)}_C{get(iss, 4, 1)}_{op2}"
    return f"{'MRS from' if iss & 1 else 'MSR to'} {name}, x{get(iss, 9, 5)}"
