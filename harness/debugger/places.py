# SPDX-License-Identifier: BSD-3-Clause
"""Places as users name them: `vmm_init`, `core/vmm.c:120`, `120`, `*0xffffff8040201000`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.debugger.expressions import Evaluator, ExpressionError
from harness.debugger.scope import DebugScope
from harness.image import ElfImage, SourceLocation
from harness.image.lookup import UnknownNameError

_FILE_LINE = re.compile(r"(?:(.+):)?(\d+)")
_NAME = re.compile(r"[A-Za-z_.][\w.$]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses that one name stands for, and where the first is in the source."""

    addresses: tuple[int, ...]
    location: SourceLocation | None
    function: str | None = None


class Places:
    """Finds places in the image."""

    def __init__(self, scope: DebugScope, evaluator: Evaluator) -> None:
        self._scope, self._image, self._evaluator = scope, scope.image, evaluator

    def find(self, text: str, *, code: bool = True) -> Place:
        """The place that a text names; "" is where the selected frame stands. Raises ExpressionError.

        With `code`, a function is where its prologue has ended.
        """
        text = text.strip()
        if not text:
            return self._place((self._scope.frame.frame.pc,))
        if text.startswith("*"):
            return self._place((self._evaluator.evaluate(text[1:]).number,))
        found = _FILE_LINE.fullmatch(text)
        if found:
            return self._line(found[1] or self.current_file(), int(found[2]))
        if _NAME.fullmatch(text):
            return self._function(text, code=code)
        raise ExpressionError(f'No place "{text}": name a function, FILE:LINE, LINE or *ADDRESS')

    def current_file(self) -> str:
        """The file of the selected frame."""
        location = self._scope.frame.location
        if location is None:
            raise ExpressionError("no source file here: write FILE:LINE")
        return location.file

    def _place(self, addresses: tuple[int, ...]) -> Place:
        found = self._image.symbol_at(addresses[0])
        name = found[0].name if found else None
        return Place(addresses, self._image.location(addresses[0]), name)

    def _line(self, file: str, line: int) -> Place:
        lines = self._image.lines
        if not any(each == file or each.endswith("/" + file) for each in lines.files):
            raise ExpressionError(f"No source file named {file}.")
        for at in range(line, line + 50):  # as GDB: the next line that has code
            addresses = lines.addresses(file, at)
            if addresses:
                return self._place(self._distinct(addresses))
        raise ExpressionError(f"No line {line} in file {file}, nor code in the 50 lines after it.")

    def _distinct(self, addresses: list[int]) -> tuple[int, ...]:
        """The first address in each function: a line's code is often in several pieces."""
        found: dict[object, int] = {}
        for address in addresses:
            symbol = self._image.symbol_at(address)
            found.setdefault(symbol[0].address if symbol else address, address)
        return tuple(found.values())

    def _function(self, name: str, *, code: bool) -> Place:
        image = self._image
        if name in image.functions:
            known = image.functions.all_of(name)
            starts = [each.address for each in known if each.address is not None]
        else:
            named = image.symbols.named(name)
            starts = [each.address for each in named if image.is_code(each.address)]
        if not starts:
            if name in image.functions:
                raise ExpressionError(f'"{name}" is inlined everywhere: break at one of its lines')
            raise ExpressionError(str(UnknownNameError("function", name, image.symbols)))
        return self._place(tuple(body_of(image, start) if code else start for start in starts))


def body_of(image: ElfImage, start: int) -> int:
    """Where the prologue of the function at `start` has ended; `start` if that is in an inlined call."""
    symbol = image.symbol_at(start)
    body = image.lines.after_prologue(start, start + (symbol[0].size if symbol else 0))
    return body if len(image.source_at(body)) < 2 else start
