# SPDX-License-Identifier: BSD-3-Clause
"""The project's top level, and what every file in it has."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    *("pyproject.toml", "kernel_c", "harness", "tests", "Makefile", "toolchain.cmake", "README.md", "LICENSE"),
}
LICENSED = {".py", ".c", ".h", ".S", ".ld", ".cmake", ".toml", ".sh"}


def tracked() -> list[Path]:
    """The files of the project, relative to its root: those git knows, or all of an unpacked archive."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.splitlines() if (ROOT / name).exists()]


def test_the_top_level_is_what_the_readme_says() -> None:
    """Nothing but the agreed names and dot-files lies at the top."""
    top = {path.parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


def test_every_source_file_names_the_license() -> None:
    """The SPDX line is the first or, after an interpreter line, the second."""
    missing = [
        str(path)
        for path in tracked()
        if path.suffix in LICENSED
        and "SPDX-License-Identifier: BSD-3-Clause" not in "".join((ROOT / path).read_text().splitlines()[:2])
    ]
    assert missing == []
