# SPDX-License-Identifier: BSD-3-Clause
"""The walker by itself: iteration against walks, bad tables, faults. tests/machine asks the MMU."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import Granule, Regime, Walker

AF, EL0 = 1 << 10, 1 << 6
ROOT = 0x8000_0000
POOL = [ROOT + 0x10000 * n for n in range(4)]


def regime(granule=Granule.K4, bits=39, half="ttbr0", extra=0, base=ROOT):
    tg0 = {Granule.K4: 0, Granule.K64: 1, Granule.K16: 2}[granule]
    tg1 = {Granule.K4: 2, Granule.K64: 3, Granule.K16: 1}[granule]
    tcr = (64 - bits) * 0x10001 | tg0 << 14 | tg1 << 30 | 5 << 32 | extra
    return Regime.from_registers(tcr, base, 0xFF, half)


def walker(memory, setup):
    return Walker(lambda pa: memory.get(pa, 0), setup)


def block_reader(memory):
    def read(pa, size):
        return b"".join(memory.get(at, 0).to_bytes(8, "little") for at in range(pa, pa + size, 8))

    return read


@st.composite
def memories(draw):
    """Tables over four pages that may point at each other in any way, loops included."""
    memory = {}
    for page in POOL:
        for slot in draw(st.lists(st.integers(0, 511), max_size=3, unique=True)):
            target = draw(st.sampled_from(POOL)) if draw(st.booleans()) else draw(st.integers(0, 1 << 48))
            memory[page + 8 * slot] = (
                target & ~0xFFF | draw(st.integers(0, 0xFFF)) | draw(st.integers(0, 31)) << 59
            )
    return memory


@given(
    memory=memories(),
    granule=st.sampled_from(Granule),
    bits=st.sampled_from([39, 42, 48]),
    upper=st.booleans(),
)
def test_leaves_are_what_walks_find(memory, granule, bits, upper):
    """Every leaf, walked by its address, is itself; they come in order, apart, and alike by either reader."""
    setup = regime(granule, bits, "ttbr1" if upper else "ttbr0")
    single = walker(memory, setup)
    leaves = list(itertools.islice(single.leaves(), 50))
    blocks = Walker(lambda pa: memory.get(pa, 0), setup, block_reader(memory))
    assert list(itertools.islice(blocks.leaves(), 50)) == leaves
    for leaf in leaves:
        walk = single.walk(leaf.va + leaf.size - 1)
        assert walk.leaf == leaf.descriptor
        assert (walk.page_size, walk.permissions) == (leaf.size, leaf.permissions)
        assert walk.steps[-1].entry_address == leaf.entry_address
        assert walk.pa in (None, leaf.pa + leaf.size - 1)
    ends = [(leaf.va, leaf.va + leaf.size) for leaf in leaves]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))


@given(memory=memories(), start=st.integers(0, 1 << 39), length=st.integers(0, 1 << 38))
def test_leaves_of_a_range_are_those_that_touch_it(memory, start, length):
    """The same as filtering all of them."""
    full = list(itertools.islice(walker(memory, regime()).leaves(), 2000))
    if len(full) == 2000:
        return
    wanted = [leaf for leaf in full if leaf.va < start + length and leaf.va + leaf.size > start]
    assert list(walker(memory, regime()).leaves(start, start + length)) == (
        wanted if length else []
    )  # an empty range touches nothing


@given(memory=memories(), bits=st.sampled_from([39, 48]))
def test_tables_end_even_in_loops(memory, bits):
    """Each table page once for a level, the first one first."""
    found = list(walker(memory, regime(bits=bits)).tables())
    assert found[0] == (ROOT, regime(bits=bits).start_level)
    assert len(set(found)) == len(found)


def test_leaves_are_lazy():
    """A table that points at itself everywhere has 2**27 leaves; the first ones come at once."""
    memory = {ROOT + 8 * slot: ROOT | AF | 3 for slot in range(512)}
    first = next(walker(memory, regime()).leaves())
    assert (first.va, first.pa, first.size) == (0, ROOT, 4096)
    assert len(list(walker(memory, regime()).tables())) == 3


@pytest.mark.parametrize(
    ("raw", "kind", "status"),
    [
        (0, "translation", 0b000111),
        (1 | AF, "translation", 0b000111),
        (0x1000 | 3, "access flag", 0b001011),
        (1 << 47 | AF | 3, "address size", 0b000011),
        (0x1000 | AF | 3, None, None),
    ],
)
def test_faults_of_the_last_level(raw, kind, status):
    """Invalid, reserved, access flag clear, address beyond IPS, and none."""
    memory = {ROOT: POOL[1] | 3, POOL[1]: POOL[2] | 3, POOL[2]: raw}
    setup = Regime.from_registers(25 | 2 << 32, ROOT, 0)
    fault = walker(memory, setup).walk(0x123).fault
    assert (fault and fault.kind, fault and fault.status) == (kind, status)
    assert fault is None or fault.level == 3


def test_faults_above():
    """No RAM for a table, a table beyond IPS, a walk that is disabled, an address of no half."""
    memory = {ROOT: POOL[1] | 3, ROOT + 8: 1 << 47 | 3}
    lost = Walker(memory.get, regime()).walk(0)
    assert (lost.fault, len(lost.steps)) == (("external abort on walk", 2), 1)
    assert lost.fault.status == 0b010110
    small = Regime.from_registers(25 | 2 << 32, ROOT, 0)
    assert Walker(memory.get, small).walk(1 << 30).fault == ("address size", 1)
    assert Walker(memory.get, regime(extra=1 << 7)).walk(0).fault == ("translation", 0)
    assert Walker(memory.get, regime()).walk(1 << 39).fault == ("translation", 0)
    assert list(Walker(memory.get, regime(extra=1 << 7)).leaves()) == []


def test_a_table_outside_memory_counts_as_empty():
    """Going through all leaves does not stop at one bad table."""

    def read(pa, size):
        if pa != ROOT:
            raise LookupError(hex(pa))
        return block_reader({ROOT: 0x77000 | 3, ROOT + 8: 1 << 30 | AF | 1})(pa, size)

    leaves = list(Walker(lambda _pa: None, regime(), read).leaves())
    assert [(leaf.va, leaf.size) for leaf in leaves] == [(1 << 30, 1 << 30)]


def test_check_names_the_permission_fault():
    """A walk that succeeds refuses an access by the level of its leaf."""
    walk = walker({ROOT: 1 << 30 | AF | 1}, regime()).walk(0x1234)
    assert walk.pa == (1 << 30) + 0x1234
    assert str(walk.permissions) == "EL0 --x EL1 rwx"
    assert walk.check(1, "w") is None
    assert walk.check(0, "r") == ("permission", 1)
    assert walk.check(0, "r").status == 0b001101
    with pytest.raises(ValueError, match="EL 0 and 1"):
        walk.check(2, "r")


def test_hierarchical_attributes_end_with_hpd():
    """APTable and the rest count, unless TCR.HPD disables them."""
    memory = {ROOT: POOL[1] | 3 | 0b1111 << 59, POOL[1]: 1 << 30 | AF | EL0 | 1}
    assert str(walker(memory, regime()).walk(0).permissions) == "EL0 --- EL1 r--"
    assert str(walker(memory, regime(extra=1 << 41)).walk(0).permissions) == "EL0 rwx EL1 rw-"


def test_a_walk_describes_itself():
    """A line for each level with address and raw entry, then the verdict."""
    memory = {ROOT: POOL[1] | 3, POOL[1] + 8: 0x4020_0000 | AF | 1}
    assert walker(memory, regime()).walk(0x20_0010).describe().splitlines() == [
        "walk of 0x0000000000200010",
        "  L1 [0x0080000000] = 0x0000000080010003 table",
        "  L2 [0x0080010008] = 0x0000000040200401 block",
        "  -> PA 0x40200010 (0x200000 bytes) EL0 --x EL1 rwx",
    ]
    assert walker(memory, regime()).walk(0x40_0000).describe().endswith("-> translation fault, level 2")
