# SPDX-License-Identifier: BSD-3-Clause
"""Completion: commands, functions, variables, members, types, registers, files, marks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.debugger.commands.table import Completes, UsageError, commands, parse
from harness.debugger.stops import CATCHES
from harness.errors import HarnessError
from harness.image.types import Pointer, Record, strip

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_WORD = re.compile(r"[\w$.-]*$")
_MEMBER = re.compile(r"(?P<owner>[\w$\[\]()*>.-]*?)(?P<link>->|\.)(?P<name>\w*)$")
_LIMIT = 400


def candidates(debugger: Debugger, line: str) -> list[str]:
    """The words that the last one of the line can become."""
    names = [*commands(), *debugger.aliases]
    if " " not in line.lstrip():
        return _starting({name.split()[0] for name in names}, line.strip())
    text = line.lstrip()
    inner = sorted(name for name in names if " " in name and name.startswith(text))
    if inner:
        return [name.split()[-1] for name in inner]
    try:
        made, arguments = parse(text if text.rstrip() == text else text + "_")
    except UsageError:
        return []
    return _of_kind(
        debugger, made.completes, arguments.text.removesuffix("_") if text.endswith(" ") else arguments.text
    )


def _of_kind(debugger: Debugger, kind: Completes, text: str) -> list[str]:
    image = debugger.image
    word = _WORD.search(text)
    last = word[0] if word else ""
    if kind == "file":
        return _files(text)
    if kind == "expression":
        return _members(debugger, text) or _starting(_expression_names(debugger), last)
    known: dict[Completes, Iterable[str]] = {
        "place": (*image.functions, *(each.name for each in image.symbols.all() if each.kind == "function")),
        "command": commands(),
        "mark": debugger.marks,
        "catch": CATCHES,
        "type": image.types if image.has_dwarf else (),
        "register": [name.lower() for name in SYSTEM_REGISTERS],
    }
    if kind == "place" and ("/" in last or last.endswith((".", ".c"))):
        return _starting({Path(each).name for each in image.lines.files}, last)
    return _starting(known.get(kind, ()), text if kind == "type" else last)


def _expression_names(debugger: Debugger) -> set[str]:
    image = debugger.image
    names = {*image.functions, *image.variables, *(f"${name}" for name in debugger.machine.registers)}
    if image.has_dwarf:
        names |= {*image.types.enumerators}
        if debugger.scope.frames:
            view = debugger.scope.frame
            names |= {each.name for each in image.scopes.locals(view.lookup, view.depth)}
    else:
        names |= {*image.symbols}
    return names


def _members(debugger: Debugger, text: str) -> list[str]:
    """Members of the struct before a dot or an arrow."""
    found = _MEMBER.search(text)
    if found is None or not found["owner"]:
        return []
    try:
        ctype = strip(debugger.evaluator.evaluate(found["owner"]).type)
    except HarnessError:
        return []
    if isinstance(ctype, Pointer):
        ctype = strip(ctype.target)
    names = [each.name for each in ctype.fields()] if isinstance(ctype, Record) else []
    return _starting(names, found["name"])


def _files(text: str) -> list[str]:
    folder, _, start = text.rpartition("/")
    base = Path(f"{folder}/" if folder or text.startswith("/") else ".")
    try:
        found = sorted(each for each in base.iterdir() if each.name.startswith(start))
    except OSError:
        return []
    return [f"{folder}/{each.name}" if "/" in text else each.name for each in found]


def _starting(names: Iterable[str], start: str) -> list[str]:
    return sorted({name for name in names if name.startswith(start)})[:_LIMIT]
