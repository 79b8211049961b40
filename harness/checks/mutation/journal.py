# SPDX-License-Identifier: BSD-3-Clause
"""What became of each mutant, in a file: an interrupted campaign goes on, another one asks what is new."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

Status = Literal["killed", "survived", "not reached"]

BOOT = "boot"  # what has killed a mutant that does not boot
_ALL = ""  # in the place of a file of tests: what all of them use


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: `by` which test and `why` it was killed, after how many `tests`.

    `seconds` of CPU time that it took.
    """

    status: Status
    by: str = ""
    why: str = ""
    tests: int = 0
    seconds: float = 0


def digest(*inputs: bytes) -> str:
    """What tells one set of inputs from another."""
    state = hashlib.sha256()
    for each in inputs:
        state.update(hashlib.sha256(each).digest())
    return state.hexdigest()


class Journal:
    """The results so far: JSON lines, the first of which names the image; those of another image are dropped.

    What a test killed stays so while the file of that test is the same, and the modules beside it. What has
    survived the tests of a file has done so while that is true of it, and of what all tests use.
    """

    def __init__(self, path: Path, image: bytes, shared: bytes) -> None:
        """`shared` stands for what all tests use."""
        self._path, self._lock = path, threading.Lock()
        self._stamps = {_ALL: digest(shared)[:16]}
        self._survived: dict[str, Mapping[str, str]] = {}
        self.results: dict[str, Verdict] = {}
        head = json.dumps({"of": digest(image)})
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines[1:] if lines[0] == head and self._take(line)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join((head, *kept)) + "\n")

    def _take(self, line: str) -> bool:
        """Take a result over; False for one that is not whole, or of other tests."""
        try:
            fields = json.loads(line)
            name, stamps = fields.pop("id"), dict(fields.pop("by tests"))
            verdict = Verdict(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
        same = {file for file, stamp in stamps.items() if stamp == self._stamp(file)}
        needed = set(stamps) if verdict.status == "killed" else {_ALL}
        if not needed <= same:
            return False
        self.results[name], self._survived[name] = verdict, {file: stamps[file] for file in same}
        return True

    def _stamp(self, file: str) -> str:
        """What tells a file of tests from what it was, and the modules beside it, which it may use."""
        if file not in self._stamps:
            path = Path(file)
            beside = (each for each in sorted(path.parent.glob("*.py")) if not each.name.startswith("test_"))
            inputs = (each.read_bytes() for each in (path, *beside) if each.is_file())
            self._stamps[file] = digest(*inputs)[:16]
        return self._stamps[file]

    def is_new(self, mutant: str, test: str) -> bool:
        """Whether the mutant has not survived this test yet."""
        file = _file(test)
        return self._survived.get(mutant, {}).get(file) != self._stamp(file)

    def add(self, mutant: str, verdict: Verdict, tests: Iterable[str]) -> None:
        """Remember one, which has had these tests; on disk before anything else happens."""
        with self._lock:
            before = self.results.get(mutant)
            if before is not None and before.status == verdict.status == "survived":
                seconds = round(before.seconds + verdict.seconds, 2)
                verdict = replace(verdict, tests=before.tests + verdict.tests, seconds=seconds)
            self.results[mutant] = verdict
            if verdict.status != "not reached":
                self._write({"id": mutant, **asdict(verdict), "by tests": self._depends(verdict, tests)})

    def _depends(self, verdict: Verdict, tests: Iterable[str]) -> dict[str, str]:
        """The stamps of all that would have to be the same."""
        files = {_ALL}
        if "::" in verdict.by:
            files = {_file(verdict.by)}
        elif verdict.by != BOOT:
            files.update(map(_file, tests))
        return {file: self._stamp(file) for file in sorted(files)}

    def _write(self, fields: Mapping[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(fields) + "\n")


def _file(test: str) -> str:
    return test.partition("::")[0]
