# SPDX-License-Identifier: BSD-3-Clause
"""The stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.debugger.commands.running import count_of
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.expressions.values import ExpressionError
from harness.debugger.frames import FrameView, local_value
from harness.debugger.result import Result
from harness.debugger.views import values as values_view
from harness.debugger.views.context import frame_line, source_line
from harness.debugger.views.values import ValueFormat
from harness.image.scope import Local

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

NO_DWARF = "No symbol table info available: the image has no DWARF (build it with -g3)."


@command("backtrace", "bt", "where", group="stack", example="backtrace 5", view=True)
def backtrace(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the chain of callers, through exceptions and into EL0; N the innermost, -N the outermost ones.
    With `full`, local variables too."""
    words = arguments.words
    full, words = "full" in words, [word for word in words if word != "full"]
    frames = debugger.scope.frames
    count = count_of(debugger, words[0]) if words else len(frames)
    chosen = frames[:count] if count >= 0 else frames[count:]
    parts: list[RenderableType] = []
    for each in chosen:
        parts.append(frame_line(debugger, each))
        parts += [Text("        " + line) for line in _locals(debugger, each)] if full else []
    if len(chosen) < len(frames):
        parts.append(Text("(More stack frames follow...)"))
    elif debugger.scope.reason:
        parts.append(Text(f"Backtrace stopped: {debugger.scope.reason}"))
    return Result(Group(*parts) if parts else "No stack.", [_data(each) for each in chosen])


def _data(view: FrameView) -> dict[str, Any]:
    location = view.location
    return {
        "frame": view.index,
        "pc": hex(view.frame.pc),
        "function": view.function,
        "file": location.file if location else None,
        "line": location.line if location else None,
        "inlined": view.is_inlined,
    }


def _select(debugger: Debugger, index: int) -> Result:
    debugger.scope.selected = min(max(index, 0), len(debugger.scope.frames) - 1)
    view = debugger.scope.frame
    return Result(Group(frame_line(debugger, view), *source_line(debugger, view)))


@command("frame", "f", group="stack", example="frame 2")
def frame(debugger: Debugger, arguments: Arguments) -> Result:
    """Select a frame by its number, or show the selected one."""
    if not arguments.text:
        return _select(debugger, debugger.scope.frame.index)
    index = debugger.evaluator.evaluate(arguments.text).number
    if not 0 <= index < len(debugger.scope.frames):
        raise UsageError(f"No frame at level {index}.")
    return _select(debugger, index)


@command("up", group="stack", example="up", repeats=True)
def up(debugger: Debugger, arguments: Arguments) -> Result:
    """Select the caller's frame, or so many up."""
    index = debugger.scope.frame.index + count_of(debugger, arguments.text)
    if debugger.scope.frame.index == len(debugger.scope.frames) - 1:
        raise UsageError("Initial frame selected; you can't go up.")
    return _select(debugger, index)


@command("down", "dow", group="stack", example="down", repeats=True)
def down(debugger: Debugger, arguments: Arguments) -> Result:
    """Select the frame that was called, or so many down."""
    if debugger.scope.frame.index == 0:
        raise UsageError("Bottom (innermost) frame selected; you can't go down.")
    return _select(debugger, debugger.scope.frame.index - count_of(debugger, arguments.text))


def _locals(debugger: Debugger, view: FrameView, *, parameters: bool | None = None) -> list[str]:
    format_ = ValueFormat(debugger.scope)
    return [
        f"{each.name} = {format_.top(local_value(debugger.image, view, debugger.scope.memory, each))}"
        for each in _chosen(debugger, view, parameters)
    ]


def _chosen(debugger: Debugger, view: FrameView, parameters: bool | None) -> list[Local]:
    """Parameters in the order of the prototype, variables innermost first."""
    found = debugger.image.scopes.locals(view.lookup, view.depth)
    given = [each for each in found if each.is_parameter][::-1]
    others = [each for each in found if not each.is_parameter]
    return {True: given, False: others, None: given + others}[parameters]


def _variables(debugger: Debugger, *, parameters: bool, none: str) -> Result:
    if not debugger.image.has_dwarf:
        raise ExpressionError(NO_DWARF)
    view = debugger.scope.frame
    lines = _locals(debugger, view, parameters=parameters)
    data = {
        each.name: values_view.data_of(
            debugger.scope, local_value(debugger.image, view, debugger.scope.memory, each)
        )
        for each in _chosen(debugger, view, parameters)
    }
    return Result(Text("\n".join(lines) or none), data)


@command("info locals", group="stack", example="info locals", view=True)
def info_locals(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the local variables of the selected frame."""
    return _variables(debugger, parameters=False, none="No locals.")


@command("info args", group="stack", example="info args", view=True)
def info_args(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the arguments of the selected frame."""
    return _variables(debugger, parameters=True, none="No arguments.")


@command("info frame", "info f", group="stack", example="info frame", view=True)
def info_frame(debugger: Debugger, _arguments: Arguments) -> Result:
    """Describe the selected frame."""
    view = debugger.scope.frame
    cfa = "not known" if view.frame.cfa is None else f"{view.frame.cfa:#x}"
    where = debugger.image.describe(view.frame.pc)
    lines = [f"Stack level {view.index}, frame at {cfa}:", f" pc = {view.frame.pc:#x} in {where}"]
    if view.is_inlined:
        lines.append(f" inlined into frame {view.index + 1}")
    callers = [each for each in debugger.scope.frames[view.index + 1 :] if each.frame is not view.frame]
    if callers:
        lines.append(f" called by {callers[0].function or '??'} at {callers[0].frame.pc:#x}")
    return Result("\n".join(lines), _data(view) | {"cfa": cfa})
