# SPDX-License-Identifier: BSD-3-Clause
"""Memory made present many pages at a time: as if page by page, with barriers once for all of it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.driver import LARGE, NONE, POPULATE, REPLACE, RW, SIZE_2M, SIZE_4K, USER_BASE, WILLNEED

VA = USER_BASE + LARGE
PAGES = 40


@contextmanager
def restored(kernel):
    """The kernel is as it was before, after this."""
    before = kernel.snapshot()
    yield
    kernel.restore(before)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.sets(st.integers(0, PAGES - 1)), first=st.integers(0, PAGES - 1), data=st.data())
def test_what_is_missing_in_a_range_is_made_present(vas, there, first, data):
    """Pages that are there keep their frames; each of the others gets one of its own, zeroed."""
    count = data.draw(st.integers(1, PAGES - first))
    with restored(vas.kernel):
        va = vas.map("anon", PAGES * PAGE, at=VA, flags=SIZE_4K)
        for page in there:
            assert vas.store(va + page * PAGE, page + 1)
        kept = {page: vas.pa(va + page * PAGE) for page in there}
        vas.advise(va + first * PAGE, count * PAGE, WILLNEED)
        wanted = there | set(range(first, first + count))
        assert vas.present(va, PAGES * PAGE) == [va + page * PAGE for page in sorted(wanted)]
        assert {page: vas.pa(va + page * PAGE) for page in there} == kept
        assert len({vas.pa(va + page * PAGE) for page in wanted}) == len(wanted)
        for page in wanted:
            assert vas.word(va + page * PAGE) == (page + 1 if page in there else 0)
        assert vas.is_sound()


@pytest.mark.parametrize("page", range(0, 512, 73))
def test_each_page_of_a_run_can_go_alone(vas, page):
    """They are allocations of their own, though they came together."""
    vas.map("anon", LARGE, at=VA, flags=POPULATE | SIZE_4K)
    pages = vas.frames()[3]
    vas.unmap(VA + page * PAGE, PAGE)
    assert vas.frames()[3] == pages - 1
    vas.unmap(VA, LARGE)
    assert vas.frames()[3] == pages - 512
    assert vas.is_sound()


@pytest.mark.parametrize(("flags", "leaves"), [(SIZE_4K, 512), (SIZE_2M, 1)])
def test_populating_2m_costs_two_barriers_and_its_end_one_tlbi(vas, flags, leaves):
    """A new table is zero before it is linked; DSB ISHST and ISB come once for all leaves."""
    vas.map("anon", PAGE, at=VA - PAGE, flags=POPULATE)
    with tracing(vas.kernel) as trace:
        vas.map("anon", LARGE, at=VA, flags=POPULATE | flags)
    made = [f"make {leaves}"] if leaves == 1 else ["dsb ishst", "fill 512", "make 1"]
    assert trace.script == [*made, "dsb ishst", "isb"]
    with tracing(vas.kernel) as trace:
        vas.unmap(VA, LARGE)
    assert len(trace.named("tlbi")) == 1
    assert len(trace.named("dsb")) == 2


def test_replaced_memory_is_there_before_the_old_goes(vas):
    """What takes its place is mapped where no walk can reach it, then moves as one table."""
    vas.map("anon", PAGE, at=VA - PAGE, flags=POPULATE)
    vas.map("anon", LARGE, at=VA, flags=POPULATE | SIZE_4K)
    with tracing(vas.kernel) as trace:
        vas.map("anon", LARGE, RW, at=VA, flags=POPULATE | REPLACE | SIZE_4K)
    assert len(trace.named("tlbi")) == 1
    entry = vas.tables().walk(VA).steps[-2].entry_address
    stores = [store for event in trace.events for store in event.stores]
    assert [store.kind for store in stores if store.address == entry] == ["break", "make"]
    assert len(vas.present(VA, LARGE)) == 512
    assert vas.is_sound()


@pytest.mark.parametrize(("kind", "own"), [("anon", 3), ("rsvd", 0), ("own", 4)])
def test_replacing_a_reservation_leaves_what_somebody_has_mapped_there(vas, kind, own):
    """A reservation may stand for pages that are not its own: they stay, and nothing is lost."""
    kernel = vas.kernel
    pa = kernel.frames_alloc(1, 0, kernel.FRAME_REGION)
    vas.ops["own"] = kernel.new("struct uk_vma_ops")  # without unmap: what has no place is its own affair
    vas.ops["own"].fault = vas.ops["anon"].fault
    vas.map("rsvd", 4 * PAGE, NONE, at=VA)
    assert kernel.ukplat_page_map(vas.vas.pt, VA + PAGE, pa, 1, RW, 0) == 0
    before = vas.frames()[3]
    vas.map(kind, 4 * PAGE, at=VA, flags=POPULATE | REPLACE | SIZE_4K)
    assert vas.pa(VA + PAGE) == pa
    assert len(vas.present(VA, 4 * PAGE)) == (4 if own else 1)
    assert vas.frames()[3] == before + own
    assert vas.is_sound()
