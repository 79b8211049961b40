# SPDX-License-Identifier: BSD-3-Clause
"""Memory that runs out at any allocation of any call: nothing has changed, nothing is lost."""

from __future__ import annotations

from operator import itemgetter

import pytest

from tests.support.frames import drain
from tests.support.trace import tracing
from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_2M,
    USER_BASE,
    WILLNEED,
    R,
    exhaust,
)

VA = USER_BASE + LARGE


def _holes(vas):
    """Three VMAs with populated pages and holes between them; a block of 2M above."""
    for page in (0, 3, 6):
        vas.map("anon", 2 * PAGE, RW if page else R, at=VA + page * PAGE, flags=POPULATE)
    vas.map("anon", LARGE, at=VA + LARGE, flags=POPULATE)


CALLS = {
    "map": lambda vas: vas.do_map("anon", PAGE, at=VA)[0],
    "map dma": lambda vas: vas.do_map("dma", PAGE, at=VA, pa=0x4000_0000)[0],
    "map rsvd": lambda vas: vas.do_map("rsvd", PAGE, NONE)[0],
    "populate": lambda vas: vas.do_map("anon", 3 * PAGE, at=VA, flags=POPULATE)[0],
    "populate across a table": lambda vas: vas.do_map("anon", 4 * PAGE, at=VA - 2 * PAGE, flags=POPULATE)[0],
    "populate 2M": lambda vas: vas.do_map("anon", 2 * LARGE, at=VA, flags=POPULATE | SIZE_2M)[0],
    "populate dma": lambda vas: vas.do_map("dma", 3 * PAGE, at=VA, flags=POPULATE, pa=0x4000_0000)[0],
    "stack": lambda vas: vas.do_stack(4 * PAGE, 3 * PAGE)[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_map_undoes_itself(vas, name):
    """Whichever allocation fails: no VMA, no page, no table, no frame is left."""
    assert exhaust(lambda: CALLS[name](vas), vas, vas.books) >= 1


CHANGES = {
    "unmap a middle": lambda vas: vas.do_unmap(VA + LARGE + PAGE, PAGE),
    "unmap both ends cut": lambda vas: vas.do_unmap(VA + PAGE, LARGE + PAGE),
    "unmap from a block": lambda vas: vas.do_unmap(VA + LARGE + 5 * PAGE, 2 * LARGE),
    "set_attr a middle": lambda vas: vas.do_set_attr(VA + LARGE + PAGE, PAGE, R),
    "set_attr both ends cut": lambda vas: vas.do_set_attr(VA + PAGE, LARGE + PAGE, RX),
    "set_attr small pages": lambda vas: vas.do_set_attr(VA + PAGE, 3 * PAGE, RX),
    "replace a middle": lambda vas: vas.do_map("rsvd", PAGE, at=VA + LARGE + PAGE, flags=REPLACE)[0],
    "replace, populated": lambda vas: vas.do_map("anon", 8 * PAGE, at=VA, flags=REPLACE | POPULATE)[0],
    "replace a block, populated": lambda vas: vas.do_map(
        *("anon", LARGE + 2 * PAGE), at=VA + LARGE - PAGE, flags=REPLACE | POPULATE
    )[0],
    "replace by a stack": lambda vas: vas.do_stack(
        *(3 * PAGE, 2 * PAGE), at=VA + LARGE + PAGE, flags=REPLACE
    )[0],
    "replace both ends cut": lambda vas: vas.do_map("anon", LARGE, NONE, at=VA + PAGE, flags=REPLACE)[0],
    "dontneed in a block": lambda vas: vas.do_advise(VA + LARGE + PAGE, PAGE, DONTNEED),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_is_made_completely_or_not_at_all(vas, name):
    """VMAs are as they were, and so is what is mapped; a block may be in pieces by then."""
    _holes(vas)
    assert exhaust(lambda: CHANGES[name](vas), vas, vas.mapping) >= 1


def test_willneed_keeps_what_it_got(vas):
    """Advice may be taken in part; a second attempt completes it."""
    vas.map("anon", 6 * PAGE, at=VA)
    assert vas.fault(VA + PAGE) == "OK"  # in the way: the others are no run
    with vas.failing(2):
        assert vas.do_advise(VA, 3 * PAGE, WILLNEED) == "ENOMEM"
    assert vas.present(VA, 6 * PAGE) == [VA, VA + PAGE]
    vas.advise(VA, 6 * PAGE, WILLNEED)
    assert len(vas.present(VA, 6 * PAGE)) == 6
    assert vas.is_sound()


def test_fewer_pages_at_a_time_are_taken_where_there_is_not_memory_for_all(vas):
    """A run that is refused is tried again with half as many pages; barriers are once for all runs."""
    vas.map("anon", PAGE, at=VA, flags=POPULATE)
    with tracing(vas.kernel) as trace, vas.failing(2) as injection:
        vas.map("anon", 64 * PAGE, at=VA + PAGE, flags=POPULATE)
    assert injection.struck == "frames_alloc"
    assert injection.calls.count("frames_alloc") == 3
    assert len(vas.present(VA, 65 * PAGE)) == 65
    assert trace.script == ["make 64", "dsb ishst", "isb"]
    assert vas.is_sound()


def test_memory_that_is_left_in_single_frames_is_taken_one_by_one(vas):
    """A run is halved until one page of it can be had, and so is what is left."""
    kernel = vas.kernel
    vas.map("anon", PAGE, at=VA, flags=POPULATE)
    pa, count = min((each for each in drain(kernel) if each[1] >= 32), key=itemgetter(1))
    kernel.frames_split(pa, count, 0)
    for at in range(pa, pa + 32 * PAGE, 2 * PAGE):
        kernel.frames_free(at, 1)
    vas.map("anon", 16 * PAGE, at=VA + PAGE, flags=POPULATE)
    assert len(vas.present(VA, 17 * PAGE)) == 17
    assert kernel.frames_count(kernel.FRAME_FREE) == 0
    assert vas.is_sound()


@pytest.mark.parametrize("who", ["user", "kernel"])
def test_fault_without_memory_is_reported_and_can_be_tried_again(vas, who):
    """Table or page: nothing is left of the attempt; the next access works."""
    vas.map("anon", PAGE, at=VA)
    before = vas.books()
    for n in range(1, 10):
        with vas.failing(n) as injection:
            worked = vas.can_read(VA) == 1 if who == "kernel" else vas.user("r", VA).outcome == "ok"
        if injection.struck is None:
            break
        assert not worked
        assert vas.books() == before
    assert n > 2
    assert worked


def test_populate_more_than_there_is(vas):
    """All of RAM and more: ENOMEM, and every frame is back."""
    before = vas.books()
    assert vas.do_map("anon", 128 << 20, flags=POPULATE)[0] == "ENOMEM"
    assert vas.do_map("anon", 128 << 20, flags=POPULATE | SIZE_2M)[0] == "ENOMEM"
    assert vas.do_stack(128 << 20, 128 << 20)[0] == "ENOMEM"
    assert vas.books() == before


def test_address_space_goes_with_everything(vas):
    """After all this an address space takes nothing with it."""
    kernel = vas.kernel
    kernel.vmm_address_space_activate(None)
    assert kernel.vmm_address_space_destroy(vas.space) == 0
    frames = [kernel.frames_count(each) for each in range(2, kernel.FRAME_PURPOSES)]
    other = kernel.vmm_address_space_create()
    assert other
    kernel.vmm_address_space_destroy(other)
    assert [kernel.frames_count(each) for each in range(2, kernel.FRAME_PURPOSES)] == frames
