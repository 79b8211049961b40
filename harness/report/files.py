# SPDX-License-Identifier: BSD-3-Clause
"""Files that a long run writes at its end: whether that will be possible is asked before."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import HarnessError


def make_room(file: Path) -> None:
    """Make the folder of a file. Raises HarnessError where the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"{file}: cannot be written: {error}; name a file elsewhere") from error
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise HarnessError(f"{file}: cannot be written: a folder, or not yours; name another file")
