# SPDX-License-Identifier: BSD-3-Clause
"""The fuzzer without libFuzzer: inputs that were worth keeping, as they are and changed, and random ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
RUNS = 2000


def fuzz(built, last, runs, files):
    """One run of the program; what it said, and the last input it tried."""
    done = subprocess.run(
        [built / "fuzz", last, str(runs), *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, last.read_bytes()


def test_no_input_breaks_the_engine(built, tmp_path):
    """After each call of each input all is sound, and at its end every frame is back."""
    said, _ = fuzz(built, tmp_path / "last", RUNS, CORPUS)
    assert said == f"{len(CORPUS)} files and {RUNS} random inputs: nothing found\n"


def test_inputs_are_the_same_every_time(built, tmp_path):
    """So that what CI finds is found again."""
    assert fuzz(built, tmp_path / "a", 50, CORPUS[:2]) == fuzz(built, tmp_path / "b", 50, CORPUS[:2])
