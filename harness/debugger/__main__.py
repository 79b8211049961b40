# SPDX-License-Identifier: BSD-3-Clause
"""`python harness/debugger [ELF]`: the same as `python -m harness debug [ELF]`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.argv.insert(1, "debug")
runpy.run_module("harness", run_name="__main__", alter_sys=True)
