# SPDX-License-Identifier: BSD-3-Clause
"""The VMA engine against its model for as many steps as one likes: `make soak STEPS=1000000`.

A run is made of slices, whose seeds are numbers in a row from that of the run on. So a slice that failed is
repeated alone by its own seed.
"""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from harness import Kernel
from harness.checks.sanitizer import Options
from tests.uk.guest import Guest
from tests.uk.machine import run_steps
from tests.uk.machine_files import FilesMachine

_SEEDS = 1 << 32  # where a slice goes on when its seed gave fewer steps than it should
_LINES = 10  # of progress where there is no terminal


@cache
def _guest(elf):
    """One in each process. Any memory type is asked for, for frames that the kernel has cached."""
    sanitize = Options(suppress=["policy/mismatched-attributes"])
    return Guest(Kernel(elf, ram_size=64 << 20, sanitize=sanitize))


def _slice(elf, seed, steps):
    """How many steps it had, or the text of its failure."""
    try:
        return run_steps(_guest(elf), seed, _SEEDS, steps, FilesMachine)
    except Exception:  # noqa: BLE001 - whatever it is, it is what this was run for
        return traceback.format_exc()


def _results(elf, seeds, steps, jobs):
    """(seed, result) of each slice, in order."""
    if jobs == 1:
        yield from ((seed, _slice(elf, seed, steps)) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        pending = [(seed, pool.submit(_slice, elf, seed, steps)) for seed in seeds]
        try:
            for seed, future in pending:
                yield seed, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _progress(total) -> Iterator:
    """A bar on a terminal, else a few lines."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), "steps", TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task, said = progress.add_task("", total=total), 0

        def advance(done):
            nonlocal said
            progress.update(task, completed=done)
            if not console.is_terminal and done * _LINES // total > said:
                said = done * _LINES // total
                click.echo(f"{done:,} steps")

        yield advance


@click.command()
@click.option("--elf", type=click.Path(path_type=Path), default=Path(".build/va39/kernel.elf"))
@click.option("--steps", type=click.IntRange(1), default=100_000, help="How many at least.")
@click.option(
    "--seed", type=click.IntRange(0, _SEEDS - 1), help="Of the first slice (default: a random one)."
)
@click.option("--slice", "piece", type=click.IntRange(1), default=1000, help="Steps of a slice at least.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes.")
def soak(elf, steps, seed, piece, jobs) -> None:
    """Make random calls, accesses and failures in kernel and model, and compare them after each."""
    first = secrets.randbelow(_SEEDS) if seed is None else seed
    seeds = [(first + number) % _SEEDS for number in range(-(-steps // piece))]
    click.echo(f"{steps:,} steps from seed {first}, in {len(seeds)} slices, {jobs} at a time")
    done = 0
    with _progress(steps) as advance:
        for at, result in _results(elf, seeds, piece, jobs):
            if isinstance(result, str):
                click.echo(
                    f"{result}\nfailed after {done:,} steps; to repeat: make soak STEPS=1 SEED={at}", err=True
                )
                sys.exit(1)
            done += result
            advance(min(done, steps))
    click.echo(f"{done:,} steps: kernel and model agree")


if __name__ == "__main__":
    soak()
