# SPDX-License-Identifier: BSD-3-Clause
"""The table of commands: names and abbreviations as in GDB, help, examples, completion, dispatch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from harness.debugger.result import Result
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

Group = Literal["running", "time", "stops", "data", "stack", "code", "mmu", "session"]
Completes = Literal["", "place", "expression", "file", "command", "mark", "catch", "type", "register"]
GROUPS: dict[Group, str] = {
    "running": "Running forwards",
    "time": "Going back in time",
    "stops": "Making it stop",
    "data": "Looking at data",
    "stack": "Looking at the stack",
    "code": "Source and instructions",
    "mmu": "Translation",
    "session": "The debugger itself",
}
_FAMILIES = ("running", "time", "stops", "data", "stack", "code", "mmu", "frames", "session")
_LINE = re.compile(r"([A-Za-z][\w-]*|!)\s*(/\S+)?\s*(.*)", re.DOTALL)
_PREFIXES = ("info", "show", "set")


class UsageError(HarnessError):
    """A command that is not known, or is not used so."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What stands behind a command: the format after a slash, the text, and whether JSON is wanted."""

    text: str = ""
    format: str = ""
    json: bool = False

    @property
    def words(self) -> list[str]:
        """The text as words, with quotes as a shell has them. Raises UsageError."""
        try:
            return shlex.split(self.text)
        except ValueError as error:
            raise UsageError(f"{error} in {self.text!r}") from None


Run = Callable[["Debugger", Arguments], Result]


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str
    run: Run
    help: str
    group: Group
    aliases: tuple[str, ...] = ()
    example: str = ""
    completes: Completes = ""
    view: bool = False
    repeats: bool = False

    @property
    def summary(self) -> str:
        """What the help says first: up to its first full stop, or to the syntax that follows a colon."""
        sentence = " ".join(self.help.split()).split(". ")[0]
        return sentence.split(": ")[0].removesuffix(".") + "."


_COMMANDS: dict[str, Command] = {}
_ALIASES: dict[str, str] = {}


def command(
    name: str,
    *aliases: str,
    group: Group,
    example: str,
    completes: Completes = "",
    view: bool = False,
    repeats: bool = False,
) -> Callable[[Run], Run]:
    """Enter a function into the table. `view`: it has --json; `repeats`: an empty line does it again."""

    def enter(run: Run) -> Run:
        text = "\n".join(line.strip() for line in (run.__doc__ or "").strip().splitlines())
        made = Command(name, run, text, group, aliases, example, completes, view, repeats)
        _COMMANDS[name] = made
        _ALIASES.update(dict.fromkeys(aliases, name))
        return run

    return enter


def commands() -> dict[str, Command]:
    """All commands by name."""
    for family in _FAMILIES:
        import_module(f"harness.debugger.commands.{family}")
    return _COMMANDS


def resolve(name: str, prefix: str = "") -> Command:
    """The command of a name, alias or unique beginning. Raises UsageError."""
    table = commands()
    full = f"{prefix} {name}" if prefix else name
    if full in table or full in _ALIASES:
        return table[_ALIASES.get(full, full)]
    found = sorted(each for each in table if each.startswith(full) and (" " in each) == bool(prefix))
    if len(found) == 1:
        return table[found[0]]
    if not found:
        hint = f'Try "help {prefix}".'.replace(' "', '"') if prefix else 'Try "help".'
        raise UsageError(f'Undefined command: "{full}".  {hint}')
    raise UsageError(f'Ambiguous command "{full}": {", ".join(found)}.')


def parse(line: str) -> tuple[Command, Arguments]:
    """The command of a line and what stands behind it. Raises UsageError."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise UsageError(f'Undefined command: "{line.strip()[:20]}".  Try "help".')
    name, format_, text = found[1], (found[2] or "")[1:], found[3].strip()
    head = _prefix_of(name)
    inner = _LINE.fullmatch(text) if head else None
    if head and inner and _has(head, inner[1]):
        made, format_, text = resolve(inner[1], head), (inner[2] or "")[1:], inner[3].strip()
    else:
        made = resolve(name)
    if format_ and made.completes == "file":
        format_, text = "", line.strip()[len(name) :].strip()  # it is the beginning of a path
    json = False
    if made.view and "--json" in text.split():
        text, json = re.sub(r"(^|\s)--json(?=\s|$)", " ", text).strip(), True
    return made, Arguments(text, format_, json)


def _prefix_of(name: str) -> str:
    """The full name of a word that takes subcommands; "i" is info, as in GDB."""
    if name == "i":
        return "info"
    return next(
        (each for each in _PREFIXES if each == name or (len(name) >= 3 and each.startswith(name))), ""
    )


def _has(prefix: str, name: str) -> bool:
    full = f"{prefix} {name}"
    known = any(each.startswith(full) for each in (*commands(), *_ALIASES))
    return known or prefix in ("info", "show")


def dispatch(debugger: Debugger, line: str) -> Result:
    """Obey a line. Raises HarnessError."""
    line = line.strip()
    if not line or line.startswith("#"):
        return Result()
    word, _, rest = line.partition(" ")
    if word in debugger.aliases:
        with debugger.nested():
            return dispatch(debugger, f"{debugger.aliases[word]} {rest}")
    made, arguments = parse(line)
    result = made.run(debugger, arguments)
    if arguments.json and not result.failed:
        from json import dumps

        return Result(dumps(result.data, indent=2), result.data, quit=result.quit)
    return result


def dispatch_quietly(debugger: Debugger, line: str) -> Result:
    """Obey a line; an error becomes a failed result."""
    try:
        return dispatch(debugger, line)
    except HarnessError as error:
        return Result(str(error), failed=True)


def complete(debugger: Debugger, line: str) -> list[str]:
    """What the last word of a line can be, in full."""
    from harness.debugger.commands.completion import candidates

    return candidates(debugger, line)
