# SPDX-License-Identifier: BSD-3-Clause
"""Two runs of the suite must leave every kernel in the same state.

`--kernel-states=FILE` writes what each test leaves: instructions retired and a digest of memory, of every
kernel that it got from a fixture. `--kernel-same-as=FILE` fails the run if a test leaves anything else.
Random tests need the same `--hypothesis-seed` in both. `--kernel-sample=N` is for large suites: it runs about
one test in N, always the same ones.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin.options import is_worker
from harness.pytest_plugin.used import kernels_of

if TYPE_CHECKING:
    from harness import Kernel

_PROPERTY = "kernel states"
State = tuple[int, str]  # instructions, digest


def add_options(parser: pytest.Parser) -> None:
    """Options of runs that are to be compared."""
    group = parser.getgroup("kernel")
    group.addoption(
        "--kernel-states", metavar="FILE", help="write the state that each test leaves its kernels in"
    )
    group.addoption("--kernel-same-as", metavar="FILE", help="fail where these states are not those of FILE")
    group.addoption(
        "--kernel-sample",
        metavar="N",
        type=int,
        default=0,
        help="run about one test in N, chosen by their names",
    )


def register(config: pytest.Config) -> None:
    """Start to look, if that was asked for."""
    write, compare = config.getoption("kernel_states"), config.getoption("kernel_same_as")
    if not write and not compare:
        return
    from harness.errors import HarnessError
    from harness.report.files import make_room

    folder = config.invocation_params.dir
    if write and not is_worker(config):
        try:
            make_room(folder / write)
        except HarnessError as error:
            raise pytest.UsageError(f"--kernel-states: {error}") from None
    expected = None
    if compare and not is_worker(config):
        try:
            expected = json.loads((folder / compare).read_text())
        except (OSError, ValueError) as error:
            raise pytest.UsageError(
                f"--kernel-same-as={compare}: {error}; write it with --kernel-states"
            ) from None
    config.pluginmanager.register(States(folder / write if write else None, expected), "lukos-states")


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave a sample, if one was asked for: tests of whose names a checksum is a multiple of N."""
    every = config.getoption("kernel_sample")
    if every > 0:
        chosen = [item for item in items if zlib.crc32(item.nodeid.encode()) % every == 0]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def states(kernels: Iterable[Kernel]) -> list[State]:
    """What tells one state from another, of each kernel that still runs."""
    from harness.errors import MachineError

    found = []
    for kernel in kernels:
        try:
            kernel.machine.registers["pc"]
        except MachineError:  # the test has closed it
            continue
        found.append((kernel.machine.instructions, kernel.machine.memory.digest()))
    return found


class States:
    """The hooks of such a run."""

    def __init__(self, file: Path | None, expected: dict[str, Any] | None) -> None:
        self._file, self._expected = file, expected
        self._found: dict[str, Any] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """After the test itself; a test that fails leaves nothing."""
        found = states(kernels_of(item))
        if found:
            item.user_properties.append((_PROPERTY, found))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also called where pytest-xdist hands over what its workers saw."""
        if report.when == "call":
            for name, value in report.user_properties:
                if name == _PROPERTY:
                    self._found[report.nodeid] = value

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write, or compare."""
        if is_worker(session.config):
            return
        found = json.loads(json.dumps(self._found))
        if self._file is not None:
            self._file.write_text(json.dumps(found, indent=0))
        self._differing = _differing(self._expected, found) if self._expected is not None else []
        if self._differing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """How many states were looked at, and which tests left another one."""
        terminalreporter.section("kernel states")
        if self._expected is None:
            terminalreporter.write_line(f"{len(self._found)} tests: {self._file}")
            return
        terminalreporter.write_line(
            f"{len(self._found)} tests, {len(self._differing)} differ from the other run"
        )
        for line in self._differing:
            terminalreporter.write_line(f"  {line}")


def _differing(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """One line for each test that is in one run only, or left another state."""
    lines = [f"{name}: in one run only" for name in sorted(expected.keys() ^ found.keys())]
    for name in sorted(expected.keys() & found.keys()):
        if expected[name] != found[name]:
            before, after = (
                [instructions for instructions, _ in each] for each in (expected[name], found[name])
            )
            lines.append(
                f"{name}: instructions {before} and {after}" if before != after else f"{name}: memory"
            )
    return lines
