# SPDX-License-Identifier: BSD-3-Clause
"""What may be done in a region: by the descriptors, by the emulated MMU, and by programs that really try."""

from __future__ import annotations

import itertools

import pytest

from tests.support.vmm import BLOCK_2M, PAGE, PROPS

# Property -> rights of EL0, rights of EL1. The kernel itself uses the linear map; here it gets no more
# than the architecture cannot refuse it.
RIGHTS = {
    "NO_ACCESS": ("---", "---"),
    "RO": ("r--", "r--"),
    "RW": ("rw-", "rw-"),
    "RX": ("r-x", "r--"),
}
SIZES = (PAGE, 3 * PAGE, BLOCK_2M)
ACCESS = {"r": "USER_READ", "w": "USER_WRITE", "x": "USER_EXECUTE"}


def edges(va, size):
    """Addresses in the first and in the last leaf."""
    return {va, va + 8, va + size - PAGE, va + size - 8}


def mmu_rights(machine, va, el):
    """What AT instructions and a fetch say."""
    allowed = [machine.translate(va, el, access).pa is not None for access in "rw"]
    allowed.append(machine.can_execute(va & ~3, el))
    return "".join(letter if yes else "-" for letter, yes in zip("rwx", allowed, strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("prop", PROPS)
def test_walker_and_mmu_grant_what_the_property_says(kernel, vmm, space, prop, size):
    """At EL0 and EL1, to read, write and execute; user memory is never executable at EL1."""
    va = vmm.create(space, size, prop)
    vmm.activate(space)
    for at in edges(va, size):
        walk = kernel.tables(space).walk(at)
        assert (str(walk.permissions.el0), str(walk.permissions.el1)) == RIGHTS[prop]
        for el in (0, 1):
            assert mmu_rights(kernel.machine, at, el) == RIGHTS[prop][el]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("prop", ["RO", "RW", "RX"])
def test_leaves_are_normal_memory_of_one_address_space(kernel, vmm, space, prop, size):
    """Inner shareable write-back, tagged with the ASID, accessed, never executable at EL1; no more."""
    vmm.create(space, size, prop)
    for leaf in kernel.tables(space).leaves():
        entry = leaf.descriptor
        assert leaf.memory == "Normal WB RAWA"
        assert (entry.sh, entry.ng, entry.af, entry.pxn) == (3, True, True, True)
        assert entry.uxn == (prop != "RX")
        assert (entry.contiguous, entry.dbm, entry.ns, entry.software) == (False, False, False, 0)
        assert entry.raw >> 59 == 0


@pytest.mark.parametrize("size", SIZES)
def test_region_without_access_is_invalid_and_keeps_its_address(kernel, vmm, space, size):
    """The hardware sees an invalid entry; the output address is in it still."""
    va = vmm.create(space, size, "NO_ACCESS")
    [region] = vmm.regions(space)
    assert list(kernel.tables(space).leaves()) == []
    for offset in range(0, size, BLOCK_2M if size >= BLOCK_2M else PAGE):
        walk = kernel.tables(space).walk(va + offset)
        assert walk.fault.kind == "translation"
        assert walk.steps[-1].raw & 1 == 0
        assert walk.steps[-1].descriptor.output_address == region.pa + offset


def test_tables_limit_nothing_and_grant_nothing(kernel, vmm, space):
    """Table descriptors carry an address and no hierarchical permissions."""
    va = vmm.create(space, PAGE)
    *tables, _ = kernel.tables(space).walk(va).steps
    assert tables
    for step in tables:
        assert step.raw & ~0xFFFF_FFFF_F000 == 3


def test_no_kernel_page_is_reachable_from_el0(kernel, vmm, space):
    """Not one leaf of the kernel's half, and EL0 itself finds out."""
    vmm.activate(space)
    code = vmm.create(space, PAGE, "RX")
    load_probe(vmm, space, code)
    assert all(not leaf.permissions.el0.read for leaf in kernel.tables().leaves())
    for symbol in ("vectors", "kernel_root", "arch_user_probe", "stack_top"):
        for access in "rwx":
            assert attempt(vmm, code, kernel.image.symbols[symbol].address - 8 & ~7, access) == "permission"


# -- programs -----------------------------------------------------------------------------------------------


def load_probe(vmm, space, va):
    """Copy the probe program to a region."""
    symbols = vmm.kernel.image.symbols
    start, end = (symbols[name].address for name in ("arch_user_probe", "arch_user_probe_end"))
    vmm.kernel.vmm_address_space_copy_in(space, start, va, end - start)
    assert vmm.error == "OK"


def attempt(vmm, code, va, access):
    """Try an access at EL0 with the probe program at `code`: "done", "permission" or "translation"."""
    kernel = vmm.kernel
    entry = {"r": kernel.USER_PROBE_READ, "w": kernel.USER_PROBE_WRITE}
    exit, registers = vmm.run_user(va if access == "x" else code + entry[access], va, 0x1122_3344_5566_7788)
    if exit.stop == kernel.USER_CALL:
        assert int(registers.pc) == (va if access == "x" else code + entry[access] + 4) + 4
        return "done"
    assert exit.stop == kernel.USER_FAULT
    assert (exit.access, exit.address) == (getattr(kernel, ACCESS[access]), va)
    assert int(registers.pc) == (va if access == "x" else code + entry[access])
    return "permission" if exit.permission else "translation"


def outcome(prop, access):
    """What attempt() must give."""
    if prop == "NO_ACCESS":
        return "translation"
    return "done" if access in RIGHTS[prop][0] else "permission"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("prop", PROPS)
def test_programs_can_do_what_the_property_says(vmm, space, prop, size):
    """Reads, writes and jumps at EL0: done, or the right fault at the right address."""
    code = vmm.create(space, PAGE, "RX")
    load_probe(vmm, space, code)
    va = vmm.create(space, size, prop)
    load_probe(vmm, space, va)
    load_probe(vmm, space, va + size - PAGE)
    vmm.activate(space)
    for at, access in itertools.product((va, va + size - PAGE), "rxw"):
        assert attempt(vmm, code, at, access) == outcome(prop, access)


def test_programs_see_each_others_memory_only_where_it_is_theirs(vmm):
    """What one address space writes the next one does not read at the same VA."""
    kernel, found = vmm.kernel, []
    for number in (1, 2):
        space = vmm.space()
        code, data = vmm.create(space, PAGE, "RX"), vmm.create(space, PAGE, "RW")
        load_probe(vmm, space, code)
        vmm.activate(space)
        found.append(vmm.run_user(code + kernel.USER_PROBE_READ, data)[1].x[0])
        assert vmm.run_user(code + kernel.USER_PROBE_WRITE, data, number)[0].stop == kernel.USER_CALL
        assert kernel.read(space, data, 8) == number.to_bytes(8, "little")
    assert found == [0, 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("before", "after"), list(itertools.product(PROPS, PROPS)))
def test_property_changes_take_effect_at_once(kernel, vmm, space, before, after, size):
    """All 16 changes, on a program whose accesses have filled the TLB; the contents stay."""
    code = vmm.create(space, PAGE, "RX")
    load_probe(vmm, space, code)
    va = vmm.create(space, size, before)
    load_probe(vmm, space, va)
    end = vmm.translate(space, va + size - 64)
    kernel.machine.memory.write(end, b"stays" * 10)
    vmm.activate(space)
    for access in "rx":
        assert attempt(vmm, code, va, access) == outcome(before, access)
    vmm.set_prop(space, va, after)
    assert vmm.regions(space)[-1].prop == vmm.props[after]
    for access in "rxw":
        assert attempt(vmm, code, va, access) == outcome(after, access)
    assert kernel.machine.memory.read(end, 50) == b"stays" * 10
    [run] = [run for run in kernel.tables(space).runs() if run.va <= va < run.va + run.size] or [None]
    assert (run is None) == (after == "NO_ACCESS")
    assert run is None or (run.va + run.size, run.prot) == (va + size, RIGHTS[after][0])


@pytest.mark.parametrize("size", [PAGE, 3 * PAGE, 40 * PAGE, BLOCK_2M])
def test_destroyed_region_is_gone_at_once(vmm, space, size):
    """A program that has just used it gets a translation fault, in every page of it."""
    code = vmm.create(space, PAGE, "RX")
    load_probe(vmm, space, code)
    va = vmm.create(space, size)
    vmm.activate(space)
    pages = range(va, va + min(size, 40 * PAGE), PAGE)
    for at in pages:
        assert attempt(vmm, code, at, "w") == "done"
    vmm.destroy(space, va)
    for at in pages:
        assert attempt(vmm, code, at, "r") == "translation"


def test_property_change_of_the_same_to_the_same_does_nothing(vmm, space):
    """Not one table entry."""
    for prop in PROPS:
        va = vmm.create(space, 3 * PAGE, prop)
        before = vmm.books()
        vmm.set_prop(space, va, prop)
        assert vmm.books() == before
