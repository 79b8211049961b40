# SPDX-License-Identifier: BSD-3-Clause
"""What boot_tables.c leaves for the switch of the MMU: seen at the first instruction of the kernel's half."""

from __future__ import annotations

import pytest

from harness import Kernel
from tests.support.vmm import PAGE

M = 1 << 20


@pytest.fixture
def switched(kernel_elf):
    """A kernel that has its MMU on, and nothing else yet."""
    with Kernel(kernel_elf, ram_size=64 * M, boot=False) as kernel:
        assert kernel.machine.run(until={kernel.image.symbols["kernel_entry"].address}).kind == "address"
        yield kernel


def test_identity_map_is_the_code_of_the_boot(switched):
    """Its pages at their own address: r-x for EL1, nothing for EL0, shared, and of an address space."""
    symbols = switched.image.symbols
    code = range(symbols["phys_boot_start"].address, symbols["phys_boot_text_end"].address, PAGE)
    leaves = list(switched.tables(half="ttbr0").leaves())
    assert [leaf.va for leaf in leaves] == [leaf.pa for leaf in leaves] == list(code)
    for leaf in leaves:
        entry, rights = leaf.descriptor, leaf.permissions
        assert (str(rights.el1), str(rights.el0), leaf.memory) == ("r-x", "---", "Normal WB RAWA")
        assert (entry.sh, entry.af, entry.ng, entry.uxn, entry.pxn) == (3, True, True, True, False)


def test_identity_map_is_one_table_of_each_level(switched):
    """Also the one above the root that 39 bits have; each names the next, and nothing else."""
    tables = switched.image.symbols["identity"].address
    for level in range(3):
        words = switched.machine.memory.read(tables + level * PAGE, PAGE)
        entries = [int.from_bytes(words[at : at + 8], "little") for at in range(0, PAGE, 8)]
        assert [entry for entry in entries if entry] == [tables + (level + 1) * PAGE | 3]


def test_each_page_is_described_once_and_again_where_its_rights_differ(kernel_elf):
    """With at most seven instructions a descriptor: the kernel's 2M, then its text and its constants."""
    with Kernel(kernel_elf, ram_size=64 * M, boot=False) as kernel:
        symbols, machine = kernel.image.symbols, kernel.machine
        assert machine.run(until={symbols["boot_build_tables"].address}).kind == "address"
        before = machine.instructions
        assert machine.run(until={machine.registers["x30"]}).kind == "address"
        text = symbols["phys_rodata_end"].address - symbols["phys_text_start"].address
        assert 512 < machine.instructions - before < 7 * (2 * M + text) // PAGE + 200


@pytest.mark.parametrize(
    "bits",
    [(11, 20, 22, 23, 28, 29), (16, 18)],
    ids=["EOS TSCXT EIS SPAN nTLSMD LSMAOE: RES1 without their features", "nTWI nTWE: EL0 may wait"],
)
def test_what_has_to_be_one_in_sctlr_is_one(switched, bits):
    """SCTLR_EL1 (D24.2.157)."""
    sctlr = switched.machine.sysreg["SCTLR_EL1"]
    assert [sctlr >> bit & 1 for bit in bits] == [1] * len(bits)
