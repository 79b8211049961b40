# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel looks like when a test has failed, as sections of the test's report."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import GuestError
from harness.kernel import Kernel
from harness.kernel.failure import register_table
from harness.report.listing import listing
from harness.report.space import regions, summary
from harness.report.spaces import live_spaces, view_space
from harness.report.text import plain

_CONSOLE_LINES = 20
_SPACES = 3  # address spaces that are shown; the others are counted
_LINES = 30  # of one listing
_WIDTH = 120

Section = tuple[str, str]


def sections(kernel: Kernel, error: BaseException | None) -> list[Section]:
    """Machine, tables and console. Never raises: the test's own failure is what matters."""
    parts: list[tuple[str, Callable[[Kernel], str]]] = [("tables", _tables), ("console", _console)]
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


def _tables(kernel: Kernel) -> str:
    """The live address spaces, which only a kernel that still runs can name, then the kernel's half."""
    return "\n".join(_guarded(look, kernel) for look in (_spaces, _kernel_half))


def _kernel_half(kernel: Kernel) -> str:
    return _cut(plain(listing(kernel.tables()), _WIDTH))


def _spaces(kernel: Kernel) -> str:
    spaces = list(live_spaces(kernel))
    shown = [_space(kernel, space) for space in spaces[:_SPACES]]
    more = len(spaces) - len(shown)
    return "\n".join([*shown, f"({more} more address spaces)\n"] if more else shown) or "no address space"


def _space(kernel: Kernel, space: object) -> str:
    view = view_space(kernel, space)
    return _cut(f"address space {view.id}\n{plain(summary(view))}\n{plain(regions(view), _WIDTH)}\n")


def _cut(text: str) -> str:
    lines = text.splitlines()
    more = len(lines) - _LINES
    return "\n".join([*lines[:_LINES], f"({more} more lines)"] if more > 0 else lines)


def _console(kernel: Kernel) -> str:
    return "\n".join(kernel.console.splitlines()[-_CONSOLE_LINES:])
