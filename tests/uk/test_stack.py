# SPDX-License-Identifier: BSD-3-Clause
"""Stacks: guards at both ends, a premapped part, and one VMA for life."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    GROWS_UP,
    GUARD_ABOVE,
    GUARD_BELOW,
    KERNEL_WINDOW,
    KERNEL_WINDOW_END,
    POPULATE,
    REPLACE,
    RW,
    SIZE_2M,
    USER_BASE,
    WILLNEED,
    R,
)

LEN = 8 * PAGE


def test_stack_lies_between_its_guards(vas):
    """One page below and four above; the result is the lowest address of the stack itself."""
    va = vas.stack(LEN)
    [stack] = vas.layout()
    assert va == USER_BASE + GUARD_BELOW
    assert stack == (va - GUARD_BELOW, va + LEN + GUARD_ABOVE, "stack", RW)


def test_a_stack_may_be_all_of_a_vas(kernel_vas):
    """With its guards; nothing else has room then."""
    whole = KERNEL_WINDOW_END - KERNEL_WINDOW
    status, va = kernel_vas.do_stack(whole - GUARD_BELOW - GUARD_ABOVE, at=KERNEL_WINDOW)
    assert (status, va) == ("OK", KERNEL_WINDOW + GUARD_BELOW)
    assert kernel_vas.do_map("rsvd", PAGE)[0] == "ENOMEM"
    kernel_vas.unmap(KERNEL_WINDOW, whole)
    assert kernel_vas.map("rsvd", whole, at=KERNEL_WINDOW) == KERNEL_WINDOW


def test_a_stack_fits_between_its_neighbours(vas):
    """Exactly, guards and all; at the end of the VAS as well."""
    size = LEN + GUARD_BELOW + GUARD_ABOVE
    for at in (USER_BASE, USER_BASE + size + PAGE):
        vas.map("rsvd", PAGE, at=at)
    assert vas.do_stack(LEN, at=USER_BASE + PAGE) == ("OK", USER_BASE + PAGE + GUARD_BELOW)
    assert vas.do_stack(LEN, at=vas.end - size) == ("OK", vas.end - size + GUARD_BELOW)


@pytest.mark.parametrize("access", ["r", "w"])
def test_guards_fault_and_the_stack_does_not(vas, access):
    """From EL0 and from EL1, at each page of both guards and at both ends of the stack."""
    va = vas.stack(LEN)
    top = va + LEN
    for guard in [va - PAGE, va - 8, *range(top, top + GUARD_ABOVE, PAGE), top + GUARD_ABOVE - 8]:
        assert vas.user(access, guard) == ("fault", False, guard, access, 0)
        assert vas.load(guard) is None
    for inside in (va, top - 8):
        assert vas.user(access, inside).outcome == "ok"
    assert vas.present(va - GUARD_BELOW, GUARD_BELOW + LEN + GUARD_ABOVE) == [va, top - PAGE]


@pytest.mark.parametrize(
    ("flags", "premapped", "first", "last"),
    [
        (0, 0, 0, 0),
        (0, 2, 6, 8),
        (GROWS_UP, 2, 0, 2),
        (0, 8, 0, 8),
        (0, 100, 0, 8),
        (POPULATE, 0, 0, 8),
        (POPULATE | GROWS_UP, 3, 0, 8),
    ],
)
def test_premapped_part_is_where_the_stack_starts(vas, flags, premapped, first, last):
    """At the top, or at the bottom when it grows up; never more than the stack, and no guard."""
    va = vas.stack(LEN, premapped * PAGE, flags=flags)
    everything = vas.present(va - GUARD_BELOW, GUARD_BELOW + LEN + GUARD_ABOVE)
    assert everything == list(range(va + first * PAGE, va + last * PAGE, PAGE))


def test_stack_is_never_split(vas):
    """Neither by unmapping, nor by attributes, nor by REPLACE; nothing changes."""
    va = vas.stack(LEN, 2 * PAGE)
    before = vas.books()
    assert vas.do_unmap(va, PAGE) == "EPERM"
    assert vas.do_set_attr(va, LEN, R) == "EPERM"
    assert vas.do_map("anon", PAGE, at=va + PAGE, flags=REPLACE)[0] == "EPERM"
    assert vas.do_unmap(va + PAGE, USER_BASE) == "EPERM"
    assert vas.do_unmap(PAGE * 32, va + PAGE - PAGE * 32) == "EPERM"
    assert vas.books() == before


def test_stacks_are_never_merged(vas):
    """Two alike next to each other stay two, with the guards between them."""
    one, two = vas.stack(LEN), vas.stack(LEN)
    assert [vma[:2] for vma in vas.layout()] == [
        (one - GUARD_BELOW, one + LEN + GUARD_ABOVE),
        (two - GUARD_BELOW, two + LEN + GUARD_ABOVE),
    ]
    assert one + LEN + GUARD_ABOVE == two - GUARD_BELOW


def test_a_stack_is_not_merged_with_other_memory(vas):
    """That has the same attributes, flags and name, below and above."""
    size = LEN + GUARD_BELOW + GUARD_ABOVE
    below = vas.map("anon", PAGE)
    vas.map("anon", PAGE, at=below + PAGE + size)
    assert vas.stack(LEN) == below + PAGE + GUARD_BELOW
    assert [vma[0] for vma in vas.layout()] == [below, below + PAGE, below + PAGE + size]


def test_whole_stack_can_be_unmapped_and_changed(vas):
    """All of it, guards included, is a range like any other."""
    frames = vas.frames()
    va = vas.stack(LEN, LEN)
    start, size = va - GUARD_BELOW, LEN + GUARD_BELOW + GUARD_ABOVE
    vas.set_attr(start, size, R)
    assert vas.user("w", va) == ("fault", True, va, "w", 0)
    vas.unmap(start, size)
    assert (vas.vmas(), vas.leaves(), vas.frames()) == ([], [], frames)


def test_advice_for_a_stack_leaves_guards_and_contents(vas):
    """WILLNEED over all of it maps the stack but no guard; DONTNEED is not taken."""
    va = vas.stack(LEN)
    start, size = va - GUARD_BELOW, LEN + GUARD_BELOW + GUARD_ABOVE
    vas.advise(start, size, WILLNEED)
    assert vas.present(start, size) == list(range(va, va + LEN, PAGE))
    vas.store(va, 3)
    vas.advise(start, size, DONTNEED)
    assert vas.load(va) == 3
    vas.advise(va + LEN, PAGE, WILLNEED)
    assert vas.load(va + LEN) is None


@pytest.mark.parametrize(
    ("size", "premapped", "flags"),
    [
        (0, 0, 0),
        (PAGE + 1, 0, 0),
        (LEN, 1, 0),
        (LEN, 0, SIZE_2M),
        ((1 << 64) - PAGE, 0, 0),
        ((1 << 64) - 5 * PAGE, 0, 0),
    ],
)
def test_stack_that_cannot_be_is_refused(vas, size, premapped, flags):
    """Lengths that are no pages, that wrap, and large pages, which guards cannot be made of."""
    before = vas.books()
    assert vas.do_stack(size, premapped, flags=flags)[0] == "EINVAL"
    assert vas.books() == before


def test_stack_at_a_fixed_address_starts_with_its_guard(vas):
    """The address asked for is that of the lower guard; occupied it is refused."""
    assert vas.stack(LEN, at=USER_BASE + LEN) == USER_BASE + LEN + GUARD_BELOW
    assert vas.do_stack(LEN, at=USER_BASE)[0] == "EEXIST"
