# SPDX-License-Identifier: BSD-3-Clause
"""What boot.S does around turning the MMU on, which no table update shows: in this order and completely."""

from __future__ import annotations

from itertools import groupby

import pytest

from harness import Kernel
from harness.arch.a64 import is_system
from tests.support.trace import system_name

M = 1 << 20
LINE = 64  # bytes of a cache line on a Cortex-A72
ENTRY = 64  # bytes of kernel_entry() up to where it calls C


@pytest.fixture
def boot(kernel_elf):
    """The names of the barriers, TLBI and cache instructions of boot.S, in the order of their execution."""
    with Kernel(kernel_elf, ram_size=64 * M, boot=False) as kernel:
        names, entry = [], kernel.image.symbols["kernel_entry"].address
        places = [(s.paddr, s.data) for s in kernel.image.segments if s.flags & 1 and s.vaddr == s.paddr]
        places.append((entry, kernel.image.read(entry, ENTRY)))
        for start, code in places:
            for offset in range(0, len(code) - 3, 4):
                word = int.from_bytes(code[offset : offset + 4], "little")
                name = system_name(word) if is_system(word) else None
                if name:
                    kernel.machine.on_address(start + offset, lambda _machine, name=name: names.append(name))
        assert kernel.machine.run().kind == "wfi"
        yield kernel, names


def test_barriers_around_turning_the_mmu_on(boot):
    """SCTLR known; what was written past the caches dropped from them; tables; ISB before the TLBI, so that
    nothing old comes in again; the TLB and the instruction cache are not defined after reset; the MMU, the
    vectors. Arm DDI 0487, D8.17.1."""
    kernel, names = boot
    symbols = kernel.image.symbols
    sizes = [
        symbols[f"phys_{name}_end"].address - symbols[f"phys_{name}_start"].address
        for name in ("bss", "boot_bss")
    ]
    found = [(name, len(list(group))) for name, group in groupby(names)]
    assert found == [
        ("isb", 1),
        *[(name, count) for size in sizes for name, count in (("dc ivac", -(-size // LINE)), ("dsb sy", 1))],
        *[(name, 1) for name in ("msr ttbr0", "isb", "tlbi vmalle1", "ic iallu", "dsb nsh")],
        ("isb", 3),
    ]
