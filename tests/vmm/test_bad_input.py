# SPDX-License-Identifier: BSD-3-Clause
"""Bad input: every call says why it refuses, and has changed nothing."""

from __future__ import annotations

import pytest

from tests.support.frames import drain, without_filling
from tests.support.vmm import BLOCK_1G, BLOCK_2M, KERNEL_BASE, PAGE

RAM = 0x4000_0000
HUGE = (1 << 64) - 1


def calls(vmm, space, va):
    """Every call that takes an address space, right in all but perhaps that; each returns its result."""
    kernel, rw = vmm.kernel, vmm.props["RW"]
    out, data = kernel.new("address_space_region_t"), kernel.buffer(16)
    pointer = kernel.cast(data, "void **")
    return {
        "region_create": lambda: kernel.vmm_address_space_region_create(space, PAGE, rw),
        "region_create_at": lambda: kernel.vmm_address_space_region_create_at(space, 8 * BLOCK_2M, PAGE, rw),
        "region_destroy": lambda: kernel.vmm_address_space_region_destroy(space, va),
        "region_set_prop": lambda: kernel.vmm_address_space_region_set_prop(space, va, rw),
        "region_next": lambda: kernel.vmm_address_space_region_next(space, 0, out),
        "copy_in": lambda: kernel.vmm_address_space_copy_in(space, data, va, 16),
        "copy_out": lambda: kernel.vmm_address_space_copy_out(space, data, va, 16),
        "translate": lambda: kernel.vmm_address_space_translate(space, va, pointer),
        "activate": lambda: kernel.vmm_address_space_activate(space),
        "destroy": lambda: kernel.vmm_address_space_destroy(space),
        "id": lambda: kernel.vmm_address_space_id(space),
        "next": lambda: kernel.vmm_address_space_next(space),
    }


CALLS = [
    "region_create",
    "region_create_at",
    "region_destroy",
    "region_set_prop",
    "region_next",
    "copy_in",
    "copy_out",
    "translate",
    "activate",
    "destroy",
    "id",
    "next",
]
NULL_MEANS_SOMETHING = ("activate", "next")  # no address space; the first one

HANDLES = {
    "null": lambda vmm, space: 0,
    "one": lambda vmm, space: 1,
    "user address": lambda vmm, space: 0x10000,
    "non-canonical": lambda vmm, space: 0xDEAD_BEEF_0000_0000,
    "the last byte": lambda vmm, space: HUGE,
    "unmapped": lambda vmm, space: KERNEL_BASE + 64,
    "device": lambda vmm, space: KERNEL_BASE + 0x0900_0000,
    "kernel text": lambda vmm, space: vmm.kernel.image.symbols["vmm_init"].address,
    "free frame": lambda vmm, space: KERNEL_BASE + vmm.kernel.machine.memory.end - PAGE + 64,
    "above RAM": lambda vmm, space: KERNEL_BASE + vmm.kernel.machine.memory.end + 64,
    "inside it": lambda vmm, space: int(space) + 8,
    "unaligned": lambda vmm, space: int(space) + 1,
    "head of its frame": lambda vmm, space: int(space) & -PAGE,
    "free neighbour": lambda vmm, space: int(space) + vmm.kernel.sizeof("struct address_space"),
    "past its frame's objects": lambda vmm, space: (int(space) | PAGE - 1) - 7,
    "object of another kind": lambda vmm, space: int(space.vas.pt),
    "its root table": lambda vmm, space: int(vmm.kernel.cast(space.vas.pt, "struct uk_pagetable *").pt_vbase),
    "linear map's end": lambda vmm, space: KERNEL_BASE + (1 << 38) + 64,
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_address_space_is_refused(vmm, space, call):
    """EINVAL for NULL, for pointers to anything else in memory, and for pointers to no memory."""
    va = vmm.create(space, PAGE)
    before = vmm.books()
    for name, handle in HANDLES.items():
        if name == "null" and call in NULL_MEANS_SOMETHING:
            continue
        result = calls(vmm, handle(vmm, space), va)[call]()
        assert vmm.error == "EINVAL", name
        assert result in (None, 0, -vmm.kernel.EINVAL), name
        assert vmm.books() == before, name


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("call", CALLS)
def test_destroyed_address_space_is_refused(vmm, call, others):
    """Whether its frame went back, or stays because another address space is in it."""
    kept = [vmm.space() for _ in range(others)]
    space = vmm.space()
    va = vmm.create(space, PAGE)
    assert vmm.kernel.vmm_address_space_destroy(space) == 0
    before = vmm.books()
    result = calls(vmm, space, va)[call]()
    assert (vmm.error, result in (None, 0, -vmm.kernel.EINVAL)) == ("EINVAL", True)
    assert vmm.books() == before
    assert vmm.spaces() == kept


# -- lengths ------------------------------------------------------------------------------------------------


def lengths(vmm):
    """Lengths that cannot be had: (length, errno)."""
    return {
        "zero": (0, "EINVAL"),
        "above free memory": (BLOCK_1G + BLOCK_1G // 2, "ENOMEM"),
        "above RAM": (vmm.kernel.machine.memory.size + PAGE, "ENOMEM"),
        "all but 1G of the VA range": (vmm.user_end - BLOCK_1G, "ENOMEM"),
        "the VA range": (vmm.user_end, "ERANGE"),
        "above the VA range": (vmm.user_end + PAGE, "ERANGE"),
        "the specification's bound": (0xFFFF_FF80_0000_0000, "ERANGE"),
        "half of all": (1 << 63, "ERANGE"),
        "rounds up to 2^64": (HUGE - PAGE + 2, "ERANGE"),
        "near 2^64": (HUGE, "ERANGE"),
        "the last page": ((1 << 64) - PAGE, "ERANGE"),
    }


@pytest.mark.parametrize("where", ["chosen", "given"])
def test_impossible_lengths_are_refused(vmm, space, where):
    """At a VA of the kernel's choice or the caller's."""
    vmm.create(space, PAGE)
    before = vmm.books()
    for name, (length, expected) in lengths(vmm).items():
        if where == "chosen":
            assert not vmm.kernel.vmm_address_space_region_create(space, length, vmm.props["RW"])
        else:
            status = vmm.kernel.vmm_address_space_region_create_at(space, BLOCK_1G, length, vmm.props["RW"])
            assert status < 0
        assert vmm.error == expected, name
        assert vmm.books() == before, name


def test_no_hole_is_told_from_no_memory(vmm, space):
    """ENOSPC: with the middle of the address space taken, no half of it is left."""
    length = vmm.user_end // 2
    assert not vmm.kernel.vmm_address_space_region_create(space, length, vmm.props["RW"])
    assert vmm.error == "ENOMEM"
    vmm.create(space, PAGE, at=vmm.user_end // 2)
    before = vmm.books()
    assert not vmm.kernel.vmm_address_space_region_create(space, length, vmm.props["RW"])
    assert vmm.error == "ENOSPC"
    assert vmm.books() == before


# -- addresses and properties -------------------------------------------------------------------------------


def places(vmm):
    """VAs at which no region can be: (VA, length, errno)."""
    end = vmm.user_end
    return {
        "NULL": (0, PAGE, "EINVAL"),
        "unaligned": (BLOCK_2M + 8, PAGE, "EINVAL"),
        "one below a page": (BLOCK_2M - 1, PAGE, "EINVAL"),
        "2M on 4K": (BLOCK_2M + PAGE, BLOCK_2M, "EINVAL"),
        "2M + 4K on 4K": (BLOCK_2M + PAGE, BLOCK_2M + PAGE, "EINVAL"),
        "1G on 2M": (BLOCK_1G + BLOCK_2M, BLOCK_1G, "EINVAL"),
        "2M at NULL": (0, BLOCK_2M, "EINVAL"),
        "end of the VA range": (end, PAGE, "ERANGE"),
        "across its end": (end - PAGE, 2 * PAGE, "ERANGE"),
        "2M across its end": (end - BLOCK_2M, BLOCK_2M + PAGE, "ERANGE"),
        "twice its end": (2 * end, PAGE, "ERANGE"),
        "top byte set": (1 << 56 | BLOCK_2M, PAGE, "ERANGE"),
        "non-canonical": (1 << 63, PAGE, "ERANGE"),
        "just below the kernel": (KERNEL_BASE - PAGE, PAGE, "ERANGE"),
        "kernel half": (KERNEL_BASE, PAGE, "ERANGE"),
        "kernel image": (KERNEL_BASE + RAM + BLOCK_2M, PAGE, "ERANGE"),
        "kernel window": (0xFFFF_FFC0_0000_0000, PAGE, "ERANGE"),
        "last page": ((1 << 64) - PAGE, PAGE, "ERANGE"),
        "wraps": ((1 << 64) - PAGE, 2 * PAGE, "ERANGE"),
        "occupied": (64 * BLOCK_2M, PAGE, "EEXIST"),
        "partly occupied": (64 * BLOCK_2M - PAGE, 2 * PAGE, "EEXIST"),
    }


def test_impossible_places_are_refused(vmm, space):
    """By their alignment, their range or what is there."""
    vmm.create(space, PAGE, "NO_ACCESS", at=64 * BLOCK_2M)
    before = vmm.books()
    for name, (va, length, expected) in places(vmm).items():
        status = vmm.kernel.vmm_address_space_region_create_at(space, va, length, vmm.props["RW"])
        assert (vmm.error, status) == (expected, -getattr(vmm.kernel, expected)), name
        assert vmm.books() == before, name


@pytest.mark.parametrize("prop", [4, 5, 255, 1 << 31, (1 << 32) - 1])
def test_unknown_properties_are_refused(vmm, space, prop):
    """EINVAL, by every call that takes one."""
    va = vmm.create(space, PAGE)
    before = vmm.books()
    kernel = vmm.kernel
    assert not kernel.vmm_address_space_region_create(space, PAGE, prop)
    assert vmm.error == "EINVAL"
    assert kernel.vmm_address_space_region_create_at(space, BLOCK_2M, PAGE, prop) == -kernel.EINVAL
    assert kernel.vmm_address_space_region_set_prop(space, va, prop) == -kernel.EINVAL
    assert kernel.vmm_arch_map(space.vas.pt, prop, BLOCK_2M, RAM, PAGE) == -kernel.EINVAL
    assert kernel.vmm_arch_protect(space.vas.pt, prop, va, PAGE) == -kernel.EINVAL
    assert vmm.books() == before


@pytest.mark.parametrize("offset", [-PAGE, 1, 8, PAGE, 3 * PAGE, 1 << 40, 1 << 63, -(1 << 16)])
def test_property_changes_need_the_start_of_a_region(vmm, space, offset):
    """ENOENT inside it, beside it and far from it."""
    va = vmm.create(space, 3 * PAGE)
    before = vmm.books()
    status = vmm.kernel.vmm_address_space_region_set_prop(space, va + offset, vmm.props["RO"])
    assert (status, vmm.error) == (-vmm.kernel.ENOENT, "ENOENT")
    assert vmm.books() == before


# -- no memory ----------------------------------------------------------------------------------------------


def test_exhausted_memory_is_enomem(small_vmm):
    """With every frame taken, what needs one is refused; what needs none works on."""
    vmm, kernel = small_vmm, small_vmm.kernel
    space = vmm.space()
    va = vmm.create(space, PAGE)
    with without_filling(kernel):
        drain(kernel)
    before = vmm.books()
    assert vmm.stats().frames_free == 0
    for prop in vmm.props.values():
        assert not kernel.vmm_address_space_region_create(space, PAGE, prop)
        assert vmm.error == "ENOMEM"
        assert vmm.books() == before
    for size in (PAGE, BLOCK_2M, 5 * PAGE):
        assert kernel.vmm_address_space_region_create_at(space, 9 * BLOCK_2M, size, 2) == -kernel.ENOMEM
        assert vmm.books() == before
    vmm.set_prop(space, va, "RO")
    vmm.activate(space)
    kernel.vmm_address_space_copy_in(space, kernel.buffer(8), va, 8)
    assert vmm.error == "OK"
    vmm.activate(None)
    assert kernel.vmm_address_space_destroy(space) == 0


def test_fragmented_memory_is_enomem_for_what_must_be_contiguous(small_vmm):
    """Every second frame free: one page can be had, two cannot."""
    vmm, kernel = small_vmm, small_vmm.kernel
    space = vmm.space()
    vmm.create(space, PAGE)
    with without_filling(kernel):
        held = []
        while pa := kernel.frames_alloc(64, 6, kernel.FRAME_REGION):
            held.append(pa)
        while kernel.frames_alloc(1, 0, kernel.FRAME_REGION):
            pass
        kernel.frames_free(held[0], 64)
        singles = sorted(kernel.frames_alloc(1, 0, kernel.FRAME_REGION) for _ in range(64))
        for pa in singles[::2]:
            kernel.frames_free(pa, 1)
    before = vmm.books()
    assert not kernel.vmm_address_space_region_create(space, 2 * PAGE, vmm.props["RW"])
    assert vmm.error == "ENOMEM"
    assert vmm.books() == before
    vmm.create(space, PAGE)


@pytest.mark.parametrize(
    ("status", "name"), [(0, "OK"), (-12, "ENOMEM"), (-1, "unknown status"), (-5000, "unknown status")]
)
def test_statuses_have_names(small_kernel, status, name):
    """What nobody gives is unknown, whatever its number."""
    assert small_kernel.status_name(status).string() == name
