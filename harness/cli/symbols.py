# SPDX-License-Identifier: BSD-3-Clause
"""`symbols`: the C functions of an image."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import click
from rich.text import Text

from harness.cli.options import elf_option, json_option, load
from harness.cli.output import show, show_json
from harness.errors import HarnessError
from harness.image import ElfImage, Prototype


@click.command(epilog="\b\nExample:\n  python -m harness symbols 'vmm_address_space_*'")
@click.argument("pattern", default="*")
@elf_option()
@json_option
def symbols(pattern: str, elf: Path, as_json: bool) -> None:
    """List C functions with prototype, address and source line.

    PATTERN is a part of the name, or a pattern with * and ?. Functions without an address were inlined.
    """
    found = matching(load(elf), pattern)
    if not found:
        raise HarnessError(f"{elf} has no function like {pattern!r}; without a pattern all are listed")
    if as_json:
        show_json([_data(each) for each in found])
        return
    for each in found:
        show(_entry(each))


def _entry(prototype: Prototype) -> Text:
    """Two lines, which fit in any terminal better than a table would."""
    where = "inlined" if prototype.address is None else f"{prototype.address:#018x}"
    place = f"\n    {where}  {prototype.file}:{prototype.line}"
    return Text.assemble((str(prototype), "bold"), (place, "dim"), overflow="fold")


def matching(image: ElfImage, pattern: str) -> list[Prototype]:
    """The functions whose name has the pattern, by name."""
    whole = pattern if any(letter in pattern for letter in "*?[") else f"*{pattern}*"
    names = sorted(name for name in image.functions if fnmatchcase(name, whole))
    return [each for name in names for each in image.functions.all_of(name)]


def _data(prototype: Prototype) -> dict[str, object]:
    return {
        "name": prototype.name,
        "prototype": str(prototype),
        "address": None if prototype.address is None else hex(prototype.address),
        "file": prototype.file,
        "line": prototype.line,
    }
