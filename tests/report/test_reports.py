# SPDX-License-Identifier: BSD-3-Clause
"""Reports of a real kernel: what they show is what the tables and the kernel's own books say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import Kernel
from harness.report.data import space_data, tables_data, value_data, walk_data
from harness.report.listing import listing
from harness.report.producer import producer
from harness.report.space import space_report, spaces_report
from harness.report.spaces import SpaceView, live_spaces, view_space
from harness.report.text import plain
from harness.report.tree import table_tree
from harness.report.walk import walk_report

PROPS = ("NO_ACCESS", "RO", "RW", "RX")
SIZES = (0x1000, 0x3000, 2 << 20)


@pytest.fixture
def filled(kernel: Kernel, address_space: Any) -> Any:
    """An address space with a region of each property and size."""
    for prop in PROPS:
        for size in SIZES:
            made = kernel.vmm_address_space_region_create(
                address_space, size, getattr(kernel, f"AS_REGION_{prop}")
            )
            assert made
    return address_space


@pytest.fixture
def view(kernel: Kernel, filled: Any) -> SpaceView:
    """The report's view of it."""
    return view_space(kernel, filled)


def test_every_region_is_shown_with_its_rights(view: SpaceView) -> None:
    """Properties become permissions, sizes become leaves; no access leaves no leaf but keeps its PA."""
    rights = {"NO_ACCESS": "---", "RO": "r--", "RW": "rw-", "RX": "r-x"}
    assert sorted((r.prop, r.size) for r in view.regions) == sorted((p, s) for p in PROPS for s in SIZES)
    for region in view.regions:
        assert str(region.permissions.el0) == rights[region.prop]
        mapped = sum(size * count for size, count in region.pages)
        assert mapped == (0 if region.prop == "NO_ACCESS" else region.size)
        assert region.pa


def test_tables_add_up(kernel: Kernel, view: SpaceView) -> None:
    """The tree has the pages that the walker finds, their leaves, and the entries kept without access."""
    space = next(live_spaces(kernel))
    assert sorted((n.pa, n.level) for n in view.tree.all()) == sorted(
        tuple(p) for p in kernel.tables(space).pages()
    )
    assert view.mapped == sum(run.size for run in view.runs)
    assert sum(node.kept for node in view.tree.all()) == 1 + 3 + 1  # 4K, 3 pages, one block of 2M


def test_looking_leaves_the_frames_alone(kernel: Kernel, filled: Any) -> None:
    """A report allocates nothing and frees nothing."""
    before = kernel.frames_count(kernel.FRAME_FREE)
    plain(spaces_report(view_space(kernel, space) for space in live_spaces(kernel)))
    assert kernel.frames_count(kernel.FRAME_FREE) == before


@pytest.mark.parametrize("width", [80, 120, 150])
def test_reports_fit_the_terminal(kernel: Kernel, view: SpaceView, width: int) -> None:
    """No line is cut or too long, and addresses are always whole."""
    text = "\n".join(plain(each, width) for each in (space_report(view), listing(kernel.tables())))
    assert max(map(len, text.splitlines())) <= width
    assert "\u2026" not in text
    assert all(f"{region.pa:#012x}" in text for region in view.regions)


def test_plain_text_has_no_escapes(view: SpaceView) -> None:
    """Files and pipes get characters only."""
    assert "\x1b" not in plain(space_report(view))


def test_the_kernel_half_is_listed_with_levels_and_memory_types(kernel: Kernel) -> None:
    """The listing names the UART's device memory and the text's rights, each on its own line."""
    lines = plain(listing(kernel.tables())).splitlines()
    assert any("Device-nGnRE" in line and "0x0009000000" in line for line in lines)
    assert any(" --- r-x 3 " in line for line in lines)
    assert not any("writable and executable" in line for line in lines)


def test_writable_and_executable_memory_stands_out(kernel: Kernel) -> None:
    """The one thing no kernel half should have is said in the heading."""
    leaf = next(each for each in kernel.tables().leaves() if each.permissions.el1.execute)
    entry = leaf.entry_address
    kernel.machine.sysreg["SCTLR_EL1"] &= ~(1 << 19)  # WXN, which would forbid it
    raw = int.from_bytes(kernel.machine.memory.read(entry, 8), "little")
    kernel.machine.memory.write(entry, (raw & ~(1 << 7)).to_bytes(8, "little"))  # AP[2]: read-only
    assert "writable and executable: 1 run" in plain(listing(kernel.tables()))


def test_walks_show_every_level_and_the_outcome(kernel: Kernel, view: SpaceView) -> None:
    """A mapped address ends in a PA, a reserved one in a fault whose entry is still decoded."""
    tables = kernel.tables(next(live_spaces(kernel)))
    by_prop = {region.prop: region for region in view.regions if region.size == 0x1000}
    mapped = plain(walk_report(tables.walk(by_prop["RX"].va)))
    assert f"PA {by_prop['RX'].pa:#x}, in a mapping of 4K: EL0 r-x, EL1 r--" in mapped
    reserved = plain(walk_report(tables.walk(by_prop["NO_ACCESS"].va)))
    assert "translation fault, level 3" in reserved
    assert f"PA {by_prop['NO_ACCESS'].pa:#x}" in reserved


def test_tables_that_loop_end(kernel: Kernel, view: SpaceView) -> None:
    """A table that points to itself is followed to the last level and no further."""
    root = view.tree.pa
    kernel.machine.memory.write(root + 8, (root | 3).to_bytes(8, "little"))
    looped = table_tree(view.regime, kernel.machine.memory.read)
    assert max(node.level for node in looped.all()) == 3


def test_tables_outside_memory_are_named(kernel: Kernel, view: SpaceView) -> None:
    """A pointer to nowhere is shown as what it is."""
    kernel.machine.memory.write(view.tree.pa + 8, (0x3000_0000_0000 | 3).to_bytes(8, "little"))
    broken = table_tree(view.regime, kernel.machine.memory.read)
    assert [node.cut for node in broken.all() if node.cut] == ["not in memory"]


def test_the_kernels_counts_are_shown(kernel: Kernel, address_space: Any) -> None:
    """VMAs, resident frames and faults by kind, as vas_stats() has them after two accesses."""
    vas, at = kernel.vmm_address_space_vas(address_space), kernel.new("__vaddr_t", 1 << 36)
    ops = kernel.variable("uk_vma_anon_ops")
    assert kernel.uk_vma_map(vas, at, 0x4000, kernel.PAGE_ATTR_PROT_RW, 0, None, ops, None) == 0
    assert kernel.vmm_address_space_activate(address_space) == 0
    assert [kernel.fault_resolve((1 << 36) + page * 0x1000, 5, None) for page in range(3)] == [0] * 3
    assert kernel.fault_resolve(1 << 35, 4, None) != 0
    found = view_space(kernel, address_space)
    assert "\n1 VMA; 3 resident frames; faults: 3 write, 1 refused\n" in plain(space_report(found))
    assert space_data(found)["counts"]["faults_write"] == found.counts["frames_anonymous"] == 3


def test_json_survives_a_round_trip(kernel: Kernel, view: SpaceView) -> None:
    """Reports for programs hold nothing but JSON, with the numbers of the report for people."""
    data = json.loads(json.dumps([space_data(view), tables_data(kernel.tables())]))
    assert [int(each["va"], 0) for each in data[0]["regions"]] == [region.va for region in view.regions]
    assert [int(each["pa"], 0) for each in data[1]["runs"]] == [run.pa for run in kernel.tables().runs()]
    walk = walk_data(kernel.tables().walk(kernel.vmm_init.address))
    assert json.loads(json.dumps(walk))["el1"] == "r-x"


def test_values_become_json(kernel: Kernel, filled: Any) -> None:
    """Pointers are hexadecimal, enumerators are names, structs are objects."""
    region = kernel.new("address_space_region_t")
    assert kernel.vmm_address_space_region_next(filled, 0, region.address) == 0
    data = value_data(region)
    assert data["prop"] == "AS_REGION_NO_ACCESS"
    assert int(data["va"], 0) == int(region.va)
    assert data["len"] == 0x1000


def test_the_compiler_is_named_without_its_options(kernel: Kernel) -> None:
    """What built the image is said in a few words."""
    name = producer(kernel.image)
    assert name
    assert " -" not in name
