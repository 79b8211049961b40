# SPDX-License-Identifier: BSD-3-Clause
"""Which pages are translation tables: learnt from TTBRs and descriptors, of any kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from harness.arch.descriptor import LAST_LEVEL, Granule, decode, kind_of
from harness.arch.regime import Half, Regime
from harness.machine.memory import Memory
from harness.machine.watched import WatchedRanges

ADDRESS = 0x0000_FFFF_FFFF_F000
_PAGE_SHIFT = 12
VALID = 1
TABLE = 3

RootKey = tuple[Half, int, int, Granule]


class Root:
    """A tree of tables that a TTBR points to, or pointed to while TLBs may still hold what it said."""

    __slots__ = ("asids", "half", "is_global", "regime")

    def __init__(self, half: Half, regime: Regime) -> None:
        self.half, self.regime = half, regime
        self.asids: frozenset[int] = frozenset()  # under which TLBs may hold entries
        self.is_global = False  # TLBs may hold leaves of it for every address space

    @property
    def key(self) -> RootKey:
        """What tells it from other roots: where its first table is, and of which level and size."""
        return self.half, self.regime.table_base, self.regime.va_bits, self.regime.granule


class Use(NamedTuple):
    """One place in a tree where a page serves as table."""

    root: Root
    table: int
    level: int
    va: int
    entries: int

    @property
    def shift(self) -> int:
        """log2 of what an entry covers."""
        return self.root.regime.granule.level_shift(self.level)

    def va_of(self, entry: int) -> int:
        """The first virtual address that the entry at a physical address translates."""
        return self.va + ((entry - self.table) // 8 << self.shift)

    def is_table(self, raw: int) -> bool:
        """Whether a descriptor in it is one of a further table."""
        return raw & TABLE == TABLE and self.level < LAST_LEVEL

    def is_leaf(self, raw: int) -> bool:
        """Whether a descriptor in it maps memory."""
        return kind_of(raw, self.level, self.root.regime.granule) in ("block", "page")

    def next_table(self, raw: int) -> int:
        """Where a table descriptor points to."""
        return raw & ADDRESS & -self.root.regime.granule.value


Enter = Callable[[Use, int], None]
"""Told of each table that is found: its use, and the address of the entry that links it (0: a TTBR)."""


class TableBook:
    """The pages that are tables now, each with its uses; their stores are watched."""

    def __init__(self, memory: Memory, watched: WatchedRanges) -> None:
        self._memory, self._watched = memory, watched
        self._uses: dict[int, tuple[Use, ...]] = {}  # by page number
        self._last, self._valid = (0, b""), list[tuple[int, int]]()  # a table, and what was valid in it

    def at(self, pa: int) -> tuple[Use, ...]:
        """The uses of the table that `pa` is an entry of."""
        uses = self._uses.get(pa >> _PAGE_SHIFT, ())
        return tuple(use for use in uses if use.table <= pa < use.table + 8 * use.entries)

    def holds(self, page: int) -> bool:
        """Whether any of a page is a table: first tables may be smaller, and share one."""
        return page >> _PAGE_SHIFT in self._uses

    def pages(self) -> Iterator[int]:
        """The addresses of all pages with tables."""
        return (page << _PAGE_SHIFT for page in self._uses)

    def uses(self) -> Iterator[Use]:
        """Every use."""
        return (use for uses in self._uses.values() for use in uses)

    def valid_entries(self, use: Use) -> list[tuple[int, int]]:
        """(Address, descriptor) of what is valid in a table; outside RAM nothing is.

        All who look on ask for the same table in turn, and most tables are empty when they are linked.
        """
        try:
            block = self._memory.read_block(use.table, use.entries * 8)
        except LookupError:
            return []
        if (use.table, block) != self._last:
            words = struct.unpack(f"<{use.entries}Q", block) if block != bytes(len(block)) else ()
            self._last = use.table, block
            self._valid = [(use.table + 8 * at, raw) for at, raw in enumerate(words) if raw & VALID]
        return self._valid

    def root_use(self, root: Root) -> Use:
        """The first table of a tree."""
        regime = root.regime
        return Use(root, regime.table_base, regime.start_level, regime.base, regime.root_entries)

    def child(self, use: Use, entry: int, raw: int) -> Use:
        """The table that the descriptor `raw` of `use` links."""
        entries = 1 << use.root.regime.granule.stride
        return Use(use.root, use.next_table(raw), use.level + 1, use.va_of(entry), entries)

    def leaf(self, use: Use, va: int) -> tuple[Use, int] | None:
        """What maps a virtual address below a table: where it is, and the descriptor."""
        index = va - use.va >> use.shift
        entry = use.table + 8 * index
        raw = self._memory.read_qword(entry) if 0 <= index < use.entries else None
        if raw is not None and use.is_table(raw):
            return self.leaf(self.child(use, entry, raw), va)
        return None if raw is None or not use.is_leaf(raw) else (use, raw)

    def output_page(self, use: Use, va: int) -> int | None:
        """The physical address that a page-aligned virtual one has below a table, or None."""
        found = self.leaf(use, va)
        if found is None:
            return None
        at, raw = found
        return decode(raw, at.level, at.root.regime.granule).output_address | va & (1 << at.shift) - 1

    def add(self, use: Use, entry: int, enter: Enter) -> None:
        """A table came into use, with all below it."""
        if use in self.at(use.table):
            return
        enter(use, entry)
        if not self._memory.contains(use.table, use.entries * 8):
            return
        self._put(use)
        for at, raw in self.links(use):
            self.add(self.child(use, at, raw), at, enter)

    def links(self, use: Use) -> Iterator[tuple[int, int]]:
        """(Address, descriptor) of the entries of a table that link others."""
        if use.level < LAST_LEVEL:
            for at, raw in self.valid_entries(use):
                if raw & TABLE == TABLE:
                    yield at, raw

    def leaves_of(self, pa: int, size: int) -> Iterator[tuple[Use, int, int]]:
        """(Use, address, descriptor) of the leaves that map any of a block of memory, aligned to its size.

        It goes through all tables, for what is seldom asked: a microsecond for each.
        """
        for use in self.uses():
            if size <= 1 << use.shift:
                yield from self._mapping(use, pa & -(1 << use.shift))
                continue
            for at, raw in self.valid_entries(use):
                if use.is_leaf(raw) and raw & ADDRESS & -size == pa:
                    yield use, at, raw

    def _mapping(self, use: Use, pa: int) -> Iterator[tuple[Use, int, int]]:
        """The leaves of a table with this output address, by its bits 47:16: bytes 2 to 5."""
        try:
            block = self._memory.read_block(use.table, use.entries * 8)
        except LookupError:
            return
        wanted = (pa >> 16).to_bytes(4, "little")
        at = block.find(wanted, 2)
        while at >= 0:
            start = at & -8
            raw = int.from_bytes(block[start : start + 8], "little")
            if at - start == 2 and raw & ADDRESS & -(1 << use.shift) == pa and use.is_leaf(raw):
                yield use, use.table + start, raw
            at = block.find(wanted, at + 1 if at - start < 2 else start + 10)

    def below(self, use: Use) -> Iterator[Use]:
        """A table and those it leads to, as memory has them now."""
        yield use
        for at, raw in self.links(use):
            child = self.child(use, at, raw)
            if child in self.at(child.table):
                yield from self.below(child)

    def remove(self, use: Use) -> None:
        """This page is no longer a table at this place."""
        for page in self._page_numbers(use):
            self._set(page, tuple(each for each in self._uses.get(page, ()) if each != use))

    def remove_root(self, root: Root) -> None:
        """Nothing of a tree can be in a TLB any more."""
        for use in [each for each in self.uses() if each.root is root]:
            self.remove(use)

    def _put(self, use: Use) -> None:
        for page in self._page_numbers(use):
            self._set(page, (*self._uses.get(page, ()), use))

    def _set(self, page: int, uses: tuple[Use, ...]) -> None:
        before, after = self._extent(self._uses.pop(page, ()), page), self._extent(uses, page)
        if uses:
            self._uses[page] = uses
        for new in _beyond(after, before):
            self._watched.add(new.start, new.stop)
        for old in _beyond(before, after):
            self._watched.remove(old.start, old.stop)

    @staticmethod
    def _page_numbers(use: Use) -> range:
        return range(use.table >> _PAGE_SHIFT, ((use.table + use.entries * 8 - 1) >> _PAGE_SHIFT) + 1)

    @staticmethod
    def _extent(uses: tuple[Use, ...], page: int) -> range:
        """What of a page is watched: from the first entry of a table in it to the last."""
        start, end = page << _PAGE_SHIFT, (page + 1) << _PAGE_SHIFT
        low = min((use.table for use in uses), default=end)
        high = max((use.table + 8 * use.entries for use in uses), default=start)
        return range(max(start, low), min(end, high))

    # -- snapshots ----------------------------------------------------------------------------------------

    def save(self) -> dict[int, tuple[Use, ...]]:
        """For `restore`."""
        return dict(self._uses)

    def restore(self, state: dict[int, tuple[Use, ...]]) -> None:
        """Back to an earlier state; what is to be watched then is in `extents`."""
        self._uses = dict(state)

    def extents(self) -> list[tuple[int, int]]:
        """The physical ranges that are tables."""
        extents = [self._extent(uses, page) for page, uses in self._uses.items()]
        return [(extent.start, extent.stop) for extent in extents]


def _beyond(one: range, other: range) -> list[range]:
    """What of a range is outside another one, which lies within it or the other way round; or is empty."""
    if not other:
        return [one] if one else []
    parts = range(one.start, other.start), range(other.stop, one.stop)
    return [part for part in parts if one and part]
