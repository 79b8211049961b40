# SPDX-License-Identifier: BSD-3-Clause
"""harness.kernel.inject: the n-th call of some functions fails, and only that one."""

from __future__ import annotations

import pytest

from harness import HarnessError
from harness.kernel.inject import fail_nth


def test_only_the_chosen_call_fails(small_kernel):
    """Counted over all functions together; those before and after it run."""
    kernel = small_kernel
    with fail_nth(kernel, ("frames_alloc", "object_alloc"), 3) as injection:
        found = [bool(kernel.frames_alloc(1, 0, kernel.FRAME_REGION)) for _ in range(4)]
    assert found == [True, True, False, True]
    assert injection.calls == ["frames_alloc"] * 4
    assert injection.struck == "frames_alloc"


def test_nothing_fails_behind_the_block(small_kernel):
    """Nor when the block ends with an error, nor where fewer calls were made."""
    kernel = small_kernel
    with fail_nth(kernel, ("frames_alloc",), 1) as injection:
        pass
    assert (injection.calls, injection.struck) == ([], None)
    with pytest.raises(KeyError), fail_nth(kernel, ("frames_alloc",), 1):
        raise KeyError
    assert kernel.frames_alloc(1, 0, kernel.FRAME_REGION)


def test_result_can_be_chosen(small_kernel):
    """0 is what allocators say; other functions fail in other ways."""
    kernel = small_kernel
    with fail_nth(kernel, ("vmm_last_error",), 1, result=(1 << 64) - 12):
        assert kernel.vmm_last_error() == -12


def test_mistakes_are_named(small_kernel):
    """Counting from 0, and functions that cannot be caught, before anything is watched."""
    with pytest.raises(ValueError, match="count from 1"), fail_nth(small_kernel, ("frames_alloc",), 0):
        pass
    inlined = next(
        name for name, prototype in small_kernel.image.functions.items() if prototype.address is None
    )
    with pytest.raises(HarnessError, match=f"{inlined}.*inlined"), fail_nth(small_kernel, (inlined,), 1):
        pass
