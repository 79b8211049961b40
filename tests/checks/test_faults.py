# SPDX-License-Identifier: BSD-3-Clause
"""Injected faults: each takes effect, only within its block, and somebody notices."""

from __future__ import annotations

import pytest

from harness import GuestError, GuestPanic, HarnessError
from harness.checks.sanitizer import Options
from harness.kernel.faults import (
    DelayTlbi,
    FailCall,
    FillAsids,
    FlipBit,
    LittleStack,
    SkipInstruction,
    SpuriousFault,
    occurrences,
)
from tests.support.trace import tracing
from tests.support.vmm import PAGE, Vmm
from tests.uk.driver import RW, R, user_vas

VALID, AP_READ_ONLY, UXN, LOWEST_ADDRESS_BIT = 0, 7, 54, 12


@pytest.fixture(scope="module")
def booted_watched(kernel_elf):
    """A kernel under the sanitizer."""
    from harness import Kernel

    with Kernel(kernel_elf, ram_size=64 << 20, sanitize=Options()) as kernel:
        yield kernel, kernel.snapshot()


@pytest.fixture
def watched(booted_watched):
    """The interface of a kernel under the sanitizer."""
    kernel, moment = booted_watched
    kernel.restore(moment)
    return Vmm(kernel)


def used(vmm, prop="RW"):
    """An active space with a region that has been used; the address of the leaf's entry too."""
    space = vmm.space()
    vmm.create(space, PAGE)
    va = vmm.create(space, PAGE, prop)
    vmm.activate(space)
    return space, va


# -- TLBI and barriers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [SkipInstruction("TLBI"), DelayTlbi(), SkipInstruction("DSB"), SkipInstruction("DSB", 2)],
    ids=str,
)
def test_the_sanitizer_notices_what_is_missing_around_a_tlbi(watched, fault):
    """Destroying a region needs DSB, TLBI and DSB; any of them left out, or late, fails the call."""
    space, va = used(watched)
    with fault.inject(watched.kernel) as injection, pytest.raises(GuestError) as caught:
        watched.destroy(space, va)
    assert injection.struck is not None
    assert type(caught.value).__name__ == "GuestViolation"


def test_without_a_fault_the_sanitizer_says_nothing(watched):
    """The same calls, and a fault that found no occasion."""
    space, va = used(watched)
    with SkipInstruction("TLBI", 1000).inject(watched.kernel) as injection:
        watched.destroy(space, va)
    assert injection.struck is None
    assert len(injection.calls) >= 1


@pytest.mark.no_sanitizer  # it would fail the call
@pytest.mark.parametrize(
    ("fault", "outcome"), [(SkipInstruction("TLBI"), "ok"), (SkipInstruction("IC", 1000), "fault")], ids=str
)
def test_a_tlbi_that_is_skipped_leaves_the_old_translation(small_kernel, fault, outcome):
    """The emulated TLB is real: a store works where it was forbidden; without a fault it does not."""
    vas = user_vas(small_kernel)
    va = vas.map("anon", PAGE, RW)
    assert vas.user("w", va).outcome == "ok"
    with fault.inject(small_kernel):
        vas.set_attr(va, PAGE, R)
    assert vas.user("w", va).outcome == outcome


@pytest.mark.no_sanitizer  # it would fail the call
def test_a_delayed_tlbi_comes_behind_the_barrier(small_vmm):
    """With the operand that it had. A trace sees the CPU come to it twice, the first time in vain."""
    space, va = used(small_vmm)
    kernel = small_vmm.kernel
    moment = kernel.snapshot()
    with tracing(kernel) as plain:
        small_vmm.destroy(space, va)
    kernel.restore(moment)
    with DelayTlbi().inject(kernel) as injection, tracing(kernel) as delayed:
        small_vmm.destroy(space, va)
    assert injection.struck
    before = [(event.name, event.operand) for event in plain.events]
    at = next(at for at, (name, _) in enumerate(before) if name.startswith("tlbi"))
    assert before[at + 1][0].startswith("dsb")
    after = [(event.name, event.operand) for event in delayed.events]
    assert after == [*before[: at + 2], before[at], *before[at + 2 :]]


def test_occurrences_are_of_the_kernels_text(small_kernel):
    """Each kind is there; of an unknown one the error says so."""
    assert all(small_kernel.image.is_code(at) for at in occurrences(small_kernel, "TLBI"))
    with pytest.raises(HarnessError, match="no HINT"):
        occurrences(small_kernel, "HINT")


# -- tables -------------------------------------------------------------------------------------------------


def entry_of(vmm, space, va):
    """The physical address of the leaf entry of a VA."""
    return vmm.kernel.tables(space).walk(va).steps[-1].entry_address


@pytest.mark.parametrize("bit", [VALID, AP_READ_ONLY, UXN, LOWEST_ADDRESS_BIT])
def test_a_flipped_bit_of_an_entry_shows_in_the_tables(small_vmm, bit):
    """The walk no longer says what the books say: other rights, another address, or nothing."""
    vmm = small_vmm
    space, va = used(vmm)
    expected = str(vmm.kernel.tables(space).lookup(va)), vmm.translate(space, va)
    fault = FlipBit(entry_of(vmm, space, va), bit)
    with fault.inject(vmm.kernel) as injection:
        assert f"bit {bit}" in injection.struck
    assert (str(vmm.kernel.tables(space).lookup(va)), vmm.translate(space, va)) != expected
    with fault.inject(vmm.kernel):
        assert (str(vmm.kernel.tables(space).lookup(va)), vmm.translate(space, va)) == expected


@pytest.mark.parametrize("left", [0, 1])
def test_the_last_asid_ends_a_generation(small_vmm, left):
    """With none left the next space to run begins another; with one left it gets that."""
    vmm = small_vmm
    space = vmm.space()
    generation = int(vmm.kernel.variable("asid_generation"))
    with FillAsids(left).inject(vmm.kernel):
        vmm.activate(space)
    assert (int(vmm.kernel.variable("asid_generation")) > generation) == (left == 0)
    assert vmm.kernel.machine.sysreg["TTBR0_EL1"] >> 48


# -- faults and stack ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [False, True])
def test_a_spurious_fault_changes_nothing(small_kernel, write):
    """The page is there: the handler finds so and returns, and the call does what it always does."""
    vas = user_vas(small_kernel)
    va = vas.map("anon", PAGE, RW)
    assert vas.store(va, 7)
    before = vas.leaves()
    with SpuriousFault("vmm_last_error", va, write=write).inject(small_kernel) as injection:
        assert small_kernel.vmm_last_error() == 0
    assert injection.struck
    assert small_kernel.machine.exceptions[-1].far == va
    assert (vas.leaves(), vas.load(va)) == (before, 7)


def test_a_fault_on_what_is_not_mapped_is_a_panic(small_kernel):
    """Injected or not."""
    fault = SpuriousFault("vmm_last_error", 0x10_0000)
    with fault.inject(small_kernel), pytest.raises(GuestPanic, match="exception"):
        small_kernel.vmm_last_error()


def test_only_the_chosen_call_faults(small_kernel):
    """The second of three."""
    vas = user_vas(small_kernel)
    va = vas.map("anon", PAGE, RW)
    assert vas.store(va, 7)
    counts = []
    with SpuriousFault("vmm_last_error", va, n=2).inject(small_kernel):
        for _ in range(3):
            counts.append(small_kernel.function("vmm_last_error").counted()[1])
    assert counts[0] == counts[2] < counts[1]


def test_little_stack_is_an_overflow(small_kernel):
    """The guard page is found whatever the kernel calls it; behind the block there is room again."""
    before = small_kernel.machine.registers["sp"]
    with LittleStack(32).inject(small_kernel), pytest.raises(GuestPanic, match="stack overflow"):
        small_kernel.vmm_address_space_create()
    assert small_kernel.machine.registers["sp"] == before


def test_a_failing_call_is_a_fault_like_the_others(small_kernel):
    """As `fail_nth`, with a name for reports."""
    fault = FailCall(("frames_alloc",), 2)
    with fault.inject(small_kernel) as injection:
        found = [bool(small_kernel.frames_alloc(1, 0, small_kernel.FRAME_REGION)) for _ in range(3)]
    assert (found, injection.struck) == ([True, False, True], "frames_alloc")


def test_faults_are_named_in_reports():
    """Each by what it does, and no two alike."""
    faults = [
        *(SkipInstruction(), SkipInstruction("DSB"), SkipInstruction("DSB", 2), DelayTlbi(), FillAsids()),
        *(FlipBit(0, 1), FlipBit(0, 2), SpuriousFault("f", 0), LittleStack(16), FailCall(("g",))),
    ]
    assert len({str(fault) for fault in faults}) == len(faults)
