# SPDX-License-Identifier: BSD-3-Clause
"""What panic() itself does; everywhere else the bench stops the kernel as it gets there."""

from __future__ import annotations

import pytest

from harness import GuestRunaway


def test_panic_says_why_and_powers_off(boot_kernel):
    """The message with its arguments, on a line of its own; then the firmware is asked to power off."""
    kernel = boot_kernel(ram_size=64 << 20, panic_symbols=())
    before = len(kernel.console)
    with pytest.raises(GuestRunaway, match="poweroff"):
        kernel.frames_free(0x4500_0000, 3)
    assert kernel.console[before:].startswith("panic: frames_free(0x45000000, 3): ")
    assert kernel.console.endswith("\n")
    assert kernel.console[before:].count("\n") == 1
