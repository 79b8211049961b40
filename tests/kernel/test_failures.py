# SPDX-License-Identifier: BSD-3-Clause
"""A guest that fails raises a Python exception that explains itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import GuestError, GuestException, GuestPanic, GuestRunaway, ImageError, Kernel, MachineError

UNMAPPED = 0xDEAD_0000


def test_an_exception_names_function_line_address_and_syndrome(foreign: Kernel) -> None:
    """The message has the C backtrace with source lines, the decoded ESR, FAR and registers."""
    with pytest.raises(GuestException) as caught:
        foreign.outer_fault(UNMAPPED)
    text = str(caught.value)
    assert "outer_fault() did not return" in text
    assert "data abort from the same level" in text
    assert "foreign.c:" in text
    found = caught.value.autopsy
    assert found.fault.from_el == 1
    assert found.fault.syndrome.is_data_abort


def test_a_panic_says_what_it_was_called_with(foreign: Kernel) -> None:
    """The format of the panic function is filled in from registers and memory."""
    with pytest.raises(GuestPanic) as caught:
        foreign.check(11)
    assert str(caught.value).startswith("die: value 11 of check is b00000000, 100%")
    assert [frame.function for frame in caught.value.autopsy.backtrace][-1] == "check"


def test_a_runaway_is_stopped_by_its_budget(foreign: Kernel) -> None:
    """The budget is exact and the message says what to do."""
    before = foreign.machine.instructions
    with pytest.raises(GuestRunaway, match=r"still running after 10,000 instructions"):
        foreign.loop(budget=10_000)
    assert foreign.machine.instructions - before == 10_000


@pytest.mark.parametrize(
    ("name", "arguments"), [("outer_fault", (UNMAPPED,)), ("check", (11,)), ("loop", ())]
)
def test_the_kernel_can_be_called_again_after_a_failure(
    foreign: Kernel, name: str, arguments: tuple[int, ...]
) -> None:
    """Stack and program counter are where they were before the call that failed."""
    moment = foreign.snapshot()
    kept = {register: foreign.machine.registers[register] for register in ("sp", "pc")}
    with pytest.raises(GuestError):
        getattr(foreign, name)(*arguments)
    assert kept == {register: foreign.machine.registers[register] for register in ("sp", "pc")}
    foreign.restore(moment)
    assert foreign.twice(4) == 8


def test_booting_to_a_function_that_never_comes_says_where_it_stopped(foreign_elf: Path) -> None:
    """A kernel that idles elsewhere is named by boot_until."""
    with pytest.raises(GuestRunaway, match="boot ended with wfi, not at twice"):
        Kernel(foreign_elf, ram_size=64 << 20, boot_until="twice")


def test_a_kernel_can_be_stopped_at_a_function_of_its_boot(foreign_elf: Path) -> None:
    """boot_until stops before the function runs."""
    with Kernel(foreign_elf, ram_size=64 << 20, boot_until="start") as kernel:
        assert kernel.counter == 7
        assert kernel.backtrace().frames[0].function == "start"


def test_an_image_that_does_not_fit_is_refused(foreign_elf: Path) -> None:
    """RAM that ends below the image is an error that says so."""
    with pytest.raises(MachineError, match="does not fit into RAM"):
        Kernel(foreign_elf, ram_size=256 << 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"#!/bin/sh\n", "ELF"), (b"\x7fELF" + bytes(3), "ELF|truncated"), (b"", "empty|ELF")],
)
def test_a_file_that_is_no_kernel_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Not ELF, or cut off: an ImageError that names the file."""
    path = tmp_path / "broken.elf"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        Kernel(path)
    assert "broken.elf" in str(caught.value)
