# SPDX-License-Identifier: BSD-3-Clause
"""audit: the tables of a kernel as they stand, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.vmm import KERNEL_BASE

CALLS = (
    *("--call", "s = vmm_address_space_create()"),
    *("--call", "vmm_address_space_region_create(s, 4096, AS_REGION_RW)"),
    *("--call", "vmm_address_space_activate(s)"),
)
SH = 0b11  # bits 9:8 of an entry


@pytest.fixture
def spoilt(command: Callable, elf: Path) -> tuple[str, ...]:
    """Calls after which the shareability of a user's page is not that of the kernel's map of RAM."""
    (walk,) = command("tables", elf, *CALLS, "--walk", "0x10000", "--json").data
    step = walk["steps"][-1]
    byte = KERNEL_BASE + int(step["entry"], 16) + 1
    return *CALLS, "--call", f"memset({byte:#x}, {int(step['raw'], 16) >> 8 & 0xFF & ~SH}, 1)"


def test_a_kernel_that_is_right_is_not_complained_of(command: Callable, kernel_elf: Path) -> None:
    """After its boot, and with an address space; how much was looked at is said."""
    assert command("audit", kernel_elf, "--json").data == []
    before, after = (command("audit", kernel_elf, *calls) for calls in ((), CALLS))
    assert (before.status, after.status) == (0, 0)
    counts = [int(each.out.removeprefix("nothing wrong with ").split()[0]) for each in (before, after)]
    assert counts[1] > counts[0] > 10


def test_what_is_wrong_is_told(command: Callable, elf: Path, spoilt: tuple[str, ...]) -> None:
    """By name, what it is, and where; the exit status is 1."""
    result = command("audit", elf, *spoilt)
    assert result.status == 1
    here, there = result.out.removeprefix("alias: ").partition(" at VA 0x")[0].split(" here, ")
    assert {here, there} == {"Normal WB, not shareable", "Normal WB, inner shareable"}
    assert "\n1 concern about " in result.out


def test_the_same_for_programs(command: Callable, elf: Path, spoilt: tuple[str, ...]) -> None:
    """Addresses are hexadecimal."""
    result = command("audit", elf, *spoilt, "--json")
    (concern,) = result.data
    assert (result.status, concern["check"], concern["half"]) in (
        (1, "alias", "ttbr0"),
        (1, "alias", "ttbr1"),
    )
    assert concern["pa"].startswith("0x4")


def test_a_call_that_fails_is_reported(command: Callable, elf: Path) -> None:
    """As everywhere."""
    result = command("audit", elf, "--call", 'panic("out of luck")')
    assert (result.status, result.out) == (1, "")
    assert "out of luck" in result.err
