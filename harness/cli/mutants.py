# SPDX-License-Identifier: BSD-3-Clause
"""`mutants`: changes single instructions of the kernel and runs the tests that execute them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import harness
from harness.checks.coverage import Program, Recorder, reach
from harness.checks.coverage.reasons import Reasons
from harness.checks.mutation.campaign import TEST_LIMIT, Campaign
from harness.checks.mutation.journal import Journal, Verdict, digest
from harness.checks.mutation.mutants import KINDS, Kind, Mutant, mutants
from harness.checks.mutation.selection import Selection
from harness.cli.options import DEFAULT_ELF, elf_option, json_option, load
from harness.cli.output import show, show_json
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.kernel.kernel import attachments
from harness.machine import Machine
from harness.report.files import make_room
from harness.report.mutation import mutation_data, mutation_report, totals

FOLDER = Path(".build/mutants")
_SOURCES = {".py", ".c", ".h", ".S", ".ld"}
TESTS = tuple(
    f"tests/{room}" for room in ("arch_aarch64", "boot", "core", "frames", "lib", "tour", "uk", "vmm")
)

_EXAMPLE = """
\b
Example:
  python -m harness mutants --kind barrier
  python -m harness mutants --sample 50 --seed 7
  python -m harness mutants --function asid_acquire tests/arch_aarch64
"""


@click.command("mutants", epilog=_EXAMPLE)
@click.argument("tests", nargs=-1)
@elf_option(DEFAULT_ELF)
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be repeated."
)
@click.option(
    "--function", "functions", multiple=True, metavar="NAME", help="Only the code of this C function."
)
@click.option("--sample", type=click.IntRange(min=1), help="Only so many, chosen at random.")
@click.option("--seed", default=0, show_default=True, help="Of the choice.")
@click.option(
    "--source", default="kernel_c/", show_default=True, help="Only code whose source is below this."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=os.cpu_count(), help="Processes (default: one a core)."
)
@click.option(
    "--limit",
    type=click.FloatRange(min=1),
    default=TEST_LIMIT,
    show_default=True,
    help="Seconds of CPU time for one test, fewer for quick ones: one that takes longer has failed.",
)
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where journal and logs are.")
@click.option(
    "--reasons",
    type=click.Path(path_type=Path),
    multiple=True,
    help="TOML file that says why mutants live, to be shown; may be repeated.",
)
@click.option(
    "--summary", type=click.Path(path_type=Path), help="Put the score of each kind into this file, as JSON."
)
@json_option
def mutants_command(
    tests: tuple[str, ...],
    elf: Path,
    kinds: tuple[Kind, ...],
    functions: tuple[str, ...],
    sample: int | None,
    seed: int,
    source: str,
    jobs: int,
    limit: float,
    folder: Path,
    reasons: tuple[Path, ...],
    summary: Path | None,
    as_json: bool,
) -> int:
    """Change one instruction of the kernel at a time: do the TESTS (paths for pytest) notice?

    Each mutant gets only the tests that execute its instruction, cheapest first, until one fails. What has
    been judged is kept in a journal: an interrupted run goes on where it was. Fails if a mutant is not killed
    and --reasons does not explain why.
    """
    if summary is not None and (functions or sample is not None):
        raise HarnessError("--summary is of all mutants of a kind: leave out --function and --sample")
    known = Reasons.load(*reasons)
    if summary is not None:
        make_room(summary)
    before = {} if summary is None else _scores(summary)
    image = load(elf)
    program = Program(image)
    chosen = choose(list(mutants(program, source)), kinds, functions, sample, seed)
    paths = tests or TESTS
    journal = _run(program, chosen, paths, jobs, limit, folder)
    results = [(mutant, journal.results[mutant.id]) for mutant in chosen]
    if summary is not None:
        scores = before | totals(results, known)
        summary.write_text(
            json.dumps({kind: scores[kind] for kind in KINDS if kind in scores}, indent=1) + "\n"
        )
    if as_json:
        show_json(mutation_data(results, known))
    else:
        show(mutation_report(results, known))
    unexplained = mutation_data(results, known)["unexplained"]
    return 1 if unexplained else 0


def _scores(file: Path) -> dict[str, dict[str, float]]:
    """What kinds have scored before. Raises HarnessError for a file that is no summary."""
    text = file.read_text() if file.is_file() else ""
    try:
        return dict(json.loads(text or "{}"))
    except ValueError as error:
        raise HarnessError(f"{file}: not what --summary writes: {error}; remove it") from error


def choose(
    found: list[Mutant], kinds: Sequence[Kind], functions: Sequence[str], sample: int | None, seed: int
) -> list[Mutant]:
    """Those that were asked for. Raises HarnessError for a function without any."""
    unknown = set(functions) - {each.function for each in found}
    if unknown:
        raise HarnessError(
            f"no mutants in {', '.join(sorted(unknown))}: not a C function of the sources asked for"
        )
    chosen = [
        each
        for each in found
        if (not kinds or each.kind in kinds) and (not functions or each.function in functions)
    ]
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample), key=lambda each: each.address)
    return chosen


def _run(
    program: Program, chosen: list[Mutant], paths: Sequence[str], jobs: int, limit: float, folder: Path
) -> Journal:
    elf = program.image.path
    contents = elf.read_bytes()
    tests_file = _map(elf, contents, paths, folder, jobs)
    selection = Selection.load(program, tests_file)
    journal = Journal(folder / "journal.jsonl", contents, digest(*_shared(paths)).encode())
    campaign = Campaign(elf, paths, selection, _boot(program), journal, folder / "workers.log", limit)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    survived = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("mutants", total=len(chosen))

        def advance(verdict: Verdict) -> None:
            nonlocal survived
            survived += verdict.status == "survived"
            progress.update(task, advance=1, description=f"mutants, {survived} survive")

        campaign.run(chosen, jobs, advance)
    for test in sorted(campaign.unsound):
        click.echo(f"left out, as it fails in a worker without any mutant: {test}", err=True)
    return journal


def _map(elf: Path, contents: bytes, paths: Sequence[str], folder: Path, jobs: int) -> Path:
    """Which test executes what: by a run of all of them, unless that is known of this very image."""
    name = digest(contents, *(path.encode() for path in paths), *_sources(paths))
    file = folder / f"tests-{name[:16]}.json"
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--kernel-elf={elf}"),
        *(f"--kernel-cov=tests:{file}", *(("-n", str(jobs)) if find_spec("xdist") else ()), *paths),
    ]
    click.echo(f"which test executes what: {' '.join(command[1:])}", err=True)
    log = folder / "tests.log"
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1) or not file.is_file():
        raise HarnessError(f"the tests do not run (status {done.returncode}); see {log}")
    if done.returncode:
        click.echo(f"tests that fail without any mutant are left out; see {log}", err=True)
    return file


def _sources(paths: Sequence[str]) -> Iterator[bytes]:
    """The tests, what lies beside them, and the harness that they use."""
    return (file.read_bytes() for file in _files(paths))


def _shared(paths: Sequence[str]) -> Iterator[bytes]:
    """The same without the files of tests."""
    return (file.read_bytes() for file in _files(paths) if not file.name.startswith("test_"))


def _files(paths: Sequence[str]) -> Iterator[Path]:
    folders = {_around(Path(path.partition("::")[0]).resolve()) for path in paths}
    for folder in (*sorted(folders), Path(harness.__file__).parent):
        for file in sorted(folder.rglob("*")):
            if file.suffix in _SOURCES:
                yield file


def _around(path: Path) -> Path:
    """The folder that has a folder of tests, such as tests/uk, unless that has everything else as well."""
    folder = path if path.is_dir() else path.parent
    return folder.parent if Path.cwd() in folder.parent.parents else folder


def _boot(program: Program) -> frozenset[int]:
    """The addresses that are executed at boot."""
    recorder = Recorder()

    def attach(machine: Machine, _image: ElfImage) -> None:
        recorder.attach(machine)

    attachments.append(attach)
    try:
        Kernel(program.image).close()
    finally:
        attachments.remove(attach)
    return frozenset(reach(program, recorder.take()).instructions)
