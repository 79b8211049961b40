# SPDX-License-Identifier: BSD-3-Clause
"""Regions: where they are placed, what backs them, how they are listed and how they go."""

from __future__ import annotations

import pytest

from tests.support.frames import without_filling
from tests.support.vmm import BLOCK_1G, BLOCK_2M, PAGE, PROPS, Region, Vmm, boundary_of, page_round

SIZES = (1, PAGE, PAGE + 1, 3 * PAGE, BLOCK_2M - PAGE, BLOCK_2M, BLOCK_2M + PAGE)


@pytest.mark.parametrize("size", SIZES)
def test_region_stands_on_the_boundary_of_its_size(kernel, vmm, space, size):
    """VA and PA on 4K or 2M by size, the length rounded up to 4K, one contiguous range of PAs."""
    va = vmm.create(space, size)
    [region] = vmm.regions(space)
    assert region == Region(va, region.pa, page_round(size), vmm.props["RW"])
    assert va % boundary_of(size) == 0
    assert region.pa % boundary_of(size) == 0
    [run] = kernel.tables(space).runs()
    assert (run.va, run.pa, run.size) == (va, region.pa, region.len)


@pytest.mark.parametrize(
    ("size", "leaves"),
    [
        (PAGE, {PAGE: 1}),
        (BLOCK_2M - PAGE, {PAGE: 511}),
        (BLOCK_2M, {BLOCK_2M: 1}),
        (BLOCK_2M + PAGE, {BLOCK_2M: 1, PAGE: 1}),
        (3 * BLOCK_2M + 3 * PAGE, {BLOCK_2M: 3, PAGE: 3}),
        (BLOCK_1G, {BLOCK_1G: 1}),
    ],
)
def test_region_is_mapped_with_the_largest_blocks_that_fit(kernel, vmm, space, large_memory, size, leaves):
    """Blocks of 1G and 2M first, pages for the rest."""
    before = vmm.books()
    va = vmm.create(space, size)
    [run] = kernel.tables(space).runs()
    assert dict(run.pages) == leaves
    vmm.destroy(space, va)
    assert vmm.books() == before


def test_region_above_1g_continues_with_smaller_blocks(boot_kernel):
    """1G + 2M + 4K: one leaf of each size, on 1G."""
    kernel = boot_kernel(ram_size=3 << 30)
    vmm = Vmm(kernel)
    space = vmm.space()
    before = vmm.books()
    with without_filling(kernel, least=BLOCK_1G):
        va = vmm.create(space, BLOCK_1G + BLOCK_2M + PAGE)
        [run] = kernel.tables(space).runs()
        assert (va % BLOCK_1G, run.pa % BLOCK_1G) == (0, 0)
        assert run.pages == ((PAGE, 1), (BLOCK_2M, 1), (BLOCK_1G, 1))
        vmm.destroy(space, va)
    assert vmm.books() == before


@pytest.mark.parametrize("size", [PAGE, 3 * PAGE, BLOCK_2M + PAGE])
@pytest.mark.parametrize("prop", ["NO_ACCESS", "RX"])
def test_region_is_zeroed(small_vmm, size, prop):
    """Also where another region has left its contents, or the allocator its poison, in the same frames."""
    vmm = small_vmm
    space = vmm.space()
    _, dirty, _ = (vmm.create(space, size) for _ in range(3))  # what lies beside it stays in use
    pa = next(region.pa for region in vmm.regions(space) if region.va == dirty)
    vmm.kernel.write(space, dirty, b"\xa5" * size)
    vmm.destroy(space, dirty)
    assert vmm.ram(pa, PAGE) != bytes(PAGE)
    again = vmm.create(space, size, prop)
    assert pa == next(region.pa for region in vmm.regions(space) if region.va == again)
    assert vmm.ram(pa, size) == bytes(size)


def test_region_is_zeroed_without_dc_zva(boot_kernel):
    """A CPU that prohibits DC ZVA (DCZID_EL0.DZP) gets its memory zeroed by stores."""
    vmm = Vmm(boot_kernel(ram_size=64 << 20, id_registers={"DCZID_EL0": 0x14}))
    space = vmm.space()
    va = vmm.create(space, 3 * PAGE)
    vmm.kernel.write(space, va, b"\xa5" * 3 * PAGE)
    vmm.destroy(space, va)
    va = vmm.create(space, 3 * PAGE)
    assert vmm.kernel.read(space, va, 3 * PAGE) == bytes(3 * PAGE)


@pytest.mark.parametrize(("dczid", "by_blocks"), [(4, True), (5, True), (6, False), (0x15, False)])
def test_memory_is_zeroed_by_blocks_of_up_to_128_bytes(boot_kernel, dczid, by_blocks):
    """By what it costs: stores of 16 bytes take more than one instruction each. DCZID_EL0.BS counts words."""
    kernel = boot_kernel(ram_size=64 << 20, id_registers={"DCZID_EL0": dczid})
    pa = kernel.frames_alloc(1, 0, kernel.FRAME_REGION)
    _, cost = kernel.function("vmm_arch_zero").counted(pa, PAGE)
    assert (cost < PAGE // 16) == by_blocks


def test_regions_fill_the_lowest_hole(vmm, space):
    """First where one has gone, if it fits; else above; with a boundary of its own."""
    low, middle, high = (vmm.create(space, 2 * PAGE) for _ in range(3))
    assert (middle, high) == (low + 2 * PAGE, low + 4 * PAGE)
    vmm.destroy(space, middle)
    assert vmm.create(space, 3 * PAGE) == high + 2 * PAGE
    assert vmm.create(space, PAGE) == middle
    assert vmm.create(space, PAGE) == middle + PAGE
    assert vmm.create(space, BLOCK_2M) == BLOCK_2M
    assert vmm.create(space, PAGE) == high + 5 * PAGE


def test_null_and_its_neighbours_are_never_chosen(vmm, space):
    """A NULL pointer with the offset of a member faults too."""
    assert vmm.create(space, PAGE) == 0x10000


def test_regions_of_address_spaces_do_not_know_of_each_other(kernel, vmm):
    """The same VA, other memory."""
    one, two = vmm.space(), vmm.space()
    va = vmm.create(one, PAGE)
    assert vmm.create(two, PAGE) == va
    kernel.write(one, va, b"one")
    assert kernel.read(two, va, 3) == bytes(3)


@pytest.mark.parametrize("size", [PAGE, 5 * PAGE, BLOCK_2M])
@pytest.mark.parametrize("prop", PROPS)
def test_translate_agrees_with_the_region(vmm, space, size, prop):
    """Whatever its property, for the first and the last byte and some between; nothing beside it."""
    va = vmm.create(space, size, prop)
    [region] = vmm.regions(space)
    for offset in (0, 1, size // 2, size - 1):
        assert vmm.translate(space, va + offset) == region.pa + offset
        assert vmm.kernel.vmm_arch_v2p(space.vas.pt, va + offset) == region.pa + offset
    for beside in (va - 1, va + size, 0, vmm.user_end, 1 << 63, (1 << 64) - 1):
        assert vmm.translate(space, beside) is None
        assert vmm.error == "EFAULT"
        if beside < 1 << 63:
            assert not vmm.kernel.vmm_arch_v2p(space.vas.pt, beside)


# -- at a chosen place --------------------------------------------------------------------------------------


def test_region_can_be_had_at_the_ends_of_the_address_space(vmm, space):
    """From the page above NULL to the last one that the hardware translates."""
    last = vmm.user_end - PAGE
    assert vmm.create(space, PAGE, at=PAGE) == PAGE
    assert vmm.create(space, PAGE, at=last) == last
    assert vmm.create(space, BLOCK_2M, at=vmm.user_end - 2 * BLOCK_2M) == vmm.user_end - 2 * BLOCK_2M
    assert [region.va for region in vmm.regions(space)] == [PAGE, vmm.user_end - 2 * BLOCK_2M, last]
    assert vmm.kernel.tables(space).lookup(last).size == PAGE


def test_neighbours_may_touch(vmm, space):
    """A region ends where the next one starts."""
    middle = 64 * BLOCK_2M
    for at in (middle, middle - PAGE, middle + PAGE):
        assert vmm.create(space, PAGE, at=at) == at


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 1), (0, 4), (-1, 2), (-1, 9), (3, 1), (3, 4), (1, 1), (-4, 5), (-512, 513)],
)
def test_occupied_va_is_refused(vmm, space, offset, size):
    """Any page of overlap, with nothing changed."""
    at = 64 * BLOCK_2M
    vmm.create(space, 4 * PAGE, at=at)
    before = vmm.books()
    wanted = at + offset * PAGE
    if size * PAGE >= BLOCK_2M:
        wanted = at - BLOCK_2M
        size = 513
    status = vmm.kernel.vmm_address_space_region_create_at(space, wanted, size * PAGE, vmm.props["RW"])
    assert (status, vmm.error) == (-vmm.kernel.EEXIST, "EEXIST")
    assert vmm.books() == before


# -- lists and counts ---------------------------------------------------------------------------------------


def test_regions_are_listed_in_order_of_va(vmm, space):
    """However they came; a region that was asked for with an address inside it is given whole."""
    places = [7 * BLOCK_2M, 3 * BLOCK_2M, 9 * BLOCK_2M, 5 * BLOCK_2M + PAGE, 5 * BLOCK_2M]
    for at, prop in zip(places, ["RW", "RO", "RX", "NO_ACCESS", "RW"], strict=True):
        vmm.create(space, PAGE, prop, at=at)
    assert [region.va for region in vmm.regions(space)] == sorted(places)
    out = vmm.kernel.new("address_space_region_t")
    assert vmm.kernel.vmm_address_space_region_next(space, 5 * BLOCK_2M + PAGE + 1, out) == 0
    assert (int(out.va), out.prop) == (5 * BLOCK_2M + PAGE, vmm.props["NO_ACCESS"])
    assert vmm.kernel.vmm_address_space_region_next(space, 9 * BLOCK_2M + PAGE, out) == -vmm.kernel.ENOENT


def test_statistics_count_what_is_there(vmm):
    """Frames by purpose, address spaces, regions; free and used make the total."""
    empty = vmm.stats()
    assert empty[2:] == (0,) * 7
    assert empty.frames_free == empty.frames_total > 0
    space = vmm.space()
    vmm.create(space, PAGE)
    vmm.create(space, 3 * PAGE, "NO_ACCESS")
    vmm.create(space, BLOCK_2M)
    now = vmm.stats()
    tables = len(vmm.kernel.tables(space).pages())
    assert now.frames_region == 1 + 3 + 512
    assert now.frames_table == tables
    assert (now.address_spaces, now.regions, now.frames_object) == (1, 3, 3)
    assert now.frames_free == empty.frames_free - 516 - tables - 3


# -- how they go --------------------------------------------------------------------------------------------


def test_tables_go_when_they_are_empty(vmm, space):
    """A table stays while anything is in it, and not a moment longer."""
    root = vmm.stats().frames_table
    first = vmm.create(space, PAGE)
    with_one = vmm.stats().frames_table
    second = vmm.create(space, PAGE)
    far = vmm.create(space, PAGE, at=vmm.user_end // 2)
    assert vmm.stats().frames_table > with_one > root
    vmm.destroy(space, far)
    assert vmm.stats().frames_table == with_one
    vmm.destroy(space, first)
    assert vmm.stats().frames_table == with_one
    assert vmm.kernel.tables(space).lookup(second)
    vmm.destroy(space, second)
    assert vmm.stats().frames_table == root == len(vmm.kernel.tables(space).pages())


@pytest.mark.parametrize("active", [False, True])
def test_no_access_regions_hold_their_tables(vmm, space, active):
    """A table is not empty because nothing in it is valid, and goes with the last that is reserved."""
    vmm.activate(space if active else None)
    before = vmm.books()
    places = [vmm.create(space, 2 * PAGE, "NO_ACCESS") for _ in range(2)]
    places += [vmm.create(space, BLOCK_2M, "NO_ACCESS")]
    vmm.destroy(space, places.pop(0))
    assert vmm.translate(space, places[0]) is not None
    for va in places:
        vmm.destroy(space, va)
    assert vmm.books() == before


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("prop", PROPS)
def test_destroyed_regions_leave_nothing(vmm, space, prop, active):
    """Pages, blocks and both, in any order: frames, tables and lists are as before."""
    vmm.activate(space if active else None)
    before = vmm.books()
    places = [vmm.create(space, size, prop) for size in (PAGE, 40 * PAGE, BLOCK_2M + PAGE, 2 * PAGE)]
    for at in (2, 0, 3, 1):
        vmm.destroy(space, places[at])
    assert vmm.books() == before


@pytest.mark.parametrize("was_active", [False, True])
def test_destroyed_address_space_leaves_nothing(vmm, was_active):
    """With regions of all kinds in it."""
    before = vmm.books()
    space = vmm.space()
    if was_active:
        vmm.activate(space)
    for prop in PROPS:
        vmm.create(space, 3 * PAGE, prop)
    vmm.create(space, BLOCK_2M + PAGE)
    vmm.create(space, PAGE, at=vmm.user_end - PAGE)
    vmm.activate(None)
    assert vmm.kernel.vmm_address_space_destroy(space) == 0
    assert vmm.books() == before


def test_region_is_destroyed_only_by_its_start(vmm, space):
    """Not by an address inside it, nor one where nothing is."""
    va = vmm.create(space, 3 * PAGE)
    before = vmm.books()
    for wrong in (va + PAGE, va + 1, va - PAGE, va + 3 * PAGE, 0, (1 << 64) - 1):
        assert vmm.kernel.vmm_address_space_region_destroy(space, wrong) == -vmm.kernel.ENOENT
        assert vmm.books() == before
