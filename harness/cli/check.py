# SPDX-License-Identifier: BSD-3-Clause
"""`check`: any kernel under the MMU sanitizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from harness.checks.export import as_json, as_sarif
from harness.checks.findings import Finding
from harness.checks.rules import RULES
from harness.checks.sanitizer import Options
from harness.cli.expression import Evaluator
from harness.cli.options import BUDGET, DEFAULT_ELF, boot_options, load, machine_options, tlb_option
from harness.cli.output import show, show_json
from harness.errors import GuestError
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.kernel.bare import prepare

FOUND = 1

_EXAMPLE = """
\b
Example:
  python -m harness check other.elf
  python -m harness check other.elf --call 'map(0x400000, 0x48000000)' --call 'unmap(0x400000)'
  python -m harness check other.elf --bare --call 'set_entry(0x48000000, 3)' --format sarif
"""


def calls_option(command: Any) -> Any:
    """Add `--call` and `--bare`."""
    command = click.option(
        "--call", "calls", multiple=True, metavar="EXPR", help="Call a C function; may be repeated."
    )(command)
    return click.option(
        "--bare", is_flag=True, help="Do not boot: prepare a stack and an MMU, and only make the calls."
    )(command)


@click.command(epilog=_EXAMPLE)
@click.argument("elf", type=click.Path(path_type=Path), default=DEFAULT_ELF)
@calls_option
@boot_options
@machine_options
@tlb_option
@click.option("--suppress", multiple=True, metavar="RULE", help="Leave out a rule, or rule/check.")
@click.option("--single-core", is_flag=True, help="No other CPU walks these tables: a local TLBI is enough.")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), default="text")
def check(
    elf: Path,
    calls: tuple[str, ...],
    bare: bool,
    suppress: tuple[str, ...],
    single_core: bool,
    form: str,
    **options: Any,
) -> int:
    """Boot a kernel, call functions of it, and tell which rules for table updates it broke.

    The kernel may be any AArch64 ELF. Exit status 1 when something was found.
    """
    sanitize = Options(suppress, others=not single_core, fatal=False)
    with start(load(elf), bare, sanitize, options) as kernel:
        failure = make_calls(kernel, calls)
        sanitizer = kernel.session.sanitizer
        found = sanitizer.findings if sanitizer is not None else []
    if form == "text":
        show(_report(found))
    else:
        show_json(as_json(found) if form == "json" else as_sarif(found))
    if failure is not None:
        raise failure
    return FOUND if found else 0


def start(image: ElfImage, bare: bool, sanitize: Options | None, options: dict[str, Any]) -> Kernel:
    """The kernel, booted or prepared for calls."""
    if not bare:
        return Kernel(image, budget=BUDGET, sanitize=sanitize, **options)
    kernel = Kernel(image, budget=BUDGET, sanitize=sanitize, boot=False, **options)
    prepare(kernel.machine, image.segments)
    if kernel.session.sanitizer is not None:
        kernel.session.sanitizer.start_over()
    return kernel


def make_calls(kernel: Kernel, calls: Sequence[str]) -> GuestError | None:
    """Call one after the other; the error of the first that does not come back."""
    evaluator = Evaluator(kernel)
    try:
        for call in calls:
            evaluator.evaluate(call)
    except GuestError as error:
        return error
    return None


def _report(found: Sequence[Finding]) -> RenderableType:
    if not found:
        return Text(f"no violation of {len(RULES)} rules")
    parts: list[RenderableType] = []
    for finding in found:
        heading, _, rest = str(finding).partition("\n")
        parts += [Text(heading, "bold red"), Text(rest), Text()]
    return Group(*parts, Text(f"{len(found)} violations"))
