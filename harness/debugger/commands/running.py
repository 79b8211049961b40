# SPDX-License-Identifier: BSD-3-Clause
"""Going forwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.expressions.values import CValue, from_number
from harness.debugger.frames import FrameView
from harness.debugger.motion import Halt
from harness.debugger.result import Result
from harness.debugger.views.context import frame_line
from harness.debugger.views.values import ValueFormat
from harness.errors import HarnessError
from harness.image.types import CType, Int, Record, Void, strip

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.debugger.session import Debugger


_MOST = 1_000_000_000


def count_of(debugger: Debugger, text: str) -> int:
    """A count given as an expression; 1 without. Raises HarnessError."""
    if not text:
        return 1
    value = debugger.evaluator.evaluate(text)
    if not isinstance(strip(value.type), Int) or abs(value.number) > _MOST:
        raise UsageError(f"{text} is no count: a number up to {_MOST:,} is one")
    return value.number


def repeated(debugger: Debugger, text: str, move: Callable[[], Halt]) -> Callable[[], Halt]:
    """`move` as often as the text says, or until something else than it stops."""
    count = count_of(debugger, text)

    def moves() -> Halt:
        halt = Halt("step")
        for _ in range(count):
            halt = move()
            if halt.reason not in ("step", "finished") or debugger.timeline.interrupted():
                break
        return halt

    return moves


@command("run", "r", "start", group="running", example="run")
def run(debugger: Debugger, _arguments: Arguments) -> Result:
    """Start again at the moment of reset and run.
    What was changed from outside since then happens again at its time."""
    debugger.restart()
    debugger.ended = ""
    return debugger.go(debugger.motion.forward)


@command("continue", "c", "fg", group="running", example="continue 2", repeats=True)
def continue_(debugger: Debugger, arguments: Arguments) -> Result:
    """Run on until something stops the kernel.
    With a count N, ignore the present breakpoint N - 1 times first."""
    count = count_of(debugger, arguments.text)
    here = debugger.machine.registers["pc"]
    for point in debugger.stoppoints.addresses().get(here, []) if count > 1 else []:
        point.ignore = count - 1
    return debugger.go(debugger.motion.forward)


@command("step", "s", group="running", example="step 3", repeats=True)
def step(debugger: Debugger, arguments: Arguments) -> Result:
    """Go to the next source line, into functions that have lines.
    Where there are no lines, one instruction."""
    if debugger.scope.frames and debugger.scope.frames[0].location is None:
        return stepi(debugger, arguments)
    move = repeated(debugger, arguments.text, lambda: debugger.stepper.line(into=True))
    return debugger.go(move)


@command("next", "n", group="running", example="next", repeats=True)
def next_(debugger: Debugger, arguments: Arguments) -> Result:
    """Go to the next source line, over calls.
    Where there are no lines, one instruction."""
    if debugger.scope.frames and debugger.scope.frames[0].location is None:
        return nexti(debugger, arguments)
    return debugger.go(repeated(debugger, arguments.text, lambda: debugger.stepper.line(into=False)))


@command("stepi", "si", group="running", example="stepi 10", repeats=True)
def stepi(debugger: Debugger, arguments: Arguments) -> Result:
    """Execute one instruction. One that faults takes its exception instead."""
    move = repeated(debugger, arguments.text, lambda: debugger.stepper.instruction(over=False))
    return debugger.go(move)


@command("nexti", "ni", group="running", example="nexti", repeats=True)
def nexti(debugger: Debugger, arguments: Arguments) -> Result:
    """Execute one instruction, over calls."""
    return debugger.go(repeated(debugger, arguments.text, lambda: debugger.stepper.instruction(over=True)))


@command("finish", "fin", group="running", example="finish")
def finish(debugger: Debugger, _arguments: Arguments) -> Result:
    """Run until the selected function returns, and show its value."""
    view, caller = frame_and_caller(debugger)
    ctype = _return_type(debugger, view)
    heading = Text.assemble("Run till exit from ", frame_line(debugger, view))
    cfa = view.frame.cfa
    assert cfa is not None
    halts: list[Halt] = []

    def move() -> Halt:
        halts.append(debugger.stepper.finish(caller.frame.pc, cfa))
        return halts[0]

    shown = debugger.go(move)
    parts: list[RenderableType] = [heading, shown.output]
    if halts and halts[0].reason == "finished" and ctype is not None:
        value = _returned(debugger, ctype)
        debugger.scope.history.append(value)
        text = ValueFormat(debugger.scope).top(value)
        parts.append(Text(f"Value returned is ${len(debugger.scope.history)} = {text}"))
    return Result(Group(*parts), shown.data)


def frame_and_caller(debugger: Debugger) -> tuple[FrameView, FrameView]:
    """The selected frame and the compiled one that called it. Raises UsageError at the outermost."""
    view = debugger.scope.frame
    outer = [each for each in debugger.scope.frames[view.index :] if each.frame is not view.frame]
    if not outer:
        raise UsageError('"finish" not meaningful in the outermost frame.')
    if view.frame.cfa is None:
        raise HarnessError("the frame's address is not known: no call frame information here")
    return view, outer[0]


def _return_type(debugger: Debugger, view: FrameView) -> CType | None:
    name = view.frame.source[-1].function if view.frame.source else None
    if name is None or name not in debugger.image.functions:
        return None
    ctype = debugger.image.functions[name].return_type
    return None if isinstance(strip(ctype), Void | Record) else ctype


def _returned(debugger: Debugger, ctype: CType) -> CValue:
    return from_number(debugger.machine.registers["x0"], ctype)


@command("until", "u", group="running", example="until 120", completes="place", repeats=True)
def until(debugger: Debugger, arguments: Arguments) -> Result:
    """Run to a place in this function, or without one to a line after the present one.
    Unlike next, a loop's jump back does not count."""
    if arguments.text:
        return _advance(debugger, arguments.text, stay=True)
    frame = debugger.scope.frame
    line = frame.location.line if frame.location else 0

    def move() -> Halt:
        while True:
            halt = debugger.stepper.line(into=False)
            debugger.scope.moved()
            now = debugger.scope.frames[0] if debugger.scope.frames else None
            same = now is not None and now.function == frame.function and now.location is not None
            if halt.reason != "step" or not same or (now and now.location and now.location.line > line):
                return halt

    return debugger.go(move)


@command("advance", group="running", example="advance vmm_arch_map", completes="place")
def advance(debugger: Debugger, arguments: Arguments) -> Result:
    """Run to a place, or until the selected function returns."""
    return _advance(debugger, arguments.text, stay=False)


def _advance(debugger: Debugger, text: str, *, stay: bool) -> Result:
    if not text:
        raise UsageError("a place is missing, as in: advance core/vmm.c:120")
    addresses = set(debugger.places.find(text).addresses)
    try:
        view, caller = frame_and_caller(debugger)
    except HarnessError:
        return debugger.go(lambda: debugger.motion.forward(addresses))
    cfa, out = view.frame.cfa or 0, caller.frame.pc

    def accept() -> bool:
        registers = debugger.machine.registers
        return registers["pc"] != out or registers["sp"] >= cfa

    return debugger.go(lambda: debugger.motion.forward({*addresses, out}, accept))


@command("call", group="running", example="call vmm_address_space_create()", completes="expression")
def call(debugger: Debugger, arguments: Arguments) -> Result:
    """Evaluate an expression, most often a call of one of the kernel's functions.
    What it does becomes part of history; where it fails, nothing has happened."""
    from harness.debugger.commands.data import show_value

    if not arguments.text:
        raise UsageError("a call is missing, as in: call vmm_address_space_create()")
    value = debugger.evaluator.evaluate(arguments.text)
    if isinstance(strip(value.type), Void):
        return Result()
    return show_value(debugger, value, arguments.format)


@command("kill", "k", group="running", example="kill")
def kill(debugger: Debugger, _arguments: Arguments) -> Result:
    """Go back to the moment of reset without running."""
    debugger.restart()
    debugger.ended = ""
    return debugger.where()
