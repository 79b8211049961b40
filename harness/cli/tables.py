# SPDX-License-Identifier: BSD-3-Clause
"""`tables`: what is mapped, where, and with which permissions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from harness.arch.regime import Half
from harness.cli.expression import Evaluator
from harness.cli.options import (
    DEFAULT_ELF,
    Number,
    boot,
    boot_options,
    elf_option,
    json_option,
    machine_options,
)
from harness.cli.output import show, show_json
from harness.kernel import Kernel, Tables
from harness.report.data import space_data, tables_data, walk_data
from harness.report.listing import listing
from harness.report.space import space_report
from harness.report.spaces import has_spaces, live_spaces, view_space
from harness.report.walk import walk_report

_EXAMPLE = """
\b
Example:
  python -m harness tables --call 's = vmm_address_space_create()' \\
      --call 'vmm_address_space_region_create(s, 3 << 12, AS_REGION_RW)'
  python -m harness tables --walk 0xffffff8040205000
"""


@click.command(epilog=_EXAMPLE)
@click.argument("image", required=False, type=click.Path(path_type=Path))
@elf_option(DEFAULT_ELF)
@click.option("--call", "calls", multiple=True, metavar="EXPR", help="C call to make first; may be repeated.")
@click.option(
    "--half", type=click.Choice(["ttbr0", "ttbr1"]), help="Only address spaces, or only the kernel."
)
@click.option(
    "--walk", "walks", multiple=True, type=Number(), metavar="VA", help="Show the walk of VA instead."
)
@boot_options
@machine_options
@json_option
def tables(
    image: Path | None,
    elf: Path,
    calls: tuple[str, ...],
    half: Half | None,
    walks: tuple[int, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """List the translation tables of a booted kernel and of its address spaces."""
    with boot(image or elf, **options) as kernel:
        evaluator = Evaluator(kernel)
        for call in calls:
            evaluator.evaluate(call)
        if as_json:
            show_json([walk_data(_walk(kernel, va)) for va in walks] if walks else _data(kernel, half))
        elif walks:
            show(_spaced([walk_report(_walk(kernel, va)) for va in walks]))
        else:
            show(_spaced(_reports(kernel, half)))


def _walk(kernel: Kernel, va: int) -> Any:
    """In the live tables, or where they have no user half, in the first address space."""
    walk = kernel.machine.walk(va)
    if walk.fault is None or va >> 63:
        return walk
    for space in live_spaces(kernel):
        found = kernel.tables(space).walk(va)
        if found.fault is None:
            return found
    return walk


def _spaced(parts: list[RenderableType]) -> RenderableType:
    return Group(*(each for part in parts for each in (part, Text()))) if parts else Text("nothing to show")


def _reports(kernel: Kernel, half: Half | None) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if half != "ttbr1":
        parts += [space_report(view_space(kernel, space)) for space in live_spaces(kernel)]
        parts += [listing(each) for each in _plain_user_half(kernel)]
    if half != "ttbr0":
        parts.append(listing(kernel.tables()))
    return parts


def _data(kernel: Kernel, half: Half | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if half != "ttbr1":
        found["address_spaces"] = [space_data(view_space(kernel, space)) for space in live_spaces(kernel)]
        found["user"] = [tables_data(each) for each in _plain_user_half(kernel)]
    if half != "ttbr0":
        found["kernel"] = tables_data(kernel.tables())
    return found


def _plain_user_half(kernel: Kernel) -> list[Tables]:
    """The live TTBR0 of a kernel whose address spaces are not known by name."""
    live = [] if has_spaces(kernel) else [kernel.tables(half="ttbr0")]
    return [each for each in live if not each.regime.epd]
