# SPDX-License-Identifier: BSD-3-Clause
"""Programs written for Unikraft compile: its names are there with the types and values that it gives them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import ziglang

ROOT = Path(__file__).parents[2]
NAMES = Path(__file__).with_name("names.c")
INCLUDE = ROOT / "kernel_c" / "include"
HEADERS = [
    *("uk/vmem.h", "uk/vma_types.h", "uk/falloc.h", "uk/nofault.h", "uk/alloc.h", "uk/config.h"),
    *("uk/arch/paging.h", "uk/arch/types.h", "uk/plat/paging.h", "uk/essentials.h", "uk/assert.h"),
]


def compiled(source: str, tmp_path: Path) -> str:
    """What clang has to say about a program; "" when it is a good one."""
    path = tmp_path / "program.c"
    path.write_text(source)
    clang = [sys.executable, "-m", "ziglang", "clang", "--target=aarch64-none-elf", "-ffreestanding"]
    flags = [
        "-std=c17",
        "-fsyntax-only",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-gnu-zero-variadic-macro-arguments",
    ]
    folders = [f"-I{INCLUDE}", f"-I{ROOT / 'kernel_c'}", "-DLUKOS_DEBUG=1", "-DLUKOS_VA_BITS=39"]
    resources = f"-resource-dir={Path(ziglang.__file__).parent / 'lib'}"
    done = subprocess.run(
        [*clang, resources, *flags, *folders, str(path)], capture_output=True, text=True, check=False
    )
    return done.stderr


def test_every_name_is_as_in_unikraft(tmp_path: Path) -> None:
    """Functions with their prototypes, members and operations with their types, macros with their values."""
    assert compiled(NAMES.read_text(), tmp_path) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        "FUNCTION(int, uk_vas_destroy, struct uk_vas *);",
        "FUNCTION(int, uk_vma_unmap, struct uk_vas *, __vaddr_t, __sz);",
        "CALLBACK(struct uk_vma_ops, merge, int, struct uk_vma *, const struct uk_vma *);",
        "MEMBER(struct uk_vma, page_lvl, unsigned);",
        "VALUE(UK_VMA_MAP_REPLACE, 8);",
        "SAME(__off, uint64_t);",
    ],
)
def test_a_name_that_differs_is_seen(tmp_path: Path, wrong: str) -> None:
    """Each kind of line can fail."""
    found = compiled(f"{NAMES.read_text()}\n{wrong}\n", tmp_path)
    assert len(re.findall(r"error: static assertion failed", found)) == 1


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_needs_no_other_before_it(tmp_path: Path, header: str) -> None:
    """Each can be included first, and twice."""
    assert compiled(f"#include <{header}>\n#include <{header}>\n", tmp_path) == ""


def test_the_macros_that_access_memory_are_expressions(tmp_path: Path) -> None:
    """uk_nofault_try_read() and _try_write() can be used where a value is wanted."""
    program = """
    #include <uk/nofault.h>
    int copy(long *from, long *to)
    {
        long value;
        return uk_nofault_try_read(value, from) && uk_nofault_try_write(value + 1, to);
    }
    """
    assert compiled(program, tmp_path) == ""
