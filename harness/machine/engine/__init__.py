# SPDX-License-Identifier: BSD-3-Clause
"""The emulated CPU. The only package that imports unicorn; everything it does not say, unicorn hides.

An `Engine` runs instructions, reads and writes CPU state, and calls back. It takes no exceptions, has no
devices and knows no policy: `harness.machine.machine` builds a machine out of it.

Counting: unicorn's own instruction limit installs a counter in C that is called for each instruction. The
counter is a field of unicorn's structure, found by `calibration.py`; reading it costs nothing.
"""

from __future__ import annotations

from harness.machine.engine.callbacks import Engine
from harness.machine.engine.core import UNLIMITED
from harness.machine.engine.names import (
    DATA_ABORT,
    FETCH_ABORT,
    GENERAL_REGISTERS,
    HVC,
    REGISTER_NAMES,
    SMC,
    SVC,
    CpuModel,
)

__all__ = [
    "DATA_ABORT",
    "FETCH_ABORT",
    "GENERAL_REGISTERS",
    "HVC",
    "REGISTER_NAMES",
    "SMC",
    "SVC",
    "UNLIMITED",
    "CpuModel",
    "Engine",
]
