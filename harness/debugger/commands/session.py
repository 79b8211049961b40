# SPDX-License-Identifier: BSD-3-Clause
"""Help, aliases, files of commands, settings, Python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from harness.debugger.commands.table import (
    GROUPS,
    Arguments,
    Command,
    UsageError,
    command,
    commands,
    resolve,
)
from harness.debugger.result import Result
from harness.report.listing import grid

if TYPE_CHECKING:
    from harness.debugger.session import Debugger


@command("help", "h", group="session", example="help break", completes="command", view=True)
def help_(debugger: Debugger, arguments: Arguments) -> Result:
    """List the commands, or explain one."""
    words = arguments.text.split()
    if not words:
        return _overview(debugger)
    if words[0] in debugger.aliases:
        return Result(f"{words[0]} is an alias for: {debugger.aliases[words[0]]}", {})
    prefix = [each for name, each in sorted(commands().items()) if name.startswith(f"{words[0]} ")]
    if len(words) == 1 and prefix and words[0] not in commands():
        return Result(_table(prefix), [each.name for each in prefix])
    made = resolve(words[-1], " ".join(words[:-1]))
    lines = [made.help, ""]
    if made.aliases:
        lines.append(f"Also: {', '.join(made.aliases)}")
    lines.append(f"Example: {made.example}")
    if made.view:
        lines.append("With --json, prints JSON.")
    return Result("\n".join(lines), {"name": made.name, "help": made.help, "example": made.example})


def _overview(debugger: Debugger) -> Result:
    parts: list[RenderableType] = []
    for group, title in GROUPS.items():
        parts += [Text(title, "bold"), _table([each for each in commands().values() if each.group == group])]
    if debugger.aliases:
        parts += [Text("Aliases", "bold"), Text("\n".join(f"{a} = {b}" for a, b in debugger.aliases.items()))]
    parts.append(Text('"help NAME" explains one, with an example. Unique beginnings of names will do.'))
    return Result(Group(*parts), sorted(commands()))


def _table(chosen: list[Command]) -> RenderableType:
    table = grid("", "", "~")
    table.show_header = False
    for each in chosen:
        table.add_row(f"  {each.name}", ", ".join(each.aliases[:2]), Text(each.summary))
    return table


@command("alias", group="session", example="alias pt = ptdump ttbr1")
def alias(debugger: Debugger, arguments: Arguments) -> Result:
    """Give a command line a short name: alias NAME = COMMAND. Without anything, list them."""
    if not arguments.text:
        return Result("\n".join(f"{name} = {line}" for name, line in debugger.aliases.items()))
    found = re.fullmatch(r"(?:-a\s+)?([A-Za-z][\w-]*)\s*=\s*(.+)", arguments.text)
    if found is None:
        raise UsageError("an alias is made by: alias NAME = COMMAND")
    debugger.aliases[found[1]] = found[2].strip()
    return Result()


@command("source", group="session", example="source setup.gdb", completes="file")
def source(debugger: Debugger, arguments: Arguments) -> Result:
    """Obey the commands in a file; the first that fails ends it."""
    try:
        lines = Path(arguments.text).expanduser().read_text().splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{arguments.text or 'the file'}: {why}") from None
    parts: list[RenderableType] = []
    with debugger.nested():
        for number, line in enumerate(lines, 1):
            result = debugger.execute(line)
            parts += [result.output] if result.output else []
            if result.failed:
                parts.append(Text(f"{arguments.text}:{number}: {line.strip()}: this failed"))
                return Result(Group(*parts), failed=True)
            if result.quit:
                return Result(Group(*parts), quit=True)
    return Result(Group(*parts) if parts else "")


@command("echo", group="session", example="echo hello")
def echo(_debugger: Debugger, arguments: Arguments) -> Result:
    """Print a text."""
    return Result(Text(arguments.text.replace("\\n", "\n").rstrip("\n")))


@command("set", group="session", example="set context off")
def set_(debugger: Debugger, arguments: Arguments) -> Result:
    """Change a setting of the debugger (context, confirm), or evaluate an assignment as set var does."""
    words = arguments.text.split()
    if len(words) == 2 and words[0] in debugger.settings and words[1] in ("on", "off"):
        debugger.settings[words[0]] = words[1]
        return Result()
    if len(words) >= 1 and words[0] in _ACCEPTED:
        return Result()
    if "=" not in arguments.text:
        raise UsageError(f"there is no such setting; there are: {', '.join(debugger.settings)} (on, off)")
    debugger.evaluator.evaluate(arguments.text)
    return Result()


_ACCEPTED = ("pagination", "width", "height", "logging", "print")  # of GDB, in its users' files


@command("show", group="session", example="show context")
def show(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the settings."""
    chosen = {name: value for name, value in debugger.settings.items() if arguments.text in ("", name)}
    if not chosen:
        raise UsageError(f"there is no setting {arguments.text!r}; there are: {', '.join(debugger.settings)}")
    return Result("\n".join(f"{name} is {value}." for name, value in chosen.items()))


@command("info", group="session", example="info registers")
def info(_debugger: Debugger, _arguments: Arguments) -> Result:
    """Show something; followed by what: registers, breakpoints, locals and so on."""
    chosen = [each for name, each in sorted(commands().items()) if name.startswith("info ")]
    return Result(Group(Text('"info" must be followed by one of:'), _table(chosen)))


@command("info console", group="session", example="info console", view=True)
def info_console(debugger: Debugger, _arguments: Arguments) -> Result:
    """Show what the kernel has printed up to this moment."""
    return Result(Text(debugger.machine.console.rstrip("\n")), debugger.machine.console)


@command("python", "py", group="session", example="python print(kernel.tables())")
def python(debugger: Debugger, arguments: Arguments) -> Result:
    """Run Python with `kernel`, `machine` and `debugger` at hand; without a statement, a prompt.
    What it does to the machine becomes part of history."""
    names: dict[str, object] = {
        "kernel": debugger.kernel,
        "machine": debugger.machine,
        "debugger": debugger,
    }
    if not arguments.text:
        if debugger.interactive is None:
            raise UsageError(
                "there is no terminal for a Python prompt; give a statement: python print(kernel)"
            )
        with debugger.timeline.changing():
            debugger.interactive(names)
        debugger.scope.moved()
        return Result()
    return _run_python(debugger, arguments.text, names)


def _run_python(debugger: Debugger, text: str, names: dict[str, object]) -> Result:
    from contextlib import redirect_stdout
    from io import StringIO

    said = StringIO()
    try:
        with redirect_stdout(said), debugger.timeline.changing():
            exec(compile(text, "<python>", "exec"), names)
    except Exception as error:  # noqa: BLE001 - the user's own code: whatever it raises is the answer
        return Result(f"{said.getvalue()}{type(error).__name__}: {error}", failed=True)
    finally:
        debugger.scope.moved()
    return Result(said.getvalue().rstrip("\n"))


@command("quit", "q", "exit", "detach", group="session", example="quit")
def quit_(_debugger: Debugger, _arguments: Arguments) -> Result:
    """Leave the debugger."""
    return Result(quit=True)
