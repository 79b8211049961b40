# SPDX-License-Identifier: BSD-3-Clause
"""The build that traps on undefined behaviour runs a life of address spaces without a trap."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest

from harness import Kernel
from harness.pytest_plugin.options import settings_of

BRK = 0xD420_0000
SIZES = (1, 4096, 3 * 4096, 2 << 20, (2 << 20) + 1)


@pytest.fixture
def trapping(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """The build "ubsan" beside the 39-bit image under test; `make kernel` makes both."""
    paths = [target.path for target in settings_of(request.config).targets]
    path = next(path for path in paths if path.parent.name == "va39")
    with Kernel(path.parent.parent / "ubsan" / "kernel.elf", ram_size=64 << 20) as kernel:
        yield kernel


def test_the_build_has_traps(trapping: Kernel) -> None:
    """Hundreds of BRK, or the test below says nothing."""
    code = b"".join(segment.data for segment in trapping.image.segments)
    words = struct.unpack_from(f"<{len(code) // 4}I", code)
    assert sum(word & 0xFFE0_001F == BRK for word in words) > 100


def test_nothing_undefined_happens(trapping: Kernel) -> None:
    """Every size with every property: create, copy, change, run, destroy; and the bad calls too."""
    space = trapping.vmm_address_space_create()
    data = trapping.buffer(b"12345678")
    for size, prop in itertools.product(SIZES, range(4)):
        va = trapping.vmm_address_space_region_create(space, size, prop)
        trapping.vmm_address_space_copy_in(space, data, va, min(size, 8))
        assert trapping.vmm_last_error() == 0
        assert trapping.vmm_address_space_region_set_prop(space, va, (prop + 1) % 4) == 0
    assert trapping.vmm_address_space_activate(space) == 0
    for size in (0, 1 << 40, (1 << 64) - 1):
        assert not trapping.vmm_address_space_region_create(space, size, trapping.AS_REGION_RW)
    assert trapping.vmm_address_space_activate(None) == 0
    assert trapping.vmm_address_space_destroy(space) == 0
    assert trapping.frames_check()
