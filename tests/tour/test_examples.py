# SPDX-License-Identifier: BSD-3-Clause
"""What the tour says of the examples is true of nothing else."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import POPULATE, user_vas


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_bytes_are_counted_up_to_the_end_of_a_range(small_kernel, pages):
    """Not those of the next page, which is present too."""
    vas = user_vas(small_kernel)
    at = vas.map("anon", 4 * PAGE, flags=POPULATE)
    small_kernel.set_variable("vas", vas.vas)
    assert small_kernel.present(at, pages * PAGE) == pages * PAGE
