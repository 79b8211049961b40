# SPDX-License-Identifier: BSD-3-Clause
"""Letting go of an emulated CPU."""

from __future__ import annotations

from typing import Any


def break_cycles(uc: Any) -> None:
    """ctypes.cast, which unicorn uses for callbacks, makes each of them refer to itself and to the CPU."""
    devices = (function for pair in uc._mmio_callbacks.values() for function in pair)
    for function in (*uc._callbacks.values(), *devices):
        references = getattr(function, "_objects", None)
        if references:
            references.clear()
    uc._callbacks.clear()
    uc._mmio_callbacks.clear()
