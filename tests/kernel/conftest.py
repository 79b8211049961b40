# SPDX-License-Identifier: BSD-3-Clause
"""A foreign kernel, built by a compiler that is always here, for what the facade does to any kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Kernel
from harness.image import ElfImage
from tests.support.cross import build

SOURCES = Path(__file__).parent / "foreign"


@pytest.fixture(scope="session")
def foreign_elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ELF file of the foreign kernel."""
    return build(SOURCES, tmp_path_factory.mktemp("foreign") / "foreign.elf")


@pytest.fixture(scope="session")
def foreign_image(foreign_elf: Path) -> ElfImage:
    """The same, read once."""
    return ElfImage.load(foreign_elf)


@pytest.fixture
def foreign(foreign_image: ElfImage) -> Iterator[Kernel]:
    """The foreign kernel, idle."""
    with Kernel(foreign_image, ram_size=64 << 20, panic_symbols=("die",), budget=1_000_000) as kernel:
        yield kernel
