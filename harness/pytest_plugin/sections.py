# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel looks like when a test has failed, as sections of the test's report."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import GuestError
from harness.kernel import Kernel
from harness.kernel.failure import register_table

_CONSOLE_LINES = 20

Section = tuple[str, str]


def sections(kernel: Kernel, error: BaseException | None) -> list[Section]:
    """Machine, tables and console. Never raises: the test's own failure is what matters."""
    parts: list[tuple[str, Callable[[Kernel], str]]] = [("console", _console)]
    if not (isinstance(error, GuestError) and error.autopsy is not None):
        parts.insert(0, ("machine", _machine))  # else the error itself says how the machine looked
    name = kernel.image.path.name
    return [(f"{name}: {title}", text) for title, look in parts if (text := _guarded(look, kernel))]


def _guarded(look: Callable[[Kernel], str], kernel: Kernel) -> str:
    try:
        return look(kernel)
    except Exception as error:  # noqa: BLE001 - whatever is broken here must not hide why the test failed
        return f"(cannot be shown: {type(error).__name__}: {error})"


def _machine(kernel: Kernel) -> str:
    return f"{kernel.backtrace()}\n{register_table(kernel.machine.registers)}"


def _console(kernel: Kernel) -> str:
    return "\n".join(kernel.console.splitlines()[-_CONSOLE_LINES:])
