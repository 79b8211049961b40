# SPDX-License-Identifier: BSD-3-Clause
"""Running the tests on mutants, in worker processes, and keeping the results in a journal.

A worker is a pytest process (harness.pytest_plugin.mutants) that collects the tests once. One that dies or
does not answer has been killed by its mutant, and is replaced.
"""

from __future__ import annotations

import hashlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Literal

from harness.checks.mutation.mutants import Mutant
from harness.checks.mutation.selection import Selection
from harness.errors import HarnessError

Status = Literal["killed", "survived", "not reached"]

BUDGET = 400_000_000  # instructions of one call: more than any test needs
_PATIENCE = 900  # seconds for one mutant, whatever its tests do
_TEST_TIMEOUT = 60  # seconds for one test


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is asked: put `word` at `address`, run `tests`, in this order, until one fails.

    `boots`: the instruction is executed at boot; where that leaves another state, `others` run as well.
    """

    address: int
    word: int
    tests: tuple[str, ...]
    boots: bool
    others: tuple[str, ...]
    budget: int = BUDGET


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: `by` which test and `why` it was killed, after how many `tests`."""

    status: Status
    by: str = ""
    why: str = ""
    tests: int = 0


class Journal:
    """The results so far, in a file that an interrupted campaign goes on with: JSON lines.

    The first line names the image. Results of another image, or of other tests, are of no use and dropped.
    """

    def __init__(self, path: Path, *inputs: bytes) -> None:
        self._path = path
        self._lock = threading.Lock()
        head = {"of": self.digest(*inputs)}
        lines = path.read_text().splitlines() if path.is_file() else []
        self.results: dict[str, Verdict] = {}
        if lines and json.loads(lines[0]) == head:
            for line in lines[1:]:
                fields = json.loads(line)
                name = fields.pop("id")
                self.results[name] = Verdict(**fields)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(head) + "\n")

    @staticmethod
    def digest(*inputs: bytes) -> str:
        """What tells one set of inputs from another."""
        state = hashlib.sha256()
        for each in inputs:
            state.update(hashlib.sha256(each).digest())
        return state.hexdigest()

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Remember one; on disk before anything else happens."""
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"id": mutant.id, **asdict(verdict)}) + "\n")
            self.results[mutant.id] = verdict


@dataclass(slots=True)
class Campaign:
    """What to run, and on what."""

    elf: Path
    tests: Sequence[str]  # paths that pytest collects
    selection: Selection
    boot: frozenset[int]  # addresses executed at boot
    journal: Journal
    log: Path

    def run(self, mutants: Sequence[Mutant], jobs: int, progress: Callable[[Verdict], None]) -> None:
        """Judge all mutants that the journal does not have yet; `progress` is told of each."""
        todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            if mutant.id in self.journal.results:
                progress(self.journal.results[mutant.id])
            elif not self._job(mutant).tests and mutant.address not in self.boot:
                self._note(mutant, Verdict("not reached"), progress)
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
        self.journal.add(mutant, verdict)
        progress(verdict)

    def _job(self, mutant: Mutant) -> Job:
        tests, boots = self.selection.of(mutant.address), mutant.address in self.boot
        known = set(tests)
        others = tuple(each for each in self.selection.all if each not in known) if boots else ()
        return Job(mutant.address, mutant.word, tuple(tests), boots, others)

    def _work(
        self,
        todo: queue.SimpleQueue[Mutant],
        progress: Callable[[Verdict], None],
        errors: list[BaseException],
    ) -> None:
        worker: _Worker | None = None
        try:
            for mutant in _drain(todo):
                worker = worker or _Worker(self.elf, self.tests, self.log)
                verdict = worker.judge(self._job(mutant))
                if verdict is None:
                    worker.kill()
                    worker, verdict = None, Verdict("killed", "watchdog", "the test process died or hung")
                self._note(mutant, verdict, progress)
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

    def __init__(self, elf: Path, tests: Sequence[str], log: Path) -> None:
        self._connection, theirs = Pipe()
        handle = theirs.fileno()
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("--timeout", str(_TEST_TIMEOUT), "--kernel-elf", str(elf), "--kernel-mutants", str(handle)),
            *tests,
        ]
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[handle]
            )
        try:
            self._connection.recv()  # it is ready
        except EOFError:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise HarnessError(
                f"pytest does not collect the tests; its output is in {log}:\n{tail}"
            ) from None

    def judge(self, job: Job) -> Verdict | None:
        """The verdict; None where the process did not live to tell."""
        try:
            self._connection.send(job)
            if not self._connection.poll(_PATIENCE):
                return None
            verdict: Verdict = self._connection.recv()
        except (EOFError, OSError):
            return None
        return verdict

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Let it end: the pipe's end is the end of its work."""
        self._connection.close()
        self._process.wait()
