# SPDX-License-Identifier: BSD-3-Clause
"""`bench`: what calls cost in instructions, and what a test costs in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.cli import costs, timing
from harness.cli.costs import Costs
from harness.cli.options import elf_option, json_option, load
from harness.cli.output import show, show_json
from harness.cli.timing import Times
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.report.listing import grid
from harness.report.producer import producer

RELEASE_ELF = Path(".build/release/kernel.elf")
_TIMINGS = 3


@click.command(epilog="\b\nExample:\n  python -m harness bench --elf .build/va39/kernel.elf")
@elf_option(RELEASE_ELF)
@json_option
def bench(elf: Path, as_json: bool) -> None:
    """Count the instructions of each call of the VMM, and time the reset between tests.

    Everything is counted on two boots; it fails where they differ.
    """
    image = load(elf)
    with _progress(2 * sum(1 for _ in costs.steps()) + _TIMINGS) as advance:
        first, second = _count(image, advance), _count(image, advance)
        with Kernel(image) as kernel:
            times = timing.measure(image, kernel, advance)
    if first != second:
        raise HarnessError(f"two boots differ in instructions: {_differences(first, second)}")
    if as_json:
        show_json({"image": str(elf), "instructions": first, "seconds": times.as_dict()})
    else:
        show(_report(image, first, times))


def _count(image: ElfImage, advance: Callable[[], None]) -> Costs:
    with Kernel(image) as kernel:
        return costs.measure(kernel, advance)


def _differences(first: Costs, second: Costs) -> str:
    return ", ".join(name for name in first if first[name] != second[name])


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, if that is a terminal; it leaves nothing behind."""
    columns = (TextColumn("measuring"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


# -- the report ---------------------------------------------------------------------------------------------


def _report(image: ElfImage, found: Costs, times: Times) -> RenderableType:
    heading = Text.assemble(("instructions retired", "bold"), f"  {image.path}, {producer(image)}")
    return Group(
        heading,
        _by_size({name: each for name, each in found.items() if "" not in each}),
        Text(),
        _others({name: each[""] for name, each in found.items() if "" in each}),
        Text("the same on two boots\n", "dim"),
        Text("time of a test", "bold"),
        _times(times),
    )


def _by_size(found: Costs) -> Table:
    sizes = next(iter(found.values()))
    table = grid("region of", *(f">{size}" for size in sizes))
    for name, by_size in found.items():
        table.add_row(name, *(f"{by_size[size]:,}" for size in sizes))
    return table


def _others(found: dict[str, int]) -> Table:
    table = grid("", ">")
    table.show_header = False
    for name, instructions in found.items():
        table.add_row(f"{name}{_NOTES.get(name, '')}", f"{instructions:,}")
    return table


_NOTES = {
    "vmm_address_space_copy_in": " (4K)",
    "vmm_address_space_copy_out": " (4K)",
    "vmm_address_space_region_create_at": " (4K)",
}


def _times(times: Times) -> Table:
    table = grid("", "~")
    table.show_header = False
    table.add_row(
        "restore", f"{times.restore * 1e3:.3f} ms: {times.tests_per_second:,.0f} small tests a second"
    )
    table.add_row("fresh boot", f"{times.boot / times.restore:,.0f} times as long")
    qemu = f"no {timing.QEMU} in PATH"
    if times.qemu is not None:
        qemu = f"{times.qemu / times.restore:,.0f} times as long, to the kernel's first line"
    table.add_row("QEMU boot", qemu)
    return table
