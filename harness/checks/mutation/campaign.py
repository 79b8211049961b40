# SPDX-License-Identifier: BSD-3-Clause
"""Running the tests on mutants, in worker processes.

A worker is a pytest process (harness.pytest_plugin.mutants) that collects the tests once. Of the tests that
execute an instruction those go first that have killed mutants of the same function, then the quickest.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from pathlib import Path

from harness.checks.mutation.journal import Journal, Verdict
from harness.checks.mutation.mutants import Kind, Mutant
from harness.checks.mutation.selection import Selection
from harness.errors import HarnessError

BUDGET = 400_000_000  # instructions of one call: more than any test needs
_PATIENCE = 60, 10  # seconds for one mutant, and how many times the seconds that its tests usually take
TEST_LIMIT = 60.0  # seconds of CPU time for one test
_QUICK = 2.0, 10  # a limit for quick tests: seconds, and how many times those that it usually takes
_BOOTS_AFRESH: tuple[Kind, ...] = ("barrier",)  # the machine has hooks for these, which it does not forget


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is asked: put `word` at `address`, run `tests`, in this order, until one fails.

    `word`: None changes nothing: would a test fail as well?
    `boots`: the instruction is executed at boot; where that leaves another state, `everything` runs instead.
    `afresh`: no kernel that was booted without the mutant will do. `patience`: seconds for all of this;
    `limits`: seconds of CPU time by test; `budget`: instructions for each call.
    """

    address: int
    word: int | None
    tests: tuple[str, ...]
    boots: bool
    everything: tuple[str, ...]
    afresh: bool
    patience: float
    limits: dict[str, float]
    budget: int = BUDGET

    @property
    def is_more(self) -> bool:
        """Whether there is a test to run."""
        return bool(self.tests or self.everything)


@dataclass(slots=True)
class Campaign:
    """What to run, and on what."""

    elf: Path
    tests: Sequence[str]  # paths that pytest collects
    selection: Selection
    boot: frozenset[int]  # addresses executed at boot
    journal: Journal
    log: Path
    limit: float = TEST_LIMIT
    killers: dict[str, list[str]] = field(default_factory=dict)  # by function, the latest one first
    unsound: set[str] = field(default_factory=set)  # tests that fail in a worker whatever it changes
    _sound: set[tuple[str, bool]] = field(
        default_factory=set
    )  # and that do not, with a booted kernel or afresh

    def run(self, mutants: Sequence[Mutant], jobs: int, progress: Callable[[Verdict], None]) -> None:
        """Judge all mutants that the journal does not have yet; `progress` is told of each."""
        todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            known = self.journal.results.get(mutant.id)
            if not self.selection.of(mutant.address) and mutant.address not in self.boot:
                self._note(mutant, Verdict("not reached"), progress)
            elif known is not None and (known.status == "killed" or not self._job(mutant).is_more):
                progress(known)
            else:
                todo.put(mutant)
        errors: list[BaseException] = []
        threads = [
            threading.Thread(target=self._work, args=(todo, progress, errors), daemon=True)
            for _ in range(min(jobs, todo.qsize()))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _note(self, mutant: Mutant, verdict: Verdict, progress: Callable[[Verdict], None]) -> None:
        self.journal.add(mutant.id, verdict, (*self.selection.of(mutant.address), *self._all_for(mutant)))
        killers = self.killers.setdefault(mutant.function, [])
        if verdict.by in killers:
            killers.remove(verdict.by)
        killers.insert(0, verdict.by)
        progress(verdict)

    def _job(self, mutant: Mutant) -> Job:
        boots = mutant.address in self.boot
        tests = self._order(mutant, self.selection.of(mutant.address))
        everything = self._order(mutant, self._all_for(mutant))
        least, factor = _PATIENCE
        patience = least + factor * sum(self.selection.seconds[each] for each in everything or tests)
        afresh = boots or mutant.kind in _BOOTS_AFRESH
        limits = {each: self._limit_of(each) for each in (*tests, *everything)}
        job = Job(mutant.address, mutant.word, tests, boots, everything, afresh, patience, limits)
        return self._without_unsound(job)

    def _limit_of(self, test: str) -> float:
        least, factor = _QUICK
        return min(self.limit, least + factor * self.selection.seconds[test])

    def _order(self, mutant: Mutant, tests: Sequence[str]) -> tuple[str, ...]:
        """What it has not survived yet; first what has killed mutants of the same function."""
        tests = [each for each in tests if self.journal.is_new(mutant.id, each)]
        known = set(tests)
        first = (each for each in self.killers.get(mutant.function, ()) if each in known)
        return tuple(dict.fromkeys((*first, *tests)))

    def _all_for(self, mutant: Mutant) -> Sequence[str]:
        """All tests, if it may change what they start from."""
        return self.selection.all if mutant.address in self.boot else ()

    def _judge(self, worker: _Worker, job: Job) -> Verdict:
        """The verdict, by no test that would have failed without the mutant as well."""
        verdict = worker.judge(job)
        while verdict.status == "killed" and not self._is_sound(worker, job, verdict.by):
            self.unsound.add(verdict.by)
            verdict = worker.judge(self._without_unsound(job))
        return verdict

    def _is_sound(self, worker: _Worker, job: Job, test: str) -> bool:
        known = (test, job.afresh)
        if known not in self._sound and test in self.selection.seconds:
            control = replace(job, word=None, tests=(test,), boots=False, everything=())
            if worker.judge(control).status == "killed":
                return False
            self._sound.add(known)
        return True

    def _without_unsound(self, job: Job) -> Job:
        tests, everything = (
            tuple(each for each in names if each not in self.unsound) for names in (job.tests, job.everything)
        )
        return replace(job, tests=tests, everything=everything)

    def _work(
        self,
        todo: queue.SimpleQueue[Mutant],
        progress: Callable[[Verdict], None],
        errors: list[BaseException],
    ) -> None:
        worker: _Worker | None = None
        try:
            for mutant in _drain(todo):
                worker = worker or _Worker(self.elf, self.tests, self.selection.samples, self.log)
                self._note(mutant, self._judge(worker, self._job(mutant)), progress)
        except (HarnessError, OSError) as error:
            errors.append(error)
        finally:
            if worker is not None:
                worker.close()


def _drain(todo: queue.SimpleQueue[Mutant]) -> Iterator[Mutant]:
    while True:
        try:
            yield todo.get_nowait()
        except queue.Empty:
            return


class _Worker:
    """A pytest process at the other end of a pipe."""

    def __init__(self, elf: Path, tests: Sequence[str], samples: Sequence[str], log: Path) -> None:
        """`samples`: a few tests that have everything set up which others can use as well."""
        self._log = log
        self._connection, theirs = Pipe()
        handle = theirs.fileno()
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"--kernel-elf={elf}", f"--kernel-mutants={handle}", *tests),
        ]
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[handle]
            )
        try:
            self._connection.send(tuple(samples))
            self._connection.recv()  # it is ready
        except (EOFError, OSError):
            raise self._failure("pytest does not collect the tests") from None

    def judge(self, job: Job) -> Verdict:
        """The verdict."""
        try:
            self._connection.send(job)
            verdict: Verdict = self._connection.recv()
        except (EOFError, OSError):
            raise self._failure("a test process has ended") from None
        return verdict

    def _failure(self, what: str) -> HarnessError:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
        return HarnessError(f"{what}; its output is in {self._log}:\n{tail}")

    def close(self) -> None:
        """Let it end: the pipe's end is the end of its work."""
        self._connection.close()
        self._process.wait()
