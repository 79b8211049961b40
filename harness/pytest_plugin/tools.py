# SPDX-License-Identifier: BSD-3-Clause
"""Tests that need a program from outside: `@pytest.mark.needs_tool("qemu-system-aarch64")`.

Where the program is missing the test is skipped and says so, and the summary names the program. With
LUKOS_REQUIRE_TOOLS=1 in the environment, as in CI, it fails instead.
"""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE = "LUKOS_REQUIRE_TOOLS"
_PROPERTY = "missing tool"


def register(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"needs_tool(*programs): skip the test where a program is missing; fail it when {REQUIRE}=1 is set",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose programs are not all in PATH, before any fixture is made."""
    programs = [str(name) for mark in item.iter_markers("needs_tool") for name in mark.args]
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    item.user_properties += [(_PROPERTY, name) for name in missing]
    reason = f"needs {', '.join(missing)}, not found in PATH"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE}=1 is set", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the programs that were missing, and how many tests did not run for it."""
    tests: dict[str, set[str]] = {}
    for outcome in ("skipped", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    tests.setdefault(str(value), set()).add(report.nodeid)
    if tests:
        terminalreporter.section("missing programs")
    for program, without in sorted(tests.items()):
        terminalreporter.write_line(f"{program}: {len(without)} tests did not run")
