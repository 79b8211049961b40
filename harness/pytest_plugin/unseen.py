# SPDX-License-Identifier: BSD-3-Clause
"""The end of a test: what the sanitizer has found and nobody has seen fails it.

A call of a kernel fails by itself; this is about a test that drives the machine by hand. It must owe nothing
either, unless it leaves the CPU in the middle of a call. Who takes the findings, or says that they are not
fatal, has seen them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from harness.pytest_plugin.used import kernels_of

if TYPE_CHECKING:
    from harness.checks.findings import Finding


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test, or tell of it with the failure that the test has already."""
    try:
        result = yield
    except BaseException as error:
        found = _unseen(item)
        if found:
            from harness.checks.findings import report

            error.add_note(report(found))
        raise
    found = _unseen(item)
    if found:
        from harness.checks.findings import violation

        raise violation(found)
    return result


def _unseen(item: pytest.Item) -> list[Finding]:
    return [finding for kernel in kernels_of(item) for finding in kernel.session.unseen()]
