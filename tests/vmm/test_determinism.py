# SPDX-License-Identifier: BSD-3-Clause
"""The same calls cost the same instructions, always."""

from __future__ import annotations

import pytest

from tests.support.vmm import BLOCK_2M, PAGE, Vmm


def script(vmm):
    """A call of each kind; the instructions of each."""
    kernel, counts = vmm.kernel, {}

    def count(label, name, *arguments):
        result, counts[label] = kernel.function(name).counted(*arguments)
        return result

    rw, rx = vmm.props["RW"], vmm.props["RX"]
    space = count("create", "vmm_address_space_create")
    pages = count("3 pages", "vmm_address_space_region_create", space, 3 * PAGE, rw)
    block = count("2M", "vmm_address_space_region_create", space, BLOCK_2M, rw)
    count("at", "vmm_address_space_region_create_at", space, vmm.user_end // 2, PAGE, rx)
    count("activate", "vmm_address_space_activate", space)
    count("copy in", "vmm_address_space_copy_in", space, kernel.buffer(5000), int(pages) + 7, 5000)
    count("set prop", "vmm_address_space_region_set_prop", space, pages, rx)
    count("id", "vmm_address_space_id", space)
    count("destroy 3 pages", "vmm_address_space_region_destroy", space, pages)
    count("destroy 2M", "vmm_address_space_region_destroy", space, block)
    count("leave", "vmm_address_space_activate", None)
    count("destroy", "vmm_address_space_destroy", space)
    return counts


def test_calls_cost_the_same_after_each_restore(small_kernel):
    """Instruction for instruction."""
    moment = small_kernel.snapshot()
    first = script(Vmm(small_kernel))
    assert all(count > 0 for count in first.values())
    for _ in range(3):
        small_kernel.restore(moment)
        assert script(Vmm(small_kernel)) == first


def test_two_machines_cost_the_same(small_kernel, boot_kernel):
    """Another boot of the same image."""
    other = boot_kernel(ram_size=64 << 20)
    assert other.machine.instructions == boot_kernel(ram_size=64 << 20).machine.instructions
    assert script(Vmm(other)) == script(Vmm(small_kernel))


@pytest.mark.parametrize("pages", [1, 8, 64])
def test_placement_does_not_cost_more_with_more_regions(small_vmm, pages):
    """The hole is found in logarithmic time: 200 regions cost a few steps of the tree more than 2."""
    vmm, space = small_vmm, small_vmm.space()
    costs = []
    for _ in range(200):
        function = vmm.kernel.function("vmm_arch_get_free_range")
        costs.append(function.counted(space.vas.pt, pages * PAGE)[1])
        vmm.create(space, PAGE)
    assert max(costs[2:]) <= costs[2] + 8 * 40
