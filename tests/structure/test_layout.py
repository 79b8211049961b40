# SPDX-License-Identifier: BSD-3-Clause
"""The project's top level, and what every file in it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    *("pyproject.toml", "kernel_c", "harness", "tests", "Makefile", "toolchain.cmake"),
    *("README.md", "LICENSE"),
}
LICENSED = {".py", ".c", ".h", ".S", ".ld", ".cmake", ".toml", ".sh"}


def visible(folder: Path) -> Iterator[Path]:
    """What lies in a folder, without dot-files and what Python leaves behind."""
    return (path for path in folder.iterdir() if not path.name.startswith((".", "__pycache__")))


def files(folder: Path) -> Iterator[Path]:
    """All files below a folder."""
    for path in visible(folder):
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def test_the_top_level_is_what_the_readme_says() -> None:
    """Nothing but the agreed names and dot-files lies at the top."""
    assert sorted(path.name for path in visible(ROOT)) == sorted(TOP_LEVEL)


def test_every_source_file_names_the_license() -> None:
    """The SPDX line is the first or, after an interpreter line, the second."""
    missing = [
        str(path.relative_to(ROOT))
        for path in files(ROOT)
        if path.suffix in LICENSED
        and "SPDX-License-Identifier: BSD-3-Clause" not in "".join(path.read_text().splitlines()[:2])
    ]
    assert missing == []
