# SPDX-License-Identifier: BSD-3-Clause
"""The Architecture Interface by itself: vmm_arch_* as the core, or another core, would call them."""

from __future__ import annotations

import pytest

from tests.support.vmm import BLOCK_1G, BLOCK_2M, KERNEL_BASE, PAGE, PROPS

WINDOW = 0xFFFF_FFC0_0000_0000
BOOT_WINDOW = 0xFFFF_FFFF_C000_0000
PA = 0x8000_0000  # 1G-aligned; what is there does not matter to a mapping
HUGE = (1 << 64) - PAGE


@pytest.fixture
def context(space):
    """The context of a new address space."""
    return space.vas.pt


def tables(vmm):
    """All tables, to see that nothing has changed."""
    return vmm.books()


@pytest.mark.parametrize(
    ("size", "boundary"),
    [
        (0, PAGE),
        (1, PAGE),
        (BLOCK_2M - 1, PAGE),
        (BLOCK_2M, BLOCK_2M),
        (BLOCK_1G - 1, BLOCK_2M),
        (BLOCK_1G, BLOCK_1G),
        ((1 << 64) - 1, BLOCK_1G),
    ],
)
def test_boundary_goes_by_size(kernel, size, boundary):
    """4K below 2M, 2M below 1G, 1G from there."""
    assert kernel.vmm_arch_boundary(size) == boundary


def test_valid_vas_end_where_the_hardware_ends(vmm):
    """From the second page to the last that is translated; nothing empty, nothing that wraps."""
    valid, end = vmm.kernel.vmm_arch_va_valid, vmm.user_end
    for va, size in ((PAGE, 1), (PAGE, end - PAGE), (end - PAGE, PAGE), (end - 1, 1)):
        assert valid(va, size)
    for va, size in ((0, PAGE), (PAGE - 1, 2), (PAGE, 0), (PAGE, end), (end - PAGE, PAGE + 1), (end, 1)):
        assert not valid(va, size)
    for va, size in ((PAGE, (1 << 64) - 1), (1 << 63, PAGE), (HUGE, PAGE), (HUGE, 2 * PAGE)):
        assert not valid(va, size)


def test_ranges_of_memory_are_on_their_boundary(vmm):
    """vmm_arch_alloc_range() gives as many frames as were asked for, and takes them back."""
    before = vmm.stats()
    for size in (1, PAGE, 3 * PAGE + 1, BLOCK_2M, BLOCK_2M + 1):
        pa = int(vmm.kernel.vmm_arch_alloc_range(size))
        assert pa
        assert pa % vmm.kernel.vmm_arch_boundary(size) == 0
        assert vmm.stats().frames_region == -(-size // PAGE)
        vmm.kernel.vmm_arch_free_range(pa, size)
        assert vmm.stats() == before


@pytest.mark.parametrize("size", [0, 1 << 40, (1 << 64) - 1, 1 << 63])
def test_impossible_ranges_of_memory_are_refused(vmm, size):
    """NULL for nothing and for too much."""
    assert not vmm.kernel.vmm_arch_alloc_range(size)
    assert vmm.kernel.frames_check()


def test_free_ranges_fit(vmm, space):
    """vmm_arch_get_free_range() finds the lowest hole on the boundary of the length; it takes nothing."""
    for _ in range(2):
        assert int(vmm.kernel.vmm_arch_get_free_range(space.vas.pt, PAGE)) == 0x10000
        assert int(vmm.kernel.vmm_arch_get_free_range(space.vas.pt, BLOCK_2M + 1)) == BLOCK_2M
        assert int(vmm.kernel.vmm_arch_get_free_range(space.vas.pt, BLOCK_1G)) == BLOCK_1G
    for length in (0, vmm.user_end, vmm.user_end + PAGE, 1 << 63, (1 << 64) - 1):
        assert not vmm.kernel.vmm_arch_get_free_range(space.vas.pt, length)
    assert not vmm.kernel.vmm_arch_get_free_range(None, PAGE)


@pytest.mark.parametrize(
    ("va", "pa", "size", "leaves"),
    [
        (BLOCK_1G, PA, BLOCK_1G, {BLOCK_1G: 1}),
        (BLOCK_1G, PA + BLOCK_2M, BLOCK_1G, {BLOCK_2M: 512}),  # the PA is not on 1G
        (BLOCK_1G + BLOCK_2M, PA, BLOCK_2M, {BLOCK_2M: 1}),
        (BLOCK_2M, PA + PAGE, BLOCK_2M, {PAGE: 512}),  # the PA is not on 2M
        (BLOCK_2M - PAGE, PA - PAGE, BLOCK_2M + 2 * PAGE, {PAGE: 2, BLOCK_2M: 1}),
        (BLOCK_1G - PAGE, PA - PAGE, BLOCK_1G + 2 * PAGE, {PAGE: 2, BLOCK_1G: 1}),
        (BLOCK_2M + PAGE, PA, BLOCK_2M, {PAGE: 512}),
        (3 * BLOCK_2M - PAGE, PA, 2 * PAGE, {PAGE: 2}),
        (2 * BLOCK_2M + PAGE, PA, BLOCK_2M + PAGE, {PAGE: 513}),  # its ends differ in one bit
    ],
)
@pytest.mark.parametrize("prop", ["RW", "NO_ACCESS"])
def test_map_takes_the_largest_blocks_both_addresses_allow(vmm, context, space, va, pa, size, leaves, prop):
    """And unmap, by the same range, takes all of it back."""
    kernel, before = vmm.kernel, tables(vmm)
    assert kernel.vmm_arch_map(context, vmm.props[prop], va, pa, size) == 0
    for offset in (0, PAGE - 1, size // 2, size - 1):
        assert kernel.vmm_arch_v2p(context, va + offset) == pa + offset
    assert not kernel.vmm_arch_v2p(context, va - 1)
    assert not kernel.vmm_arch_v2p(context, va + size)
    assert kernel.vmm_arch_protect(context, vmm.props["RW"], va, size) == 0
    [run] = kernel.tables(space).runs()
    assert (run.va, run.pa, run.size, dict(run.pages)) == (va, pa, size, leaves)
    assert kernel.vmm_arch_unmap(context, va, size) == 0
    assert tables(vmm) == before


def bad_ranges(vmm, kernel_half):
    """Ranges that a context does not translate, or that are none."""
    low, high = (WINDOW, BOOT_WINDOW) if kernel_half else (PAGE, vmm.user_end)
    return [
        (low, 0, "EINVAL"),
        (low + 8, PAGE, "EINVAL"),
        (low, PAGE + 1, "EINVAL"),
        (low - PAGE, PAGE, "ERANGE"),
        (high, PAGE, "ERANGE"),
        (high - PAGE, 2 * PAGE, "ERANGE"),
        (low, HUGE, "ERANGE"),
        (HUGE, PAGE, "ERANGE"),
        (HUGE, 2 * PAGE, "ERANGE"),
        (PAGE if kernel_half else WINDOW, PAGE, "ERANGE"),
    ]


@pytest.mark.parametrize("half", ["user", "kernel"])
def test_ranges_outside_the_context_are_refused(vmm, context, half):
    """By map, unmap and protect alike, with nothing changed."""
    kernel, prop = vmm.kernel, vmm.props["RX"]  # the last that there is
    target = context if half == "user" else None
    before = tables(vmm)
    for va, size, expected in bad_ranges(vmm, half == "kernel"):
        status = -getattr(kernel, expected)
        assert kernel.vmm_arch_map(target, prop, va, PA, size) == status, (hex(va), hex(size))
        assert kernel.vmm_arch_unmap(target, va, size) == status, (hex(va), hex(size))
        assert kernel.vmm_arch_protect(target, prop, va, size) == status, (hex(va), hex(size))
    assert tables(vmm) == before


@pytest.mark.parametrize("half", ["user", "kernel"])
def test_a_whole_half_is_a_range(vmm, context, half):
    """The longest there is: unmapped and protected, and mapped where that takes no more than a table."""
    kernel, before = vmm.kernel, tables(vmm)
    target, low, high = (context, PAGE, vmm.user_end) if half == "user" else (None, WINDOW, BOOT_WINDOW)
    size = high - low
    where = context if half == "user" else kernel.vmm_arch_kernel_context()
    assert kernel.vmm_arch_range_valid(where, low, size)
    assert not kernel.vmm_arch_range_valid(where, low, size + 1)
    assert not kernel.vmm_arch_range_valid(where, low - 1, size)
    assert [kernel.vmm_arch_va_valid(low, each) for each in (size, size + 1)] == [half == "user", False]
    if half == "kernel":
        assert kernel.vmm_arch_map(target, vmm.props["RO"], low, 1 << 40, size) == 0
    assert kernel.vmm_arch_protect(target, vmm.props["RW"], low, size) == 0
    assert kernel.vmm_arch_unmap(target, low, size) == 0
    assert tables(vmm) == before


def test_much_code_is_invalidated_at_once(kernel):
    """64 pages are the most that goes line by line."""
    sync = kernel.function("vmm_arch_sync_code")
    less, most, more = (sync.counted(PA, pages * PAGE)[1] for pages in (63, 64, 65))
    assert more < less < most


@pytest.mark.parametrize("half", ["user", "kernel"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_the_first_and_the_last_page_of_a_half_are_like_any(vmm, context, half, end):
    """Mapped with the last property there is, changed to it, and unmapped."""
    kernel, last = vmm.kernel, vmm.props["RX"]
    target = context if half == "user" else None
    low, high = (PAGE, vmm.user_end) if half == "user" else (WINDOW, BOOT_WINDOW)
    va, before = low if end == "low" else high - PAGE, tables(vmm)
    kernel.vmm_arch_sync_code(PA, PAGE)
    assert kernel.vmm_arch_map(target, last, va, PA, PAGE) == 0
    assert kernel.vmm_arch_v2p(target, va + PAGE - 1) == PA + PAGE - 1
    for prop in (vmm.props["RW"], last):
        assert kernel.vmm_arch_protect(target, prop, va, PAGE) == 0
    assert kernel.vmm_arch_unmap(target, va, PAGE) == 0
    assert tables(vmm) == before


@pytest.mark.parametrize(
    ("pa", "size", "expected"),
    [
        (PA + 1, PAGE, "EINVAL"),
        (PA + 8, PAGE, "EINVAL"),
        (1 << 48, PAGE, "ERANGE"),
        ((1 << 48) - PAGE, 2 * PAGE, "ERANGE"),
        (HUGE, PAGE, "ERANGE"),
    ],
)
def test_physical_addresses_that_no_descriptor_holds_are_refused(vmm, context, pa, size, expected):
    """Unaligned, or above 48 bits."""
    before = tables(vmm)
    status = vmm.kernel.vmm_arch_map(context, vmm.props["RW"], BLOCK_2M, pa, size)
    assert status == -getattr(vmm.kernel, expected)
    assert tables(vmm) == before


@pytest.mark.parametrize("size", [PAGE, BLOCK_2M])
def test_the_last_memory_that_a_descriptor_holds_is_mapped(vmm, context, size):
    """Up to 48 bits."""
    pa = (1 << 48) - size
    assert vmm.kernel.vmm_arch_map(context, vmm.props["RW"], BLOCK_2M, pa, size) == 0
    assert vmm.kernel.vmm_arch_v2p(context, BLOCK_2M + size - 1) == (1 << 48) - 1


@pytest.mark.parametrize("there", ["RW", "NO_ACCESS"])
@pytest.mark.parametrize(
    ("va", "size"), [(0, PAGE), (-PAGE, 2 * PAGE), (0, BLOCK_2M), (-BLOCK_2M, 2 * BLOCK_2M)]
)
@pytest.mark.parametrize("block", [False, True])
def test_map_over_anything_is_refused(vmm, context, there, va, size, block):
    """EEXIST whether it is valid or reserved, page or block, and nothing of the rest is mapped."""
    kernel, rw = vmm.kernel, vmm.props["RW"]
    at = BLOCK_1G + 4 * BLOCK_2M
    assert kernel.vmm_arch_map(context, vmm.props[there], at, PA, BLOCK_2M if block else PAGE) == 0
    before = tables(vmm)
    assert kernel.vmm_arch_map(context, rw, at + va, PA + BLOCK_1G, size) == -kernel.EEXIST
    assert tables(vmm) == before


@pytest.mark.parametrize("prop", ["RW", "NO_ACCESS"])
@pytest.mark.parametrize(
    ("offset", "size"), [(0, PAGE), (PAGE, BLOCK_2M - PAGE), (PAGE, PAGE), (-PAGE, 2 * PAGE)]
)
def test_a_block_that_is_cut_becomes_smaller_pages(vmm, context, space, prop, offset, size):
    """What is beside the range keeps its address and rights; of the range nothing stays."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    assert kernel.vmm_arch_map(context, vmm.props[prop], at, PA, BLOCK_2M) == 0
    assert kernel.vmm_arch_map(context, vmm.props[prop], at - PAGE, PA - PAGE, PAGE) == 0
    gone = range(at + offset, at + offset + size, PAGE)
    assert kernel.vmm_arch_unmap(context, at + offset, size) == 0
    for va in range(at - PAGE, at + BLOCK_2M, PAGE):
        expected = 0 if va in gone else PA + va - at
        assert kernel.vmm_arch_v2p(context, va) == expected
    leaves = list(kernel.tables(space).leaves(at, at + BLOCK_2M))
    assert all(leaf.prot == "rw-" for leaf in leaves)
    assert (len(leaves) > 0) == (prop == "RW")


def test_protecting_part_of_a_block_changes_that_part(vmm, context, space):
    """512 pages, one of them read-only, all where the block had them."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    assert kernel.vmm_arch_map(context, vmm.props["RW"], at, PA, BLOCK_2M) == 0
    assert kernel.vmm_arch_protect(context, vmm.props["RO"], at + 7 * PAGE, PAGE) == 0
    leaves = list(kernel.tables(space).leaves(at, at + BLOCK_2M))
    assert [leaf.pa for leaf in leaves] == list(range(PA, PA + BLOCK_2M, PAGE))
    assert [leaf.prot for leaf in leaves] == ["rw-"] * 7 + ["r--"] + ["rw-"] * 504


def test_protect_leaves_holes_alone(vmm, context, space):
    """Only what is mapped changes; nothing appears in a hole."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    for page in (0, 1, 3):
        assert kernel.vmm_arch_map(context, vmm.props["RW"], at + page * PAGE, PA, PAGE) == 0
    assert kernel.vmm_arch_protect(context, vmm.props["RO"], at + PAGE, 100 * PAGE) == 0
    leaves = [(leaf.va, leaf.prot) for leaf in kernel.tables(space).leaves()]
    assert leaves == [(at, "rw-"), (at + PAGE, "r--"), (at + 3 * PAGE, "r--")]


def test_unmap_leaves_holes_alone(vmm, context, space):
    """What is not mapped in the range does not matter; what is beside it stays."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    empty = tables(vmm)
    for page in (0, 2, 700):
        assert kernel.vmm_arch_map(context, vmm.props["RW"], at + page * PAGE, PA, PAGE) == 0
    assert kernel.vmm_arch_unmap(context, at + PAGE, 600 * PAGE) == 0
    assert [leaf.va for leaf in kernel.tables(space).leaves()] == [at, at + 700 * PAGE]
    assert kernel.vmm_arch_unmap(context, PAGE, vmm.user_end - PAGE) == 0
    assert tables(vmm) == empty


@pytest.mark.parametrize("prop", PROPS)
def test_kernel_areas_are_the_kernels_only(vmm, prop):
    """In its own half a property gives EL1 those rights, global and without any for EL0."""
    kernel, pa = vmm.kernel, int(vmm.kernel.vmm_arch_alloc_range(PAGE))
    before = tables(vmm)
    assert kernel.vmm_arch_map(None, vmm.props[prop], WINDOW, pa, PAGE) == 0
    assert kernel.vmm_arch_v2p(None, WINDOW + 5) == pa + 5
    leaf = kernel.tables().lookup(WINDOW)
    expected = {"NO_ACCESS": None, "RO": "r--", "RW": "rw-", "RX": "r-x"}[prop]
    if expected is None:
        assert leaf is None
    else:
        assert (str(leaf.permissions.el1), str(leaf.permissions.el0)[:2]) == (expected, "--")
        assert (leaf.descriptor.ng, leaf.descriptor.uxn) == (False, True)
        allowed = [kernel.machine.translate(WINDOW, 1, access).pa is not None for access in "rw"]
        assert [*allowed, kernel.machine.can_execute(WINDOW, 1)] == [letter != "-" for letter in expected]
        assert kernel.machine.translate(WINDOW, 0).pa is None
    assert kernel.vmm_arch_unmap(None, WINDOW, PAGE) == 0
    assert tables(vmm) == before


def test_context_by_itself(vmm):
    """Created, mapped into and destroyed without the core: frames and ASID are back."""
    kernel, before = vmm.kernel, vmm.stats()
    made = kernel.vmm_arch_context_create(None)
    assert made
    assert not kernel.vmm_arch_is_active(made)
    assert kernel.vmm_arch_map(made, vmm.props["RW"], BLOCK_2M - PAGE, PA, 2 * PAGE) == 0
    kernel.vmm_arch_activate(made)
    assert kernel.vmm_arch_is_active(made)
    assert kernel.machine.translate(BLOCK_2M, 0, "w").pa == PA + PAGE
    kernel.vmm_arch_activate(None)
    assert not kernel.vmm_arch_is_active(made)
    kernel.vmm_arch_context_destroy(made)
    assert vmm.stats() == before


def test_kernel_memory_is_known(kernel):
    """vmm_arch_kernel_access() knows what may be read, and what written."""
    symbols = kernel.image.symbols
    data, text, constant = (symbols[name].address for name in ("kernel_root", "vectors", "arch_user_probe"))
    ram = 0xFFFF_FF80_0000_0000 + kernel.machine.memory.base
    for write in (False, True):
        assert kernel.vmm_arch_kernel_access(data, PAGE, write)
        assert kernel.vmm_arch_kernel_access(ram, kernel.machine.memory.size >> 10, write)
        assert kernel.vmm_arch_kernel_access(ram + kernel.machine.memory.size - 8, 8, write)
        assert not kernel.vmm_arch_kernel_access(ram + kernel.machine.memory.size - 8, 9, write)
        assert kernel.vmm_arch_kernel_access(text, 64, write) != write
        assert kernel.vmm_arch_kernel_access(constant, 8, write) != write
        assert not kernel.vmm_arch_kernel_access(data, 0, write)
        assert not kernel.vmm_arch_kernel_access(ram, kernel.machine.memory.size + 1, write)


def test_a_context_without_an_address_space_has_no_free_ranges(vmm):
    """Who has what in it is not known."""
    made = vmm.kernel.vmm_arch_context_create(None)
    assert not vmm.kernel.vmm_arch_get_free_range(made, PAGE)
    vmm.kernel.vmm_arch_context_destroy(made)


@pytest.mark.parametrize("va", [BLOCK_2M, 0, HUGE])
@pytest.mark.parametrize(("prop", "pa"), [(4, PA), ((1 << 32) - 1, PA), (2, PA + 8), (4, PA + 8)])
def test_no_property_and_no_page_are_told_first(vmm, context, va, prop, pa):
    """Whatever else is wrong: EINVAL, and nothing has changed."""
    before = tables(vmm)
    assert vmm.kernel.vmm_arch_map(context, prop, va, pa, PAGE) == -vmm.kernel.EINVAL
    assert tables(vmm) == before


def test_addresses_of_the_other_half_have_no_memory(vmm, context):
    """Nor has anything between the halves."""
    kernel, space_va = vmm.kernel, BLOCK_2M
    assert kernel.vmm_arch_map(context, vmm.props["RW"], space_va, PA, PAGE) == 0
    text = kernel.function("vmm_arch_v2p").address
    assert kernel.vmm_arch_v2p(context, space_va) == PA
    assert kernel.vmm_arch_v2p(None, text)
    for va in (text, vmm.user_end, vmm.user_end + space_va, HUGE):
        assert not kernel.vmm_arch_v2p(context, va)
    for va in (space_va, 0, vmm.user_end, text - KERNEL_BASE, KERNEL_BASE - PAGE):
        assert not kernel.vmm_arch_v2p(None, va)


@pytest.mark.parametrize("half", ["user", "kernel"])
def test_ranges_are_valid_in_their_half(vmm, context, half):
    """From the first page that can be mapped to the last; nothing empty, nothing that wraps."""
    target = context if half == "user" else vmm.kernel.variable("kernel_context")
    low, high = (PAGE, vmm.user_end) if half == "user" else (WINDOW, BOOT_WINDOW)
    valid = vmm.kernel.vmm_arch_range_valid
    for va, size in ((low, PAGE), (low, high - low), (high - PAGE, PAGE)):
        assert valid(target, va, size)
    for va, size in ((low, 0), (low - PAGE, PAGE), (low, high - low + 1), (high, PAGE), (low, HUGE)):
        assert not valid(target, va, size)


def test_what_is_not_to_be_accessed_may_be_told_so_again(vmm, context, space):
    """NO_ACCESS over NO_ACCESS: entries stay as they are, to the bit."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    assert kernel.vmm_arch_map(context, vmm.props["NO_ACCESS"], at, PA, 3 * PAGE) == 0
    assert kernel.vmm_arch_map(context, vmm.props["NO_ACCESS"], at + BLOCK_2M, PA, BLOCK_2M) == 0
    before = tables(vmm)
    assert kernel.vmm_arch_protect(context, vmm.props["NO_ACCESS"], at, 2 * BLOCK_2M) == 0
    assert tables(vmm) == before
    assert kernel.vmm_arch_protect(context, vmm.props["RW"], at, 2 * BLOCK_2M) == 0
    assert [leaf.pa for leaf in kernel.tables(space).leaves()] == [PA, PA + PAGE, PA + 2 * PAGE, PA]


@pytest.mark.parametrize("pages", [(), (7,), range(1, 512), range(512)], ids=["none", "one", "511", "unlike"])
def test_pages_that_are_no_block_are_not_joined(vmm, context, pages):
    """A table is missing, not full, or one of its pages has other rights: ENOENT, and nothing changes."""
    kernel, at = vmm.kernel, 8 * BLOCK_2M
    for page in pages:
        assert kernel.vmm_arch_map(context, vmm.props["RW"], at + page * PAGE, PA + page * PAGE, PAGE) == 0
    if len(pages) == 512:
        assert kernel.vmm_arch_protect(context, vmm.props["RO"], at + 9 * PAGE, PAGE) == 0
    before = tables(vmm)
    assert kernel.vmm_arch_pages_join(context, at, PA, None) == -kernel.ENOENT
    assert tables(vmm) == before


def test_only_pages_get_a_reference_more(vmm, context):
    """Of what has another purpose, or no record, the entry alone is copied; none may be written any more."""
    kernel, at, copy = vmm.kernel, 8 * BLOCK_2M, vmm.space()
    own, other = (kernel.frames_alloc(1, 0, purpose) for purpose in (kernel.FRAME_PAGE, kernel.FRAME_OBJECT))
    pages = [other, 0x0900_0000, own]
    for page, pa in enumerate(pages):
        assert kernel.vmm_arch_map(context, vmm.props["RW"], at + page * PAGE, pa, PAGE) == 0
    used = [kernel.frame_of(pa)[0].used for pa in (own, other)]
    assert kernel.vmm_arch_pages_share(copy.vas.pt, context, at, len(pages) * PAGE, True) == 0
    assert [(leaf.pa, leaf.prot) for leaf in kernel.tables(copy).leaves()] == [(pa, "r--") for pa in pages]
    assert [kernel.frame_of(pa)[0].used for pa in (own, other)] == [used[0] + 1, used[1]]
