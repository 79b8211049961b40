# SPDX-License-Identifier: BSD-3-Clause
"""The command line: `python -m harness`, or `lukos`.

Exit status: 0 success, 1 failure, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from harness.cli.audit import audit
from harness.cli.bench import bench
from harness.cli.call import call
from harness.cli.check import check
from harness.cli.debug import debug
from harness.cli.info import info
from harness.cli.interrupt import interruptible
from harness.cli.mutants import mutants_command
from harness.cli.run import run
from harness.cli.symbols import symbols
from harness.cli.tables import tables
from harness.cli.trace import trace
from harness.errors import GuestError, HarnessError

FAILURE, INTERRUPTED, BROKEN_PIPE = 1, 130, 141


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Run AArch64 kernels on an emulated CPU whose MMU is on, and look at their translation tables."""


for command in (run, debug, tables, symbols, call, info, check, audit, trace, bench, mutants_command):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None, prog: str = "lukos") -> int:
    """Run one command; the exit status."""
    words = list(arguments) if arguments is not None else None
    try:
        with interruptible():
            result = cli.main(words, prog, standalone_mode=False)
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GuestError as error:
        notes = getattr(error, "__notes__", [])
        click.echo("\n\n".join([f"{type(error).__name__}: {error}", *notes]), err=True)
        return FAILURE
    except HarnessError as error:
        click.echo(f"error: {error}", err=True)
        return FAILURE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return result if isinstance(result, int) else 0
