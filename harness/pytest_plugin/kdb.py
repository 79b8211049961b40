# SPDX-License-Identifier: BSD-3-Clause
"""`pytest --kdb`: a failing test opens the debugger at its failure, with the test's past behind it.

Every run that a test makes of its kernel is kept from the test's start on, and so is what the test changed
between two runs. Without the option nothing of this is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin.options import is_worker

if TYPE_CHECKING:
    from harness import Kernel
    from harness.debugger.timeline import Timeline

_RECORDED = pytest.StashKey[list[tuple["Kernel", "Timeline", Callable[[], None]]]]()


def add_options(parser: pytest.Parser) -> None:
    """The option."""
    group = parser.getgroup("kernel")
    group.addoption("--kdb", action="store_true", help="open the debugger where a test with a kernel fails")


def register(config: pytest.Config) -> None:
    """Listen for failures. Raises a usage error in workers: a terminal is needed, which they do not have."""
    if not config.getoption("kdb"):
        return
    config.pluginmanager.register(sys.modules[__name__], "lukos-kdb")
    if is_worker(config) or config.getoption("numprocesses", None):
        raise pytest.UsageError("--kdb needs the terminal: run without -n, or with -n 0")


def record(item: pytest.Item, kernel: Kernel) -> None:
    """From here on, what the test does to this kernel can be gone back through."""
    if not item.config.getoption("kdb"):
        return
    from harness.debugger.timeline import Timeline

    timeline = Timeline(kernel.machine)
    item.stash.setdefault(_RECORDED, []).append((kernel, timeline, timeline.record()))


def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object]) -> None:
    """The test failed: hand the terminal to the debugger of each of its kernels."""
    for kernel, timeline, _ in node.stash.get(_RECORDED, []):
        from harness.debugger.prompt import Terminal
        from harness.debugger.session import Debugger

        timeline.commit()
        capture = node.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        try:
            debugger = Debugger(kernel, timeline)
            terminal = Terminal(debugger)
            terminal.show(f"{node.nodeid} failed: {call.excinfo.exconly() if call.excinfo else ''}")
            terminal.obey("backtrace")
            terminal.loop()
            debugger.close()
        finally:
            if capture is not None:
                capture.resume_global_capture()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """The next test starts its own past."""
    for _, _, end in item.stash.get(_RECORDED, []):
        end()
    item.stash[_RECORDED] = []
