# SPDX-License-Identifier: BSD-3-Clause
"""What is measured is what it says."""

from __future__ import annotations

import pytest

from harness.bench.barriers import counting, name_of
from harness.bench.ground import PAGE, Ground
from harness.bench.operations import OPERATIONS
from harness.errors import HarnessError
from harness.kernel import Kernel
from harness.kernel.inject import fail_nth
from tests.support.trace import tracing

DSB = {"sy": 0xD503_3F9F, "ish": 0xD503_3B9F, "ishst": 0xD503_3A9F, "oshld": 0xD503_319F}
TLBI = {"vmalle1is": 0xD508_831F, "vae1is": 0xD508_8320, "aside1": 0xD508_8745, "alle2": 0xD50C_871F}
OTHERS = {
    "dmb ish": 0xD503_3BBF,
    "isb": 0xD503_3FDF,
    "nop": 0xD503_201F,
    "at s1e1r": 0xD508_7800,
    "ic iallu": 0xD508_751F,
    "dc zva": 0xD50B_7420,
    "msr ttbr0_el1": 0xD518_2000,
}
# What is measured maps memory at its physical address, page tables included.
pytestmark = pytest.mark.no_sanitizer

WORDS = [
    *((word, "dsb") for word in DSB.values()),
    *((word, "tlbi") for word in TLBI.values()),
    *((word, None) for word in OTHERS.values()),
]


@pytest.mark.parametrize(("word", "name"), WORDS, ids=[*DSB, *TLBI, *OTHERS])
def test_barriers_and_invalidations_are_told_by_their_encoding(word: int, name: str | None) -> None:
    """Of every domain and scope, and nothing else."""
    assert name_of(word) == name


def test_vmas_lie_side_by_side(ground: Ground) -> None:
    """One page each, as many as asked for, in one go or in several."""
    for count in (1, 2, 5, 40):
        ground.grow(count)
        vma, found = ground.kernel.cast(ground.vas.vmas.first, "struct uk_vma *"), []
        while vma:
            found.append((vma.start, vma.end))
            vma = ground.kernel.cast(vma.node.next, "struct uk_vma *")
        starts = [ground.base + index * PAGE for index in range(count)]
        assert found == [(start, start + PAGE) for start in starts]
        assert ground.last == starts[-1]


@pytest.mark.parametrize("name", OPERATIONS)
def test_watching_changes_no_count(ground: Ground, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation retires the same instructions whether barriers are counted or not."""
    ground.grow(3)
    moment = ground.kernel.snapshot()
    watched = OPERATIONS[name](ground)
    ground.kernel.restore(moment)
    monkeypatch.setattr("harness.bench.barriers._watched", lambda _kernel: [])
    unwatched = OPERATIONS[name](ground)
    assert (watched.instructions, 0, 0) == (unwatched.instructions, unwatched.tlbi, unwatched.dsb)


def test_barriers_are_those_of_the_trace(kernel: Kernel, ground: Ground) -> None:
    """The count agrees with the suite's own record of every system instruction."""
    ground.grow(1)
    flags = kernel.UK_VMA_MAP_POPULATE | kernel.UK_VMA_MAP_SIZE_4KB
    calls = (
        ("uk_vma_map", *ground.map_arguments(4 * PAGE, at=ground.far, flags=flags)),
        ("uk_vma_unmap", ground.vas, ground.far, 4 * PAGE, 0),
    )
    with tracing(kernel) as trace, counting(kernel) as counts:
        for name, *arguments in calls:
            ground.call(name, *arguments)
    assert counts == {name: len(trace.named(name)) for name in ("dsb", "tlbi")}
    assert min(counts.values()) > 0


def test_running_out_of_memory_is_an_error(ground: Ground) -> None:
    """Of the VMAs that were asked for, and of a call."""
    ground.grow(2)
    with fail_nth(ground.kernel, ["object_alloc"], 3), pytest.raises(HarnessError, match="50 VMAs cannot"):
        ground.grow(50)
    with (
        fail_nth(ground.kernel, ["object_alloc"], 1),
        pytest.raises(HarnessError, match=r"uk_vma_map failed.*ENOMEM"),
    ):
        ground.counted("uk_vma_map", *ground.map_arguments(PAGE))
