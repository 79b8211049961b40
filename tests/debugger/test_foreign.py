# SPDX-License-Identifier: BSD-3-Clause
"""A kernel that is not ours, with and without DWARF: what there is works, what is missing is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.debugger.commands.code import missing
from harness.debugger.session import Debugger
from harness.kernel import Kernel

SOURCE = """
    .globl _start, counter
    .section .text.start, "ax"
    .type _start, %function
_start:
    ldr x0, =0x40080000
    mov sp, x0
    mov x19, #3
again:
    mov x0, x19
    bl count
    subs x19, x19, #1
    b.ne again
idle:
    wfi
    b idle
    .size _start, . - _start
"""
FUNCTION = """
volatile unsigned long counter;
unsigned long count(unsigned long by)
{
    counter += by;
    return counter;
}
"""


SCRIPT = """
ENTRY(_start)
PHDRS { text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); }
SECTIONS
{
    . = 0x40200000;
    .text : { *(.text.start) *(.text .text.* .rodata .rodata.*) } :text
    . = ALIGN(4096);
    .data : { *(.data .data.*) } :data
    .bss : { *(.bss .bss.*) } :data
    /DISCARD/ : { *(.eh_frame) *(.comment) }
}
"""


@pytest.fixture(scope="module", params=["dwarf", "symbols", "stripped"])
def foreign(request, tmp_path_factory):
    """A debugger of a kernel of 25 lines, built with DWARF, without, and without symbols."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "start.S").write_text(SOURCE)
    (folder / "count.c").write_text(FUNCTION)
    (folder / "foreign.ld").write_text(SCRIPT)
    flags = {"dwarf": ["-g3", "-O0"], "symbols": ["-g0", "-O0"], "stripped": ["-g0", "-O0", "-Wl,-s"]}[
        request.param
    ]
    command = [
        *(sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-freestanding-none", "-fno-sanitize=all"),
        *(
            "-ffreestanding",
            "-nostdlib",
            "-static",
            "-mgeneral-regs-only",
            "-T",
            folder / "foreign.ld",
            *flags,
        ),
        *(folder / "start.S", folder / "count.c", "-o", folder / "foreign.elf"),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    with Kernel(folder / "foreign.elf", ram_size=64 << 20, boot=False) as kernel:
        debugger = Debugger(kernel)
        debugger.settings["context"] = "off"
        yield request.param, debugger


@pytest.fixture
def say(foreign):
    """Obeys a command from reset, which must succeed."""
    _, debugger = foreign
    debugger.execute("delete")
    debugger.execute("kill")

    def obey(line):
        result = debugger.execute(line)
        assert not result.failed, f"{line}: {result.text}"
        return result.text

    return obey


def test_what_is_missing_is_said(foreign):
    """Once, with what to do about it."""
    kind, debugger = foreign
    said = " ".join(missing(debugger))
    assert ("No DWARF" in said) == (kind != "dwarf")
    assert ("No symbols" in said) == (kind == "stripped")


def test_instructions_and_time_work_without_anything(foreign, say):
    """Addresses, steps, back and forth."""
    _, debugger = foreign
    entry = debugger.image.entry
    say(f"break *{entry + 16:#x}")
    say("continue")
    assert debugger.machine.registers["pc"] == entry + 16
    say("stepi 3")
    say("reverse-stepi 3")
    assert debugger.machine.registers["pc"] == entry + 16
    assert "\tbl\t" in say("x/3i $pc")
    say("delete")
    assert "idle (WFI)" in say("continue")
    say("backtrace")
    assert "pc" in say("info registers")


def test_symbols_suffice_for_breakpoints_and_memory(foreign, say):
    """Functions by name; variables with the size of their symbol."""
    kind, debugger = foreign
    if kind == "stripped":
        assert debugger.execute("break count").failed
        return
    say("break count")
    assert ("count (by=3)" if kind == "dwarf" else "in count ()") in say("continue")
    assert "_start ()" in say("backtrace")
    say("delete")
    say("watch *(unsigned long *)&counter")
    say("continue")
    say("continue")
    assert say("output *(unsigned long *)&counter") == "5"
    say("reverse-continue")
    assert say("output *(unsigned long *)&counter") == "3"


def test_types_and_lines_are_refused_without_dwarf(foreign, say):
    """With the reason."""
    kind, debugger = foreign
    say("stepi")
    if kind == "dwarf":
        assert "unsigned long" in say("whatis count")
        return
    for line in ("info types", "ptype struct frame", "info locals"):
        assert "DWARF" in debugger.execute(line).text
    for line in ("spaces", "frames", "ptdump"):
        assert debugger.execute(line).failed
