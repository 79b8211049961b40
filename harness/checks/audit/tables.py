# SPDX-License-Identifier: BSD-3-Clause
"""What can be told of tables by themselves."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from harness.arch.descriptor import CONTIGUOUS_RUN
from harness.arch.regime import Coherence, coherence
from harness.arch.walker import Mapping, Walker
from harness.checks.audit.concern import Concern, Leaves
from harness.checks.rules.policy import violations

_ADDRESS = 0x0000_FFFF_FFFF_F000


def contiguous(leaves: Leaves) -> Iterator[Concern]:
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
            yield Concern.of("contiguous", f"its run of {count} is incomplete or unlike", walker, leaf)


def aliases(leaves: Leaves) -> Iterator[Concern]:
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
                yield Concern.of("alias", message, walker, leaf)
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


def tables_as_data(walkers: Sequence[Walker], leaves: Leaves, direct: range = range(0)) -> Iterator[Concern]:
    """No table can be reached from EL0; nor by the kernel outside `direct`, where its memory is at hand."""
    tables = sorted({page.pa for walker in walkers for page in walker.tables()})
    for walker, leaf in leaves:
        rights, el = leaf.permissions.el0, 0
        if walker.regime.half == "ttbr1" and direct and leaf.va not in direct:
            rights, el = leaf.permissions.el1, 1
        first = bisect_left(tables, leaf.pa)
        if (rights.read or rights.write) and first < len(tables) and tables[first] < leaf.pa + leaf.size:
            verb = "write" if rights.write else "read"
            message = f"EL{el} may {verb} the table at {tables[first]:#x}"
            yield Concern.of("table-as-data", message, walker, leaf)


def rights(leaves: Leaves) -> Iterator[Concern]:
    """What the policy of the sanitizer forbids."""
    for walker, leaf in leaves:
        for check, message in violations(walker.regime, leaf.descriptor, leaf.permissions):
            yield Concern.of(check, message, walker, leaf)
