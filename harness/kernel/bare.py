# SPDX-License-Identifier: BSD-3-Clause
"""A stack and an MMU for functions of an image that is not booted.

    RAM    at its physical address, writable, in TTBR0        top 2 MiB: our tables and a stack
    image  each segment where it is linked, with its own rights, in TTBR0 or TTBR1

48 bits and 4K on both sides, 16-bit ASIDs. The tables are the machine's, so a function that changes its own
finds the MMU as it wants to change it: on.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.arch.descriptor import Granule
from harness.errors import MachineError
from harness.image.elf import Segment
from harness.machine import Machine

_BLOCK, _PAGE = 2 << 20, 4096
_TCR = 16 | 16 << 16 | 2 << 30 | 3 << 12 | 3 << 28 | 2 << 32 | 1 << 36
_MAIR = 0xFF  # 0: write-back
_SCTLR_M = 1
_VALID, _TABLE, _AF, _SH, _RO, _NG = 1, 3, 1 << 10, 3 << 8, 1 << 7, 1 << 11
_PXN, _UXN = 1 << 53, 1 << 54
_EXECUTE, _WRITE = 1, 2  # ELF's p_flags
_EL1H = 0x3C5
_LOWER_END = 1 << 48


class _Tables:
    """Tables in the making, from the top of RAM downwards."""

    def __init__(self, machine: Machine, top: int) -> None:
        self._memory, self._next = machine.memory, top
        self.roots = (self._table(), self._table())

    def _table(self) -> int:
        self._next -= _PAGE
        self._memory.write(self._next, bytes(_PAGE))
        return self._next

    def map(self, va: int, pa: int, level: int, attributes: int) -> None:
        """One page or block; what is mapped there already stays."""
        table = self.roots[va >= _LOWER_END]
        for step in range(level):
            entry = self._entry(table, va, step)
            raw = self._memory.read_qword(entry) or 0
            if not raw & _VALID:
                raw = self._table() | _TABLE
                self._memory.write(entry, raw.to_bytes(8, "little"))
            table = raw & 0x0000_FFFF_FFFF_F000
        entry, kind = self._entry(table, va, level), 3 if level == 3 else 1
        if not (self._memory.read_qword(entry) or 0) & _VALID:
            self._memory.write(entry, (pa | attributes | kind).to_bytes(8, "little"))

    @staticmethod
    def _entry(table: int, va: int, level: int) -> int:
        return table + 8 * (va >> Granule.K4.level_shift(level) & 511)


def prepare(machine: Machine, segments: Iterable[Segment]) -> None:
    """Make the loaded image callable at EL1 without booting it."""
    memory, parts = machine.memory, list(segments)
    top = memory.end - memory.end % _BLOCK
    if any(part.paddr + part.memory_size > top - _BLOCK for part in parts):
        raise MachineError("the image reaches into the last 2 MiB of RAM; give the machine more")
    tables = _Tables(machine, top)
    for part in parts:
        for offset in range(0, part.memory_size + part.vaddr % _PAGE, _PAGE):
            base = part.vaddr - part.vaddr % _PAGE
            tables.map(base + offset, part.paddr - part.paddr % _PAGE + offset, 3, _rights(part))
    taken = {part.paddr + at & -_BLOCK for part in parts for at in (0, part.memory_size)}
    for pa in range(memory.base, top, _BLOCK):
        if pa in taken:
            for page in range(pa, pa + _BLOCK, _PAGE):
                tables.map(page, page, 3, _AF | _SH | _NG | _PXN | _UXN)
        else:
            tables.map(pa, pa, 2, _AF | _SH | _NG | _PXN | _UXN)
    _switch_on(machine, tables.roots, top - _BLOCK // 2)


def _rights(part: Segment) -> int:
    rights = _AF | _SH | _UXN | (_NG if part.vaddr < _LOWER_END else 0)
    if not part.flags & _WRITE:
        rights |= _RO
    return rights if part.flags & _EXECUTE and not part.flags & _WRITE else rights | _PXN


def _switch_on(machine: Machine, roots: tuple[int, int], stack: int) -> None:
    registers = machine.sysreg
    machine.set_pstate(_EL1H)
    registers["TCR_EL1"], registers["MAIR_EL1"] = _TCR, _MAIR
    registers["TTBR0_EL1"], registers["TTBR1_EL1"] = roots
    registers["SCTLR_EL1"] |= _SCTLR_M
    machine.registers["sp"] = stack
