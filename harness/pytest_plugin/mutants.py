# SPDX-License-Identifier: BSD-3-Clause
"""A run that tests mutants, one after the other, at the command of `python -m harness mutants`.

Tests are collected once, and the kernels that fixtures keep for a whole session are booted once. Each mutant
is judged by a child that is forked from there, so that whatever it breaks goes with it: its word is put into
the memory of those kernels, and the tests asked for run until the first one fails. Where the instruction has
been executed at boot, or the machine has hooks for it, the child boots kernels of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from harness.pytest_plugin.options import settings_of

if TYPE_CHECKING:
    from harness.checks.mutation.campaign import Job
    from harness.checks.mutation.journal import Verdict
    from harness.image import ElfImage
    from harness.machine import Machine

_SMALL = 256 << 20  # RAM of the kernel whose state after boot is compared
_NO_LIMIT = 600  # seconds of CPU time for a test of the original
_BOOT_LIMIT = 10  # seconds of CPU time for booting it, which takes a tenth of one
_CLOCKS = ("CNTPCT_EL0", "CNTVCT_EL0")

Items = dict[str, pytest.Item]


def add_options(parser: pytest.Parser) -> None:
    """For the campaign alone: the pipe on which it gives commands."""
    parser.getgroup("kernel").addoption("--kernel-mutants", type=int, help=argparse.SUPPRESS)


Act = Callable[[pytest.Config], None]


def register(config: pytest.Config, close_kernels: Act, forget_images: Act) -> None:
    """Become a worker of a campaign, if that was asked for."""
    pipe = config.getoption("kernel_mutants")
    if pipe is not None:
        _make_random_tests_quick()
        config.pluginmanager.register(Worker(config, pipe, close_kernels, forget_images), "lukos-mutants")


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


class _End(pytest.Item):
    """What "follows" the last test: with it, pytest keeps what belongs to the session, and nothing else."""

    def runtest(self) -> None:
        """It never runs."""


class Worker:
    """One process of a campaign."""

    def __init__(self, config: pytest.Config, pipe: int, close_kernels: Act, forget_images: Act) -> None:
        self._config, self._pipe = config, pipe
        self._close_kernels, self._forget_images = close_kernels, forget_images
        self._path = settings_of(config).targets[0].path.resolve()
        self._limit = 1 << 62
        self._machines: list[Machine] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running everything once."""
        from harness.image import ElfImage
        from harness.kernel.kernel import attachments

        self._original = self._image = _read(self._path)
        self._stand_in(ElfImage)
        attachments.append(self._attach)
        items = {item.nodeid: item for item in session.items}
        self._end = _End.from_parent(session, name="end")
        with Connection(self._pipe) as campaign, suppress(EOFError):
            self._warm_up([items[name] for name in campaign.recv() if name in items])
            campaign.send(len(items))
            while True:
                campaign.send(self._judge(session, items, campaign.recv()))
        attachments.remove(self._attach)
        return True

    def _stand_in(self, images: type[ElfImage]) -> None:
        """Whoever reads the image under test, by whatever way, gets the mutant."""
        read, path = images.load, self._path
        images.load = lambda file: self._image if Path(file).resolve() == path else read(file)  # type: ignore[assignment,method-assign]

    def _attach(self, machine: Machine, image: ElfImage) -> None:
        machine.budget_limit = self._limit
        if image is self._original:
            self._machines.append(machine)

    def _warm_up(self, items: Sequence[pytest.Item]) -> None:
        """Boot what stays, and do what is done once, by running tests on the original."""
        for item in items:
            self._first_failure([item], {})
        self._good = self._booted()
        self._machines = [each for each in self._machines if each.is_open]
        gc.collect()
        gc.freeze()  # what is there by now is not touched in the children by looking for garbage

    # -- one mutant -----------------------------------------------------------------------------------------

    def _judge(self, session: pytest.Session, items: Items, job: Job) -> Verdict:
        """In a child; one that dies or does not answer has been killed by its mutant."""
        from harness.checks.mutation.journal import Verdict

        with self._patched(job):
            ours, theirs = Pipe(duplex=False)
            child = os.fork()
            if child == 0:
                self._be_child(session, items, job, theirs)
            theirs.close()
            verdict = Verdict("killed", "watchdog", "the test process died or hung")
            with ours, suppress(EOFError):
                if ours.poll(job.patience):
                    verdict = ours.recv()
            os.kill(child, signal.SIGKILL)
            _, _, used = os.wait4(child, 0)
        return replace(verdict, seconds=round(used.ru_utime + used.ru_stime, 2))

    @contextmanager
    def _patched(self, job: Job) -> Iterator[None]:
        """The mutant in the memory of the kernels that stay, meanwhile."""
        segments = self._original.segments
        segment = next(each for each in segments if 0 <= job.address - each.vaddr < len(each.data))
        pa, word = segment.paddr + job.address - segment.vaddr, self._original.read(job.address, 4)
        for machine in self._machines:
            machine.patch(pa, self._word(job))
        yield
        for machine in self._machines:
            machine.patch(pa, word)

    def _word(self, job: Job) -> bytes:
        return self._original.read(job.address, 4) if job.word is None else job.word.to_bytes(4, "little")

    def _be_child(
        self, session: pytest.Session, items: Items, job: Job, answer: Connection[Any, Any]
    ) -> None:
        """Answer and end, whatever happens, without what pytest does at the end of a session."""
        try:
            answer.send(self._verdict(session, items, job))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(0)

    def _verdict(self, session: pytest.Session, items: Items, job: Job) -> Verdict:
        from harness.checks.mutation.journal import BOOT, Verdict

        self._limit = job.budget
        self._image = self._original.patched(job.address, self._word(job))
        for machine in self._machines:
            machine.budget_limit = job.budget
        tests = job.tests
        self._forget_images(self._config)
        if job.afresh:
            session._setupstate.teardown_exact(None)
            self._close_kernels(self._config)
        if job.boots:
            why = self._boot_differs(job)
            if why and why != "state":
                return Verdict("killed", BOOT, why)
            tests = job.everything if why else tests
        return self._first_failure([items[name] for name in tests if name in items], job.limits)

    def _boot_differs(self, job: Job) -> str:
        """What boot says: "" when it leaves the same state, so that tests which come later cannot tell."""
        from harness.errors import HarnessError

        try:
            with _limited(_BOOT_LIMIT):
                return "" if self._booted(job.address) == self._good else "state"
        except (HarnessError, pytest.fail.Exception) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"

    def _booted(self, mutated: int | None = None) -> object:
        """The state in which boot leaves a kernel, but for the time and the instruction that is changed."""
        from harness.kernel import Kernel

        with Kernel(self._image, ram_size=_SMALL) as kernel:
            if mutated is not None:
                where = kernel.machine.virtual.walk(mutated).pa
                word = self._original.read(mutated, 4)
                kernel.machine.memory.write(where if where is not None else mutated, word)
            registers = {**kernel.machine.registers, **kernel.machine.sysreg}
            for clock in _CLOCKS:
                del registers[clock]
            return registers, kernel.machine.memory.digest(), kernel.console

    def _first_failure(self, items: Sequence[pytest.Item], limits: dict[str, float]) -> Verdict:
        from harness.checks.mutation.journal import Verdict

        following: Iterable[pytest.Item] = [*items[1:], self._end]
        for count, (item, after) in enumerate(zip(items, following, strict=False), 1):
            with _limited(limits.get(item.nodeid, _NO_LIMIT)):
                reports = runtestprotocol(item, log=False, nextitem=after)
            for report in reports:
                if report.failed:
                    return Verdict("killed", item.nodeid, _why(report), count)
        return Verdict("survived", tests=len(items))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """What takes more CPU time fails. However busy the machine is, it is this process that takes it.

    Where nobody hands the failure on, as in a finalizer, the next one comes a second later.
    """

    def over(_number: int, _frame: object) -> None:
        pytest.fail(f"more than {seconds:g} seconds of CPU time")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


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
