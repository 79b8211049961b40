# SPDX-License-Identifier: BSD-3-Clause
"""The translation tables themselves: which page of descriptors hangs below which, and what is in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.arch.descriptor import LAST_LEVEL, Descriptor, decode
from harness.arch.regime import Regime
from harness.errors import MachineError

ReadMemory = Callable[[int, int], bytes]
Counts = tuple[tuple[int, int], ...]

LIMIT = 4096  # tables; more than that are loops or garbage


@dataclass(frozen=True, slots=True)
class TableNode:
    """A table of descriptors.

    `pa` where it is, `level` at which it is used, `va` and `span` the virtual addresses it stands for;
    `leaves` counts blocks and pages by size in bytes; `kept` counts invalid entries that are not zero, in
    which software keeps its books; `cut` says why what is below is not shown, or is empty.
    """

    pa: int
    level: int
    va: int
    span: int
    size: int
    leaves: Counts = ()
    kept: int = 0
    children: tuple[TableNode, ...] = ()
    cut: str = ""

    @property
    def count(self) -> int:
        """Tables from here downwards."""
        return sum(1 for _ in self.all())

    def all(self) -> Iterator[TableNode]:
        """This table and those below it, in order of virtual address."""
        yield self
        for child in self.children:
            yield from child.all()


def table_tree(regime: Regime, read: ReadMemory) -> TableNode:
    """The tables of a regime; `read(pa, size)` reads physical memory."""
    return _Reader(regime, read).node(regime.table_base, regime.start_level, regime.base, regime.root_entries)


class _Reader:
    def __init__(self, regime: Regime, read: ReadMemory) -> None:
        self._granule, self._read, self._left = regime.granule, read, LIMIT

    def node(self, pa: int, level: int, va: int, entries: int) -> TableNode:
        step = self._granule.level_size(level)
        self._left -= 1
        try:
            block = self._read(pa, entries * 8)
        except MachineError:
            return TableNode(pa, level, va, step * entries, entries * 8, cut="not in memory")
        found = list(self._descriptors(block, level))
        children = [self._child(entry, va + index * step) for index, entry in found if entry.kind == "table"]
        leaves = sum(entry.is_leaf for _, entry in found)
        return TableNode(
            *(pa, level, va, step * entries, entries * 8),
            leaves=((step, leaves),) if leaves else (),
            kept=sum(not entry.valid for _, entry in found),
            children=tuple(children),
        )

    def _child(self, entry: Descriptor, va: int) -> TableNode:
        pa, level, entries = entry.output_address, entry.level + 1, 1 << self._granule.stride
        if self._left <= 0 or level > LAST_LEVEL:
            span = self._granule.level_size(entry.level)
            return TableNode(pa, level, va, span, entries * 8, cut=f"more than {LIMIT} tables")
        return self.node(pa, level, va, entries)

    def _descriptors(self, block: bytes, level: int) -> Iterator[tuple[int, Descriptor]]:
        for index in range(len(block) // 8):
            raw = int.from_bytes(block[8 * index : 8 * index + 8], "little")
            if raw:
                yield index, decode(raw, level, self._granule)


def leaf_counts(node: TableNode) -> Counts:
    """Blocks and pages of a whole tree by size."""
    counts: Counter[int] = Counter()
    for each in node.all():
        counts.update(dict(each.leaves))
    return tuple(sorted(counts.items()))
