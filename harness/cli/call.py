# SPDX-License-Identifier: BSD-3-Clause
"""`call`: one C function on a freshly booted kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from harness.cli.expression import Evaluator
from harness.cli.options import boot, boot_options, elf_option, json_option, machine_options
from harness.cli.output import show, show_json
from harness.errors import CallError
from harness.image import Prototype
from harness.image.types import CType, Int, Pointer, strip
from harness.kernel import Kernel, PointerValue
from harness.report.data import value_data

_EXAMPLE = """
\b
Example:
  python -m harness call vmm_arch_alloc_range 0x200000
  python -m harness call vmm_address_space_region_create 'vmm_address_space_create()' 4096 AS_REGION_RW
"""


@click.command(epilog=_EXAMPLE, context_settings={"ignore_unknown_options": True})
@click.argument("function")
@click.argument("arguments", nargs=-1, metavar="[ARGS]...")
@elf_option()
@boot_options
@machine_options
@json_option
def call(function: str, arguments: tuple[str, ...], elf: Path, as_json: bool, **options: Any) -> None:
    """Boot, call a C function, and print its typed result.

    ARGS are numbers, names of enumerators, macros and variables, calls of other functions, or text for a
    char pointer.
    """
    with boot(elf, **options) as kernel:
        target, said = kernel.function(function), len(kernel.console)
        result, instructions = target.counted(*_arguments(kernel, target.prototype, arguments))
        console, reason = kernel.console[said:], _reason(kernel, target.prototype, result)
        if as_json:
            found = {"function": str(target.prototype), "result": value_data(result), "reason": reason}
            show_json({**found, "instructions": instructions, "console": console})
        else:
            show(_report(target.prototype, result, reason, instructions, console))


def _arguments(kernel: Kernel, prototype: Prototype, texts: tuple[str, ...]) -> list[Any]:
    evaluator, values = Evaluator(kernel), []
    for at, text in enumerate(texts):
        known = at < len(prototype.parameters)
        takes_text = known and _is_text(prototype.parameters[at].type)
        values.append(_text(evaluator, text) if takes_text else evaluator.evaluate(text))
    return values


def _text(evaluator: Evaluator, text: str) -> Any:
    """For a char pointer: what is no expression is the text itself."""
    try:
        return evaluator.evaluate(text)
    except CallError:
        return text


def _is_text(ctype: CType) -> bool:
    real = strip(ctype)
    target = strip(real.target) if isinstance(real, Pointer) else None
    return isinstance(target, Int) and target.is_char


def _reason(kernel: Kernel, prototype: Prototype, result: Any) -> str | None:
    """The name of the status, where this kernel has one: of a negative result, or of the last error."""
    functions = kernel.image.functions
    if not prototype.name.startswith("vmm_") or not {"status_name", "vmm_last_error"} <= functions.keys():
        return None
    if result is None or (isinstance(result, PointerValue) and not result):
        status = kernel.vmm_last_error()
    else:
        status = result if isinstance(result, int) else 0
    return str(kernel.status_name(status).string()) if status < 0 else None


def _report(
    prototype: Prototype, result: Any, reason: str | None, instructions: int, console: str
) -> RenderableType:
    why = f"  ({reason})" if reason else ""
    shown = "" if result is None else f" = {result!r}"
    parts = [Text(f"{prototype.name}{shown}{why}", "bold"), Text(f"{instructions:,} instructions", "dim")]
    return Group(*parts, *([Text("console:"), Text(console.rstrip("\n"))] if console else []))
