# SPDX-License-Identifier: BSD-3-Clause
"""The audit of tables as they stand: clean for our kernel, and each defect by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.arch import Walker
from harness.checks.audit import Area, Books, audit
from tests.support.vmm import BLOCK_2M, PAGE

EL0, RO, CONTIGUOUS, PXN, UXN = 1 << 6, 1 << 7, 1 << 52, 1 << 53, 1 << 54
PAGES = 16


@pytest.fixture
def stage(small_vmm):
    """An address space with 16 pages and a block: (vmm, space, first address, walkers)."""
    space = small_vmm.space()
    va = small_vmm.create(space, PAGES * PAGE)
    small_vmm.create(space, BLOCK_2M)
    kernel = small_vmm.kernel
    return small_vmm, space, va, [kernel.tables(space).walker, kernel.tables().walker]


def poke(vmm, space, va, change):
    """Change the entry that maps an address, behind the kernel's back."""
    kernel = vmm.kernel
    leaf = kernel.tables(space).lookup(va)
    kernel.machine.memory.write(leaf.entry_address, change(leaf.descriptor.raw).to_bytes(8, "little"))


def checks(walkers, **books):
    """The names of what is wrong."""
    return {concern.check for concern in audit(walkers, Books(**books))}


def test_our_kernel_has_nothing_to_hide(stage):
    """Both halves, with the linear map as alias of every page; against its books: tests/uk/test_audit.py."""
    assert audit(stage[3]) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda raw: raw | 1 << 2, "alias"),
        (lambda raw: raw & ~(3 << 8), "alias"),
        (lambda raw: raw | CONTIGUOUS, "contiguous"),
    ],
    ids=["memory-type", "shareability", "contiguous"],
)
def test_a_changed_entry_is_found(stage, change, check):
    """Memory type, shareability, a run of one."""
    vmm, space, va, walkers = stage
    poke(vmm, space, va + PAGE, change)
    assert checks(walkers) == {check}


def test_writable_and_executable_is_found_unless_the_cpu_prevents_it(stage):
    """SCTLR_EL1.WXN, which our kernel sets, takes the right to execute away."""
    vmm, space, va, (walker, _) = stage
    poke(vmm, space, va + PAGE, lambda raw: raw & ~UXN)
    lax = Walker(vmm.kernel.machine.memory.read_qword, replace(walker.regime, wxn=False))
    assert (checks([walker]), checks([lax])) == (set(), {"writable-executable"})


def test_a_table_that_el0_may_write_is_found(stage):
    """Its own root, for instance."""
    vmm, space, va, walkers = stage
    poke(vmm, space, va, lambda raw: raw & ~0xFFFF_FFFF_F000 | walkers[0].regime.table_base)
    assert checks(walkers) == {"table-as-data"}


@pytest.mark.parametrize(
    ("prot", "rights", "found"),
    [("r--", RO | EL0, {"rights", "user-page-at-el1"}), ("---", PXN | UXN, {"rights"})],
    ids=["read-only-as-executable", "no-access-as-kernel-rw"],
)
def test_more_rights_than_the_area_has_are_found(stage, prot, rights, found):
    """LuKOS's map(): attributes that say more than was asked for."""
    vmm, space, va, walkers = stage
    poke(vmm, space, va, lambda raw: raw & ~(EL0 | RO | PXN | UXN) | rights)
    leaves = list(walkers[0].leaves())
    areas = [
        Area(leaf.va, leaf.va + leaf.size, prot if leaf.va == va else str(leaf.permissions.el0))
        for leaf in leaves
    ]
    assert checks(walkers[:1], areas=[areas]) == found


def test_what_the_books_do_not_know_is_found(stage):
    """A frame that is free, a leaf without area, more rights than the area has."""
    vmm, space, _, walkers = stage
    leaves = list(vmm.kernel.tables(space).leaves())
    areas = [Area(leaf.va, leaf.va + leaf.size, "r--") for leaf in leaves[1:]]
    assert checks(walkers, areas=[areas]) == {"no-area", "rights"}
    tables = {page.pa for walker in walkers for page in walker.tables()}
    uses = dict.fromkeys(tables, "table") | {leaves[0].pa: "free"}
    assert checks(walkers, owner=lambda pa: uses.get(pa, "data")) == {"free-frame"}
