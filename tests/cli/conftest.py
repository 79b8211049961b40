# SPDX-License-Identifier: BSD-3-Clause
"""Commands, run in this process and looked at from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.pytest_plugin.options import settings_of


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line."""

    def run(*arguments: object) -> Result:
        status = main([str(each) for each in arguments], prog="lukos")
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Path:
    """One image, where it does not matter which."""
    return settings_of(request.config).targets[0].path
