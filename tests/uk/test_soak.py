# SPDX-License-Identifier: BSD-3-Clause
"""The long run against the model says what it did and how to do it again."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tests.uk import soak


@pytest.fixture
def run(kernel_elf):
    """Run the command in this process; its result."""

    def invoke(*arguments):
        return CliRunner().invoke(soak.soak, ["--elf", str(kernel_elf), "--jobs", "1", *arguments])

    return invoke


def test_so_many_steps_are_made(run):
    """At least those asked for, in slices, from a seed that is shown."""
    result = run("--steps", "40", "--slice", "20", "--seed", "7")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "40 steps from seed 7, in 2 slices" in result.stdout
    [made] = re.findall(r"^([0-9,]+) steps: kernel and model agree", result.stdout, re.MULTILINE)
    assert int(made.replace(",", "")) >= 40


def test_a_failure_is_repeated_by_its_seed(run, monkeypatch):
    """The seed of the slice that failed, not of the run; and what failed."""
    seeds = []

    def fail(_guest, seed, *_):
        seeds.append(seed)
        assert len(seeds) < 3, "planted"
        return 1000

    monkeypatch.setattr(soak, "run_steps", fail)
    failed = run("--steps", "5000")
    assert failed.exit_code == 1
    assert "planted" in failed.stderr
    [again] = re.findall(r"to repeat: make soak STEPS=1 SEED=(\d+)\n", failed.stderr)
    assert int(again) == seeds[2]
    seeds.clear()
    assert run("--steps", "1", "--seed", again).exit_code == 0
    assert seeds == [int(again)]


def test_fresh_runs_have_fresh_seeds(run, monkeypatch):
    """No two runs make the same steps unless asked to."""
    monkeypatch.setattr(soak, "run_steps", lambda *_: 1000)
    said = {run("--steps", "1").stdout for _ in range(3)}
    assert len(said) == 3
