# SPDX-License-Identifier: BSD-3-Clause
"""The kernels that a test uses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness import Kernel

_KERNELS = pytest.StashKey[list["Kernel"]]()


def remember(item: pytest.Item, kernel: Kernel) -> None:
    """The plugin has given this kernel to the test."""
    item.stash.setdefault(_KERNELS, []).append(kernel)


def given(item: pytest.Item) -> list[Kernel]:
    """The kernels that the plugin has given to a test, in order; it may have closed some."""
    return item.stash.get(_KERNELS, [])


def kernels_of(item: pytest.Item) -> list[Kernel]:
    """These, and those that other fixtures of the test are, or have as `kernel`, once each."""
    if "harness.kernel" not in sys.modules:
        return []  # nobody can have made one
    from harness import Kernel

    values = getattr(item, "funcargs", {}).values()
    others = [each for value in values for each in (value, getattr(value, "__dict__", {}).get("kernel"))]
    found = (*given(item), *(each for each in others if isinstance(each, Kernel)))
    return list({id(each): each for each in found}.values())
