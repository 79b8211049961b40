# SPDX-License-Identifier: BSD-3-Clause
"""Which tests execute an instruction, by what `pytest --kernel-cov=tests:FILE` has written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from harness.checks.coverage import Program, reach
from harness.errors import HarnessError

LONG = 2.0  # seconds


class Selection:
    """Tests by the instructions that they execute, cheapest first.

    Of the cases of a test that take LONG only the quickest one is there. What the others would kill may
    survive: the score is too low rather than too high.
    """

    def __init__(self, program: Program, tests: dict[str, Any]) -> None:
        tests = {name: tests[name] for name in _worth_it(tests)}
        self.seconds: dict[str, float] = {name: each["seconds"] for name, each in tests.items()}
        self._tests: dict[int, list[str]] = defaultdict(list)
        for name in sorted(tests, key=lambda name: (self.seconds[name], name)):
            steps = {(first, second) for each in tests[name]["steps"].values() for first, second in each}
            for address in reach(program, steps).instructions:
                self._tests[address].append(name)

    @classmethod
    def load(cls, program: Program, path: Path) -> Self:
        """Read the file. Raises HarnessError when it is none."""
        try:
            return cls(program, json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HarnessError(f"{path}: not what --kernel-cov=tests:FILE writes: {error!r}") from error

    def of(self, address: int) -> list[str]:
        """The tests that execute the instruction at `address`."""
        return self._tests.get(address, [])

    @property
    def samples(self) -> list[str]:
        """The quickest test of each file."""
        quickest: dict[str, str] = {}
        for name in self.all:
            quickest.setdefault(name.partition("::")[0], name)
        return list(quickest.values())

    @property
    def all(self) -> list[str]:
        """Every test that runs a kernel, or looks at one that was booted for others."""
        return sorted(self.seconds, key=lambda name: (self.seconds[name], name))


def _worth_it(tests: dict[str, Any]) -> Iterator[str]:
    short = [name for name in tests if tests[name]["seconds"] < LONG]
    known = {name.partition("[")[0] for name in short}
    yield from short
    for name in sorted(tests.keys() - set(short), key=lambda name: (tests[name]["seconds"], name)):
        function = name.partition("[")[0]
        if function not in known:
            known.add(function)
            yield name
