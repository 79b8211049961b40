# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the kernel_c tests, for the conftest.py of each of their folders to import."""

from __future__ import annotations

import pytest

from harness import Kernel
from harness.pytest_plugin.options import settings_of, unwanted_checks
from tests.support.frames import without_filling
from tests.support.vmm import BLOCK_1G, Vmm

__all__ = ["booted_small_kernel", "large_memory", "small_kernel", "small_vmm", "space", "vmm"]


@pytest.fixture
def vmm(kernel):
    """The kernel of this test with its interface in short words."""
    return Vmm(kernel)


@pytest.fixture
def space(vmm):
    """A new address space."""
    return vmm.space()


@pytest.fixture
def large_memory(kernel):
    """Regions of 1G at once: see without_filling()."""
    with without_filling(kernel, least=BLOCK_1G):
        yield


@pytest.fixture(scope="session")
def booted_small_kernel(kernel_elf, pytestconfig):
    with Kernel(kernel_elf, ram_size=64 << 20, **settings_of(pytestconfig).checks) as kernel:
        yield kernel, kernel.snapshot()


@pytest.fixture
def small_kernel(booted_small_kernel, request):
    """A kernel with 64M of RAM: what has to look at every frame is quick there."""
    kernel, moment = booted_small_kernel
    kernel.restore(moment)
    kernel.session.mute_sanitizer(*unwanted_checks(request.node))
    return kernel


@pytest.fixture
def small_vmm(small_kernel):
    """The interface of `small_kernel`."""
    return Vmm(small_kernel)
