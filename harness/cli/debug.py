# SPDX-License-Identifier: BSD-3-Clause
"""`debug`: step through a kernel, forwards and backwards, at a prompt or from GDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import BUDGET, DEFAULT_ELF, elf_option, load, machine_options
from harness.kernel import Kernel

_EXAMPLE = """
\b
Example:
  python -m harness debug
  python -m harness debug my-kernel.elf -ex 'break kmain' -ex run
  python -m harness debug --batch -x commands.gdb
  python -m harness debug --gdb 1234      # and: gdb-multiarch my-kernel.elf -ex 'target remote :1234'
"""


@click.command(epilog=_EXAMPLE)
@click.argument("image", required=False, type=click.Path(path_type=Path))
@elf_option(DEFAULT_ELF)
@click.option("--bootargs", default="", metavar="TEXT", help="Command line for the kernel.")
@click.option("-x", "files", multiple=True, metavar="FILE", help="Obey the commands in FILE first.")
@click.option("-ex", "commands", multiple=True, metavar="COMMAND", help="Then obey COMMAND; may be repeated.")
@click.option("--batch", is_flag=True, help="Leave after these; the exit status is 1 if one failed.")
@click.option("--gdb", "gdb", metavar="[HOST:]PORT", help="Wait for GDB there instead of prompting.")
@machine_options
def debug(
    image: Path | None,
    elf: Path,
    bootargs: str,
    files: tuple[str, ...],
    commands: tuple[str, ...],
    batch: bool,
    gdb: str | None,
    **machine: Any,
) -> int:
    """Debug a kernel from its first instruction on, forwards and backwards in time.

    At the prompt, `help` lists the commands; names and abbreviations are GDB's.
    """
    from harness.debugger.prompt import FAILURE, Terminal
    from harness.debugger.session import Debugger

    loaded = load(image or elf)
    with Kernel(loaded, boot=False, sanitize=None, budget=BUDGET, bootargs=bootargs, **machine) as kernel:
        debugger = Debugger(kernel)
        terminal = Terminal(debugger)
        if not batch:
            terminal.greet()
        go_on = terminal.script([*(f"source {file}" for file in files), *commands])
        if gdb is not None and go_on:
            _serve(debugger, gdb)
        elif not batch and go_on:
            terminal.loop()
            return 0
        return FAILURE if debugger.failed else 0


def _serve(debugger: Any, where: str) -> None:
    from harness.debugger.gdb.server import Server, address_of

    server = Server(debugger, address_of(where))
    host, port = server.address
    click.echo(f"waiting for GDB: target remote {host}:{port}")
    server.serve()
