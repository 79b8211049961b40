# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's half after boot: every page has its rights, guards have none, the identity map is gone."""

from __future__ import annotations

import pytest

from tests.support.vmm import BLOCK_2M, KERNEL_BASE, PAGE

UART = 0x0900_0000
SECTIONS = {"text": "r-x", "rodata": "r--"}
GUARDS = ("stack_guard", "overflow_guard")


def expected_rights(kernel, va):
    """What EL1 may do at a page of the linear map."""
    symbols = kernel.image.symbols
    if any(va == symbols[name].address for name in GUARDS):
        return None
    for name, rights in SECTIONS.items():
        if symbols[f"{name}_start"].address <= va < symbols[f"{name}_end"].address:
            return rights
    return "rw-"


def test_every_page_has_its_rights(kernel):
    """text r-x, rodata r--, all else rw-; nothing for EL0; no page writable and executable."""
    for leaf in kernel.tables().leaves():
        rights = leaf.permissions
        assert str(rights.el0) == "---"
        assert str(rights.el1) in ("r-x", "r--", "rw-")
        for va in (leaf.va, leaf.va + leaf.size - PAGE):
            assert str(rights.el1) == expected_rights(kernel, va), hex(va)
        assert leaf.descriptor.uxn


def test_the_mmu_agrees(kernel):
    """AT and fetches, for the edges of every run of pages."""
    machine = kernel.machine
    for run in kernel.tables().runs():
        for va in (run.va, run.end - PAGE, run.end - 8):
            rights = run.permissions.el1
            found = [machine.translate(va, 1, access).pa is not None for access in "rw"]
            assert found == [rights.read, rights.write], hex(va)
            assert machine.can_execute(va, 1) == rights.execute, hex(va)
            assert machine.translate(va, 0).pa is None
            assert not machine.can_execute(va, 0)


def test_ram_is_a_linear_map_of_normal_memory(kernel):
    """VA = base + PA, inner shareable write-back, global; the UART the only device, never executable."""
    for leaf in kernel.tables().leaves():
        assert leaf.va == KERNEL_BASE + leaf.pa
        entry = leaf.descriptor
        assert (entry.ng, entry.af, entry.contiguous) == (False, True, False)
        if leaf.pa < kernel.machine.memory.base:
            assert (leaf.pa, leaf.memory) == (UART, "Device-nGnRE")
            assert str(leaf.permissions.el1) == "rw-"
        else:
            assert (leaf.memory, entry.sh) == ("Normal WB RAWA", 3)


def test_ram_is_mapped_with_blocks(kernel):
    """Only the 2M around the image are pages."""
    pages = [leaf for leaf in kernel.tables().leaves() if leaf.size == PAGE and leaf.pa >= 1 << 30]
    image = kernel.image.symbols["vectors"].address & -BLOCK_2M
    assert {leaf.va & -BLOCK_2M for leaf in pages} == {image}


def test_boot_window_is_closed(kernel):
    """The boot's own view of the device tree is gone; only the linear map is left."""
    assert max(leaf.va + leaf.size for leaf in kernel.tables().leaves()) <= 0xFFFF_FFC0_0000_0000


def test_identity_map_is_gone(kernel):
    """TTBR0 has an empty table and ASID 0; the physical address of the boot code translates to nothing."""
    machine = kernel.machine
    assert list(kernel.tables(half="ttbr0").leaves()) == []
    assert kernel.tables(half="ttbr0").regime.asid == 0
    root = kernel.tables(half="ttbr0").regime.table_base
    assert machine.memory.read(root, PAGE) == bytes(PAGE)
    entry = kernel.image.entry
    assert machine.translate(entry, 1).pa is None
    assert not machine.can_execute(entry, 1)
    assert str(kernel.tables().lookup(KERNEL_BASE + root).permissions.el1) == "r--"


def test_control_registers(kernel):
    """MMU, caches and WXN on; the widths of the image; EL0 may maintain caches and zero by DC ZVA."""
    sysreg = kernel.machine.sysreg
    sctlr, tcr = sysreg["SCTLR_EL1"], sysreg["TCR_EL1"]
    for bit in (0, 2, 3, 4, 12, 14, 15, 19, 26):  # M C SA SA0 I DZE UCT WXN UCI
        assert sctlr >> bit & 1, bit
    assert sctlr >> 1 & 1 == 0  # A: the compiler aligns, users need not
    assert 64 - (tcr & 0x3F) == kernel.LUKOS_VA_BITS
    assert 64 - (tcr >> 16 & 0x3F) == 39
    for shift in (8, 24):  # IRGN, ORGN: write-back, allocating; SH: inner
        assert tcr >> shift & 0x3F == 0b11_01_01
    assert tcr >> 7 & 1 == tcr >> 23 & 1 == 0
    assert sysreg["MAIR_EL1"] == 0x0C00_44BB_04FF  # WB, nGnRE, WT, NC, nGnRnE, GRE


def test_all_vectors_are_in_place(kernel):
    """VBAR names a table of 16 entries of 128 bytes; each starts with code of its own and fits."""
    symbol = kernel.image.symbols["vectors"]
    assert kernel.machine.sysreg["VBAR_EL1"] == symbol.address
    assert symbol.address % 2048 == 0
    entries = [kernel.read(None, symbol.address + 128 * number, 128) for number in range(16)]
    assert all(entry[:4] not in (bytes(4), b"\x1f\x20\x03\xd5") for entry in entries)
    assert len({entry[:64] for entry in entries}) == 16
    assert kernel.machine.can_execute(symbol.address + 2047 & ~3, 1)


@pytest.mark.parametrize("guard", GUARDS)
def test_guard_page_is_below_its_stack(kernel, guard):
    """Nothing is mapped there, and the page above it is the lowest of 16K of stack."""
    address = kernel.image.symbols[guard].address
    assert kernel.tables().lookup(address) is None
    assert kernel.machine.translate(address + PAGE - 8, 1).pa is None
    top = kernel.image.symbols["stack_top" if guard == "stack_guard" else "overflow_stack_top"].address
    assert top - address == PAGE + 4 * PAGE
    assert kernel.machine.translate(address + PAGE, 1, "w").pa
