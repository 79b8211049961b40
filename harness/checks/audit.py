# SPDX-License-Identifier: BSD-3-Clause
"""An audit: what is wrong with a set of tables as it stands, whoever made it and however.

    concerns = audit([kernel.tables().walker, kernel.tables(space).walker])

Unlike the sanitizer it needs no history, so it can be called at any time, on any tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.arch.descriptor import CONTIGUOUS_RUN
from harness.arch.regime import Coherence, Half, coherence
from harness.arch.walker import Mapping, Walker

_ADDRESS = 0x0000_FFFF_FFFF_F000


@dataclass(frozen=True, slots=True)
class Concern:
    """Something wrong: the name of the check, in words, and where."""

    check: str
    message: str
    half: Half
    va: int
    pa: int

    def __str__(self) -> str:
        return f"{self.check}: {self.message} (VA {self.va:#x}, PA {self.pa:#x})"


@dataclass(frozen=True, slots=True)
class Area:
    """What the kernel's books say of [start, end): "rw-" and the like, EL0's where it has any."""

    start: int
    end: int
    prot: str


Owner = Callable[[int], bool]
"""Whether the allocator's books have the frame at a physical address as taken."""


def audit(
    walkers: Sequence[Walker], owner: Owner | None = None, areas: Iterable[Area] | None = None
) -> list[Concern]:
    """Everything that is wrong. `areas` are of the first walker's half, `owner` of all RAM."""
    leaves = [(walker, leaf) for walker in walkers for leaf in walker.leaves()]
    found = [*_contiguous(leaves), *_aliases(leaves), *_tables_as_data(walkers, leaves), *_rights(leaves)]
    if owner is not None:
        found += _frames(leaves, owner)
    if areas is not None:
        found += _areas(walkers[0], list(areas))
    return found


_Leaves = Sequence[tuple[Walker, Mapping]]


def _concern(check: str, message: str, walker: Walker, leaf: Mapping) -> Concern:
    return Concern(check, message, walker.regime.half, leaf.va, leaf.pa)


def _contiguous(leaves: _Leaves) -> Iterator[Concern]:
    """Runs are complete, aligned, and alike but for the address."""
    known = {(walker.regime.table_base, leaf.entry_address): leaf for walker, leaf in leaves}
    for walker, leaf in leaves:
        if not leaf.descriptor.contiguous:
            continue
        count = CONTIGUOUS_RUN[walker.regime.granule].get(leaf.level, 1)
        number = leaf.va // leaf.size % count
        run = [
            known.get((walker.regime.table_base, leaf.entry_address + 8 * (at - number)))
            for at in range(count)
        ]
        start = leaf.pa - number * leaf.size
        good = start % (count * leaf.size) == 0 and all(
            each is not None
            and each.pa == start + at * leaf.size
            and (each.descriptor.raw ^ leaf.descriptor.raw) & ~_ADDRESS == 0
            for at, each in enumerate(run)
        )
        if not good:
            yield _concern("contiguous", f"its run of {count} is incomplete or unlike", walker, leaf)


def _aliases(leaves: _Leaves) -> Iterator[Concern]:
    """Two mappings of the same memory agree in memory type and shareability (B2.11)."""
    spans = sorted(((leaf.pa, leaf.pa + leaf.size, walker, leaf) for walker, leaf in leaves), key=_by_address)
    active: list[tuple[int, int, Walker, Mapping]] = []
    for span in spans:
        start, _, walker, leaf = span
        active = [each for each in active if each[1] > start]
        for _, _, other_walker, other in active:
            if _attributes(walker, leaf) != _attributes(other_walker, other):
                message = (
                    f"{_attributes(walker, leaf)} here, {_attributes(other_walker, other)} "
                    f"at VA {other.va:#x}: mismatched attributes"
                )
                yield _concern("alias", message, walker, leaf)
                break
        if not any(_attributes(walker, leaf) == _attributes(each[2], each[3]) for each in active):
            active.append(span)
        else:
            active = [_longer(each, span) for each in active]


def _by_address(span: tuple[int, int, Walker, Mapping]) -> tuple[int, int]:
    return span[0], -span[1]


def _longer(
    one: tuple[int, int, Walker, Mapping], other: tuple[int, int, Walker, Mapping]
) -> tuple[int, int, Walker, Mapping]:
    """Of two spans alike the one that ends later; of others the first."""
    alike = _attributes(one[2], one[3]) == _attributes(other[2], other[3])
    return other if alike and other[1] > one[1] else one


def _attributes(walker: Walker, leaf: Mapping) -> Coherence:
    return coherence(walker.regime.memory_attribute(leaf.descriptor.attr_index), leaf.descriptor.sh)


def _tables_as_data(walkers: Sequence[Walker], leaves: _Leaves) -> Iterator[Concern]:
    """No table can be written from EL0."""
    tables = sorted({page.pa for walker in walkers for page in walker.tables()})
    for walker, leaf in leaves:
        if leaf.permissions.el0.write:
            hit = next((pa for pa in tables if leaf.pa <= pa < leaf.pa + leaf.size), None)
            if hit is not None:
                yield _concern("table-as-data", f"EL0 may write the table at {hit:#x}", walker, leaf)


def _rights(leaves: _Leaves) -> Iterator[Concern]:
    """Nothing is writable and executable at one level."""
    for walker, leaf in leaves:
        for level, rights in ((0, leaf.permissions.el0), (1, leaf.permissions.el1)):
            if rights.write and rights.execute:
                message = f"writable and executable at EL{level}"
                yield _concern("writable-executable", message, walker, leaf)


def _frames(leaves: _Leaves, owner: Owner) -> Iterator[Concern]:
    """What EL0 can reach is taken."""
    for walker, leaf in leaves:
        if walker.regime.half == "ttbr0":
            page = walker.regime.granule.value
            free = next((pa for pa in range(leaf.pa, leaf.pa + leaf.size, page) if not owner(pa)), None)
            if free is not None:
                yield _concern("free-frame", f"the frame at {free:#x} is free by the books", walker, leaf)


def _areas(walker: Walker, areas: list[Area]) -> Iterator[Concern]:
    """Every leaf is within an area, with its rights or fewer."""
    for leaf in walker.leaves():
        area = next((each for each in areas if each.start <= leaf.va < each.end), None)
        granted = str(leaf.permissions.el0 if leaf.permissions.el0.read else leaf.permissions.el1)
        if area is None or leaf.va + leaf.size > area.end:
            yield _concern("no-area", "no area of the books covers it", walker, leaf)
        elif any(right != "-" and right not in area.prot for right in granted):
            yield _concern("rights", f"{granted} where the books say {area.prot}", walker, leaf)
