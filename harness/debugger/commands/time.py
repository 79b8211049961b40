# SPDX-License-Identifier: BSD-3-Clause
"""Going back, and to any moment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from harness.debugger.checkpoints import Moment
from harness.debugger.commands.running import frame_and_caller, repeated
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.expressions.values import ExpressionError
from harness.debugger.motion import Halt
from harness.debugger.result import Result
from harness.debugger.stops import Watchpoint
from harness.report.listing import grid
from harness.report.sizes import about_size

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_MOMENT = re.compile(r"(\d[\d_,]*)(?:\+(\d+))?")


@command("reverse-continue", "rc", group="time", example="reverse-continue", repeats=True)
def reverse_continue(debugger: Debugger, _arguments: Arguments) -> Result:
    """Go back to the last moment at which something would have stopped the kernel."""
    return debugger.go(debugger.motion.backward, backwards=True)


@command("reverse-step", "rs", group="time", example="reverse-step", repeats=True)
def reverse_step(debugger: Debugger, arguments: Arguments) -> Result:
    """Go back to the start of the source line before, into functions that returned."""
    if debugger.scope.frames and debugger.scope.frames[0].location is None:
        return reverse_stepi(debugger, arguments)
    move = repeated(debugger, arguments.text, lambda: debugger.stepper.line_back(into=True))
    return debugger.go(move, backwards=True)


@command("reverse-next", "rn", group="time", example="reverse-next", repeats=True)
def reverse_next(debugger: Debugger, arguments: Arguments) -> Result:
    """Go back to the start of the source line before, over calls."""
    if debugger.scope.frames and debugger.scope.frames[0].location is None:
        return reverse_nexti(debugger, arguments)
    move = repeated(debugger, arguments.text, lambda: debugger.stepper.line_back(into=False))
    return debugger.go(move, backwards=True)


@command("reverse-stepi", "rsi", group="time", example="reverse-stepi 100", repeats=True)
def reverse_stepi(debugger: Debugger, arguments: Arguments) -> Result:
    """Take back one instruction, or so many."""
    move = repeated(debugger, arguments.text, debugger.motion.step_back)
    return debugger.go(move, backwards=True)


@command("reverse-nexti", "rni", group="time", example="reverse-nexti", repeats=True)
def reverse_nexti(debugger: Debugger, arguments: Arguments) -> Result:
    """Take back one instruction, over calls that returned."""
    move = repeated(debugger, arguments.text, lambda: debugger.stepper.instruction_back(over=True))
    return debugger.go(move, backwards=True)


@command("reverse-finish", group="time", example="reverse-finish")
def reverse_finish(debugger: Debugger, _arguments: Arguments) -> Result:
    """Go back to the call that entered the selected function."""
    view, caller = frame_and_caller(debugger)
    call, cfa = caller.frame.pc - (0 if caller.frame.is_exact else 4), view.frame.cfa or 0
    return debugger.go(lambda: debugger.stepper.finish_back(call, cfa), backwards=True)


@command("goto", group="time", example="goto 120000", completes="mark")
def goto(debugger: Debugger, arguments: Arguments) -> Result:
    """Go to a moment, past or future: TIME in instructions retired, TIME+N after N exceptions at that time,
    +N or -N from now, a mark's name, start or end.
    `end` is the latest moment that is kept."""
    moment = moment_of(debugger, arguments.text)

    def move() -> Halt:
        return Halt("time" if debugger.timeline.goto(moment, interruptible=True) else "interrupt")

    return debugger.go(move, backwards=True)


def moment_of(debugger: Debugger, text: str) -> Moment:
    """The moment that a text names. Raises HarnessError."""
    text = text.strip()
    if text in debugger.marks:
        return debugger.marks[text]
    if text in ("start", "end"):
        return (
            debugger.timeline.start
            if text == "start"
            else max(each.moment for each in debugger.timeline.checkpoints)
        )
    if not text:
        raise UsageError("a time is missing, as in: goto 120000, goto -1, goto MARK")
    now = debugger.timeline.now
    if text[0] in "+-":
        return Moment(now.time + int(debugger.evaluator.evaluate(text).number))
    found = _MOMENT.fullmatch(text)
    if found:
        return Moment(int(found[1].replace(",", "").replace("_", "")), int(found[2] or 0))
    try:
        return Moment(debugger.evaluator.evaluate(text).number)
    except ExpressionError:
        raise UsageError(f"no mark {text!r} and no time; marks are made with: mark {text}") from None


@command("when", group="time", example="when", view=True)
def when(debugger: Debugger, _arguments: Arguments) -> Result:
    """Say what time it is: instructions retired since reset."""
    now, timeline = debugger.timeline.now, debugger.timeline
    text = f"Current time: {now} ({now.time:,} instructions retired; history from {timeline.start})"
    return Result(text, {"time": now.time, "exceptions": now.taken, "start": timeline.start.time})


@command("mark", group="time", example="mark before-map")
def mark(debugger: Debugger, arguments: Arguments) -> Result:
    """Give the present moment a name, for goto and ptdiff."""
    name = arguments.text
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise UsageError("a mark's name starts with a letter, as in: mark before-map")
    debugger.marks[name] = debugger.timeline.now
    return Result(f"Mark {name} at {debugger.timeline.now}.")


@command("info marks", group="time", example="info marks", view=True)
def info_marks(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the marks and their times."""
    data = {name: str(moment) for name, moment in debugger.marks.items()}
    lines = "\n".join(f"{name}\t{moment}" for name, moment in data.items())
    return Result(lines or "No marks.", data)


@command("info checkpoints", group="time", example="info checkpoints", view=True)
def info_checkpoints(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the moments that are kept, and the memory they take."""
    kept = debugger.timeline.checkpoints
    table = grid(">time", "")
    for each in kept:
        table.add_row(str(each.moment), "changed from outside" if each.edge else "")
    total = f"{len(kept)} checkpoints, {about_size(kept.size)} of at most {about_size(kept.limit)}"
    data = {"times": [str(each.moment) for each in kept], "bytes": kept.size, "limit": kept.limit}
    return Result(Group(table, Text(total)), data)


@command("last-write", group="time", example="last-write frames->count", completes="expression")
def last_write(debugger: Debugger, arguments: Arguments) -> Result:
    """Go back to the instruction that last wrote a variable, a virtual address, or a physical range.
    EXPR is an lvalue, *ADDRESS, or phys ADDRESS [SIZE], as for a page-table entry."""
    from harness.debugger.commands.stops import watch_target

    target = watch_target(debugger, arguments.text, "w")
    point = Watchpoint(target.what, pa=target.pa, size=target.size, type=target.type, changes=False)
    kept = [each for each in debugger.stoppoints if each.enabled]
    for each in kept:
        each.enabled = False
    debugger.stoppoints.add(point)
    try:
        shown = debugger.go(debugger.motion.backward, backwards=True)
    finally:
        debugger.stoppoints.remove(point.number)
        for each in kept:
            each.enabled = True
    if debugger.timeline.now <= debugger.timeline.start:
        return Result(Text(f"{target.what} was not changed since history starts."), shown.data)
    return shown
