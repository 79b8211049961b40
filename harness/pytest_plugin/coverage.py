# SPDX-License-Identifier: BSD-3-Clause
"""`pytest --kernel-cov[=FORMAT:FILE]`: what of the kernels under test the run has executed.

Every `Kernel` of an image under test is recorded, wherever a test makes it; programs that tests start
are not. Workers of pytest-xdist send what they saw to the controller, which reports for all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin.options import is_worker, settings_of
from harness.pytest_plugin.used import given

if TYPE_CHECKING:
    from harness.checks.coverage import Coverage, Recorder, Step
    from harness.checks.coverage.reasons import Reasons
    from harness.image import ElfImage
    from harness.machine import Machine

FORMATS = ("lcov", "cobertura", "html", "json", "totals", "tests")
_SUMMARY = ""
_OUTPUT = "kernel_cov"  # the key of a worker's contribution

Destination = tuple[str, Path]
Seen = dict[str, "set[Step]"]  # by the path of the image, resolved: tests may spell it in another way


def add_options(parser: pytest.Parser) -> None:
    """The options, which a run without coverage pays nothing for."""
    parser.getgroup("kernel").addoption(
        "--kernel-cov",
        action="append",
        nargs="?",
        const=_SUMMARY,
        default=[],
        metavar="FORMAT:FILE",
        help="measure which lines and branches of the kernel run; write FORMAT:FILE too: lcov, cobertura, "
        "html, json, totals, or tests (what each test executes); may be repeated",
    )
    parser.addini("kernel_cov_source", "start of the paths of the source files that count", default="")
    parser.addini("kernel_cov_reasons", "TOML file that says why code is not reached", default="")


def register(config: pytest.Config) -> None:
    """Start to measure, if that was asked for. Raises pytest.UsageError for what would fail at the end."""
    wanted = config.getoption("kernel_cov")
    if not wanted:
        return
    from harness.checks.coverage.reasons import Reasons
    from harness.errors import HarnessError
    from harness.report.files import make_room

    destinations, reasons = _destinations(config, wanted), Reasons(())
    file = config.getini("kernel_cov_reasons")
    if not is_worker(config):
        try:
            if file:
                reasons = Reasons.load(config.rootpath / file)
            for _, destination in destinations:
                make_room(destination)
        except HarnessError as error:
            raise pytest.UsageError(f"--kernel-cov: {error}") from None
    config.pluginmanager.register(CoveragePlugin(config, destinations, reasons), "lukos-coverage")


def _destinations(config: pytest.Config, wanted: Iterable[str]) -> list[Destination]:
    found = []
    for text in wanted:
        kind, colon, file = text.partition(":")
        if text != _SUMMARY and (kind not in FORMATS or not colon or not file):
            raise pytest.UsageError(
                f"--kernel-cov={text}: write --kernel-cov={'|'.join(FORMATS)}:FILE, or --kernel-cov alone "
                "after the paths of tests"
            )
        if text != _SUMMARY:
            found.append((kind, config.invocation_params.dir / file))
    return found


class CoveragePlugin:
    """The hooks of a run that measures."""

    def __init__(self, config: pytest.Config, destinations: list[Destination], reasons: Reasons) -> None:
        self._config = config
        self._destinations = destinations
        self._reasons = reasons
        self._recorders: dict[str, Recorder] = {}
        self._seen: Seen = {str(target.path.resolve()): set() for target in settings_of(config).targets}
        self._by_test: dict[str, Any] = {}
        self._wants_tests = any(kind == "tests" for kind, _ in destinations)
        self._detach: Callable[[], None] = lambda: None

    # -- recording ------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """See every kernel from now on."""
        from harness.kernel.kernel import attachments

        attachments.append(self._attach)
        self._detach = lambda: attachments.remove(self._attach)

    def _attach(self, machine: Machine, image: ElfImage) -> None:
        from harness.checks.coverage import Recorder

        path = str(image.path.resolve())
        if path in self._seen:
            self._recorders.setdefault(path, Recorder()).attach(machine)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note what each test has added; one that fails says nothing about what it needs."""
        start, failed = process_time(), item.session.testsfailed
        result = yield
        steps = {path: recorder.take() for path, recorder in self._recorders.items()}
        for path, found in steps.items():
            self._seen[path] |= found
        concerned = any(steps.values()) or given(item)  # one may also look at what another has booted
        if self._wants_tests and concerned and item.session.testsfailed == failed:
            self._by_test[item.nodeid] = {
                "seconds": round(process_time() - start, 4),
                "steps": {path: sorted(found) for path, found in steps.items() if found},
            }
        return result

    # -- the end --------------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a worker of pytest-xdist saw."""
        output = getattr(node, "workeroutput", {}).get(_OUTPUT, {"seen": {}, "tests": {}})
        for path, steps in output["seen"].items():
            self._seen.setdefault(path, set()).update((first, second) for first, second in steps)
        self._by_test |= output["tests"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """A worker hands over; whoever has no controller writes the files."""
        self._detach()
        if is_worker(self._config):
            seen = {path: [list(step) for step in steps] for path, steps in self._seen.items()}
            workeroutput: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
            workeroutput[_OUTPUT] = {"seen": seen, "tests": self._by_test}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what was asked for, and show a summary by file. A worker has only seen a part."""
        if is_worker(self._config):
            return
        from harness.report.coverage import write
        from harness.report.coverage.summary import summary
        from harness.report.text import plain

        coverage, reasons = self._measure(), self._reasons
        for kind, file in self._destinations:
            write(kind, file, coverage, reasons, self._by_test)
        terminalreporter.section("kernel coverage")
        terminalreporter.write_line(plain(summary(coverage, reasons), 100))
        for kind, file in self._destinations:
            terminalreporter.write_line(f"{kind}: {file}")

    def _measure(self) -> Coverage:
        from harness.checks.coverage import Coverage, measure
        from harness.image import ElfImage

        total, source = Coverage(), self._config.getini("kernel_cov_source")
        for path, steps in self._seen.items():
            if steps:
                total.add(measure(ElfImage.load(path), steps, source, folder=self._config.rootpath))
        return total
