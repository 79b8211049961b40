# SPDX-License-Identifier: BSD-3-Clause
"""`bench`: what calls cost in instructions, and what a test costs in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.bench import baseline, figures, growth, timing, watching
from harness.bench.figures import Figures
from harness.bench.growth import Growth
from harness.bench.timing import Times
from harness.bench.watching import Watching
from harness.cli.options import elf_option, json_option, load
from harness.cli.output import show, show_json
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.report import calls as call_report
from harness.report import growth as growth_report
from harness.report.chart import Chart
from harness.report.data import growth_data
from harness.report.producer import producer
from harness.report.svg import svg

RELEASE_ELF = Path(".build/release/kernel.elf")
_DEBUG = "va39"  # the build beside it that has assertions
_TIMINGS = 5


@dataclass(frozen=True, slots=True)
class _Results:
    image: ElfImage
    figures: Figures
    debug: Growth | None
    times: Times
    watching: dict[str, Watching]


@click.command(
    epilog="\b\nExample:\n  python -m harness bench --svg growth.svg\n"
    "  python -m harness bench --write-baseline tests/bench/baseline.json"
)
@elf_option(RELEASE_ELF)
@click.option(
    "--debug-elf",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"The same kernel with assertions, to compare (default: {_DEBUG} beside the image, if it is there).",
)
@click.option(
    "--svg", "drawing", type=click.Path(path_type=Path), metavar="FILE", help="Draw the growth too."
)
@click.option(
    "--write-baseline",
    "written",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Only count, and put the counts of this compiler into FILE.",
)
@click.option(
    "--committed",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Run nothing: show what --write-baseline put into FILE.",
)
@json_option
def bench(
    elf: Path,
    debug_elf: Path | None,
    drawing: Path | None,
    written: Path | None,
    committed: Path | None,
    as_json: bool,
) -> None:
    """Count the instructions of the VMM's calls, with up to 100 000 VMAs, and time the reset of a test.

    Everything is counted on two boots; it fails where they differ.
    """
    if committed is not None:
        _show_committed(baseline.read(committed), as_json)
        return
    image = load(elf)
    if written is not None:
        _write(image, written)
        return
    results = _measure(image, _debug_image(elf, debug_elf))
    if drawing is not None:
        lines = growth_report.lines(results.figures.growth)
        drawing.write_text(svg(lines, "instructions retired, by number of VMAs", growth_report.ACROSS))
    if as_json:
        show_json(_data(results))
    else:
        show(_report(results))


def _show_committed(known: dict[str, Figures], as_json: bool) -> None:
    if as_json:
        show_json({compiler: growth_data(found.growth) for compiler, found in known.items()})
        return
    for compiler, found in known.items():
        show(Group(Text(compiler, "bold"), *_bounded(found.growth)))


def _write(image: ElfImage, path: Path) -> None:
    with _progress(2 * figures.COMMITTED.steps) as advance:
        found = figures.measure_twice(image, figures.COMMITTED, advance)
    baseline.write(path, producer(image), found)


def _bounded(growth: Growth) -> list[RenderableType]:
    """What is asked for and what there is."""
    tables = growth_report.asked_table(growth), Text(), growth_report.barrier_table(growth)
    return [*tables, Text(growth_report.SOURCE, "dim")]


def _debug_image(elf: Path, wanted: Path | None) -> ElfImage | None:
    beside = elf.parent.parent / _DEBUG / elf.name
    if wanted is None and (elf.parent.name == _DEBUG or not beside.is_file()):
        return None
    return load(wanted or beside)


def _measure(image: ElfImage, debug: ElfImage | None) -> _Results:
    total = 2 * figures.FULL.steps + growth.steps(figures.DEBUG_COUNTS) * (debug is not None) + _TIMINGS
    with _progress(total) as advance:
        found = figures.measure_twice(image, figures.FULL, advance)
        slower = None
        if debug is not None:
            with Kernel(debug, sanitize=None) as kernel:
                slower = growth.measure(kernel, figures.DEBUG_COUNTS, advance)
        with Kernel(image, sanitize=None) as kernel:
            times = timing.measure(image, kernel, advance)
        ratios = watching.measure(image, advance)
    return _Results(image, found, slower, times, ratios)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, if that is a terminal; it leaves nothing behind."""
    columns = (TextColumn("measuring"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _data(results: _Results) -> object:
    return {
        "image": str(results.image.path),
        "compiler": producer(results.image),
        "instructions": results.figures.calls,
        "growth": growth_data(results.figures.growth),
        "debug": None if results.debug is None else growth_data(results.debug),
        "seconds": results.times.as_dict(),
        "watching": {name: asdict(ratios) for name, ratios in results.watching.items()},
    }


def _report(results: _Results) -> RenderableType:
    found = results.figures
    parts: list[RenderableType] = [
        Text.assemble(("instructions retired", "bold"), f"  {results.image.path}, {producer(results.image)}"),
        *(Text(), *_bounded(found.growth), Text()),
        *(Chart(growth_report.lines(found.growth), growth_report.ACROSS), Text()),
        *(call_report.by_size(found.calls), Text(), call_report.others(found.calls)),
        Text("the same on two boots\n", "dim"),
    ]
    if results.debug is not None:
        parts += [growth_report.debug_table(found.growth, results.debug), Text()]
    parts += [Text("time of a test", "bold"), call_report.times_table(results.times), Text()]
    return Group(*parts, call_report.watching_table(results.watching))
