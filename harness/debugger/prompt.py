# SPDX-License-Identifier: BSD-3-Clause
"""The debugger at a terminal: a prompt with completion and history, Ctrl-C, commands from files and pipes."""

from __future__ import annotations

import code
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from rich.console import Console, RenderableType

from harness.debugger.commands.code import missing
from harness.debugger.commands.table import UsageError, parse
from harness.debugger.session import Debugger
from harness.report.text import PLAIN_WIDTH, plain

PROMPT = "(kdb) "
HISTORY = Path("~/.lukos_debug_history")
FAILURE = 1


class _Completer(Completer):
    """Completes words by what the debugger knows."""

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger

    def get_completions(self, document: Document, _event: object) -> Iterator[Completion]:
        """The candidates for the word before the cursor."""
        line = document.text_before_cursor
        for word in self._debugger.complete(line):
            overlap = next((n for n in range(len(word), -1, -1) if line.endswith(word[:n])), 0)
            yield Completion(word, start_position=-overlap)


class Terminal:
    """A debugger whose results are shown."""

    def __init__(self, debugger: Debugger, console: Console | None = None) -> None:
        self.debugger = debugger
        self._console = console or Console(highlight=False)
        self._interrupted = False
        self._last = ""
        debugger.console = self._say
        debugger.timeline.interrupted = self._was_interrupted
        if sys.stdin.isatty():
            debugger.interactive = _python_prompt

    # -- output -----------------------------------------------------------------------------------------

    def show(self, output: RenderableType) -> None:
        """Print a result: in colours and to its width on a terminal, plain and wide elsewhere."""
        if isinstance(output, str) or not self._console.is_terminal:
            text = output if isinstance(output, str) else plain(output, PLAIN_WIDTH)
            if text:
                self._console.out(text.rstrip("\n"), highlight=False)
        else:
            self._console.print(output)

    def _say(self, text: str) -> None:
        """What the guest printed."""
        self._console.out(text, end="", highlight=False)

    # -- Ctrl-C -----------------------------------------------------------------------------------------

    @contextmanager
    def _catching(self) -> Iterator[None]:
        """Within, Ctrl-C stops the guest at a moment that can be told, and nothing else."""
        self._interrupted = False
        try:
            before = signal.signal(signal.SIGINT, self._interrupt)
        except ValueError:  # not the main thread, which alone gets signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, _number: int, _frame: object) -> None:
        self._interrupted = True

    def _was_interrupted(self) -> bool:
        return self._interrupted

    # -- commands ---------------------------------------------------------------------------------------

    def obey(self, line: str) -> bool:
        """One command; False when it was the last."""
        with self._catching():
            result = self.debugger.execute(line)
        self.show(result.output)
        return not result.quit

    def script(self, lines: Iterable[str], *, echo: bool = False) -> bool:
        """Commands one after the other; False when one of them was the last."""
        for line in lines:
            if echo:
                self._console.out(PROMPT + line, highlight=False)
            if not self.obey(line):
                return False
        return True

    def greet(self) -> None:
        """What is debugged, and what it lacks."""
        self.show(f"{self.debugger.image.path}: stopped at {self.debugger.timeline.now}. Type help for help.")
        for line in missing(self.debugger):
            self.show(line)

    def loop(self) -> None:
        """Read commands until the end of input, from a terminal or a pipe."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            self.script((line.rstrip("\n") for line in sys.stdin), echo=True)
            return
        session: PromptSession[str] = PromptSession(
            PROMPT, history=_history(), completer=_Completer(self.debugger), complete_while_typing=False
        )
        while self._turn(session.prompt):
            pass

    def _turn(self, ask: Callable[[], str]) -> bool:
        """One line from the terminal: an empty one repeats, Ctrl-C throws it away, Ctrl-D leaves."""
        try:
            line = ask().strip()
        except KeyboardInterrupt:
            self.show("Quit")
            return True
        except EOFError:
            return False
        line = line or self._last
        self._last = line if _repeats(line) else ""
        return self.obey(line)


def _repeats(line: str) -> bool:
    try:
        return bool(line) and parse(line)[0].repeats
    except UsageError:
        return False


def _history() -> History:
    """In the user's home, where it can be written."""
    path = HISTORY.expanduser()
    try:
        with path.open("a"):
            return FileHistory(str(path))
    except OSError:
        return InMemoryHistory()


def _python_prompt(names: dict[str, object]) -> None:
    """Python's own prompt, until Ctrl-D."""
    code.interact(banner="Python with kernel, machine, debugger; Ctrl-D goes back.", local=names, exitmsg="")
