# SPDX-License-Identifier: BSD-3-Clause
"""`run`: boot, show what the kernel says, and the tables it made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from harness.cli.options import (
    BUDGET,
    DEFAULT_ELF,
    elf_option,
    json_option,
    load,
    machine_options,
    tlb_option,
)
from harness.cli.output import Stream, show, show_json, silent
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.kernel import Kernel, Tables
from harness.kernel.kernel import PANIC_SYMBOLS
from harness.kernel.session import Session
from harness.machine import Machine, Stop
from harness.report.areas import AreaView, areas_report, view_areas
from harness.report.data import area_data, space_data, tables_data
from harness.report.listing import listing
from harness.report.space import spaces_report
from harness.report.spaces import SpaceView, live_spaces, view_space

# The tour's functions that are called while its address spaces stand: those with regions, the one with VMAs.
READY = "tour_spaces_ready"
EXAMPLES = "tour_examples_ready"
_SURPRISES = re.compile(r"^surprises: (\d+)$", re.MULTILINE)

Sink = Callable[[str], None]


_EXAMPLE = """
\b
Example:
  python -m harness run --ram 4G
  python -m harness run my-kernel.elf --bootargs ''
"""


@click.command(epilog=_EXAMPLE)
@click.argument("image", required=False, type=click.Path(path_type=Path))
@elf_option(DEFAULT_ELF)
@click.option(
    "--bootargs", default="tour", metavar="TEXT", help="Command line for the kernel (default: tour)."
)
@machine_options
@tlb_option
@click.option(
    "--console", "only_console", is_flag=True, help="Print what the kernel prints, and nothing else."
)
@json_option
def run(
    image: Path | None, elf: Path, bootargs: str, only_console: bool, as_json: bool, **machine: Any
) -> int:
    """Boot a kernel and run it until it powers off or idles.

    The LuKOS kernel gives its tour; its address spaces with regions, and the VMAs of the examples, are shown
    while they stand. It fails unless the tour ends with "surprises: 0" and a power-off. Of any other
    kernel, the kernel half of the tables is shown at the end.
    """
    if only_console and as_json:
        raise click.UsageError("--console and --json exclude each other.")
    loaded = load(image or elf)
    options = {"bootargs": bootargs, **machine}
    quiet = only_console or as_json
    with Stream() as stream:
        sink = silent if as_json else stream
        if READY in loaded.symbols and "tour" in bootargs.split():
            result = _tour(loaded, options, sink, quiet)
        else:
            result = _other(loaded, options, sink, quiet)
    if as_json:
        show_json(result)
    return 0


# -- the tour -----------------------------------------------------------------------------------------------


def _tour(image: ElfImage, options: dict[str, Any], sink: Sink, quiet: bool) -> dict[str, Any]:
    with Kernel(image, budget=BUDGET, boot_until=READY, console_sink=sink, **options) as kernel:
        views = _look(kernel)
        if not quiet:
            show(Text())
            show(spaces_report(views))
        kernel.session.run(until=(image.symbols[EXAMPLES].address,))
        areas = _look_at_examples(kernel)
        if not quiet:
            show(Text())
            show(areas_report(areas, kernel.tables(half="ttbr0").regime))
            show(Text())
        stop = kernel.session.run()
        surprises = _verdict(kernel.console, stop)
        if not quiet:
            show(_farewell(stop, kernel.machine))
        return {
            **_result(kernel.machine, stop),
            "surprises": surprises,
            "address_spaces": [space_data(view) for view in views],
            "examples": [area_data(area) for area in areas],
        }


@contextmanager
def _untouched(kernel: Kernel) -> Iterator[None]:
    """Calls into the kernel made in here leave its registers as they were."""
    registers = kernel.machine.registers
    kept = {name: value for name, value in registers.items() if name != "pstate"}
    yield
    for name, value in kept.items():
        registers[name] = value


def _look(kernel: Kernel) -> list[SpaceView]:
    with _untouched(kernel):
        return [view_space(kernel, space) for space in live_spaces(kernel)]


def _look_at_examples(kernel: Kernel) -> tuple[AreaView, ...]:
    with _untouched(kernel):
        return tuple(area for space in live_spaces(kernel) for area in view_areas(kernel, space))


def _verdict(console: str, stop: Stop) -> int:
    """The tour's own count of surprises. Raises HarnessError unless it is 0 and the machine is off."""
    found = _SURPRISES.search(console)
    if found is None:
        raise HarnessError(f"the tour did not come to its end: {_ended(stop)}")
    if found[1] != "0":
        raise HarnessError(f"the tour met {found[1]} surprises; each line with a '!' is one")
    if stop.kind != "poweroff":
        raise HarnessError(f"the kernel did not power off after the tour: {_ended(stop)}")
    return int(found[1])


# -- any kernel ---------------------------------------------------------------------------------------------


def _other(image: ElfImage, options: dict[str, Any], sink: Sink, quiet: bool) -> dict[str, Any]:
    tlb = options.pop("tlb")
    with Machine(console_sink=sink, **options) as machine:
        if tlb is not None:
            tlb.attach(machine)
        machine.load(image.segments, image.entry)
        stop = Session(machine, image, PANIC_SYMBOLS, BUDGET).run()
        if stop.kind not in ("wfi", "poweroff"):
            raise HarnessError(f"the kernel neither idles nor powered off: {_ended(stop)}")
        half = Tables(machine.walker("ttbr1"), "kernel (TTBR1)") if machine.virtual.enabled else None
        if not quiet:
            show(Text())
            show(listing(half) if half else Text("the MMU is off"))
            show(_farewell(stop, machine))
        return {**_result(machine, stop), "kernel": tables_data(half) if half else None}


def _result(machine: Machine, stop: Stop) -> dict[str, Any]:
    return {"stop": stop.kind, "instructions": machine.instructions, "console": machine.console}


def _farewell(stop: Stop, machine: Machine) -> Text:
    return Text(f"\n{_ended(stop)}, {machine.instructions:,} instructions after reset", "dim")


def _ended(stop: Stop) -> str:
    words = {"wfi": "it idles (WFI)", "poweroff": "powered off"}
    return f"{words.get(stop.kind, stop.kind)}{f' ({stop.detail})' if stop.detail else ''}"
