# SPDX-License-Identifier: BSD-3-Clause
"""Calls of lukos/vmm.h on an address space in which there are not only regions."""

from __future__ import annotations

import pytest

from harness.kernel.inject import fail_nth
from tests.support.vmm import PAGE
from tests.uk.driver import DONTNEED, NONE, USER_BASE, status_name

VA = USER_BASE


@pytest.fixture
def both_ways(vas):
    """copy_in and copy_out of so many bytes: their statuses."""
    buffer = vas.kernel.buffer(4 * PAGE)

    def copies(va, length):
        vas.kernel.vmm_address_space_copy_in(vas.space, buffer, va, length)
        first = status_name(vas.kernel.vmm_last_error())
        return first, status_name(vas.kernel.vmm_address_space_copy_out(vas.space, buffer, va, length))

    return copies


@pytest.mark.no_sanitizer("policy/mismatched-attributes")
def test_memory_that_is_none_cannot_be_copied(vas, both_ways):
    """Registers of a device and reserved addresses, alone or behind memory: EFAULT, and nothing is copied."""
    vas.map("anon", PAGE, at=VA)
    vas.map("dma", PAGE, at=VA + PAGE, pa=0x0900_0000)
    vas.map("anon", PAGE, at=VA + 2 * PAGE)
    vas.map("rsvd", PAGE, NONE, at=VA + 3 * PAGE)
    vas.store(VA, 77)
    for va, length in [(VA + PAGE, 8), (VA, 2 * PAGE), (VA + 3 * PAGE, 8), (VA + 2 * PAGE, 2 * PAGE)]:
        assert both_ways(va, length) == ("EFAULT", "EFAULT")
    assert vas.load(VA) == 77
    assert both_ways(VA, PAGE) == ("OK", "OK")
    assert vas.load(VA) == 0


@pytest.mark.parametrize("kinds", [("anon", "region"), ("region", "anon"), ("anon", "anon")])
def test_copies_go_on_from_one_vma_to_the_next(vas, both_ways, kinds):
    """Whatever they are; behind the last one there is nothing."""
    for page, kind in enumerate(kinds):
        if kind == "region":
            vas.region(VA + page * PAGE, PAGE)
        else:
            vas.map(kind, PAGE, at=VA + page * PAGE, name=page)
    assert both_ways(VA + 8, 2 * PAGE - 8) == ("OK", "OK")
    assert both_ways(VA + 8, 2 * PAGE) == ("EFAULT", "EFAULT")
    assert len(vas.present(VA, 2 * PAGE)) == 2


@pytest.mark.parametrize("missing", [0, 1])
def test_a_copy_for_which_there_is_no_memory_does_nothing(vas, both_ways, missing):
    """In the first of two VMAs or in the second: ENOMEM, and what is there stays."""
    for page in range(2):
        vas.map("anon", PAGE, at=VA + page * PAGE, name=page)
    there = VA + (1 - missing) * PAGE
    vas.store(there, 77)
    with fail_nth(vas.kernel, ("frames_alloc",), 1):
        assert both_ways(VA, 2 * PAGE) == ("ENOMEM", "OK")
    assert vas.load(there) == 77


def test_a_page_that_is_not_present_has_no_address(vas):
    """EFAULT, as for what is not mapped at all; *pa stays."""
    vas.map("anon", 2 * PAGE, at=VA)
    vas.store(VA + PAGE, 1)
    out = vas.kernel.new("void *", 7)
    translate = vas.kernel.function("vmm_address_space_translate")
    for va in (VA, VA + 2 * PAGE, VA - 1):
        assert status_name(translate(vas.space, va, out)) == "EFAULT"
        assert int(out.target) == 7
    assert status_name(translate(vas.space, VA + PAGE + 5, out)) == "OK"
    assert int(out.target) == vas.pa(VA + PAGE) + 5
    vas.advise(VA, 2 * PAGE, DONTNEED)
    assert status_name(translate(vas.space, VA + PAGE, out)) == "EFAULT"


def test_other_vmas_are_no_regions(vas):
    """The list of regions passes them by, at its start, between two and at its end."""
    regions = [VA + PAGE, VA + 4 * PAGE]
    for at in regions:
        vas.region(at, PAGE)
    for at in (VA, VA + 2 * PAGE, VA + 3 * PAGE, VA + 5 * PAGE):
        vas.map("anon", PAGE, at=at, name=at)
    found, out, va = [], vas.kernel.new("address_space_region_t"), VA
    while vas.kernel.vmm_address_space_region_next(vas.space, va, out) == 0:
        va = int(out.va) + int(out.len)
        found.append(int(out.va))
    assert found == regions
    assert status_name(vas.kernel.vmm_last_error()) == "ENOENT"
