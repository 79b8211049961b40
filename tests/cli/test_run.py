# SPDX-License-Identifier: BSD-3-Clause
"""`run`: the tour, and kernels that have none."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.figures import FIGURES, lines_of

REGIONS = 1 + 4 * 3  # the user program, and three sizes of each property: that of 1G is gone by then
QEMU = "qemu-system-aarch64"


def test_the_tour_ends_well_and_both_address_spaces_are_shown(command: Callable, elf: Path) -> None:
    """The kernel's text comes whole, with the report where both address spaces stand."""
    result = command("run", elf)
    assert (result.status, result.err) == (0, "")
    before, after = result.out.split("\naddress space 1 \u2500")
    assert before.startswith("LuKOS VMM: 2048 MiB of RAM\n")
    assert after.count(" reserved\n") >= 2 * 3
    assert "address space 2 \u2500" in after
    assert re.search(r"^0x[0-9a-f]+-0x[0-9a-f]+ +8K rsvd +r-- +2 x 4K +\.initrd$", after, re.MULTILINE)
    assert "surprises: 0\n" in after
    assert "powered off" in after.splitlines()[-1]


def test_the_heap_of_example_5_is_drawn_as_in_the_specification(command: Callable, kernel_elf: Path) -> None:
    """Its four pictures, line for line and in order, each beside what has been done."""
    lines = command("run", kernel_elf, "--console").out.splitlines()
    start = next(number for number, line in enumerate(lines) if "\u250c" in line)
    column = lines[start].index("\u250c")
    figures = [line for figure in FIGURES.values() for line in lines_of(figure)]
    drawn = lines[start : start + len(figures)]
    assert [line[column:] for line in drawn] == figures
    assert [line[:column].strip() for line in drawn if line[:column].strip()] == list(FIGURES)


def test_json_has_the_regions_and_tables_of_both(command: Callable, kernel_elf: Path) -> None:
    """A program reads the address spaces, what the kernel said, and how it ended."""
    result = command("run", kernel_elf, "--json")
    assert result.status == 0
    data = result.data
    assert (data["stop"], data["surprises"]) == ("poweroff", 0)
    assert [space["id"] for space in data["address_spaces"]] == [1, 2]
    for space in data["address_spaces"]:
        assert len(space["regions"]) == REGIONS
        assert {region["el0"] for region in space["regions"]} == {"---", "r--", "rw-", "r-x"}
    frames = [{region["pa"] for region in space["regions"]} for space in data["address_spaces"]]
    assert not frames[0] & frames[1]


def test_json_has_the_vmas_of_the_examples(command: Callable, elf: Path) -> None:
    """What the tour's examples left: each type that they use, and as much present as they say."""
    areas = command("run", elf, "--json").data["examples"]
    heaps = [area for area in areas if area["name"] == "HEAP"]
    assert [(area["type"], area["rights"], area["size"] >> 20) for area in heaps] == [
        ("anon", "rw-", 2),
        ("anon", "rw-", 3),
    ]
    assert {area["type"] for area in areas} == {"anon", "dma", "rsvd", "numbers"}
    ring = [area for area in areas if area["type"] == "dma"][-2:]
    assert int(ring[0]["va"], 16) + ring[0]["size"] == int(ring[1]["va"], 16)
    assert ring[0]["pages"] == ring[1]["pages"] == {"4096": ring[0]["size"] >> 12}


@pytest.mark.needs_tool(QEMU)
def test_the_console_is_that_of_qemu_byte_for_byte(elf: Path) -> None:
    """The same image says the same on both machines, and looking at it halfway changes nothing."""
    qemu = [QEMU, "-M", "virt", "-cpu", "cortex-a72", "-m", "2G", "-nographic", "-append", "tour"]
    there = subprocess.run(
        [*qemu, "-kernel", str(elf)], capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    ours = [sys.executable, "-m", "harness", "run", str(elf), "--console"]
    here = subprocess.run(ours, capture_output=True, check=True)
    assert here.stdout == there.stdout
    assert here.stdout.endswith(b"surprises: 0\n")


def test_surprises_are_a_failure(command: Callable, elf: Path) -> None:
    """A machine too small for the regions of 1G: the tour says so, and so does the exit status."""
    result = command("run", elf, "--ram", "128M")
    assert result.status == 1
    count = result.out.count("!no region: ENOMEM")
    assert count > 0
    assert f"error: the tour met {count} surprises" in result.err


def test_another_tlb_changes_nothing_but_the_time(command: Callable, elf: Path) -> None:
    """`--tlb` is for kernels without tour, too."""
    words = ("run", elf, "--bootargs", "", "--ram", "64M")
    assert command(*words, "--tlb", "7") == command(*words)


def test_a_kernel_without_tour_is_run_until_it_idles(command: Callable, elf: Path) -> None:
    """Any kernel can be booted: its console, then its half of the tables."""
    result = command("run", elf, "--bootargs", "", "--ram", "64M", "--cpu", "max", "--entry-el", "2")
    assert result.status == 0
    assert result.out.startswith("LuKOS VMM: 64 MiB of RAM\n")
    assert "kernel (TTBR1)\n" in result.out
    assert "it idles (WFI), " in result.out


def test_a_kernel_without_tour_gives_json_too(command: Callable, elf: Path) -> None:
    """The kernel half takes the place of the address spaces."""
    data = command("run", elf, "--bootargs", "", "--json").data
    assert data["stop"] == "wfi"
    assert data["kernel"]["half"] == "ttbr1"


def test_console_and_json_exclude_each_other(command: Callable, elf: Path) -> None:
    """A contradiction is a wrong use, not a choice made silently."""
    result = command("run", elf, "--console", "--json")
    assert result.status == 2
    assert "--console and --json" in result.err


# Whoever runs the tests may ignore SIGINT, as a shell does for jobs in the background, and it is inherited.
_AS_ON_A_TERMINAL = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from harness.cli import main
sys.exit(main())
"""


def test_interrupting_gives_130_and_no_traceback(elf: Path) -> None:
    """Ctrl-C ends a run at once, also while the guest executes."""
    with subprocess.Popen(
        [sys.executable, "-c", _AS_ON_A_TERMINAL, "run", str(elf)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("LuKOS")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted"
