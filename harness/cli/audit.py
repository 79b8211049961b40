# SPDX-License-Identifier: BSD-3-Clause
"""`audit`: what is wrong with the tables of any kernel as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from harness.checks.audit import Concern
from harness.checks.audit import audit as audit_tables
from harness.cli.check import FOUND, calls_option, make_calls, start
from harness.cli.options import DEFAULT_ELF, boot_options, json_option, load, machine_options
from harness.cli.output import show, show_json
from harness.errors import HarnessError
from harness.kernel import Kernel
from harness.report.words import plural

_EXAMPLE = """
\b
Example:
  python -m harness audit other.elf
  python -m harness audit other.elf --call 'map(0x400000, 0x48000000)' --json
"""


@click.command(epilog=_EXAMPLE)
@click.argument("elf", type=click.Path(path_type=Path), default=DEFAULT_ELF)
@calls_option
@boot_options
@machine_options
@json_option
def audit(elf: Path, calls: tuple[str, ...], bare: bool, as_json: bool, **options: Any) -> int:
    """Boot a kernel, call functions of it, and tell what is wrong with its tables then.

    Those of TTBR0 and TTBR1 are looked at as they stand, however they came to be: aliases with mismatched
    attributes, contiguous runs, tables mapped as data, rights. Exit status 1 when something was found.
    """
    with start(load(elf), bare, None, options) as kernel:
        failure = make_calls(kernel, calls)
        if failure is not None:
            raise failure
        found, leaves = _audited(kernel)
    if as_json:
        show_json([_data(concern) for concern in found])
    else:
        show(Text(_report(found, leaves)))
    return FOUND if found else 0


def _audited(kernel: Kernel) -> tuple[list[Concern], int]:
    """What is wrong, and among how many mappings. Raises HarnessError while nothing is translated."""
    if not kernel.machine.virtual.enabled:
        raise HarnessError("the MMU is off: there are no tables; --boot-until names a place where it is on")
    walkers = [kernel.machine.walker("ttbr0"), kernel.machine.walker("ttbr1")]
    return audit_tables(walkers), sum(1 for walker in walkers for _ in walker.leaves())


def _data(concern: Concern) -> dict[str, str]:
    return {
        "check": concern.check,
        "message": concern.message,
        "half": concern.half,
        "va": hex(concern.va),
        "pa": hex(concern.pa),
    }


def _report(found: Sequence[Concern], leaves: int) -> str:
    mappings = plural(leaves, "mapping")
    if not found:
        return f"nothing wrong with {mappings}"
    return "\n".join([*map(str, found), f"{plural(len(found), 'concern')} about {mappings}"])
