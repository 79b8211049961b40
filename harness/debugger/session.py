# SPDX-License-Identifier: BSD-3-Clause
"""The debugger without a terminal: one kernel, its timeline, and commands that are lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from harness.checks.sanitizer import Sanitizer
from harness.debugger.checkpoints import Moment
from harness.debugger.commands import table
from harness.debugger.expressions import Evaluator
from harness.debugger.motion import Halt, Motion
from harness.debugger.places import Places
from harness.debugger.result import Result
from harness.debugger.scope import DebugScope
from harness.debugger.steps import Stepper
from harness.debugger.stops import Breakpoint, Stoppoint, Stoppoints
from harness.debugger.timeline import Timeline
from harness.debugger.views import context
from harness.debugger.views.code import Disassembler, SourceFiles
from harness.debugger.views.memory import Format
from harness.errors import HarnessError
from harness.kernel import Kernel
from harness.kernel.session import RETURN_ADDRESS

INTERNAL = "internal error, please report it:"
_ENDS = ("poweroff", "reset", "abort")


@dataclass(slots=True)
class Display:
    """An expression that is shown at each stop."""

    number: int
    expression: str
    format: str


class Debugger:
    """Debugs a kernel. `execute` takes commands; what they do is in `harness.debugger.commands`."""

    def __init__(self, kernel: Kernel, timeline: Timeline | None = None) -> None:
        """History starts at the kernel's present moment, unless a timeline brings more of it."""
        self.kernel, self.machine, self.image = kernel, kernel.machine, kernel.image
        self.timeline = timeline or Timeline(kernel.machine)
        self.scope = DebugScope(kernel, self.timeline, self._moved)
        self.evaluator = Evaluator(self.scope)
        self.stoppoints = Stoppoints()
        self.motion = Motion(self.timeline, self.stoppoints, self._condition)
        self.motion.sanitizer = kernel.session.sanitizer
        self._muted = kernel.session.sanitizer is not None and kernel.session.sanitizer.muted
        kernel.session.mute_sanitizer(True)
        self.stepper = Stepper(self.motion, self.image, self.scope)
        self.places = Places(self.scope, self.evaluator)
        self.sources = SourceFiles(self.image)
        self.disassembler = Disassembler(self.image, self.scope.memory.read)
        self.marks: dict[str, Moment] = {}
        self.displays: list[Display] = []
        self.aliases: dict[str, str] = {}
        self.settings = {"context": "on", "confirm": "off"}
        self.format = Format()
        self.next_memory: int | None = None
        self.next_line: tuple[str, int] | None = None
        self.ended = ""
        self.failed = False
        self.console: Callable[[str], None] = lambda _text: None
        self.interactive: Callable[[dict[str, object]], None] | None = None
        self._depth = 0
        self._shown_registers: dict[str, int] = {}
        self._said = len(self.machine.console)
        self.timeline.progress = self.say

    # -- commands ---------------------------------------------------------------------------------------

    def execute(self, line: str) -> Result:
        """Obey one command. Whatever is wrong with it becomes a failed result; the session goes on."""
        try:
            result = table.dispatch(self, line)
        except HarnessError as error:
            result = Result(str(error), failed=True)
        except RecursionError:
            result = Result(f"{line.split()[0]}: too deeply nested", failed=True)
        except Exception as error:  # noqa: BLE001 - a mistake of ours; the session is worth more than this command
            result = Result(f"{INTERNAL} {type(error).__name__}: {error}", failed=True)
        self.failed = self.failed or result.failed
        return result

    def complete(self, line: str) -> list[str]:
        """What the last word of a line can be."""
        return table.complete(self, line)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """One file of commands within another. Raises HarnessError where that does not end."""
        if self._depth >= 16:
            raise HarnessError("commands are nested too deeply: a file or an alias refers to itself")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    # -- moving -----------------------------------------------------------------------------------------

    def go(self, move: Callable[[], Halt], *, backwards: bool = False) -> Result:
        """Move, and show where that led."""
        frame = self.scope.frames[0] if self.scope.frames else None
        self._shown_registers = dict(self.machine.registers)
        halt = self.travel(move, backwards=backwards)
        new_frame = halt.reason != "step" or frame is None or context.entered(frame, self.scope)
        return self._with_commands(halt, self.where(halt, whole_frame=new_frame))

    def travel(self, move: Callable[[], Halt], *, backwards: bool = False) -> Halt:
        """Move. Raises HarnessError where there is no way on."""
        if self.ended and not backwards:
            raise HarnessError(f"The machine has ended ({self.ended}): go back, or start again with run.")
        try:
            halt = move()
        finally:
            self._moved()
        self.say()
        self.ended = halt.reason if halt.reason in _ENDS else ""
        if isinstance(halt.stoppoint, Breakpoint) and halt.stoppoint.temporary:
            self.stoppoints.remove(halt.stoppoint.number)
        return halt

    def _with_commands(self, halt: Halt, shown: Result) -> Result:
        """The commands that belong to a stoppoint, after the stop was shown."""
        if halt.stoppoint is None or not halt.stoppoint.commands:
            return shown
        parts: list[RenderableType] = [shown.output]
        with self.nested():
            for line in halt.stoppoint.commands:
                result = self.execute(line)
                parts += [result.output] if result.output else []
        return Result(Group(*parts), shown.data)

    def where(self, halt: Halt | None = None, *, whole_frame: bool = True) -> Result:
        """The stop display: why, where, what changed, and the displays."""
        parts = context.stop(self, halt, whole_frame=whole_frame, before=self._shown_registers)
        for display in self.displays:
            parts.append(self.show_display(display))
        return Result(Group(*parts), context.data(self, halt))

    def show_display(self, display: Display) -> Text:
        """A display with its value now, or why it has none."""
        command = f"print{'/' + display.format if display.format else ''} {display.expression}"
        kept = len(self.scope.history)
        shown = table.dispatch_quietly(self, command)
        del self.scope.history[kept:]
        value = shown.text.partition(" = ")[2] if not shown.failed else f"<error: {shown.text}>"
        return Text(f"{display.number}: {display.expression} = {value}")

    def _moved(self) -> None:
        self.scope.moved()
        self.next_line = None

    def say(self) -> None:
        """Hand on what the guest has printed since, if it has not been handed on before."""
        text = self.machine.console
        if len(text) > self._said:
            self.console(text[self._said :])
            self._said = len(text)

    def restart(self) -> None:
        """Back to where history starts, which for a machine that was just loaded is its reset."""
        self.timeline.goto(self.timeline.start)
        self._moved()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within, the machine may be moved and the kernel be called; nothing remains of it."""
        with self.timeline.aside():
            yield
        self.scope.moved_back()

    def sanitize(self) -> None:
        """Attach the MMU sanitizer, if it is not: from here on it follows the machine, wherever it goes."""
        if self.motion.sanitizer is None:
            self.motion.sanitizer = Sanitizer(self.machine, self.image, None, (RETURN_ADDRESS,))
            self.motion.sanitizer.muted = True
            self.timeline.commit()

    def close(self) -> None:
        """Leave the kernel to others, with its sanitizer as it was."""
        sanitizer, own = self.motion.sanitizer, self.kernel.session.sanitizer
        if sanitizer is not None and sanitizer is own:
            sanitizer.take()
            sanitizer.muted = self._muted
        elif sanitizer is not None:
            sanitizer.close()
        self.motion.sanitizer = None

    def _condition(self, point: Stoppoint) -> bool:
        if not point.condition:
            return True
        self.scope.moved()
        try:
            return bool(self.evaluator.evaluate(point.condition).number)
        except HarnessError as error:
            self.console(f"Error in testing condition for breakpoint {point.number}: {error}\n")
            return True
