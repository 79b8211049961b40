# SPDX-License-Identifier: BSD-3-Clause
"""Bits of descriptors that a caller chooses, that others have set, and that the hardware ignores."""

from __future__ import annotations

import pytest

from harness.arch.bits import mask
from harness.arch.descriptor import decode
from tests.uk.driver import ANY, LARGE, PAGE, RW, RX, R
from tests.uk.test_dma import TYPES
from tests.uk.test_pagetable import AT, free, pt, size_flag, walk

__all__ = ["pt"]

# What is written into tables here no kernel writes; no CPU walks them.
pytestmark = pytest.mark.no_sanitizer

ROOT_LEVEL = 3  # as Unikraft counts
BLOCK = 0x0800_0000  # no RAM: nobody else has it
NORMAL = {name: kind for name, kind in TYPES.items() if "Normal" in name}
SHAREABLE = [kind << 8 for kind in range(4)]
OF_TABLES = mask(11, 2) | mask(58, 52)  # ignored (D8.3.1)
OF_BLOCKS = mask(5, 2) | mask(9, 8) | mask(11, 10) | mask(52, 48) | mask(63, 55)


def entry_of(kernel, pt, va, level=0):
    """(the physical address of the entry where the walk to a level ends, its value)."""
    ended, table, value = walk(kernel, pt, va, level)
    pa = kernel.machine.virtual.walk(table).pa
    return pa + 8 * (va >> 12 + 9 * ended & 511), value


def set_bits(kernel, pt, va, level, bits):
    """Set bits of an entry behind the kernel's back; what it is now."""
    pa, value = entry_of(kernel, pt, va, level)
    kernel.machine.memory.write(pa, (value | bits).to_bytes(8, "little"))
    return value | bits


@pytest.mark.parametrize("prot", [R, RW, RX], ids=["r", "rw", "rx"])
@pytest.mark.parametrize("shareable", SHAREABLE)
@pytest.mark.parametrize("kind", NORMAL.values(), ids=NORMAL)
def test_rights_do_not_depend_on_type_and_shareability(small_kernel, pt, prot, shareable, kind):
    """The descriptor is that of write-back memory but for MAIR's index; shareable, whatever was asked for."""
    assert small_kernel.ukplat_page_map(pt, AT, BLOCK, 1, prot, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + PAGE, BLOCK, 1, prot | kind | shareable, 0) == 0
    plain, typed = (walk(small_kernel, pt, va)[2] for va in (AT, AT + PAGE))
    assert typed & ~mask(4, 2) == plain & ~mask(4, 2)
    index = typed >> 2 & 7
    mair = small_kernel.machine.sysreg["MAIR_EL1"] >> 8 * index & 0xFF
    assert (
        mair
        == {"Normal WB": 0xFF, "Normal WT": 0xBB, "Normal NC": 0x44}[
            next(name for name in NORMAL if NORMAL[name] == kind)
        ]
    )


@pytest.mark.parametrize("bit", [3, 4, 10, 11, 31, 63])
def test_attributes_that_nobody_knows_are_refused(small_kernel, pt, bit):
    """One bit beside those of uk/asm/page_attr.h."""
    before = free(small_kernel)
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW | 1 << bit, 0) == -22
    assert free(small_kernel) == before


def test_a_block_that_is_split_keeps_all_but_its_level(small_kernel, pt):
    """Memory type, software's bits, whatever there is: each page that did not change has them."""
    assert small_kernel.ukplat_page_map(pt, AT, BLOCK, 1, RW, size_flag(1)) == 0
    block = set_bits(small_kernel, pt, AT, 1, OF_BLOCKS)
    assert small_kernel.ukplat_page_set_attr(pt, AT, 1, R, 0) == 0
    assert walk(small_kernel, pt, AT)[0] == 0
    for page in range(1, 512):
        assert walk(small_kernel, pt, AT + page * PAGE)[2] == (block | 2) + page * PAGE


def test_what_is_ignored_in_table_descriptors_is_ignored(small_kernel, pt):
    """Bits 11:2 and 58:52: walks, new neighbours, new rights and unmapping find what there is."""
    before = free(small_kernel)
    assert small_kernel.ukplat_page_map(pt, AT, ANY, 1, RW, 0) == 0
    expected = walk(small_kernel, pt, AT)[2]
    for level in range(1, ROOT_LEVEL):
        set_bits(small_kernel, pt, AT, level, OF_TABLES)
    assert walk(small_kernel, pt, AT)[2] == expected
    assert small_kernel.ukplat_page_map(pt, AT + 600 * PAGE, ANY, 1, RW, 0) == 0
    assert small_kernel.ukplat_page_map(pt, AT + 2 * LARGE, BLOCK, 1, RW, size_flag(1)) == 0
    assert small_kernel.ukplat_page_set_attr(pt, AT, 1, R, 0) == 0
    assert decode(walk(small_kernel, pt, AT)[2], 3).output_address == decode(expected, 3).output_address
    copy = small_kernel.new("struct uk_pagetable")
    assert small_kernel.ukplat_pt_clone(copy, pt, 0) == 0
    assert small_kernel.ukplat_pt_free(copy, 0) == 0
    assert small_kernel.ukplat_page_unmap(pt, AT, 3 * 512, 0) == 0
    assert free(small_kernel) == before
    assert small_kernel.frames_check()
