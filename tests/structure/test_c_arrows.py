# SPDX-License-Identifier: BSD-3-Clause
"""The rooms of kernel_c include only what lies below them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KERNEL = Path(__file__).parents[2] / "kernel_c"
INCLUDE = re.compile(r'^#include [<"]([^">]+)[">]', re.MULTILINE)
FREESTANDING = {"limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)

# What each room may include, besides its own files: the contracts, and the library below everything.
ALLOWED = {
    "include/lukos": {"lukos", "lib", "uk"},
    "include/uk": {"uk", "lukos", "lib"},
    "include/uk/arch": {"uk", "lukos/types.h"},
    "include/uk/asm": {"uk"},
    "include/uk/plat": {"uk"},
    "include/uk/vmem": {"uk"},
    "lib": {"lib", "lukos/status.h"},
    "drivers": {"drivers"},
    "core": {"core", "drivers", "lib", "lukos", "uk", "tour/tour.h"},
    "examples": {"uk", "lukos/status.h"},  # programs: they see what a program sees
    "tour": {"examples", "lib", "lukos", "uk"},
    "arch/aarch64": {"lib", "lukos", "uk"},
    "arch/fake": {"lib", "lukos", "uk"},
    "arch/fake/include/uk/asm": {"uk"},
    "host": {"core/files.h", "core/poison.h", "fake.h", "lib", "lukos", "uk"},
}
SYSTEM = ("fcntl.h", "inttypes.h", "stdio.h", "stdlib.h", "string.h", "sys/", "unistd.h")
# Rooms that are programs of the build host, and so may use its C library.
HOSTED = {"arch/fake", "host"}
# What only an architecture may know: system registers, barriers, and bits of descriptors.
HARDWARE = re.compile(r"\b(mrs|msr|tlbi|dsb|isb|PTE_\w+|TTBR\w*|TCR_\w+|SCTLR_\w+|ESR_\w+)\b")


def sources(room: str) -> list[Path]:
    """The C and assembly files of a room."""
    return sorted(path for path in (KERNEL / room).iterdir() if path.suffix in (".c", ".h", ".S"))


def is_allowed(room: str, included: str) -> bool:
    """Whether a file of the room may include this."""
    own = "/" not in included and (KERNEL / room / included).exists()
    return (
        included in FREESTANDING
        or own
        or (room in HOSTED and included.startswith(SYSTEM))
        or any(included == each or included.startswith(f"{each}/") for each in ALLOWED[room])
    )


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_includes_only_what_lies_below_it(room: str) -> None:
    """Arrows in the C code point downwards, and core and architecture meet in the contracts alone."""
    found = [
        f"{path.name}: {included}"
        for path in sources(room)
        for included in INCLUDE.findall(path.read_text())
        if not is_allowed(room, included)
    ]
    assert found == []


@pytest.mark.parametrize("room", ["core", "lib", "drivers", "include/lukos", "examples", "tour"])
def test_only_the_architecture_names_hardware(room: str) -> None:
    """No descriptor bit, system register or barrier is named outside arch/."""
    found = [
        f"{path.name}: {name}"
        for path in sources(room)
        for name in HARDWARE.findall(COMMENT.sub("", path.read_text()))
    ]
    assert found == []


def test_every_room_of_the_kernel_is_checked() -> None:
    """A new folder with C code has to say what it may include."""
    rooms = {str(path.parent.relative_to(KERNEL)) for path in KERNEL.rglob("*.[chS]")}
    assert rooms == set(ALLOWED)
