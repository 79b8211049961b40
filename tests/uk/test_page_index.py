# SPDX-License-Identifier: BSD-3-Clause
"""The index of a file's pages, kernel_c/core/page_index.c, against a dictionary."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.kernel.inject import fail_nth

# Numbers around what each height of the index takes, and few enough to meet again.
NUMBERS = st.sampled_from([0, 1, 511, 512, 513, 262143, 262144, 262145, (1 << 27) - 1])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(NUMBERS, max_size=6), asked=st.lists(NUMBERS, max_size=6))
def test_pages_are_found_that_were_made(small_kernel, made, asked):
    """And no others, whatever their order; cleared, all memory is back."""
    kernel, index = small_kernel, small_kernel.new("struct page_index")
    before, model = kernel.frames_count(kernel.FRAME_FREE), {}
    for number in made:
        pa = kernel.page_index_make(index, number)
        assert pa
        assert model.setdefault(number, pa) == pa
    for number in made + asked:
        assert kernel.page_index_find(index, number) == model.get(number, 0)
    assert len(set(model.values())) == len(model)
    kernel.page_index_clear(index)
    assert kernel.frames_count(kernel.FRAME_FREE) == before


@pytest.mark.parametrize("number", [0, 600, 300000])
def test_an_index_without_memory_is_as_it_was(small_kernel, number):
    """At each allocation: 0, and what was there is found."""
    kernel, index = small_kernel, small_kernel.new("struct page_index")
    first = kernel.page_index_make(index, 1)
    for n in range(1, 9):
        with fail_nth(kernel, ("frames_alloc",), n) as injection:
            pa = kernel.page_index_make(index, number)
        if injection.struck is None:
            break
        assert pa == 0
        assert (kernel.page_index_find(index, 1), kernel.page_index_find(index, number)) == (first, 0)
    assert pa == kernel.page_index_find(index, number) != 0
    assert n > 1
