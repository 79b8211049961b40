# SPDX-License-Identifier: BSD-3-Clause
"""copy_in and copy_out: into and out of any region, all or nothing, and coherent with instruction fetch."""

from __future__ import annotations

import random

import pytest

from tests.support.trace import tracing
from tests.support.vmm import BLOCK_2M, KERNEL_BASE, PAGE, PROPS

LINE = 64  # of the emulated caches, by CTR_EL0


@pytest.fixture
def three(vmm, space):
    """Three regions side by side with different properties, a hole of a page, and one more. The first VA."""
    base = 16 * BLOCK_2M
    for page, size, prop in ((0, 2, "RW"), (2, 1, "RX"), (3, 2, "NO_ACCESS"), (6, 1, "RO")):
        vmm.create(space, size * PAGE, prop, at=base + page * PAGE)
    return base


def memory_of(vmm, space):
    """The contents of all regions, by their PAs."""
    return [vmm.ram(region.pa, region.len) for region in vmm.regions(space)]


@pytest.mark.parametrize("prop", PROPS)
@pytest.mark.parametrize("size", [PAGE, BLOCK_2M + PAGE])
def test_any_property_can_be_copied_to_and_from(kernel, vmm, space, prop, size):
    """What the user may not do, the kernel can: a loader fills text."""
    va = vmm.create(space, size, prop)
    data = random.Random(0).randbytes(5000)
    offset, length = (size - 5000, 5000) if size > PAGE else (100, 3000)
    kernel.vmm_address_space_copy_in(space, kernel.buffer(data), va + offset, length)
    assert vmm.error == "OK"
    pa = vmm.regions(space)[0].pa
    assert vmm.ram(pa + offset, length) == data[:length]
    assert vmm.ram(pa, offset) == bytes(offset)
    back = kernel.buffer(length)
    assert kernel.vmm_address_space_copy_out(space, back, va + offset, length) == 0
    assert kernel.read(None, back, length) == data[:length]


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (1, 2 * PAGE), (PAGE - 1, 2), (2 * PAGE - 3, PAGE + 6), (0, 5 * PAGE), (4999, 12345)],
)
def test_copies_go_across_regions_that_touch(kernel, vmm, space, three, start, length):
    """Any offset and length within what is covered without a hole; nothing beside it changes."""
    data = random.Random(start).randbytes(length)
    expected = bytearray(b"".join(memory_of(vmm, space)))
    expected[start : start + length] = data
    kernel.vmm_address_space_copy_in(space, kernel.buffer(data), three + start, length)
    assert vmm.error == "OK"
    assert b"".join(memory_of(vmm, space)) == expected
    back = kernel.buffer(length + 2)
    assert kernel.vmm_address_space_copy_out(space, back + 1, three + start, length) == 0
    assert kernel.read(None, back, length + 2) == b"\0" + data + b"\0"


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (5 * PAGE - 1, 2),  # into the hole
        (0, 7 * PAGE),  # across it
        (5 * PAGE, 1),  # in it
        (6 * PAGE - 1, 2),  # out of it
        (6 * PAGE, PAGE + 1),  # past the last region
        (7 * PAGE, 1),
        (-1, 2),
        (-16 * BLOCK_2M, 1),  # NULL
        (0, 1 << 40),
        (0, (1 << 64) - 1),
        (6 * PAGE, (1 << 64) - PAGE),
    ],
)
def test_copies_that_leave_the_regions_change_nothing(kernel, vmm, space, three, start, length):
    """EFAULT, although a part of the destination is there."""
    source = kernel.buffer(b"\xcc" * (8 * PAGE))
    before, contents = vmm.books(), memory_of(vmm, space)
    kernel.vmm_address_space_copy_in(space, source, three + start, length)
    assert vmm.error == "EFAULT"
    assert (vmm.books(), memory_of(vmm, space)) == (before, contents)
    assert kernel.vmm_address_space_copy_out(space, source, three + start, length) == -kernel.EFAULT
    assert kernel.read(None, source, 8 * PAGE) == b"\xcc" * (8 * PAGE)


def bad_pointers(kernel, vmm, space, va):
    """Pointers that are no memory of the kernel, by name: (address, length)."""
    vmm.activate(space)
    end = kernel.machine.memory.end + KERNEL_BASE
    return {
        "NULL": (0, 8),
        "user": (va, 8),
        "non-canonical": (0x0080_0000_0000_0000, 8),
        "below the kernel": (KERNEL_BASE - 8, 16),
        "unmapped": (KERNEL_BASE, 8),
        "guard page": (kernel.image.symbols["stack_guard"].address, 8),
        "into the guard page": (kernel.image.symbols["stack_guard"].address + PAGE - 1, 8),
        "device": (KERNEL_BASE + 0x0900_0000, 4),
        "end of RAM": (end, 8),
        "across the end of RAM": (end - 4, 16),
        "kernel window": (0xFFFF_FFC0_0000_0000, 8),
        "boot window": (0xFFFF_FFFF_C000_0000, 8),
        "last byte": ((1 << 64) - 1, 1),
        "wraps": ((1 << 64) - PAGE, 2 * PAGE),
        "wraps from RAM": (end - PAGE, (1 << 64) - 1),
    }


BAD = [
    "NULL",
    "user",
    "non-canonical",
    "below the kernel",
    "unmapped",
    "guard page",
    "into the guard page",
    "device",
    "end of RAM",
    "across the end of RAM",
    "kernel window",
    "boot window",
    "last byte",
    "wraps",
    "wraps from RAM",
]


@pytest.mark.parametrize("name", BAD)
def test_bad_kernel_pointers_are_refused(kernel, vmm, space, name):
    """EFAULT instead of a fault in the kernel."""
    va = vmm.create(space, 4 * PAGE)
    pointer, length = bad_pointers(kernel, vmm, space, va)[name]
    before, contents = vmm.books(), memory_of(vmm, space)
    kernel.vmm_address_space_copy_in(space, pointer, va, length)
    assert vmm.error == "EFAULT"
    assert kernel.vmm_address_space_copy_out(space, pointer, va, length) == -kernel.EFAULT
    assert (vmm.books(), memory_of(vmm, space)) == (before, contents)


@pytest.mark.parametrize("symbol", ["arch_user_probe", "vectors"])
def test_read_only_memory_of_the_kernel_is_a_source_only(kernel, vmm, space, symbol):
    """Constants can be copied in; nothing is ever copied out over them."""
    va = vmm.create(space, PAGE)
    pointer = kernel.image.symbols[symbol].address
    content = kernel.read(None, pointer, 24)
    kernel.vmm_address_space_copy_in(space, pointer, va, 24)
    assert vmm.error == "OK"
    assert kernel.read(space, va, 24) == content
    assert kernel.vmm_address_space_copy_out(space, pointer, va + 64, 24) == -kernel.EFAULT
    assert kernel.read(None, pointer, 24) == content


def test_out_parameters_are_checked_too(kernel, vmm, space):
    """A bad pointer for a result is EFAULT, and the call has done nothing."""
    va = vmm.create(space, PAGE)
    bad = bad_pointers(kernel, vmm, space, va)
    del bad["wraps from RAM"]  # only its length is bad
    for name, (pointer, _) in bad.items():
        assert kernel.vmm_stats(pointer) == -kernel.EFAULT, name
        assert kernel.vmm_address_space_region_next(space, 0, pointer) == -kernel.EFAULT, name
        assert kernel.vmm_address_space_translate(space, va, pointer) == -kernel.EFAULT, name
    assert kernel.vmm_stats(kernel.image.symbols["arch_user_probe"].address) == -kernel.EFAULT


def test_copy_of_nothing_is_refused(kernel, vmm, space):
    """Length 0 is a mistake of the caller: EINVAL."""
    va = vmm.create(space, PAGE)
    kernel.vmm_address_space_copy_in(space, kernel.buffer(8), va, 0)
    assert vmm.error == "EINVAL"
    assert kernel.vmm_address_space_copy_out(space, kernel.buffer(8), va, 0) == -kernel.EINVAL


# -- instructions -------------------------------------------------------------------------------------------


def lines(pa, length):
    """The cache lines, by their addresses in the linear map, that [pa, pa + length) touches."""
    return list(range(KERNEL_BASE + pa & -LINE, KERNEL_BASE + pa + length, LINE))


def test_code_is_coherent_after_a_copy(small_vmm):
    """Each line: DC CVAU, then DSB, then IC IVAU, then DSB and ISB, as Arm DDI 0487 B2.7.4.2 has it."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    va = small_vmm.create(space, PAGE, "RX")
    pa = small_vmm.regions(space)[0].pa
    with tracing(kernel) as trace:
        kernel.vmm_address_space_copy_in(space, kernel.buffer(300), va + 60, 300)
    touched = [line - KERNEL_BASE for line in lines(pa + 60, 300)]
    count = len(touched)
    assert trace.script == ["dc cvau"] * count + ["dsb ish"] + ["ic ivau"] * count + ["dsb ish", "isb"]
    for name in ("dc cvau", "ic ivau"):
        assert [(e.operand & -LINE) - KERNEL_BASE for e in trace.named(name)] == touched


@pytest.mark.parametrize("prop", ["NO_ACCESS", "RO", "RW"])
def test_data_costs_no_cache_maintenance(small_vmm, prop):
    """Nor do copies out of code."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    va, code = small_vmm.create(space, PAGE, prop), small_vmm.create(space, PAGE, "RX")
    with tracing(kernel) as trace:
        kernel.vmm_address_space_copy_in(space, kernel.buffer(300), va, 300)
        kernel.vmm_address_space_copy_out(space, kernel.buffer(300), va, 300)
        kernel.vmm_address_space_copy_out(space, kernel.buffer(300), code, 300)
    assert trace.script == []


def test_what_was_data_is_coherent_before_it_becomes_code(small_vmm):
    """Every line of the region, before the first entry allows execution."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    va = small_vmm.create(space, PAGE, "RW")
    pa = small_vmm.regions(space)[0].pa
    with tracing(kernel) as trace:
        small_vmm.set_prop(space, va, "RX")
    assert [event.operand for event in trace.named("ic ivau")] == lines(pa, PAGE)
    assert [event.operand for event in trace.named("dc cvau")] == lines(pa, PAGE)
    names = [event.name for event in trace.events]
    changed = [number for number, event in enumerate(trace.events) if event.stores]
    assert changed
    assert min(changed) > names.index("isb") > len(names) - names[::-1].index("ic ivau") - 1


def test_new_code_region_holds_no_stale_instructions(small_vmm):
    """Its zeros have been made visible to fetches before it is mapped."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    with tracing(kernel) as trace:
        small_vmm.create(space, PAGE, "RX")
    pa = small_vmm.regions(space)[0].pa
    assert [event.operand for event in trace.named("ic ivau")] == lines(pa, PAGE)
    assert trace.script[-4:] == ["dsb ishst", "make 1", "dsb ishst", "isb"]


def test_large_code_is_invalidated_at_once(small_vmm):
    """Beyond 64 pages one IC IALLUIS is the shorter way."""
    kernel, space = small_vmm.kernel, small_vmm.space()
    with tracing(kernel) as trace:
        small_vmm.create(space, 65 * PAGE, "RX")
    assert len(trace.named("ic ialluis")) == 1
    assert not trace.named("ic ivau")
    assert len(trace.named("dc cvau")) == 65 * PAGE // LINE


@pytest.mark.parametrize(
    ("ctr", "cleans", "invalidates"),
    [
        (0x8444_C004, 5, {"ic ivau": 5}),  # the A72's own
        (0x9444_C004, 0, {"ic ivau": 5}),  # IDC
        (0xA444_C004, 5, {}),  # DIC
        (0xB444_C004, 0, {}),  # both
        (0x8444_8004, 5, {"ic ialluis": 1}),  # VIPT: not by address
        (0x8445_C003, 3, {"ic ivau": 9}),  # 128 bytes of data, 32 of instructions
    ],
)
def test_cache_maintenance_is_what_the_cpu_asks_for(boot_kernel, ctr, cleans, invalidates):
    """CTR_EL0 tells line sizes, what can be left out, and what kind of instruction cache there is."""
    from tests.support.vmm import Vmm

    vmm = Vmm(boot_kernel(ram_size=64 << 20, id_registers={"CTR_EL0": ctr}))
    kernel, space = vmm.kernel, vmm.space()
    va = vmm.create(space, PAGE, "RX")
    with tracing(kernel) as trace:
        kernel.vmm_address_space_copy_in(space, kernel.buffer(264), va + 8, 264)
    assert len(trace.named("dc cvau")) == cleans
    found = {name: len(trace.named(name)) for name in ("ic ivau", "ic ialluis")}
    assert {name: count for name, count in found.items() if count} == invalidates
    assert len(trace.named("dsb ish")) == (2 if invalidates else 1)
    assert trace.script[-1] == "isb"
