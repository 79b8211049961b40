# SPDX-License-Identifier: BSD-3-Clause
"""Memory as `x/FMT` shows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from harness.debugger.expressions.values import ExpressionError
from harness.debugger.views.code import Disassembler
from harness.debugger.views.values import number_text, quoted, read_string, symbolic
from harness.errors import HarnessError
from harness.image import ElfImage

SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
_FORMAT = re.compile(r"(-?\d*)([a-z]*)")
_LETTERS = "xduotaciszT"
_LINE = 16  # bytes of numbers in a line


@dataclass(frozen=True, slots=True)
class Format:
    """`x/4gx`: how many, in which format, of how many bytes each."""

    count: int = 1
    letter: str = "x"
    size: int = 8


def parse_format(text: str, before: Format) -> Format:
    """The format after a slash; what it leaves out is as before. Raises ExpressionError."""
    found = _FORMAT.fullmatch(text)
    if found is None or any(letter not in _LETTERS and letter not in SIZES for letter in found[2]):
        raise ExpressionError(f'Invalid format "{text}": a count, one of x d u o t a c i s z, one of b h w g')
    letter, size = before.letter, before.size
    for each in found[2]:
        if each in SIZES:
            size = SIZES[each]
        else:
            letter = each
    if letter in ("a", "i") or (letter != before.letter and before.letter in ("s", "i") and size == 1):
        size = 8
    if letter == "c" and not any(each in SIZES for each in found[2]):
        size = 1
    return Format(int(found[1]) if found[1] not in ("", "-") else 1, letter, size)


class MemoryView:
    """Shows memory that `read` reads; `symbols` is off for physical addresses."""

    def __init__(self, image: ElfImage, read: Callable[[int, int], bytes], *, symbols: bool = True) -> None:
        self._image, self._read, self._symbols = image, read, symbols

    def show(self, address: int, how: Format, pc: int | None = None) -> tuple[list[str], int]:
        """The lines, and the address after what they show. Raises HarnessError where there is no memory."""
        if how.letter == "i":
            return self._instructions(address, how.count, pc)
        if how.letter == "s":
            return self._strings(address, how.count)
        return self._numbers(address, how)

    def _label(self, address: int) -> str:
        return f"{address:#x}{symbolic(self._image, address) if self._symbols else ''}:"

    def _instructions(self, address: int, count: int, pc: int | None) -> tuple[list[str], int]:
        found = Disassembler(self._image, self._read).at(address, count)
        lines = [
            f"{'=>' if each.address == pc else '  '} {self._label(each.address)}\t{each.text}"
            for each in found
        ]
        return lines, address + 4 * count

    def _strings(self, address: int, count: int) -> tuple[list[str], int]:
        lines = []
        for _ in range(count):
            text = read_string(self._read, address)
            lines.append(f"{self._label(address)}\t{quoted(text, len(text))}")
            address += len(text) + 1
        return lines, address

    def _numbers(self, address: int, how: Format) -> tuple[list[str], int]:
        letter = "z" if how.letter == "x" else how.letter
        step = 8 if letter == "c" else max(1, _LINE // how.size)
        lines, left = list[str](), how.count
        while left > 0:
            cells = []
            for at in range(min(step, left)):
                number = self._number(address + at * how.size, how.size, lines)
                cells.append(number_text(self._image, number, 8 * how.size, letter))
            lines.append("\t".join([self._label(address), *cells]))
            address += how.size * len(cells)
            left -= len(cells)
        return lines, address

    def _number(self, address: int, size: int, lines: list[str]) -> int:
        try:
            return int.from_bytes(self._read(address, size), "little")
        except HarnessError as error:
            shown = "\n".join(lines)
            raise ExpressionError(f"{shown}\n{error}" if shown else str(error)) from None
