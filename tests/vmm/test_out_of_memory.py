# SPDX-License-Identifier: BSD-3-Clause
"""Out of memory at every single allocation of every call: ENOMEM, and everything as before."""

from __future__ import annotations

import itertools

import pytest

from harness.kernel.inject import fail_nth
from tests.support.vmm import ALLOCATORS, BLOCK_2M, PAGE

WINDOW = 0xFFFF_FFC0_0000_0000  # of the kernel's own areas


def create(size, prop="RW"):
    return lambda vmm, space: int(vmm.kernel.vmm_address_space_region_create(space, size, vmm.props[prop]))


def create_at(va, size):
    def call(vmm, space):
        at = vmm.user_end + va if va < 0 else va
        return vmm.kernel.vmm_address_space_region_create_at(space, at, size, vmm.props["RW"]) == 0

    return call


def map_kernel(vmm, space):
    """Into the kernel's own half, which has no tables for it yet."""
    return vmm.kernel.vmm_arch_map(None, vmm.props["RW"], WINDOW, 0x4000_0000, 3 * PAGE) == 0


# Call, and the allocations it makes at most: objects, tables, memory. 48 bits have one level of tables more.
CALLS = {
    "address_space_create": (lambda vmm, space: int(vmm.kernel.vmm_address_space_create()), 3),
    "context_create": (lambda vmm, space: int(vmm.kernel.vmm_arch_context_create(space)), 2),
    "region_create 4K": (create(PAGE), 4),
    "region_create RX": (create(3 * PAGE, "RX"), 4),
    "region_create 2M": (create(BLOCK_2M), 3),
    "region_create 2M + 4K": (create(BLOCK_2M + PAGE), 4),
    "region_create_at first page": (create_at(PAGE, PAGE), 4),
    "region_create_at last page": (create_at(-PAGE, PAGE), 4),
    "region_create_at across 1G": (create_at((1 << 30) - PAGE, 2 * PAGE), 6),
    "alloc_range": (lambda vmm, space: int(vmm.kernel.vmm_arch_alloc_range(3 * PAGE)), 1),
    "map into the kernel": (map_kernel, 2),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_allocation_that_fails_fails_the_call_and_nothing_else(small_vmm, call):
    """Fail the n-th for n = 1, 2, ... until the call makes no n-th and succeeds."""
    vmm, kernel = small_vmm, small_vmm.kernel
    space = vmm.space()
    perform, least = CALLS[call]
    before = vmm.books()
    for n in itertools.count(1):
        with fail_nth(kernel, ALLOCATORS, n) as injection:
            succeeded = perform(vmm, space)
        if injection.struck is None:
            break
        assert not succeeded
        if not call.startswith(("context", "alloc", "map")):
            assert vmm.error == "ENOMEM"
        assert vmm.books() == before
    assert succeeded
    assert n - 1 == len(injection.calls) >= least
    assert vmm.books() != before
    assert kernel.frames_check()


def test_calls_that_need_no_memory_make_no_allocation(small_vmm):
    """So they cannot fail for want of it."""
    vmm, kernel = small_vmm, small_vmm.kernel
    space = vmm.space()
    va = vmm.create(space, 3 * PAGE)
    data = kernel.buffer(64)
    with fail_nth(kernel, ALLOCATORS, 1) as injection:
        for prop in ("RO", "RX", "NO_ACCESS", "RW"):
            vmm.set_prop(space, va, prop)
        kernel.vmm_address_space_copy_in(space, data, va, 64)
        assert kernel.vmm_address_space_copy_out(space, data, va, 64) == 0
        vmm.activate(space)
        vmm.activate(None)
        assert vmm.translate(space, va)
        assert len(vmm.regions(space)) == 1
        vmm.destroy(space, va)
        assert kernel.vmm_address_space_destroy(space) == 0
        vmm.stats()
    assert injection.calls == []


def test_failed_calls_are_as_good_as_never_made(small_vmm):
    """After failures at every allocation the same calls give the same VAs, IDs and tables as without them."""
    vmm, kernel = small_vmm, small_vmm.kernel
    start = kernel.snapshot()

    def build():
        space = vmm.space()
        return space, [vmm.create(space, size) for size in (PAGE, BLOCK_2M + PAGE, 3 * PAGE)]

    space, expected = build()
    runs = kernel.tables(space).runs()
    kernel.restore(start)
    for n in range(1, 4):
        with fail_nth(kernel, ALLOCATORS, n):
            assert not kernel.vmm_address_space_create()
    again, found = build()
    assert (again.id, found) == (1, expected)
    assert [(run.va, run.size, run.pages) for run in kernel.tables(again).runs()] == [
        (run.va, run.size, run.pages) for run in runs
    ]
