# SPDX-License-Identifier: BSD-3-Clause
"""Registers: general ones as GDB lists them, system registers field by field."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.arch.esr import decode_esr
from harness.arch.regime import memory_type
from harness.arch.sysreg import FIELDS, fields
from harness.debugger.views.values import symbolic
from harness.image import ElfImage
from harness.report.listing import grid

MMU_REGISTERS = (
    "SCTLR_EL1", "TCR_EL1", "TTBR0_EL1", "TTBR1_EL1", "MAIR_EL1", "VBAR_EL1", "CONTEXTIDR_EL1",
    "ESR_EL1", "FAR_EL1", "ELR_EL1", "SPSR_EL1", "PAR_EL1", "SP_EL0", "SP_EL1", "TPIDR_EL1",
)  # fmt: skip
_MODES = {0: "EL0t", 4: "EL1t", 5: "EL1h", 8: "EL2t", 9: "EL2h"}
_GRANULES = {"TG0": ("4K", "64K", "16K"), "TG1": ("?", "16K", "4K", "64K")}
_OUTPUT_BITS = (32, 36, 40, 42, 44, 48, 52)


def general(values: dict[str, int | None], image: ElfImage) -> Table:
    """Name, hexadecimal, and what it points at or is in decimal."""
    table = grid("", "", "")
    table.show_header = False
    for name, value in values.items():
        if value is None:
            table.add_row(name, "<not saved>", "")
        elif name == "pstate":
            table.add_row(name, f"{value:#x}", pstate(value))
        else:
            where = symbolic(image, value).strip()
            table.add_row(name, f"{value:#x}", where or str(value))
    return table


def pstate(value: int) -> str:
    """The flags that are set, and the mode."""
    parts = fields("PSTATE", value)
    names = [
        name for name in ("N", "Z", "C", "V", "PAN", "UAO", "SS", "IL", "D", "A", "I", "F") if parts[name]
    ]
    return f"[ {_MODES.get(parts['M'], hex(parts['M']))} {' '.join(names)} ]"


def system(values: dict[str, int]) -> RenderableType:
    """Each register, and below it its fields with what they mean."""
    parts: list[RenderableType] = []
    for name, value in values.items():
        parts.append(Text.assemble((f"{name:<16}", "bold"), f"{value:#018x}"))
        table = grid("", "", "", "~")
        table.show_header = False
        for field, number in fields(name, value).items():
            high, low = FIELDS[name][field]
            bits = f"{high}:{low}" if high != low else f"{low}"
            table.add_row(f"    {field}", bits, f"{number:#x}", meaning(name, field, number))
        if table.row_count:
            parts.append(table)
    return Group(*parts)


def meaning(register: str, field: str, value: int) -> str:
    """What a field's value says, where that is short."""
    if field in ("T0SZ", "T1SZ"):
        return f"{64 - value} bits of VA"
    if field in _GRANULES:
        known = _GRANULES[field]
        return f"{known[value]} granule" if value < len(known) else "reserved"
    if field == "IPS":
        return f"{_OUTPUT_BITS[min(value, 6)]} bits of PA"
    if field.startswith("Attr") and register == "MAIR_EL1":
        return memory_type(value)
    if register.startswith("ESR") and field == "EC":
        return decode_esr(value << 26).ec_name
    if register in ("PSTATE", "SPSR_EL1", "SPSR_EL2") and field == "M":
        return _MODES.get(value, "")
    if field == "BADDR":
        return f"table at {value << 1:#x}"
    if register == "PAR_EL1" and field == "PA":
        return f"{value << 12:#x}"
    return ""


def system_data(values: dict[str, int]) -> dict[str, Any]:
    """System registers for programs."""
    return {name: {"value": hex(value), "fields": fields(name, value)} for name, value in values.items()}
