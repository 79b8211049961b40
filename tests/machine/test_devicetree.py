# SPDX-License-Identifier: BSD-3-Clause
"""The device tree is made of its arguments and of nothing else."""

from __future__ import annotations

import fdt

from harness.machine import devicetree


def build() -> bytes:
    """A plain tree."""
    return devicetree.build(ram_base=1 << 30, ram_size=1 << 30, psci_method="hvc", bootargs="", initrd=None)


def test_trees_parsed_before_leave_no_trace() -> None:
    """The library keeps the reservation entries of every parsed tree in one list, its default."""
    before = build()
    other = fdt.FDT(entries=[{"address": 0x4800_0000, "size": 0x1000}])
    fdt.parse_dtb(other.to_dtb(version=17))
    assert build() == before
