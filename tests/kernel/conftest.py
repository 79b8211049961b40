# SPDX-License-Identifier: BSD-3-Clause
"""A foreign kernel, built by a compiler that is always here, for what the facade does to any kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Kernel
from harness.image import ElfImage

SOURCES = Path(__file__).parent / "foreign"
COMPILE = (
    *(sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-freestanding-none", "-fno-sanitize=all"),
    *("-std=c17", "-O2", "-g3", "-fdebug-macro", "-ffreestanding", "-fno-builtin", "-mgeneral-regs-only"),
    *("-mstrict-align", "-nostdlib", "-static", "-T", str(SOURCES / "foreign.ld")),
)


@pytest.fixture(scope="session")
def foreign_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ELF file of the foreign kernel."""
    output = tmp_path_factory.mktemp("foreign") / "foreign.elf"
    command = [*COMPILE, str(SOURCES / "start.S"), str(SOURCES / "foreign.c"), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def foreign_image(foreign_elf: Path) -> ElfImage:
    """The same, read once."""
    return ElfImage.load(foreign_elf)


@pytest.fixture
def foreign(foreign_image: ElfImage) -> Iterator[Kernel]:
    """The foreign kernel, idle."""
    with Kernel(foreign_image, ram_size=64 << 20, panic_symbols=("die",), budget=1_000_000) as kernel:
        yield kernel
