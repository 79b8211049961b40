# SPDX-License-Identifier: BSD-3-Clause
"""The audit against the kernel's own books: clean whatever was called, and damage of each kind is found."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.books import concerns
from tests.support.vmm import PAGE
from tests.uk import costs
from tests.uk.driver import LARGE, NONE, POPULATE, RW, RX, SIZE_2M, R, kernel_vas, user_vas
from tests.uk.guest import Guest
from tests.uk.machine import DMA_PAGES, NORMAL_NC, run_steps
from tests.uk.machine_family import SETTINGS, FamilyMachine
from tests.uk.machine_files import FilesMachine

AP_EL0, AP_READ_ONLY, PXN, UXN = 1 << 6, 1 << 7, 1 << 53, 1 << 54
ADDRESS = 0xFFFF_FFFF_F000
SHARD, SHARDS, STEPS = 77, 1000, 60  # sequences that the tests against the model do not run


# -- clean --------------------------------------------------------------------------------------------------


class Audited:
    """A state machine that audits what a sequence has left, before it cleans up."""

    audits = 0

    def teardown(self):
        """Whatever the sequence was."""
        if self.__dict__.keys() & {"vas", "family"}:
            memory = self.guest.memory
            assert concerns(self.guest.kernel, range(memory, memory + DMA_PAGES * PAGE, PAGE)) == []
            Audited.audits += 1
        super().teardown()


@pytest.mark.parametrize("machine", [FilesMachine, FamilyMachine], ids=["one", "family"])
@pytest.mark.timeout(900)  # a failure is made smaller for up to five minutes
def test_what_random_calls_leave_is_clean(small_kernel, monkeypatch, machine):
    """VMAs of all types with allocations that fail, and copies of address spaces that share pages."""
    monkeypatch.setattr(Audited, "audits", 0)
    kind = type("Machine", (Audited, machine), {})
    run_steps(Guest(small_kernel), SHARD, SHARDS, STEPS, kind, settings(SETTINGS, max_examples=5))
    assert Audited.audits >= 5


@pytest.mark.parametrize("name", ["areas", "holes", "grid", "faults", "copies", "regions", "files"])
def test_what_known_sequences_leave_is_clean(small_kernel, name):
    """Those whose cost is known to the instruction."""
    costs.SEQUENCES[name](small_kernel)
    assert concerns(small_kernel) == []


# -- damage -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["user", "kernel"])
def stage(small_kernel, request):
    """A VAS of either half: four pages RW, one R, one RX and a block, all present, and a reservation."""
    vas = user_vas(small_kernel) if request.param == "user" else kernel_vas(small_kernel)
    for page, attr, count in ((0, RW, 4), (5, R, 1), (7, RX, 1)):
        vas.map("anon", count * PAGE, attr, at=vas.base + page * PAGE, flags=POPULATE)
    vas.map("anon", LARGE, at=vas.base + LARGE, flags=POPULATE | SIZE_2M)
    vas.map("rsvd", PAGE, NONE, at=vas.base + 9 * PAGE)
    assert found(vas) == set()
    return vas


def found(vas):
    """The names of what is wrong."""
    return {concern.check for concern in concerns(vas.kernel)}


def entry(vas, page):
    """Where the entry of a page from the base on is, and what it says."""
    step = vas.tables().walk(vas.base + page * PAGE).steps[-1]
    return step.entry_address, step.raw


def plant(vas, page, raw):
    """Write an entry behind the kernel's back."""
    vas.kernel.machine.memory.write(entry(vas, page)[0], raw.to_bytes(8, "little"))


def change(vas, page, how):
    """Write what `how` makes of an entry."""
    plant(vas, page, how(entry(vas, page)[1]))


def test_a_frame_freed_while_it_is_mapped_is_found(stage):
    """By a call of the allocator."""
    stage.kernel.frames_free(stage.pa(stage.base), 1)
    assert found(stage) == {"free-frame"}


@pytest.mark.parametrize(
    ("purpose", "check"),
    [
        ("FRAME_FREE", {"free-frame"}),
        ("FRAME_TABLE", {"kernel-frame"}),
        ("FRAME_OBJECT", {"kernel-frame"}),
        ("FRAME_FILE", set()),
    ],
)
def test_what_the_record_of_a_mapped_frame_says_counts(stage, purpose, check):
    """Data of a file can be mapped; what is nobody's, or the kernel's own, cannot."""
    set_purpose(stage.kernel, stage.pa(stage.base), purpose)
    assert found(stage) == check


def set_purpose(kernel, pa, purpose):
    """Write it into the record of a frame."""
    records = kernel.variable("frame_records")
    records.at[pa // PAGE - int(records.first)].purpose = getattr(kernel, purpose)


@pytest.mark.parametrize("purpose", ["FRAME_FREE", "FRAME_PAGE"])
def test_a_table_that_the_books_do_not_have_as_one_is_found(stage, purpose):
    """Freed while it is linked, or given to somebody as memory, which is mapped nowhere then."""
    set_purpose(stage.kernel, entry(stage, 0)[0] & -PAGE, purpose)
    assert found(stage) == {"table-frame"} | ({"lost-frame"} if purpose == "FRAME_PAGE" else set())


def test_an_entry_outside_any_vma_is_found(stage):
    """Behind the last page of one; the frame is shared memory's, so that nothing else is wrong."""
    set_purpose(stage.kernel, stage.pa(stage.base), "FRAME_FILE")
    plant(stage, 4, entry(stage, 0)[1])
    assert found(stage) == {"no-area"}


def test_a_vma_that_ends_within_a_block_is_found(stage):
    """Or has moved its end without the tables."""
    [vma] = [vma for vma in stage.vmas() if vma.start == stage.base + LARGE]
    stage.call("uk_vma_find", stage.vas, vma.start)[0].end = vma.end - PAGE
    assert found(stage) == {"no-area"}


@pytest.mark.parametrize("page", [5, 7], ids=["r--", "r-x"])
def test_a_page_that_may_be_written_where_its_vma_may_not_is_found(stage, page):
    """AP[2] clear; what is writable is not executable any more, since SCTLR_EL1.WXN is set."""
    change(stage, page, lambda raw: raw & ~AP_READ_ONLY)
    assert found(stage) == {"rights"}


def test_a_page_that_may_be_executed_where_its_vma_may_not_is_found(stage):
    """Of those who are at home in this half."""
    change(stage, 5, lambda raw: raw & ~(UXN if stage.is_user else PXN))
    assert found(stage) == {"rights"}


def test_memory_in_a_reservation_is_found(stage):
    """It has no rights to give."""
    set_purpose(stage.kernel, stage.pa(stage.base), "FRAME_FILE")
    plant(stage, 9, entry(stage, 5)[1] & ~ADDRESS | stage.pa(stage.base))
    assert found(stage) == {"rights"}


def test_writable_and_executable_is_found_where_the_cpu_does_not_prevent_it(stage):
    """Without SCTLR_EL1.WXN; the rights are more than those of the VMA, too."""
    stage.kernel.machine.sysreg["SCTLR_EL1"] &= ~(1 << 19)
    change(stage, 0, lambda raw: raw & ~(UXN if stage.is_user else PXN))
    assert found(stage) == {"rights", "writable-executable"}


@pytest.mark.parametrize("page", [0, 5], ids=["rw-", "r--"])
def test_a_table_mapped_as_data_is_found(stage, page):
    """For EL0, and in the kernel's half for EL1 alone: outside the map of all RAM, to write or to read."""
    table = stage.tables().regime.table_base
    change(stage, page, lambda raw: raw & ~ADDRESS | table)
    books = {"kernel-frame"} if stage.is_user else set()  # the kernel's root is part of its image
    assert found(stage) == {"table-as-data", "lost-frame"} | books


def test_a_block_that_a_table_is_in_is_found(stage):
    """Anywhere in it."""
    change(stage, 512, lambda raw: raw & ~ADDRESS | entry(stage, 0)[0] & -LARGE)
    assert {"table-as-data", "lost-frame"} <= found(stage)


def test_a_page_of_the_kernels_half_that_el0_can_reach_is_found(kernel_vas):
    """AP[1] there."""
    kernel_vas.map("anon", PAGE, R, at=kernel_vas.base, flags=POPULATE)
    change(kernel_vas, 0, lambda raw: raw | AP_EL0)
    assert found(kernel_vas) == {"kernel-page-at-el0"}


@pytest.mark.no_sanitizer("policy/mismatched-attributes")
def test_memory_of_another_type_than_the_vma_asks_for_is_found(vas):
    """Where it asks for one, that is an alias on purpose."""
    vas.map("anon", PAGE, RW | NORMAL_NC, at=vas.base, flags=POPULATE)
    assert found(vas) == set()
    change(vas, 0, lambda raw: raw & ~(7 << 2))
    assert found(vas) == {"memory"}


def test_pages_that_are_shared_may_not_be_writable_yet(vas):
    """Copied on write: in both address spaces; elsewhere a right that is missing is found."""
    vas.map("anon", PAGE, at=vas.base, flags=POPULATE)
    other = vas.clone()
    assert {concern.check for concern in concerns(vas.kernel)} == set()
    assert [page.prot for each in (vas, other) for page in each.pages()] == ["r--", "r--"]
    vas.map("anon", PAGE, at=vas.base + LARGE, flags=POPULATE)
    change(vas, 512, lambda raw: raw | AP_READ_ONLY)
    assert found(vas) == {"rights"}
