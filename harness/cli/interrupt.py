# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever its interpreter is next. While the guest executes, that may be in
the glue between the emulator and a callback, where nobody can catch it: Python reports it as ignored, and
the guest goes on. So it is raised again, a little later, until it gets through.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN = 0.2  # seconds


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, Ctrl-C ends what is running. Nothing changes where SIGINT is ignored or handled otherwise."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    hook, alarm = sys.unraisablehook, signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    sys.unraisablehook = _quiet
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, alarm)
        sys.unraisablehook = hook


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    raise KeyboardInterrupt


def _quiet(lost: Any) -> None:
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
