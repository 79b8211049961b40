# SPDX-License-Identifier: BSD-3-Clause
"""`python -m harness`."""

from __future__ import annotations

import sys

from harness.cli import main

sys.exit(main(prog="python -m harness"))
