# SPDX-License-Identifier: BSD-3-Clause
"""A run that tests mutants, one after the other, at the command of `python -m harness mutants`.

Tests are collected once. For each mutant every kernel is booted afresh from an image with the changed
instruction, and the tests asked for run until the first one fails.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from harness.pytest_plugin.options import settings_of

if TYPE_CHECKING:
    from harness.checks.mutation.campaign import Job, Verdict
    from harness.image import ElfImage
    from harness.machine import Machine

_SMALL = 256 << 20  # RAM of the kernel whose state after boot is compared


def add_options(parser: pytest.Parser) -> None:
    """For the campaign alone: the pipe on which it gives commands."""
    parser.getgroup("kernel").addoption("--kernel-mutants", type=int, help=argparse.SUPPRESS)


def register(config: pytest.Config, close_kernels: Callable[[pytest.Config], None]) -> None:
    """Become a worker of a campaign, if that was asked for."""
    pipe = config.getoption("kernel_mutants")
    if pipe is not None:
        _make_random_tests_quick()
        config.pluginmanager.register(Worker(config, pipe, close_kernels), "lukos-mutants")


def _make_random_tests_quick() -> None:
    """The same examples each time, and no search for a smaller one: that a test fails is enough."""
    try:
        from hypothesis import HealthCheck, Phase, settings
    except ImportError:
        return
    phases = (Phase.explicit, Phase.generate)
    checks = list(HealthCheck)
    settings.register_profile(
        "mutants", derandomize=True, database=None, phases=phases, suppress_health_check=checks, deadline=None
    )
    settings.load_profile("mutants")


class Worker:
    """One process of a campaign."""

    def __init__(
        self, config: pytest.Config, pipe: int, close_kernels: Callable[[pytest.Config], None]
    ) -> None:
        self._config, self._pipe, self._close_kernels = config, pipe, close_kernels
        self._path = settings_of(config).targets[0].path
        self._limit = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running everything once."""
        from harness.image import ElfImage
        from harness.kernel.kernel import attachments

        self._original = self._image = _read(self._path)
        self._stand_in(ElfImage)
        attachments.append(self._attach)
        items = {item.nodeid: item for item in session.items}
        with Connection(self._pipe) as campaign:
            self._serve(campaign, session, items)
        attachments.remove(self._attach)
        return True

    def _stand_in(self, images: type[ElfImage]) -> None:
        """Whoever reads the image under test, by whatever way, gets the mutant."""
        read, path = images.load, self._path
        images.load = lambda file: self._image if Path(file) == path else read(file)  # type: ignore[assignment,method-assign]

    def _attach(self, machine: Machine, _image: ElfImage) -> None:
        machine.budget_limit = self._limit

    def _serve(
        self, campaign: Connection[Any, Any], session: pytest.Session, items: dict[str, pytest.Item]
    ) -> None:
        """Until the campaign closes its end."""
        campaign.send(len(items))
        with suppress(EOFError):
            while True:
                campaign.send(self._judge(session, items, campaign.recv()))

    def _judge(self, session: pytest.Session, items: dict[str, pytest.Item], job: Job) -> Verdict:
        from harness.checks.mutation.campaign import Verdict

        self._limit = job.budget
        self._image = self._original.patched(job.address, job.word.to_bytes(4, "little"))
        try:
            tests = list(job.tests)
            if job.boots:
                why = self._boot_differs(job)
                if why and why != "state":
                    return Verdict("killed", "boot", why)
                tests += job.others if why else []
            return self._first_failure(session, [items[name] for name in tests if name in items])
        finally:
            session._setupstate.teardown_exact(None)
            self._close_kernels(self._config)

    def _boot_differs(self, job: Job) -> str:
        """What boot says: "" when it leaves the same state, so that tests which come later cannot tell."""
        from harness.errors import HarnessError
        from harness.kernel import Kernel

        states = []
        for image in (self._original, self._image):
            try:
                with Kernel(image, ram_size=_SMALL) as kernel:
                    where = kernel.machine.virtual.walk(job.address).pa
                    word = self._original.read(job.address, 4)
                    kernel.machine.memory.write(where if where is not None else job.address, word)
                    registers = {**kernel.machine.registers, **kernel.machine.sysreg}
                    states.append((registers, kernel.machine.memory.digest(), kernel.console))
            except HarnessError as error:
                return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return "" if states[0] == states[1] else "state"

    def _first_failure(self, session: pytest.Session, items: list[pytest.Item]) -> Verdict:
        from harness.checks.mutation.campaign import Verdict

        following: Iterable[pytest.Item | None] = [*items[1:], None]
        for count, (item, after) in enumerate(zip(items, following, strict=True), 1):
            for report in runtestprotocol(item, log=False, nextitem=after):
                if report.failed:
                    return Verdict("killed", item.nodeid, _why(report), count)
        return Verdict("survived", tests=len(items))


def _read(path: Path) -> ElfImage:
    """The image, with all that is read late read now: each mutant is a copy that shares it."""
    from harness.image import ElfImage

    image = ElfImage.load(path)
    for part in ("symbols", "types", "functions", "variables", "macros", "lines", "unwinder"):
        getattr(image, part)
    return image


def _why(report: pytest.TestReport) -> str:
    """The last line of a failure that says something."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return next((line for line in text.splitlines() if line.strip()), "")[:200]
