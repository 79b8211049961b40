# SPDX-License-Identifier: BSD-3-Clause
"""The range tree is tested through the same seam as the library: tests/lib/conftest.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_file = Path(__file__).parents[1] / "lib" / "conftest.py"
_spec = importlib.util.spec_from_file_location("library_seam", _file)
assert _spec is not None
assert _spec.loader is not None
_seam = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _seam
_spec.loader.exec_module(_seam)

release_guest = _seam.release_guest
guest = _seam.guest
kernel_guest = _seam.kernel_guest
