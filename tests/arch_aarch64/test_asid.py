# SPDX-License-Identifier: BSD-3-Clause
"""ASIDs: lent for a generation, never 0, never two to one live context, one TLBI a roll-over."""

from __future__ import annotations

import random

import pytest

from harness.kernel.faults import FillAsids
from tests.support.trace import tracing
from tests.support.vmm import PAGE, Vmm

WIDE, NARROW = 0x1124, 0x1104  # ID_AA64MMFR0_EL1 of a Cortex-A72; the same with 8 bits of ASID


@pytest.fixture(scope="module")
def booted_narrow_kernel(kernel_elf):
    """A CPU that has 8 bits."""
    from harness import Kernel

    with Kernel(kernel_elf, ram_size=64 << 20, id_registers={"ID_AA64MMFR0_EL1": NARROW}) as kernel:
        yield kernel, kernel.snapshot()


@pytest.fixture
def narrow(booted_narrow_kernel):
    """A VMM with 256 ASIDs."""
    kernel, moment = booted_narrow_kernel
    kernel.restore(moment)
    return Vmm(kernel)


def context(vmm, space):
    """The architecture's part of its page table."""
    return space.vas.pt.arch


def live_asid(vmm):
    """What TTBR0 runs with."""
    return vmm.kernel.machine.sysreg["TTBR0_EL1"] >> 48


def activate(vmm, space):
    """Activate and return the ASID."""
    vmm.activate(space)
    assert live_asid(vmm) == int(context(vmm, space).tag) & 0xFFFF
    return live_asid(vmm)


def generation(vmm):
    """The present one."""
    return int(vmm.kernel.variable("asid_generation"))


def nearly_use_up(vmm, left):
    """Lend all ASIDs of the present generation but the last few, as if that many address spaces had run."""
    with FillAsids(left).inject(vmm.kernel):
        pass


# -- width --------------------------------------------------------------------------------------------------


def test_cpu_with_16_bits_uses_them(small_vmm):
    """TCR_EL1.AS is set, and 65536 ASIDs are counted."""
    assert small_vmm.kernel.machine.sysreg["TCR_EL1"] >> 36 & 1 == 1
    assert small_vmm.kernel.variable("asids").count == 65536


def test_cpu_with_8_bits_uses_no_more(narrow):
    """TCR_EL1.AS stays 0, where it would be reserved."""
    assert narrow.kernel.machine.sysreg["TCR_EL1"] >> 36 & 1 == 0
    assert narrow.kernel.variable("asids").count == 256


# -- one generation -----------------------------------------------------------------------------------------


def test_asids_are_lent_on_first_activation(small_vmm):
    """An address space that never runs takes none; one that runs again keeps its own."""
    vmm = small_vmm
    spaces = [vmm.space() for _ in range(5)]
    assert all(context(vmm, space).tag == 0 for space in spaces)
    first = [activate(vmm, space) for space in spaces]
    assert len(set(first)) == 5
    assert 0 not in first
    assert [activate(vmm, space) for space in spaces] == first
    vmm.activate(None)
    assert live_asid(vmm) == 0


def test_all_of_a_generation_differ(narrow):
    """255 address spaces, 255 ASIDs, without a flush."""
    with tracing(narrow.kernel) as trace:
        vmm_spaces = [narrow.space() for _ in range(3)]
        for space in vmm_spaces:
            activate(narrow, space)
    assert trace.named("tlbi") == []
    spaces = vmm_spaces + [narrow.space() for _ in range(252)]
    before = generation(narrow)
    assert sorted(activate(narrow, space) for space in spaces) == list(range(1, 256))
    assert generation(narrow) == before


def test_released_asid_comes_back_after_its_tlbi(small_vmm):
    """While the TLBI is issued the ASID is still lent; then it is free, though not the next in turn."""
    vmm = small_vmm
    space = vmm.space()
    asid = activate(vmm, space)
    vmm.activate(None)
    lent = []

    def look(machine):
        lent.append(vmm.kernel.variable("asids").lent[0] >> asid & 1)

    with tracing(vmm.kernel) as trace:
        watch = vmm.kernel.machine.on_address(vmm.kernel.function("asid_release").address, look)
        vmm.kernel.vmm_address_space_destroy(space)
        watch.remove()
    assert [event.operand >> 48 for event in trace.named("tlbi aside1is")] == [asid]
    assert trace.script.index("dsb ish") > trace.script.index("tlbi aside1is")
    assert lent == [1]
    assert vmm.kernel.variable("asids").lent[0] >> asid & 1 == 0
    assert activate(vmm, vmm.space()) != asid


@pytest.mark.parametrize(("asid", "hint"), [(1, 256), (1, 40), (70, 256), (70, 71), (70, 200), (255, 3)])
def test_the_only_free_asid_is_found_from_anywhere(narrow, asid, hint):
    """Before or behind the place where the search goes on, in the same word or another: no roll-over."""
    asids = narrow.kernel.variable("asids")
    asids.hint = asid
    old = narrow.space()
    assert activate(narrow, old) == asid
    narrow.activate(None)
    nearly_use_up(narrow, left=0)
    asids.hint = hint
    assert narrow.kernel.vmm_address_space_destroy(old) == 0
    before = generation(narrow)
    assert activate(narrow, narrow.space()) == asid
    assert generation(narrow) == before


# -- roll-over ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
def test_roll_over_flushes_everything_once(small_vmm, narrow, bits):
    """One VMALLE1IS and one DSB ISH, before the new ASID goes into TTBR0; a new generation."""
    vmm = small_vmm if bits == 16 else narrow
    nearly_use_up(vmm, left=1)
    last, next_one = vmm.space(), vmm.space()
    assert activate(vmm, last) == (1 << bits) - 1
    before = generation(vmm)
    with tracing(vmm.kernel) as trace:
        activate(vmm, next_one)
    assert trace.script == ["tlbi vmalle1is", "dsb ish", "msr ttbr0", "isb"]
    assert generation(vmm) == before + (1 << 16)


@pytest.mark.parametrize("bits", [8, 16])
def test_active_address_space_keeps_its_asid(small_vmm, narrow, bits):
    """It runs on through the roll-over, so its ASID is lent in the new generation from the start."""
    vmm = small_vmm if bits == 16 else narrow
    running = vmm.space()
    asid = activate(vmm, running)
    stale = [vmm.space() for _ in range(3)]
    nearly_use_up(vmm, left=0)
    runner_up = vmm.space()
    other = activate(vmm, runner_up)
    assert other not in (0, asid)
    assert int(context(vmm, running).tag) == generation(vmm) | asid
    with tracing(vmm.kernel) as trace:
        assert activate(vmm, running) == asid
        found = [activate(vmm, space) for space in stale]
    assert trace.named("tlbi") == []
    assert len({0, asid, other, *found}) == 6


def test_stale_address_space_gets_a_new_asid(narrow):
    """The one of an older generation may be somebody else's by now."""
    old = narrow.space()
    va = narrow.create(old, PAGE)
    activate(narrow, old)
    narrow.activate(None)
    nearly_use_up(narrow, left=0)
    taker = narrow.space()
    assert activate(narrow, taker) == 1 == context(narrow, old).tag & 0xFFFF
    with tracing(narrow.kernel) as trace:
        narrow.set_prop(old, va, "RO")  # the flush of the roll-over was its TLBI
    assert trace.script == ["permit 1", "dsb ishst"]
    assert activate(narrow, old) == 2


def test_destroying_a_stale_address_space_frees_no_asid(narrow):
    """Its number belongs to another one now."""
    old, taker = narrow.space(), None
    activate(narrow, old)
    narrow.activate(None)
    nearly_use_up(narrow, left=0)
    taker = narrow.space()
    assert activate(narrow, taker) == 1
    assert narrow.kernel.vmm_address_space_destroy(old) == 0
    assert narrow.kernel.variable("asids").lent[0] & 3 == 3


def test_asids_stay_unique_through_many_generations(narrow):
    """300 address spaces for 255 ASIDs, activated, destroyed and replaced at random."""
    draw = random.Random(1)
    spaces = [narrow.space() for _ in range(300)]
    contexts = {int(space): context(narrow, space) for space in spaces}
    start = generation(narrow)
    turns = [space for _ in range(4) for space in draw.sample(spaces, len(spaces))]
    for step, space in enumerate(turns):
        if space not in spaces:
            continue
        assert activate(narrow, space) != 0
        if draw.random() < 0.03:
            victim = draw.choice([each for each in spaces if each != space])
            assert narrow.kernel.vmm_address_space_destroy(victim) == 0
            spaces.remove(victim)
            del contexts[int(victim)]
            spaces.append(narrow.space())
            contexts[int(spaces[-1])] = context(narrow, spaces[-1])
        if step % 50 == 0:
            current = [
                tag for each in contexts.values() if (tag := int(each.tag)) >> 16 == generation(narrow) >> 16
            ]
            assert len(set(current)) == len(current)
            assert all(0 < tag & 0xFFFF < 256 for tag in current)
    assert generation(narrow) - start >= 3 << 16


def test_roll_over_is_seen_by_the_memory_it_protects(narrow):
    """An address space that reuses another's number does not see the other's memory at the same VA."""
    one, two = narrow.space(), narrow.space()
    va = narrow.create(one, PAGE)
    assert narrow.create(two, PAGE) == va
    narrow.kernel.write(one, va, b"one")
    narrow.kernel.write(two, va, b"two")
    assert activate(narrow, one) == 1
    narrow.activate(None)
    nearly_use_up(narrow, left=0)
    assert activate(narrow, two) == 1
    assert narrow.kernel.machine.translate(va, 0).pa == narrow.translate(two, va)
