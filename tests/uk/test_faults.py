# SPDX-License-Identifier: BSD-3-Clause
"""Faults from EL0 and EL1: what is resolved, what is reported, and accesses that may fail."""

from __future__ import annotations

import pytest

from harness import GuestPanic
from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import (
    CONTINUE,
    EXEC,
    KERNEL_WINDOW,
    NONE,
    NOPAGING,
    POPULATE,
    READ,
    RW,
    RX,
    SOFT,
    USER_BASE,
    WRITE,
    Access,
    R,
    W,
    kernel_vas,
)

RIGHTS = {NONE: "", R: "r", W: "rw", RW: "rw", RX: "rx"}


@pytest.mark.parametrize("attr", RIGHTS)
@pytest.mark.parametrize("access", ["r", "w", "x"])
@pytest.mark.parametrize("flags", [0, POPULATE])
def test_user_gets_what_the_attributes_say(vas, attr, access, flags):
    """By demand paging or on memory that is there; a refusal says address, access and why."""
    va = vas.map("anon", PAGE, attr, flags=flags)
    result = vas.user(access, va + 16)
    if access in RIGHTS[attr]:
        assert result.outcome == "ok"
    else:
        there = flags == POPULATE and attr != NONE
        assert result == Access("fault", there, va + 16, access)
        assert bool(vas.leaves()) == there


def test_an_execute_fault_told_by_isv_would_be_noticed(vas):
    """Unikraft's defect, planted: an abort of a fetch has no valid syndrome, and is taken for a read."""
    machine, va = vas.kernel.machine, vas.map("anon", PAGE, RW)
    right = vas.user("x", va)

    def take_for_read(machine):
        machine.sysreg["ESR_EL1"] = machine.sysreg["ESR_EL1"] & 0x3FF_FFFF | 0x24 << 26  # EC: data abort, EL0

    watch = machine.on_address(machine.sysreg["VBAR_EL1"] + 0x400, take_for_read)
    planted = vas.user("x", va)
    watch.remove()
    assert (right.access, right.permission, planted.access, planted.permission) == ("x", False, "r", True)


@pytest.mark.parametrize("attr", RIGHTS)
@pytest.mark.parametrize("access", ["r", "w"])
@pytest.mark.parametrize("flags", [0, POPULATE])
def test_kernel_gets_what_the_attributes_say(either_vas, attr, access, flags):
    """EL1, in both halves, through accesses that may fail."""
    vas = either_vas
    va = vas.map("anon", PAGE, attr, flags=flags)
    worked = vas.load(va) is not None if access == "r" else vas.store(va, 1)
    assert worked == (access in RIGHTS[attr])
    assert bool(vas.leaves()) == (worked or (flags == POPULATE and attr != NONE))


@pytest.mark.parametrize("access", ["r", "w", "x"])
def test_access_outside_any_vma_is_reported(vas, access):
    """Beside a VMA, in the middle of nowhere, beyond what is translated, and in the kernel's half."""
    va = vas.map("anon", PAGE, RX if access == "x" else RW)
    frames = vas.frames()
    for at in (va - 8, va + PAGE, 0, 1 << 60):
        result = vas.user(access, at)
        assert (result.outcome, result.permission, result.access) == ("fault", False, access)
    assert vas.user(access, KERNEL_BASE + 0x4020_0000).outcome == "fault"
    assert vas.frames() == frames


def test_user_does_not_page_in_the_kernel(vas):
    """An access from EL0 to a kernel area faults and makes nothing present there."""
    own = kernel_vas(vas.kernel)
    va = own.map("anon", PAGE)
    for access in "rwx":
        assert vas.user(access, va).outcome == "fault"
    assert own.leaves() == []


@pytest.mark.parametrize("attr", [R, RX])
def test_permission_faults_are_not_resolved(vas, attr):
    """A page that is there and may not be written: the contents stay, the page stays."""
    va = vas.map("anon", PAGE, attr)
    assert vas.user("r", va).value == 0
    leaves = vas.leaves()
    assert vas.user("w", va, 1) == Access("fault", True, va, "w")
    assert not vas.store(va, 1)
    assert vas.leaves() == leaves
    assert vas.load(va) == 0


def test_page_lost_its_right_after_it_was_made(vas):
    """set_attr on a page that is present, seen by the running CPU at once; and given back."""
    va = vas.map("anon", PAGE)
    assert vas.user("w", va, 7).outcome == "ok"
    vas.set_attr(va, PAGE, R)
    assert vas.user("w", va, 8) == Access("fault", True, va, "w")
    vas.set_attr(va, PAGE, NONE)
    assert vas.user("r", va) == Access("fault", False, va, "r")
    vas.set_attr(va, PAGE, RW)
    assert vas.user("r", va).value == 7


def test_unmapped_page_is_gone_at_once(vas):
    """No stale translation."""
    va = vas.map("anon", PAGE)
    assert vas.user("w", va, 7).outcome == "ok"
    vas.unmap(va, PAGE)
    assert vas.user("r", va) == Access("fault", False, va, "r")


@pytest.mark.parametrize("kind", [READ, WRITE])
def test_second_fault_on_a_page_keeps_its_content(either_vas, kind):
    """Another core was quicker: resolved, with the page and the frame that are there."""
    vas = either_vas
    va = vas.map("anon", PAGE)
    assert vas.fault(va, kind) == "OK"
    vas.store(va, 0xC0FFEE)
    books = vas.books()
    assert vas.fault(va + 8, kind) == "OK"
    assert vas.books() == books
    assert vas.load(va) == 0xC0FFEE


@pytest.mark.parametrize(
    ("attr", "kind", "status"),
    [
        (R, READ, "OK"),
        (R, WRITE, "EFAULT"),
        (R, EXEC, "EFAULT"),
        (RX, EXEC, "OK"),
        (RX, WRITE, "EFAULT"),
        (RW, EXEC, "EFAULT"),
        (NONE, READ, "EFAULT"),
        (R, SOFT, "OK"),
        (NONE, SOFT, "EFAULT"),
    ],
)
def test_fault_is_resolved_by_kind_of_access(vas, attr, kind, status):
    """Read, write, execute, and what wants memory but no access to it, before anything is mapped."""
    va = vas.map("anon", PAGE, attr)
    assert vas.fault(va, kind) == status
    assert len(vas.leaves()) == (status == "OK")


def test_fault_with_a_page_present_is_no_business_of_paging(vas):
    """Without NONPRESENT the access was refused by permission: EFAULT, whatever the VMA says."""
    va = vas.map("anon", PAGE)
    assert vas.kernel.fault_resolve(va, WRITE, None) == -14
    assert vas.leaves() == []


def test_paging_can_be_switched_off(either_vas):
    """NO_PAGING: what is present works, what is not faults; back to before by the flag."""
    vas = either_vas
    va = vas.map("anon", 2 * PAGE)
    vas.store(va, 5)
    flags = int(vas.vas.flags)
    vas.vas.flags = flags | 1
    assert vas.fault(va + PAGE) == "EFAULT"
    assert vas.load(va + PAGE) is None
    assert vas.load(va) == 5
    if vas.space is not None:
        assert vas.user("r", va + PAGE) == Access("fault", False, va + PAGE, "r")
    vas.vas.flags = flags
    assert vas.load(va + PAGE) == 0


def test_paging_switched_off_in_one_vas_is_on_in_the_other(vas):
    """The kernel's areas are paged while the address space is not."""
    own = kernel_vas(vas.kernel)
    kernel_va, user_va = own.map("anon", PAGE), vas.map("anon", PAGE)
    vas.vas.flags = 1
    assert own.load(kernel_va) == 0
    assert own.load(user_va) is None


def test_kernel_dies_of_an_access_that_nobody_expected(vas):
    """A fault of the kernel's own that no VMA resolves is the end: the registers are on the console."""
    with pytest.raises(GuestPanic, match="unexpected synchronous exception"):
        vas.kernel.strlen(USER_BASE)


def test_kernel_code_is_paged_in(kernel_vas):
    """An instruction abort at EL1 in an executable area: the page comes, and is what was there: nothing."""
    va = kernel_vas.map("anon", PAGE, RX)
    assert kernel_vas.fault(va, EXEC) == "OK"
    assert kernel_vas.kernel.machine.can_execute(va, 1)
    assert not kernel_vas.kernel.machine.can_execute(va, 0)


def test_user_code_is_not_the_kernels(vas):
    """PXN: the kernel does not execute user memory, nor the user the kernel's."""
    va = vas.map("anon", PAGE, RX, flags=POPULATE)
    assert vas.kernel.machine.can_execute(va, 0)
    assert not vas.kernel.machine.can_execute(va, 1)


def test_kernel_areas_are_global_and_closed_to_the_user(kernel_vas):
    """EL0 has no right at all, the ASID does not matter."""
    kernel_vas.map("anon", PAGE, RW, flags=POPULATE)
    kernel_vas.map("anon", PAGE, RX, flags=POPULATE)
    for leaf in kernel_vas.leaves():
        assert not leaf.descriptor.ng
        assert str(leaf.permissions.el0) == "---"


def test_kernel_areas_are_there_whoever_runs(vas):
    """What is mapped in the kernel's VAS stays when another address space is active."""
    own = kernel_vas(vas.kernel)
    va = own.map("anon", PAGE)
    own.store(va, 9)
    vas.kernel.vmm_address_space_activate(None)
    assert own.load(va) == 9
    vas.kernel.vmm_address_space_activate(vas.kernel.vmm_address_space_create())
    assert own.load(va) == 9


# -- uk/nofault.h -------------------------------------------------------------------------------------------


@pytest.fixture
def pages(vas):
    """RW, RW, a hole, R, RW from the base on; nothing is present."""
    vas.map("anon", 2 * PAGE, at=USER_BASE)
    vas.map("anon", PAGE, R, at=USER_BASE + 3 * PAGE)
    vas.map("anon", PAGE, at=USER_BASE + 4 * PAGE)
    return USER_BASE


@pytest.mark.parametrize(
    ("call", "flags", "reached"),
    [
        ("can_read", 0, 2 * PAGE - 16),
        ("can_read", CONTINUE, 4 * PAGE - 32),
        ("can_write", 0, 2 * PAGE - 16),
        ("can_write", CONTINUE, 3 * PAGE - 32),
        ("can_read", NOPAGING, 0),
        ("can_write", NOPAGING | CONTINUE, 0),
    ],
)
def test_probe_counts_the_bytes(vas, pages, call, flags, reached):
    """From the middle of a page to the middle of one, over a hole and a page that is not writable."""
    assert getattr(vas, call)(pages + 16, 5 * PAGE - 32, flags) == reached


def test_probe_changes_nothing(vas, pages):
    """It writes back what it has read."""
    vas.store(pages, 0x1122_3344_5566_7788)
    assert vas.can_write(pages, 8) == 8
    assert vas.load(pages) == 0x1122_3344_5566_7788
    assert vas.can_read(pages, 0) == 0


def test_nopaging_sees_only_what_is_present(vas, pages):
    """Memory that paging would supply faults; the flag of the VAS is as before afterwards."""
    vas.store(pages + PAGE, 1)
    assert vas.can_read(pages, 2 * PAGE, NOPAGING) == 0
    assert vas.can_read(pages, 2 * PAGE, NOPAGING | CONTINUE) == PAGE
    assert vas.load(pages, NOPAGING) is None
    assert vas.load(pages + PAGE, NOPAGING) == 1
    assert vas.can_read(pages, 2 * PAGE) == 2 * PAGE


@pytest.mark.parametrize("before", [0, 1])
def test_nopaging_leaves_the_flags_as_they_were(small_kernel, before):
    """Also when the active VAS is the kernel's, and when paging was off already."""
    own = kernel_vas(small_kernel)
    own.vas.flags = before
    own.can_read(KERNEL_WINDOW, PAGE, NOPAGING)
    assert int(own.vas.flags) == before


@pytest.mark.parametrize("size", [1, 7, 8, 100, PAGE - 3, PAGE, 2 * PAGE - 24])
@pytest.mark.parametrize("shift", [0, 1, 8, 13])
def test_memcpy_copies_what_is_there(vas, pages, size, shift):
    """Any alignment and length, to user memory and back."""
    kernel = vas.kernel
    data = bytes(range(1, 252)) * 40
    there, back = kernel.buffer(data[:size] or b"\0"), kernel.buffer(size or 1)
    assert kernel.uk_nofault_memcpy(pages + shift, there, size, 0) == size
    assert kernel.uk_nofault_memcpy(back, pages + shift, size, 0) == size
    assert kernel.read(None, back, size) == data[:size]
    assert kernel.read(vas.space, pages + shift, size) == data[:size]


@pytest.mark.parametrize(
    ("to", "source", "words"), [(0, 0, True), (8, 16, True), (0, 1, False), (4, 4, False)]
)
def test_memcpy_copies_words_where_both_sides_are_aligned(vas, pages, to, source, words):
    """Elsewhere bytes: an access that is not aligned faults where the memory is a device's."""
    kernel = vas.kernel
    data = kernel.buffer(2 * PAGE, align=PAGE)
    copy = kernel.function("arch_nofault_copy")
    assert copy(pages + to, data + source, PAGE) == 0  # it is all there from now on
    _, retired = copy.counted(pages + to, data + source, PAGE)
    assert (retired < 2 * PAGE) == words


def test_memcpy_ends_at_the_byte_that_faults(vas, pages):
    """The count says how far it came; with CONTINUE it goes on behind the page."""
    kernel = vas.kernel
    data = b"\x5a" * (4 * PAGE)
    source = kernel.buffer(data, align=PAGE)
    assert kernel.uk_nofault_memcpy(pages + PAGE + 4, source, 2 * PAGE, 0) == PAGE - 4
    assert kernel.read(vas.space, pages + PAGE + 4, PAGE - 4) == data[: PAGE - 4]
    assert kernel.uk_nofault_memcpy(pages + PAGE, source, 4 * PAGE, CONTINUE) == 2 * PAGE
    assert kernel.read(vas.space, pages + 4 * PAGE, PAGE) == data[:PAGE]
    back = kernel.buffer(4 * PAGE, align=PAGE)
    assert kernel.uk_nofault_memcpy(back, pages + PAGE, 4 * PAGE, CONTINUE) == 3 * PAGE
    assert kernel.read(None, back, 4 * PAGE) == data[:PAGE] + bytes(PAGE) + bytes(PAGE) + data[:PAGE]


def test_a_byte_that_is_written_meanwhile_is_not_lost(vas):
    """uk_nofault_probe_rw() stores what it has read; when another CPU was quicker it tries again."""
    va = vas.map("anon", PAGE)
    vas.store(va, 1)
    machine, pa, tries = vas.kernel.machine, vas.pa(va), []
    exclusive_store = vas.kernel.function("arch_nofault_touch").address + 8

    def write(_machine):
        tries.append(machine.memory.read(pa, 1))
        if len(tries) == 1:
            machine.memory.write(pa, b"\2")

    watch = machine.on_address(exclusive_store, write)
    assert vas.can_write(va) == 1
    watch.remove()
    assert tries == [b"\1", b"\2"]
    assert vas.load(va) == 2
