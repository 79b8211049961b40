# SPDX-License-Identifier: BSD-3-Clause
"""Where a VMA is put, what is merged and split, and what is in the way."""

from __future__ import annotations

import pytest

from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import (
    ANY,
    HUGE,
    KERNEL_WINDOW,
    KERNEL_WINDOW_END,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_1G,
    SIZE_2M,
    SIZE_4K,
    STRICT,
    UNINITIALIZED,
    USER_BASE,
    R,
)

# -- placement ----------------------------------------------------------------------------------------------


def test_first_hole_from_the_base_on_is_taken(vas):
    """What is below the base is not looked at; the lowest hole that is large enough wins."""
    assert vas.map("rsvd", PAGE, NONE, at=32 * PAGE) == 32 * PAGE
    first = [vas.map("anon", 2 * PAGE, R if each % 2 else RW) for each in range(4)]
    assert first == [USER_BASE + each * 2 * PAGE for each in range(4)]
    vas.unmap(first[1], 2 * PAGE)
    assert vas.map("anon", 3 * PAGE) == first[3] + 2 * PAGE
    assert vas.map("anon", PAGE) == first[1]
    assert vas.map("anon", PAGE) == first[1] + PAGE


def test_base_can_be_chosen(vas):
    """vma_base is the VAS's own; fixed addresses do not care."""
    vas.vas.vma_base = 0x40_0000
    assert vas.map("anon", PAGE) == 0x40_0000
    assert vas.map("anon", PAGE, at=0x20_0000) == 0x20_0000


@pytest.mark.parametrize(("flags", "size"), [(0, PAGE), (SIZE_4K, PAGE), (SIZE_2M, LARGE), (SIZE_1G, HUGE)])
def test_hole_is_aligned_to_the_page_size(either_vas, flags, size):
    """The page size asked for; 4K without a wish."""
    vas = either_vas
    vas.map("anon", PAGE)
    assert vas.map("anon", size, flags=flags) == vas.base + size


def test_kernel_areas_lie_in_the_kernel_window(kernel_vas):
    """Above the map of RAM; nothing of it can be asked for."""
    assert kernel_vas.map("anon", PAGE) == KERNEL_WINDOW
    for at in (KERNEL_BASE, KERNEL_WINDOW - PAGE, KERNEL_WINDOW_END, USER_BASE):
        assert kernel_vas.do_map("anon", PAGE, at=at)[0] == "EINVAL"


def test_nothing_is_placed_beyond_what_hardware_translates(either_vas):
    """The last page can be had by address; then there is no hole above it."""
    vas = either_vas
    last = vas.end - PAGE
    assert vas.do_map("anon", 2 * PAGE, at=last)[0] == "EINVAL"
    assert vas.map("anon", PAGE, at=last) == last
    assert vas.store(last, 1)
    vas.vas.vma_base = last
    assert vas.do_map("anon", PAGE) == ("ENOMEM", ANY)
    vas.vas.vma_base = last - PAGE
    assert vas.do_map("anon", 2 * PAGE)[0] == "ENOMEM"
    assert vas.map("anon", PAGE) == last - PAGE
    assert len(vas.vmas()) == 1


def test_whole_range_can_be_reserved_and_then_holds_no_more(either_vas):
    """All addresses from the base to the end in one VMA."""
    vas = either_vas
    assert vas.map("rsvd", vas.end - vas.base, NONE) == vas.base
    assert vas.do_map("anon", PAGE)[0] == "ENOMEM"


def test_occupied_address_is_refused(vas):
    """EEXIST for any overlap; the neighbours are free."""
    va = vas.map("anon", 2 * PAGE, at=USER_BASE + 2 * PAGE)
    before = vas.books()
    for at, size in [(va, 1), (va + PAGE, 1), (va - PAGE, 2), (va + PAGE, 2), (va - PAGE, 4)]:
        assert vas.do_map("anon", size * PAGE, R, at=at)[0] == "EEXIST"
    assert vas.books() == before
    vas.map("anon", PAGE, R, at=va - PAGE)
    vas.map("anon", PAGE, R, at=va + 2 * PAGE)


# -- replace ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "pages", "left"),
    [
        (0, 4, []),
        (0, 1, [(1, 4)]),
        (3, 1, [(0, 3)]),
        (1, 2, [(0, 1), (3, 4)]),
        (-1, 6, []),
        (-1, 2, [(1, 4)]),
        (3, 2, [(0, 3)]),
    ],
)
def test_replace_cuts_what_is_in_the_way(vas, first, pages, left):
    """In front, behind, in the middle, all of it; contents and frames of the rest stay."""
    va = vas.map("anon", 4 * PAGE, at=USER_BASE + PAGE)
    for each in range(4):
        vas.store(va + each * PAGE, each + 1)
    pages_before = vas.frames()[3]
    vas.map("rsvd", pages * PAGE, NONE, at=va + first * PAGE, flags=REPLACE)
    assert [vma[:2] for vma in vas.layout() if vma[2] == "anon"] == [
        (va + low * PAGE, va + high * PAGE) for low, high in left
    ]
    kept = [each for low, high in left for each in range(low, high)]
    assert [vas.load(va + each * PAGE) for each in kept] == [each + 1 for each in kept]
    assert vas.frames()[3] == pages_before - (4 - len(kept))


def test_replace_takes_several_vmas_and_holes(vas):
    """Whatever is in the range: cut at its ends, gone inside."""
    for page, attr in ((0, RW), (2, R), (3, RX), (6, RW)):
        vas.map(
            "anon", 2 * PAGE if page in (0, 6) else PAGE, attr, at=USER_BASE + page * PAGE, flags=POPULATE
        )
    vas.map("anon", 6 * PAGE, NONE, at=USER_BASE + PAGE, flags=REPLACE)
    assert vas.layout() == [
        (USER_BASE, USER_BASE + PAGE, "anon", RW),
        (USER_BASE + PAGE, USER_BASE + 7 * PAGE, "anon", NONE),
        (USER_BASE + 7 * PAGE, USER_BASE + 8 * PAGE, "anon", RW),
    ]
    assert vas.frames()[3] == 2


def test_replace_does_not_cut_a_large_page(vas):
    """A VMA that insists on 2M keeps whole ones: EINVAL, and nothing has changed."""
    va = vas.map("anon", 2 * LARGE, flags=SIZE_2M | POPULATE)
    vas.map("anon", PAGE, at=va - PAGE)
    before = vas.books()
    assert vas.do_map("anon", 2 * PAGE, at=va - PAGE, flags=REPLACE)[0] == "EINVAL"
    assert vas.do_map("anon", PAGE, at=va + PAGE, flags=REPLACE)[0] == "EINVAL"
    assert vas.do_map("anon", LARGE, at=va + PAGE, flags=REPLACE)[0] == "EINVAL"
    assert vas.do_map("anon", LARGE + PAGE, at=va, flags=REPLACE)[0] == "EINVAL"
    assert vas.books() == before
    vas.map("anon", LARGE + PAGE, R, at=va - PAGE, flags=REPLACE)
    assert vas.layout() == [(va - PAGE, va + LARGE, "anon", R), (va + LARGE, va + 2 * LARGE, "anon", RW)]


def test_replace_with_nothing_in_the_way_is_a_map(vas):
    """Also without an address."""
    assert vas.map("anon", PAGE, flags=REPLACE) == USER_BASE
    assert vas.map("anon", PAGE, at=USER_BASE + PAGE, flags=REPLACE) == USER_BASE + PAGE


# -- merge --------------------------------------------------------------------------------------------------


def test_neighbours_alike_are_one(vas):
    """Below, above, and both at once through the hole between."""
    va = vas.map("anon", PAGE, at=USER_BASE + PAGE)
    vas.map("anon", PAGE, at=va + PAGE)
    vas.map("anon", PAGE, at=va - PAGE)
    assert vas.layout() == [(va - PAGE, va + 2 * PAGE, "anon", RW)]
    vas.map("anon", PAGE, at=va + 3 * PAGE)
    assert len(vas.vmas()) == 2
    vas.map("anon", PAGE, at=va + 2 * PAGE)
    assert vas.layout() == [(va - PAGE, va + 4 * PAGE, "anon", RW)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("anon", {"attr": R}),
        ("anon", {"attr": RW | 2 << 5}),
        ("anon", {"flags": UNINITIALIZED}),
        ("anon", {"flags": SIZE_4K}),
        ("anon", {"flags": 1 << 40}),
        ("anon", {"name": "heap"}),
        ("rsvd", {}),
    ],
)
def test_neighbours_that_differ_stay_apart(vas, kind, options):
    """In attributes, flags, page size, name or type."""
    if "name" in options:
        options = {"name": vas.kernel.buffer(b"heap\0")}
    vas.map("anon", PAGE, at=USER_BASE)
    vas.map(kind, PAGE, at=USER_BASE + PAGE, **options)
    vas.map("anon", PAGE, at=USER_BASE + 2 * PAGE)
    assert len(vas.vmas()) == 3


def test_name_is_compared_by_pointer(vas):
    """The same letters elsewhere are another name; the same pointer merges, and shows in the VMA."""
    one, other = vas.kernel.buffer(b"heap\0"), vas.kernel.buffer(b"heap\0")
    for page, name in enumerate((one, one, other)):
        vas.map("anon", PAGE, at=USER_BASE + page * PAGE, name=name)
    assert [(vma.start, vma.name) for vma in vas.vmas()] == [
        (USER_BASE, int(one)),
        (USER_BASE + 2 * PAGE, int(other)),
    ]


def test_populate_is_no_difference(vas):
    """Memory that was there at once merges with memory on demand."""
    vas.map("anon", PAGE, flags=POPULATE)
    vas.map("anon", PAGE)
    assert len(vas.vmas()) == 1


# -- unmap, set_attr, and what all ranges have in common ----------------------------------------------------


def test_unmap_splits(vas):
    """A hole in the middle; its frames are back, its addresses free."""
    va = vas.map("anon", 5 * PAGE, flags=POPULATE)
    vas.unmap(va + PAGE, 2 * PAGE)
    assert [vma[:2] for vma in vas.layout()] == [(va, va + PAGE), (va + 3 * PAGE, va + 5 * PAGE)]
    assert vas.present(va, 5 * PAGE) == [va, va + 3 * PAGE, va + 4 * PAGE]
    assert vas.frames()[3] == 3
    assert vas.map("anon", 2 * PAGE, R) == va + PAGE


def test_unmap_skips_holes(either_vas):
    """From before the first to behind the last VMA; nothing at all is left, of tables neither."""
    vas = either_vas
    frames = vas.frames()
    for page in (1, 3, 6):
        vas.map("anon", PAGE, at=vas.base + page * PAGE, flags=POPULATE)
    vas.unmap(vas.base, 9 * PAGE)
    assert (vas.vmas(), vas.leaves(), vas.frames()) == ([], [], frames)
    vas.unmap(vas.base, 9 * PAGE)


def test_set_attr_splits_and_merges_back(vas):
    """One page of sixteen: three VMAs; the old attributes again: one."""
    va = vas.map("anon", 16 * PAGE, flags=POPULATE)
    vas.set_attr(va + 5 * PAGE, PAGE, R)
    assert vas.layout() == [
        (va, va + 5 * PAGE, "anon", RW),
        (va + 5 * PAGE, va + 6 * PAGE, "anon", R),
        (va + 6 * PAGE, va + 16 * PAGE, "anon", RW),
    ]
    assert {leaf.va: leaf.prot for leaf in vas.leaves()} == {
        va + each * PAGE: "r--" if each == 5 else "rw-" for each in range(16)
    }
    vas.set_attr(va + 5 * PAGE, PAGE, RW)
    assert vas.layout() == [(va, va + 16 * PAGE, "anon", RW)]


def test_set_attr_joins_what_becomes_alike(vas):
    """Several VMAs in the range, and the neighbours on both sides of it."""
    for page, attr in enumerate((RW, R, NONE, RX, RW)):
        vas.map("anon", PAGE, attr, at=USER_BASE + page * PAGE)
    vas.set_attr(USER_BASE + PAGE, 3 * PAGE, RW)
    assert vas.layout() == [(USER_BASE, USER_BASE + 5 * PAGE, "anon", RW)]


def test_set_attr_of_what_is_not_there_is_nothing(vas):
    """Holes are skipped; an attribute that cannot be is refused even then."""
    assert vas.do_set_attr(USER_BASE, PAGE, R) == "OK"
    assert vas.do_set_attr(USER_BASE, PAGE, 7) == "EINVAL"
    assert vas.vmas() == []


def test_set_attr_cuts_a_block(vas):
    """A page of a 2M block that the type chose: others keep attributes and contents."""
    va = vas.map("anon", LARGE, at=USER_BASE, flags=POPULATE)
    vas.store(va + 7 * PAGE, 7)
    vas.set_attr(va + 6 * PAGE, PAGE, R)
    assert vas.user("w", va + 6 * PAGE).permission
    assert vas.user("w", va + 5 * PAGE).outcome == "ok"
    assert vas.load(va + 7 * PAGE) == 7
    vas.unmap(va, LARGE)
    assert vas.frames()[3] == 0


@pytest.mark.parametrize(
    ("first", "pages", "status"),
    [
        *((1, 4, "OK"), (1, 5, "ENOENT"), (0, 2, "ENOENT"), (0, 1, "ENOENT"), (5, 1, "ENOENT"), (2, 1, "OK")),
        *((7, 2, "OK"), (7, 3, "ENOENT"), (9, 1, "ENOENT"), (1, 8, "ENOENT")),
    ],
)
@pytest.mark.parametrize("call", ["unmap", "set_attr", "advise"])
@pytest.mark.parametrize(("page", "flags"), [(PAGE, POPULATE), (LARGE, POPULATE | SIZE_2M)])
def test_strict_check_refuses_holes(vas, call, first, pages, status, page, flags):
    """At either end, in the middle, or all of it; two VMAs side by side are no hole."""
    vas.map("anon", 2 * page, at=USER_BASE + page, flags=flags)
    vas.map("anon", 2 * page, R, at=USER_BASE + 3 * page, flags=flags)
    vas.map("anon", 2 * page, R, at=USER_BASE + 7 * page, flags=flags)
    before = vas.books()
    va, size = USER_BASE + first * page, pages * page
    result = {
        "unmap": lambda: vas.do_unmap(va, size, STRICT),
        "set_attr": lambda: vas.do_set_attr(va, size, RX, STRICT),
        "advise": lambda: vas.do_advise(va, size, 1, STRICT),
    }[call]()
    assert result == status
    assert (vas.books() == before) == (status != "OK")


@pytest.mark.parametrize("checks", [0, STRICT])
@pytest.mark.parametrize("above", [False, True])
def test_a_range_may_begin_within_large_pages_and_end_behind_them(vas, above, checks):
    """On a boundary of theirs; whether somebody else is above or not."""
    vas.map("anon", 2 * LARGE, at=USER_BASE, flags=POPULATE | SIZE_2M)
    if above:
        vas.map("anon", LARGE, R, at=USER_BASE + 2 * LARGE)
    before = vas.books()
    assert vas.do_unmap(USER_BASE + LARGE + PAGE, 2 * LARGE, checks) == "EINVAL"
    assert vas.books() == before
    is_hole = checks == STRICT and not above
    assert vas.do_unmap(USER_BASE + LARGE, 2 * LARGE, checks) == ("ENOENT" if is_hole else "OK")
    assert [each.end for each in vas.vmas()] == [USER_BASE + (2 if is_hole else 1) * LARGE]


def test_attributes_of_a_hole_below_everything(kernel_vas):
    """Nobody is below it, and those above it are none of its business."""
    at = kernel_vas.map("anon", PAGE, at=kernel_vas.base + LARGE)
    kernel_vas.map("anon", PAGE, at=at + PAGE, attr=R)
    before = kernel_vas.books()
    assert kernel_vas.do_set_attr(kernel_vas.base, 3 * PAGE, R) == "OK"
    assert kernel_vas.books() == before


@pytest.mark.parametrize("call", ["do_unmap", "do_set_attr", "do_advise"])
@pytest.mark.parametrize(
    ("at", "size"),
    [
        (USER_BASE, 0),
        (USER_BASE + 1, PAGE),
        (USER_BASE, PAGE + 1),
        ((1 << 64) - PAGE, 2 * PAGE),
        (USER_BASE, (1 << 64) - PAGE),
    ],
)
def test_range_that_is_none_is_refused(vas, call, at, size):
    """Empty, not on pages, or wrapping."""
    vas.map("anon", 2 * PAGE, flags=POPULATE)
    before = vas.books()
    more = [1] if call != "do_unmap" else []
    assert getattr(vas, call)(at, size, *more) == "EINVAL"
    assert vas.books() == before


@pytest.mark.parametrize("call", ["do_unmap", "do_set_attr", "do_advise"])
def test_range_does_not_cut_a_large_page(vas, call):
    """Where the VMA insists on 2M."""
    va = vas.map("anon", 2 * LARGE, flags=SIZE_2M | POPULATE)
    before = vas.books()
    more = [1] if call != "do_unmap" else []
    for at, size in [(va, PAGE), (va + PAGE, LARGE), (va, LARGE + PAGE), (va - PAGE, 2 * PAGE)]:
        assert getattr(vas, call)(at, size, *more) == "EINVAL"
    assert vas.books() == before
    assert getattr(vas, call)(va + LARGE, LARGE, *more) == "OK"


@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("anon", 0, {}),
        ("anon", PAGE + 1, {}),
        ("anon", 1, {}),
        ("anon", PAGE, {"at": USER_BASE + 1}),
        ("anon", PAGE, {"at": 0}),
        ("anon", PAGE, {"at": 1 << 63}),
        ("anon", PAGE, {"at": (1 << 64) - PAGE}),
        ("anon", (1 << 64) - PAGE, {"at": USER_BASE}),
        ("anon", PAGE, {"attr": 7}),
        ("anon", PAGE, {"attr": 6}),
        ("anon", PAGE, {"attr": 8}),
        ("anon", PAGE, {"attr": R | 1 << 4}),
        ("anon", PAGE, {"attr": R | 1 << 10}),
        ("anon", PAGE, {"attr": R | 1 << 63}),
        ("anon", PAGE, {"flags": SIZE_2M}),
        ("anon", LARGE, {"flags": SIZE_2M, "at": USER_BASE + PAGE}),
        ("anon", PAGE, {"flags": 11 << 5}),
        ("anon", 1 << 40, {"flags": 39 << 5}),
        ("anon", PAGE, {"flags": 63 << 5}),
    ],
)
def test_vma_that_cannot_be_is_refused(either_vas, kind, size, options):
    """Lengths, addresses, attributes and page sizes that no state could make valid."""
    vas = either_vas
    before = vas.books()
    assert vas.do_map(kind, size, **options)[0] == "EINVAL"
    assert vas.books() == before


def test_vma_that_is_too_large_finds_no_hole(vas):
    """No address, more than there is: ENOMEM."""
    before = vas.books()
    assert vas.do_map("anon", 1 << 50) == ("ENOMEM", ANY)
    assert vas.do_map("anon", (1 << 64) - PAGE) == ("ENOMEM", ANY)
    assert vas.books() == before


# -- the list -----------------------------------------------------------------------------------------------


def test_find_gives_the_vma_at_an_address(vas):
    """From its first to its last byte; NULL in the holes."""
    va = vas.map("anon", 2 * PAGE)
    for at in (va, va + PAGE + 1, va + 2 * PAGE - 1):
        assert int(vas.kernel.uk_vma_find(vas.vas, at).start) == va
    for at in (va - 1, va + 2 * PAGE, 0, (1 << 64) - 1):
        assert not vas.kernel.uk_vma_find(vas.vas, at)


def test_destroy_unmaps_everything(vas):
    """uk_vas_destroy(): every VMA, every frame; the page table stays."""
    frames = vas.frames()
    for kind in ("anon", "rsvd", "anon"):
        vas.map(kind, 2 * PAGE, flags=POPULATE)
    vas.stack(PAGE, PAGE)
    vas.kernel.uk_vas_destroy(vas.vas)
    assert (vas.vmas(), vas.leaves()) == ([], [])
    assert vas.frames()[3] == 0
    assert vas.frames()[0] <= frames[0]
    assert vas.is_sound()


def test_vas_needs_table_and_allocator(vas):
    """uk_vas_init(): EINVAL for NULL; else an empty VAS with the default base."""
    kernel, made = vas.kernel, vas.kernel.new("struct uk_vas")
    assert kernel.uk_vas_init(made, None, vas.vas.a) == -22
    assert kernel.uk_vas_init(made, vas.vas.pt, None) == -22
    assert kernel.uk_vas_init(None, vas.vas.pt, vas.vas.a) == -22
    assert kernel.uk_vas_init(made, vas.vas.pt, vas.vas.a) == 0
    assert (int(made.vma_base), int(made.flags), bool(made.vmas.first)) == (USER_BASE, 0, False)


def test_active_vas_is_that_of_the_active_address_space(vas):
    """The kernel's own where none is active, and by uk_vas_set_active()."""
    kernel = vas.kernel
    own = kernel.variable("kernel_vas").address
    assert int(kernel.uk_vas_get_active()) == vas.address
    kernel.vmm_address_space_activate(None)
    assert int(kernel.uk_vas_get_active()) == own
    assert kernel.uk_vas_set_active(vas.vas) == 0
    assert int(kernel.uk_vas_get_active()) == vas.address
    assert kernel.uk_vas_set_active(own) == 0
    assert int(kernel.uk_vas_get_active()) == own
    assert kernel.uk_vas_set_active(None) == -22
