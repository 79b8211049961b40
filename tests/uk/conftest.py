# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of the VMA engine: a VAS of an address space, and the kernel's own."""

from __future__ import annotations

import pytest

from tests.support.fixtures import *  # noqa: F403 - what pytest is to find here
from tests.support.vmm import PAGE
from tests.uk import clones, driver


@pytest.fixture
def vas(small_kernel):
    """The VAS of an active address space, in 64M of RAM."""
    return driver.user_vas(small_kernel)


@pytest.fixture
def kernel_vas(small_kernel):
    """The VAS of the kernel, in 64M of RAM."""
    return driver.kernel_vas(small_kernel)


@pytest.fixture(params=["user", "kernel"])
def either_vas(small_kernel, request):
    """Both, one after the other."""
    return driver.user_vas(small_kernel) if request.param == "user" else driver.kernel_vas(small_kernel)


@pytest.fixture
def parent(vas):
    """Four pages with words 1, 2, 3 in the first three; the last is not present."""
    vas.map("anon", 4 * PAGE, at=clones.VA)
    for page in range(3):
        vas.store(clones.page(page), page + 1)
    return vas
