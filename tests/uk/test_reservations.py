# SPDX-License-Identifier: BSD-3-Clause
"""Reserved ranges, and LuKOS regions as VMAs."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    USER_BASE,
    WILLNEED,
    R,
    W,
)


def test_reservation_takes_addresses_and_no_memory(either_vas):
    """Nobody else is placed there; nothing is ever made present, by no means."""
    vas = either_vas
    frames = vas.frames()
    va = vas.map("rsvd", LARGE, RW, flags=POPULATE)
    vas.advise(va, LARGE, WILLNEED)
    assert vas.load(va) is None
    assert vas.map("anon", PAGE) == va + LARGE
    assert vas.leaves() == []
    assert vas.frames()[3] == frames[3]


def test_reservation_is_given_up_by_replacing_it(vas):
    """Only with REPLACE and a fixed address: in the middle, and back again."""
    va = vas.map("rsvd", 6 * PAGE, NONE)
    assert vas.do_map("anon", 2 * PAGE, at=va + 2 * PAGE)[0] == "EEXIST"
    vas.map("anon", 2 * PAGE, at=va + 2 * PAGE, flags=REPLACE)
    assert vas.layout() == [
        (va, va + 2 * PAGE, "rsvd", NONE),
        (va + 2 * PAGE, va + 4 * PAGE, "anon", RW),
        (va + 4 * PAGE, va + 6 * PAGE, "rsvd", NONE),
    ]
    vas.store(va + 2 * PAGE, 1)
    vas.map("rsvd", 2 * PAGE, NONE, at=va + 2 * PAGE, flags=REPLACE)
    assert vas.layout() == [(va, va + 6 * PAGE, "rsvd", NONE)]
    assert vas.leaves() == []


def test_reservation_over_a_mapping_leaves_the_mapping_alone(vas):
    """What the page table held before is readable through it, and stays when it goes."""
    kernel = vas.kernel
    pa = kernel.frames_alloc(1, 0, kernel.FRAME_REGION)
    assert kernel.vmm_arch_map(vas.vas.pt, kernel.AS_REGION_RO, USER_BASE, pa, PAGE) == 0
    vas.map("rsvd", PAGE, R, at=USER_BASE)
    assert vas.load(USER_BASE) is not None
    vas.set_attr(USER_BASE, PAGE, RW)
    vas.unmap(USER_BASE, PAGE)
    [leaf] = vas.leaves()
    assert (leaf.va, leaf.pa, leaf.prot) == (USER_BASE, pa, "r--")


@pytest.mark.parametrize("prop", ["NO_ACCESS", "RO", "RW", "RX"])
def test_region_is_a_vma(vas, prop):
    """It is listed, with the attributes of its property."""
    attr = {"NO_ACCESS": NONE, "RO": R, "RW": RW, "RX": RX}[prop]
    va = vas.region(USER_BASE, 3 * PAGE, getattr(vas.kernel, f"AS_REGION_{prop}"))
    assert vas.layout() == [(va, va + 3 * PAGE, "region", attr)]
    assert int(vas.kernel.uk_vma_find(vas.vas, va + PAGE)) != 0


def test_region_and_vmas_share_the_address_space(vas):
    """Neither is placed over the other."""
    vas.region(USER_BASE, PAGE)
    assert vas.map("anon", PAGE) == USER_BASE + PAGE
    create_at = vas.kernel.vmm_address_space_region_create_at
    assert create_at(vas.space, USER_BASE + PAGE, PAGE, vas.kernel.AS_REGION_RW) == -17
    assert vas.do_map("anon", PAGE, at=USER_BASE)[0] == "EEXIST"


def test_region_is_one_piece(vas):
    """It is neither cut nor merged, and its memory goes with it."""
    frames = vas.frames()
    vas.region(USER_BASE, 2 * PAGE)
    vas.region(USER_BASE + 2 * PAGE, 2 * PAGE)
    before = vas.books()
    assert len(vas.vmas()) == 2
    assert vas.do_unmap(USER_BASE + PAGE, PAGE) == "EPERM"
    assert vas.do_set_attr(USER_BASE, PAGE, R) == "EPERM"
    assert vas.do_map("anon", PAGE, at=USER_BASE + 3 * PAGE, flags=REPLACE)[0] == "EPERM"
    vas.advise(USER_BASE, 4 * PAGE, DONTNEED)
    assert vas.books() == before
    vas.unmap(USER_BASE, 4 * PAGE)
    assert (vas.vmas(), vas.leaves(), vas.frames()) == ([], [], frames)


def test_region_that_uk_vma_unmap_took_is_gone_for_lukos_too(vas):
    """The two interfaces see one list."""
    vas.region(USER_BASE, PAGE)
    vas.unmap(USER_BASE, PAGE)
    assert vas.kernel.vmm_address_space_region_destroy(vas.space, USER_BASE) == -2
    assert vas.region(USER_BASE, PAGE) == USER_BASE


@pytest.mark.no_sanitizer("policy/mismatched-attributes")  # not cached: the linear map has it so
@pytest.mark.parametrize(("attr", "prop"), [(NONE, 0), (R, 1), (RW, 2), (W, 2), (RX, 3), (RW | 2 << 5, 2)])
def test_region_shows_the_property_that_set_attr_gave_it(vas, attr, prop):
    """Also for attributes that no property has by itself: what the user may do counts."""
    vas.region(USER_BASE, PAGE)
    vas.set_attr(USER_BASE, PAGE, attr)
    found = vas.kernel.new("address_space_region_t")
    assert vas.kernel.vmm_address_space_region_next(vas.space, USER_BASE, found) == 0
    assert int(found.prop) == prop
