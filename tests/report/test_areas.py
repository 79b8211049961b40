# SPDX-License-Identifier: BSD-3-Clause
"""The listing of VMAs is what the kernel's list and its tables say."""

from __future__ import annotations

from typing import Any

import pytest

from harness import Kernel
from harness.arch.permissions import Rights
from harness.report.areas import AreaView, areas_report, view_areas
from harness.report.data import area_data
from harness.report.text import plain

BASE = 0x10_0000_0000
PAGE, LARGE = 1 << 12, 1 << 21


@pytest.fixture
def areas(kernel: Kernel, address_space: Any) -> tuple[AreaView, ...]:
    """A region, memory of two page sizes of which some is there, and a reservation without a name."""
    assert kernel.vmm_address_space_region_create_at(address_space, PAGE, PAGE, kernel.AS_REGION_RX) == 0
    name = kernel.buffer(b"some memory\0")
    for at, size, attr, ops, called in [
        (BASE, 2 * LARGE, 3, "uk_vma_anon_ops", name),
        (BASE + 2 * LARGE, PAGE, 0, "uk_vma_rsvd_ops", None),
    ]:
        where, operations = kernel.new("__vaddr_t", at), kernel.variable(ops)
        assert kernel.uk_vma_map(address_space.vas, where, size, attr, 0, called, operations, None) == 0
    willneed = kernel.UK_VMA_ADV_WILLNEED
    assert kernel.uk_vma_advise(address_space.vas, BASE, LARGE, willneed, 0) == 0
    assert kernel.uk_vma_advise(address_space.vas, BASE + LARGE, PAGE, willneed, 0) == 0
    return view_areas(kernel, address_space)


def test_each_vma_has_its_type_rights_and_pages(areas: tuple[AreaView, ...]) -> None:
    """In order of address; what is present is counted by size."""
    assert areas == (
        AreaView(PAGE, 2 * PAGE, "region", Rights(True, False, True), None, ((PAGE, 1),)),
        AreaView(
            *(BASE, BASE + 2 * LARGE, "anon", Rights(True, True), "some memory"),
            pages=((PAGE, 1), (LARGE, 1)),
        ),
        AreaView(BASE + 2 * LARGE, BASE + 2 * LARGE + PAGE, "rsvd", Rights(), None, ()),
    )


@pytest.mark.parametrize("width", [80, 150])
def test_the_listing_has_a_line_for_each(kernel: Kernel, areas: tuple[AreaView, ...], width: int) -> None:
    """With its size and name, and within the terminal."""
    lines = plain(areas_report(areas, kernel.tables(half="ttbr0").regime), width).splitlines()
    assert lines[0] == "3 VMAs"
    assert len(lines) == 2 + len(areas)
    assert all(len(line) <= width for line in lines)
    found = " ".join(lines[3].split())
    assert found.endswith("4M anon rw- 1 x 4K, 1 x 2M some memory")


def test_programs_get_the_same(areas: tuple[AreaView, ...]) -> None:
    """Addresses as hexadecimal strings, pages by size."""
    assert area_data(areas[1]) == {
        "va": hex(BASE),
        "size": 2 * LARGE,
        "type": "anon",
        "rights": "rw-",
        "name": "some memory",
        "pages": {str(PAGE): 1, str(LARGE): 1},
    }
