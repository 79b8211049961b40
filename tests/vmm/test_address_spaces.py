# SPDX-License-Identifier: BSD-3-Clause
"""Address spaces: identity, order, activation, end."""

from __future__ import annotations

from tests.support.vmm import PAGE


def test_ids_count_from_one_and_are_never_reused(kernel, vmm):
    """Though the memory of a destroyed address space is."""
    seen, addresses = [], []
    for _ in range(40):
        space = vmm.space()
        seen.append(kernel.vmm_address_space_id(space))
        addresses.append(int(space))
        assert kernel.vmm_address_space_destroy(space) == 0
    assert seen == list(range(1, 41))
    assert len(set(addresses)) < 40


def test_live_address_spaces_are_listed_in_order_of_creation(kernel, vmm):
    """Destroying one takes it out of the list."""
    assert vmm.spaces() == []
    made = [vmm.space() for _ in range(5)]
    assert vmm.spaces() == made
    kernel.vmm_address_space_destroy(made.pop(2))
    made.append(vmm.space())
    assert vmm.spaces() == made
    assert vmm.error == "OK"


def test_more_address_spaces_than_fit_in_a_frame(kernel, vmm):
    """Their objects take new frames, and give them back."""
    before = vmm.books()
    made = [vmm.space() for _ in range(100)]
    assert vmm.stats().address_spaces == 100
    assert vmm.stats().frames_object > 2
    for space in made[::2] + made[1::2]:
        assert kernel.vmm_address_space_destroy(space) == 0
    assert vmm.books() == before


def test_active_address_space_translates_user_addresses(kernel, vmm):
    """TTBR0 holds its root and an ASID that is not 0; with none active, an empty table and ASID 0."""
    idle = kernel.machine.sysreg["TTBR0_EL1"]
    space = vmm.space()
    va = vmm.create(space, PAGE)
    vmm.activate(space)
    ttbr0 = kernel.machine.sysreg["TTBR0_EL1"]
    context = kernel.cast(space.vas.pt, "struct uk_pagetable *")
    assert ttbr0 & (1 << 48) - 1 == context.pt_pbase
    assert ttbr0 >> 48 == context.arch.tag & 0xFFFF != 0
    assert kernel.machine.translate(va, 0, "w").pa == vmm.translate(space, va)
    vmm.activate(None)
    assert kernel.machine.sysreg["TTBR0_EL1"] == idle
    assert kernel.machine.translate(va, 0, "r").pa is None


def test_active_address_space_cannot_be_destroyed(kernel, vmm):
    """EBUSY, until another one, or none, is active."""
    space, other = vmm.space(), vmm.space()
    vmm.create(space, PAGE)
    vmm.activate(space)
    before = vmm.books()
    assert kernel.vmm_address_space_destroy(space) == -kernel.EBUSY
    assert vmm.error == "EBUSY"
    assert vmm.books() == before
    vmm.activate(other)
    assert kernel.vmm_address_space_destroy(space) == 0
    assert vmm.spaces() == [other]


def test_switching_changes_what_a_va_means(kernel, vmm):
    """The same VA reads what its own address space holds, each time."""
    spaces = [vmm.space() for _ in range(3)]
    for number, space in enumerate(spaces):
        va = vmm.create(space, PAGE)
        kernel.write(space, va, bytes([number]) * 8)
        code = vmm.create(space, PAGE, "RX")
        probe = kernel.image.symbols["arch_user_probe"].address
        kernel.vmm_address_space_copy_in(space, probe, code, 24)
    for number in (0, 1, 2, 1, 0, 2):
        vmm.activate(spaces[number])
        exit, registers = vmm.run_user(code + kernel.USER_PROBE_READ, va)
        assert exit.stop == kernel.USER_CALL
        assert registers.x[0] == int.from_bytes(bytes([number]) * 8, "little")


def test_second_initialisation_is_refused(kernel, vmm):
    """vmm_init() is called once; again it says EBUSY and leaves everything alone."""
    space = vmm.space()
    vmm.create(space, PAGE)
    before = vmm.books()
    kernel.vmm_init()
    assert vmm.error == "EBUSY"
    assert vmm.books() == before


def test_what_a_call_returns_is_what_it_records(kernel, vmm, space):
    """For every call that returns its status: when it fails, and when it then succeeds."""
    va, rw = vmm.create(space, PAGE), vmm.props["RW"]
    out, data = kernel.new("address_space_region_t"), kernel.buffer(16)
    pointer, wrong = kernel.cast(data, "void **"), va + 8
    calls = [
        (kernel.vmm_address_space_region_create_at, (space, va, PAGE, rw), (space, va + 2 * PAGE, PAGE, rw)),
        (kernel.vmm_address_space_region_set_prop, (space, wrong, rw), (space, va, rw)),
        (kernel.vmm_address_space_region_next, (space, vmm.user_end, out), (space, 0, out)),
        (kernel.vmm_address_space_copy_out, (space, data, 0, 8), (space, data, va, 8)),
        (kernel.vmm_address_space_translate, (space, 0, pointer), (space, va, pointer)),
        (kernel.vmm_stats, (None,), (kernel.new("vmm_stats_t"),)),
        (kernel.vmm_address_space_region_destroy, (space, wrong), (space, va)),
        (kernel.vmm_address_space_activate, (1,), (space,)),
        (kernel.vmm_address_space_activate, (kernel.cast(space.vas.pt, "address_space_t *"),), (None,)),
        (kernel.vmm_address_space_destroy, (1,), (space,)),
    ]
    for call, bad, good in calls:
        assert call(*bad) == kernel.vmm_last_error() < 0
        assert call(*good) == kernel.vmm_last_error() == 0


def test_calls_that_return_no_status_record_one(kernel, vmm):
    """A success clears the error of the call before."""
    space = vmm.space()
    assert not kernel.vmm_address_space_region_create(space, 0, vmm.props["RW"])
    assert vmm.error == "EINVAL"
    kernel.vmm_address_space_id(space)
    assert vmm.error == "OK"
    kernel.vmm_address_space_copy_in(space, 0, 0, 1)
    assert vmm.error == "EFAULT"
    vmm.stats()
    assert vmm.error == "OK"


def test_address_spaces_are_counted(kernel, vmm):
    """Those that are alive."""
    before = kernel.address_space_count()
    made = [vmm.space() for _ in range(3)]
    assert kernel.address_space_count() == before + 3
    assert kernel.vmm_address_space_destroy(made[1]) == 0
    assert kernel.address_space_count() == before + 2
