# SPDX-License-Identifier: BSD-3-Clause
"""How many times as long the suite takes when it is looked on: `make cost`.

The suite is run with one image, without the sanitizer, with it, and with coverage as well. What is compared
is the CPU time of all its processes, so that it does not matter what else the machine does meanwhile.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

SUMMARY = Path(__file__).with_name("cost.json")
LIMITS = {"sanitizer": 1.5, "coverage": 2.0}  # how many times as long it may take
_WAYS = {
    "neither": ("--kernel-sanitizer=off",),
    "sanitizer": (),
    "coverage": ("--kernel-cov=totals:.build/cost.json",),
}


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """The sanitizer is compared with a run without, coverage with the usual run, which has the sanitizer."""
    return {
        "sanitizer": round(seconds["sanitizer"] / seconds["neither"], 2),
        "coverage": round(seconds["coverage"] / seconds["sanitizer"], 2),
    }


def markdown(found: Mapping[str, float]) -> str:
    """`ratios` as a table, for a README."""
    rows = [f"| {name} | {found[name]:.2f} | {limit:g} |" for name, limit in LIMITS.items()]
    return "\n".join(["| | times as long | at most |", "|---|--:|--:|", *rows])


def _seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise click.ClickException(f"a run in which tests fail is no measure:\n{done.stdout[-4000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--write", is_flag=True, help="Commit the ratios to tests/coverage/cost.json.")
@click.argument("arguments", nargs=-1)
def cost(write: bool, arguments: tuple[str, ...]) -> None:
    """Run pytest with ARGUMENTS in each way."""
    seconds = {}
    for name, options in _WAYS.items():
        click.echo(f"{name}: pytest {' '.join((*arguments, *options))}", err=True)
        seconds[name] = _seconds([sys.executable, "-m", "pytest", "-q", *arguments, *options])
    found = ratios(seconds)
    if write:
        SUMMARY.write_text(json.dumps(found, indent=1) + "\n")
    click.echo(markdown(found))


if __name__ == "__main__":
    cost()
