# SPDX-License-Identifier: BSD-3-Clause
"""Injected faults: each takes effect, only within its block, and somebody notices."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness import GuestError, GuestPanic, HarnessError
from harness.arch.bits import U64
from harness.checks.audit import audit
from harness.checks.sanitizer import Options
from harness.kernel.faults import (
    AsidNames,
    DelayTlbi,
    FailCall,
    FillAsids,
    FlipBit,
    LittleStack,
    SkipInstruction,
    SpuriousFault,
    occurrences,
)
from tests.support.books import books_of
from tests.support.trace import tracing
from tests.support.vmm import PAGE, Vmm
from tests.uk.driver import LARGE, POPULATE, RW, RX, R, kernel_vas, user_vas

AP_READ_ONLY = 7


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


def entry_of(vas, page, level=-1):
    """The physical address of the entry of a page from the base on: the leaf, or above it."""
    return vas.tables().walk(vas.base + page * PAGE).steps[level].entry_address


# What a bit of an entry means: nothing to the hardware, or nothing for this entry in this place (D8.3).
_ADDRESS, _SOFTWARE, _PBHA = {*range(12, 48)}, {*range(55, 59)}, {*range(59, 63)}
_IGNORED_LEAF = (
    _SOFTWARE
    | _PBHA
    | {
        *(5, 63),  # NS, and what is ignored
        *(48, 49),  # RES0 without 52-bit addresses
        *(50, 51),  # GP without BTI, DBM without hardware update of the dirty state
    }
)
_IGNORED_TABLE = {*range(2, 12), *range(48, 59), 63}  # ignored, RES0, and NSTable
_NEVER_CODE = {53, 54}  # PXN and UXN where EL0 may write: the one by D8.4.5, the other by SCTLR_EL1.WXN
_IN_BLOCK = {*range(12, 21)}  # RES0, and nT
_NG = {11}  # the kernel's half is in every address space

WITHOUT_MEANING = {
    ("user", "rw-"): _IGNORED_LEAF | _NEVER_CODE,
    ("user", "r--"): _IGNORED_LEAF,
    ("user", "r-x"): _IGNORED_LEAF,
    ("user", "block"): _IGNORED_LEAF | _NEVER_CODE | _IN_BLOCK,
    ("user", "table"): _IGNORED_TABLE | {59},  # PXNTable: no page below it is code at EL1
    ("kernel", "rw-"): _IGNORED_LEAF | _NG | {53},  # PXN, by SCTLR_EL1.WXN
    ("kernel", "r--"): _IGNORED_LEAF | _NG,
    ("kernel", "table"): _IGNORED_TABLE | {60, 61},  # UXNTable, APTable[0]: EL0 has no rights below it
}
PLACES = {"rw-": (0, -1), "r--": (2, -1), "r-x": (3, -1), "block": (512, -1), "table": (0, -2)}


@pytest.mark.parametrize(("half", "kind"), WITHOUT_MEANING)
def test_every_flipped_bit_that_means_something_is_noticed_by_the_audit(small_kernel, half, kind):
    """Whatever it is of, and no other bit: each of the 64, against what the kernel's books say."""
    vas = user_vas(small_kernel) if half == "user" else kernel_vas(small_kernel)
    for page, attr, size in ((0, RW, PAGE), (2, R, PAGE), (3, RX, PAGE), (512, RW, LARGE)):
        vas.map("anon", size, attr, at=vas.base + page * PAGE, flags=POPULATE)
    walkers, books = books_of(small_kernel)
    entry, noticed = entry_of(vas, *PLACES[kind]), set()
    for bit in range(64):
        fault = FlipBit(entry, bit)
        with fault.inject(small_kernel):
            noticed |= {bit} if audit(walkers, books) else set()
        with fault.inject(small_kernel):
            pass  # it is as it was
    assert noticed == {*range(64)} - WITHOUT_MEANING[half, kind]
    assert noticed >= _ADDRESS - _IN_BLOCK
    assert audit(walkers, books) == []


def test_a_flipped_bit_stays_and_is_told(small_kernel):
    """Where, which, and of what; a second time it is as before."""
    vas = user_vas(small_kernel)
    va = vas.map("anon", PAGE, at=vas.base, flags=POPULATE)
    before = vas.tables().lookup(va).descriptor.raw
    fault = FlipBit(entry_of(vas, 0), AP_READ_ONLY)
    for expected in (before ^ 1 << AP_READ_ONLY, before):
        with fault.inject(small_kernel) as injection:
            pass
        assert vas.tables().lookup(va).descriptor.raw == expected
        assert injection.struck == f"bit 7 of {expected ^ 1 << AP_READ_ONLY:#x} at {fault.address:#x}"


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


def test_the_books_of_asids_may_have_any_names(small_kernel):
    """Those of another kernel are handed in; of one that has none, the error says what was looked for."""
    count, lent = 128, [0, 0]
    other = SimpleNamespace(size=count, taken=lent, next=0)
    stranger = SimpleNamespace(variable={"pool": other}.__getitem__)
    names = AsidNames(variable="pool", count="size", lent="taken", hint="next")
    with FillAsids(left=2, names=names).inject(stranger) as injection:
        assert injection.struck == "126 ASIDs lent"
    assert (lent, other.next) == ([U64, U64 >> 2], 126)
    with (
        pytest.raises(HarnessError, match="nonesuch"),
        FillAsids(names=AsidNames("nonesuch")).inject(small_kernel),
    ):
        pass


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
