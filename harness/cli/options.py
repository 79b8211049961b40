# SPDX-License-Identifier: BSD-3-Clause
"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.checks.tlb import AdversarialTlb
from harness.errors import ImageError
from harness.image import ElfImage
from harness.kernel import Kernel
from harness.report.sizes import parse_size

DEFAULT_ELF = Path(".build/va39/kernel.elf")
BUDGET = 20_000_000_000  # instructions: minutes, not for ever

Command = TypeVar("Command", bound=Callable[..., Any])


class Size(click.ParamType[int]):
    """A size in bytes, as 256M or 2G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes; a usage error for what is no size."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.ParamType[int]):
    """An integer in decimal, 0x, 0o or 0b."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a usage error for what is none."""
        try:
            return value if isinstance(value, int) else int(value, 0)
        except ValueError:
            self.fail(f"{value!r} is not a number; write it as 0x1000 or 4096", param, ctx)


def elf_option(default: Path = DEFAULT_ELF) -> Callable[[Command], Command]:
    """Add `--elf PATH`."""
    return click.option(
        "--elf",
        type=click.Path(path_type=Path),
        default=default,
        metavar="PATH",
        help=f"Kernel image (default: {default}).",
    )


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")(command)


def machine_options(command: Command) -> Command:
    """Add the options of the machine; the command gets them by the names `Kernel` has for them."""
    options = [
        click.option("--cpu", type=click.Choice(["a72", "max"]), default="a72", help="CPU model."),
        click.option("--ram", "ram_size", type=Size(), default="2G", help="Size of the RAM (default: 2G)."),
        click.option("--entry-el", type=click.Choice([1, 2]), default=1, help="Where the kernel is entered."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def tlb_option(command: Command) -> Command:
    """Add `--tlb SEED`; the command gets what `Kernel` wants."""
    return click.option(
        "--tlb",
        type=int,
        metavar="SEED",
        callback=lambda _context, _option, seed: None if seed is None else AdversarialTlb(seed),
        help="Translate by an adversarial TLB: stale entries are used, or not, by the seed.",
    )(command)


def boot_options(command: Command) -> Command:
    """Add what decides when a kernel counts as booted."""
    options = [
        click.option("--bootargs", default="", metavar="TEXT", help="Command line for the kernel."),
        click.option("--boot-until", metavar="FUNCTION", help="It is up when it gets there (default: WFI)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def load(path: Path) -> ElfImage:
    """Read an image. Raises ImageError, which for the default image says how to build it."""
    if path == DEFAULT_ELF and not path.exists():
        raise ImageError(f"{path} is not there: build it with `make kernel`, or name another image")
    return ElfImage.load(path)


def boot(path: Path, **options: Any) -> Kernel:
    """Boot an image with the options of a command."""
    return Kernel(load(path), budget=BUDGET, **options)
