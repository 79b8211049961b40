# SPDX-License-Identifier: BSD-3-Clause
"""What the calls of lukos/vmm.h cost, and what a test costs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from harness.bench import timing
from harness.bench.calls import Costs
from harness.bench.timing import Times
from harness.bench.watching import Watching
from harness.report.listing import grid

_NOTES = {
    "vmm_address_space_copy_in": " (4K)",
    "vmm_address_space_copy_out": " (4K)",
    "vmm_address_space_region_create_at": " (4K)",
}


def by_size(found: Costs) -> Table:
    """Those that depend on the size of a region."""
    sized = {name: each for name, each in found.items() if "" not in each}
    sizes = next(iter(sized.values()))
    table = grid("region of", *(f">{size}" for size in sizes))
    for name, costs in sized.items():
        table.add_row(name, *(f"{costs[size]:,}" for size in sizes))
    return table


def others(found: Costs) -> Table:
    """Those that do not."""
    table = grid("", ">")
    table.show_header = False
    for name, each in found.items():
        if "" in each:
            table.add_row(f"{name}{_NOTES.get(name, '')}", f"{each['']:,}")
    return table


def times_table(times: Times) -> Table:
    """Host time: only the ratios mean something elsewhere."""
    table = grid("", "~")
    table.show_header = False
    table.add_row(
        "restore", f"{times.restore * 1e3:.3f} ms: {times.tests_per_second:,.0f} small tests a second"
    )
    table.add_row("fresh boot", f"{times.boot / times.restore:,.0f} times as long")
    qemu = f"no {timing.QEMU} in PATH"
    if times.qemu is not None:
        qemu = f"{times.qemu / times.restore:,.0f} times as long, to the kernel's first line"
    table.add_row("QEMU boot", qemu)
    points = (
        f"{times.breakpoints:.2f} times as long with {timing.BREAKPOINTS} of them that it does not come to"
    )
    table.add_row("breakpoints", points)
    return table


def watching_table(found: Mapping[str, Watching]) -> Table:
    """How many times as long everything takes while somebody looks on."""
    table = grid("times as long with", *(f">{name}" for name in found))
    table.add_row("a small test", *(f"{each.test:.2f}" for each in found.values()))
    table.add_row(
        "populate of 512 pages, the worst case", *(f"{each.populate:.2f}" for each in found.values())
    )
    return table
