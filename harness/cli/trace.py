# SPDX-License-Identifier: BSD-3-Clause
"""`trace`: everything a kernel does to its translation regime, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.checks.sanitizer import Options
from harness.checks.tracer import TRACERS, attach
from harness.cli.check import calls_option, make_calls, start
from harness.cli.options import DEFAULT_ELF, boot_options, load, machine_options
from harness.image import ElfImage
from harness.kernel.kernel import attachments
from harness.machine import Machine

_EXAMPLE = """
\b
Example:
  python -m harness trace --call 'vmm_address_space_create()' | head
  python -m harness trace other.elf --format casemate > trace.log
"""


@click.command(epilog=_EXAMPLE)
@click.argument("elf", type=click.Path(path_type=Path), default=DEFAULT_ELF)
@calls_option
@boot_options
@machine_options
@click.option("--format", "form", type=click.Choice(sorted(TRACERS)), default="json")
def trace(elf: Path, calls: tuple[str, ...], bare: bool, form: str, **options: Any) -> None:
    """Print table stores, TLBI, barriers, MSR and exceptions of a boot, and of calls after it."""

    def attach_tracer(machine: Machine, image: ElfImage) -> None:
        attach(machine, image, form, click.echo)

    attachments.append(attach_tracer)
    try:
        with start(load(elf), bare, Options(fatal=False), options) as kernel:
            failure = make_calls(kernel, calls)
    finally:
        attachments.remove(attach_tracer)
    if failure is not None:
        raise failure
