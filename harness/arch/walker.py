# SPDX-License-Identifier: BSD-3-Clause
"""A software translation table walk, stage 1, EL1&0 (Arm DDI 0487, D8.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from harness.arch.bits import get, mask
from harness.arch.descriptor import LAST_LEVEL, Descriptor, decode
from harness.arch.permissions import NO_PERMISSIONS, Access, Permissions, TableLimits, permissions
from harness.arch.regime import Regime

ReadQword = Callable[[int], int | None]
ReadBlock = Callable[[int, int], bytes]

_STATUS = {
    "address size": 0b000000,
    "translation": 0b000100,
    "access flag": 0b001000,
    "permission": 0b001100,
    "external abort on walk": 0b010100,
}


class Fault(NamedTuple):
    """Why a translation fails, and at which level."""

    kind: str
    level: int

    @property
    def status(self) -> int:
        """The fault status code as in ESR_EL1.DFSC, ESR_EL1.IFSC and PAR_EL1.FST."""
        return _STATUS[self.kind] | self.level

    def __str__(self) -> str:
        return f"{self.kind} fault, level {self.level}"


@dataclass(frozen=True, slots=True)
class Step:
    """One table entry that the walk read."""

    level: int
    entry_address: int
    descriptor: Descriptor

    @property
    def raw(self) -> int:
        """The entry as it is in memory."""
        return self.descriptor.raw


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk of one virtual address: what was read, and what came out."""

    va: int
    steps: tuple[Step, ...]
    fault: Fault | None = None
    pa: int | None = None
    page_size: int = 0
    permissions: Permissions = NO_PERMISSIONS

    @property
    def leaf(self) -> Descriptor | None:
        """The block or page descriptor that maps the address, if the walk reached one."""
        last = self.steps[-1].descriptor if self.steps else None
        return last if last is not None and last.is_leaf else None

    def check(self, el: int, access: Access) -> Fault | None:
        """The fault that an access of this kind from this exception level takes, or None."""
        if self.fault is not None:
            return self.fault
        if self.permissions.at(el).allows(access):
            return None
        return Fault("permission", self.steps[-1].level)

    def describe(self) -> str:
        """The walk as text: a line for each level, then the verdict."""
        lines = [f"walk of {self.va:#018x}"]
        for step in self.steps:
            lines.append(
                f"  L{step.level} [{step.entry_address:#012x}] = {step.raw:#018x} {step.descriptor.kind}"
            )
        if self.fault is not None:
            lines.append(f"  -> {self.fault}")
        else:
            lines.append(f"  -> PA {self.pa:#x} ({self.page_size:#x} bytes) {self.permissions}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One leaf found by going through the tables."""

    va: int
    pa: int
    size: int
    level: int
    entry_address: int
    descriptor: Descriptor
    permissions: Permissions


class TablePage(NamedTuple):
    """A page of descriptors and the level at which it is used."""

    pa: int
    level: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A table while it is visited: where it is, and the virtual addresses it stands for."""

    pa: int
    level: int
    va: int
    entries: int
    limits: TableLimits


class Walker:
    """Walks the tables of one regime in memory that `read_qword` reads.

    `read_qword(pa)` returns the 64-bit word at a physical address, or None where no memory answers.
    `read_block(pa, size)`, if given, reads a whole table at once and makes `leaves` faster; where it raises
    LookupError, the table counts as empty. Nothing is cached: each call sees memory as it is.
    """

    def __init__(self, read_qword: ReadQword, regime: Regime, read_block: ReadBlock | None = None) -> None:
        self.regime = regime
        self._read_qword = read_qword
        self._read_block = read_block

    def walk(self, va: int, known: tuple[Step, ...] = ()) -> Walk:
        """Translate `va` as the hardware would, with an empty TLB. Never raises for bad tables.

        `known` are the first steps, as a walk cache holds them: table descriptors, which are not read again.
        """
        regime = self.regime
        if regime.epd or not regime.covers(va):
            return Walk(va, (), fault=Fault("translation", 0))
        if regime.table_base >> regime.output_bits:
            return Walk(va, (), fault=Fault("address size", 0))
        steps, limits = list(known), self.limits(known)
        table, index_top = regime.table_base, regime.va_bits - 1
        if known:
            table = known[-1].descriptor.output_address
            index_top = regime.granule.level_shift(known[-1].level) - 1
        for level in range(regime.start_level + len(known), LAST_LEVEL + 1):
            step = self._step(va, table, level, index_top)
            if step is None:
                return Walk(va, tuple(steps), fault=Fault("external abort on walk", level))
            steps.append(step)
            if step.descriptor.kind != "table":
                break
            if step.descriptor.output_address >> regime.output_bits:
                return Walk(va, tuple(steps), fault=Fault("address size", level))
            limits = self._limits(limits, step.descriptor)
            table, index_top = step.descriptor.output_address, regime.granule.level_shift(level) - 1
        return self._finish(va, tuple(steps), limits)

    def limits(self, steps: Iterable[Step]) -> TableLimits:
        """What the table descriptors among these steps take away."""
        limits = TableLimits()
        for step in steps:
            if step.descriptor.kind == "table":
                limits = self._limits(limits, step.descriptor)
        return limits

    def leaves(self, start: int | None = None, end: int | None = None) -> Iterator[Mapping]:
        """Every leaf that maps something in [start, end), in ascending order of virtual address, lazily.

        Entries with the access flag clear are included: they map. Without arguments: the whole half.
        """
        regime = self.regime
        first = regime.base if start is None else start
        last = regime.end if end is None else end
        if not regime.epd and first < last:
            yield from self._visit(self._root(), max(first, regime.base), min(last, regime.end))

    def tables(self) -> Iterator[TablePage]:
        """Every table page that can be reached, each once for a level, top-down; loops end."""
        root = self._root()
        seen = {TablePage(root.pa, root.level)}
        pending = [root] if not self.regime.epd else []
        while pending:
            table = pending.pop()
            yield TablePage(table.pa, table.level)
            for _, _, descriptor in self._entries(table, table.va, self.regime.end):
                if descriptor.kind != "table":
                    continue
                page = TablePage(descriptor.output_address, table.level + 1)
                if page not in seen:
                    seen.add(page)
                    pending.append(self._child(table, descriptor, table.va))

    # -- one step -----------------------------------------------------------------------------------

    def _step(self, va: int, table: int, level: int, index_top: int) -> Step | None:
        index = get(va, index_top, self.regime.granule.level_shift(level))
        address = table + index * 8
        raw = self._read_qword(address)
        return None if raw is None else Step(level, address, decode(raw, level, self.regime.granule))

    def _limits(self, limits: TableLimits, table: Descriptor) -> TableLimits:
        return limits if self.regime.hpd else limits.below(table)

    def _finish(self, va: int, steps: tuple[Step, ...], limits: TableLimits) -> Walk:
        """The outcome once the last descriptor is known; the checks are in architectural order (D8.15)."""
        level, leaf = steps[-1].level, steps[-1].descriptor
        if not leaf.is_leaf:
            return Walk(va, steps, fault=Fault("translation", level))
        size = self.regime.granule.level_size(level)
        granted = self._permissions(leaf, limits)
        fault = None
        if leaf.output_address >> self.regime.output_bits:
            fault = Fault("address size", level)
        elif not leaf.af:
            fault = Fault("access flag", level)
        pa = None if fault else leaf.output_address | (va & mask(size.bit_length() - 2, 0))
        return Walk(va, steps, fault, pa, size, granted)

    def _permissions(self, leaf: Descriptor, limits: TableLimits) -> Permissions:
        return permissions(leaf, limits, wxn=self.regime.wxn, pan=self.regime.pan)

    # -- all entries --------------------------------------------------------------------------------

    def _root(self) -> _Table:
        regime = self.regime
        return _Table(regime.table_base, regime.start_level, regime.base, regime.root_entries, TableLimits())

    def _child(self, parent: _Table, entry: Descriptor, va: int) -> _Table:
        entries = 1 << self.regime.granule.stride
        limits = self._limits(parent.limits, entry)
        return _Table(entry.output_address, parent.level + 1, va, entries, limits)

    def _visit(self, table: _Table, start: int, end: int) -> Iterator[Mapping]:
        size = self.regime.granule.level_size(table.level)
        for va, address, entry in self._entries(table, start, end):
            if entry.kind == "table":
                yield from self._visit(self._child(table, entry, va), start, end)
            elif entry.is_leaf:
                granted = self._permissions(entry, table.limits)
                yield Mapping(va, entry.output_address, size, table.level, address, entry, granted)

    def _entries(self, table: _Table, start: int, end: int) -> Iterator[tuple[int, int, Descriptor]]:
        """(VA, entry address, descriptor) of the valid entries of `table` that touch [start, end)."""
        shift = self.regime.granule.level_shift(table.level)
        first = max(0, (start - table.va) >> shift)
        last = min(table.entries, -(-(end - table.va) >> shift))
        words = self._words(table, first, last)
        for index, raw in enumerate(words, first):
            if raw & 1:
                descriptor = decode(raw, table.level, self.regime.granule)
                yield table.va + (index << shift), table.pa + index * 8, descriptor

    def _words(self, table: _Table, first: int, last: int) -> Iterator[int]:
        if self._read_block is None:
            return (self._read_qword(table.pa + index * 8) or 0 for index in range(first, last))
        try:
            block = self._read_block(table.pa + first * 8, max(0, last - first) * 8)
        except LookupError:
            return iter(())
        return (int.from_bytes(block[at : at + 8], "little") for at in range(0, len(block), 8))
