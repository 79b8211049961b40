# SPDX-License-Identifier: BSD-3-Clause
"""Lines over two logarithmic axes, for a terminal: Braille dots, and a marker at each measured point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_WIDEST, _ROWS, _MARGIN = 100, 22, 9  # columns, lines, columns left of the axis
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille character, by line and column


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points (x, y), both above 0; without a marker it is drawn dotted."""

    label: str
    points: Mapping[float, float]
    colour: str
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """Whole powers of ten around some values."""

    first: int
    last: int

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """The shortest that has them all."""
        powers = [math.log10(value) for value in values]
        first = math.floor(min(powers))
        return cls(first, max(math.ceil(max(powers)), first + 1))

    def at(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        return (math.log10(value) - self.first) / (self.last - self.first)

    @property
    def ticks(self) -> list[int]:
        """The powers of ten."""
        return [10**power for power in range(self.first, self.last + 1)]


def axes(lines: Sequence[Line]) -> tuple[Axis, Axis]:
    """The axes that all lines fit between."""
    horizontal = Axis.around(x for line in lines for x in line.points)
    return horizontal, Axis.around(y for line in lines for y in line.points.values())


class Chart:
    """The picture as a renderable, as wide as the terminal allows."""

    def __init__(self, lines: Sequence[Line], across: str) -> None:
        """`across` says what the horizontal axis counts."""
        self.lines, self.across = lines, across

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = min(options.max_width, _WIDEST) - _MARGIN - 4
        horizontal, vertical = axes(self.lines)
        canvas = _Canvas(columns, _ROWS, horizontal, vertical)
        for line in sorted(self.lines, key=lambda each: bool(each.marker)):  # those with markers on top
            canvas.draw(line)
        labels = {canvas.row(tick): f"{tick:,}" for tick in vertical.ticks}
        for row in range(_ROWS):
            yield Text(f"{labels.get(row, ''):>{_MARGIN}} {'┤' if row in labels else '│'}") + canvas.text(row)
        yield from self._foot(canvas, horizontal, columns)

    def _foot(self, canvas: _Canvas, horizontal: Axis, columns: int) -> Iterable[Text]:
        rule, labels = ["─"] * columns, [" "] * (columns + 4)
        for tick in horizontal.ticks:
            column, label = canvas.column(tick), f"{tick:,}"
            rule[column] = "┴"
            start = min(max(column - len(label) // 2, 0), columns + 4 - len(label))
            labels[start : start + len(label)] = label
        yield Text(" " * (_MARGIN + 1) + "└" + "".join(rule))
        yield Text(" " * (_MARGIN + 2) + "".join(labels).rstrip())
        yield Text(" " * (_MARGIN + 2) + self.across, "dim")
        for line in self.lines:
            yield Text(" " * (_MARGIN + 2)).append(f"{line.marker or '⋯'} ", line.colour).append(line.label)


class _Canvas:
    """Cells of 2 by 4 dots."""

    def __init__(self, columns: int, rows: int, horizontal: Axis, vertical: Axis) -> None:
        self._columns, self._rows = columns, rows
        self._horizontal, self._vertical = horizontal, vertical
        self._dots: dict[tuple[int, int], tuple[int, str]] = {}
        self._markers: dict[tuple[int, int], tuple[str, str]] = {}

    def column(self, x: float) -> int:
        """The column of a value."""
        return self._dot(x, 1)[0] // 2

    def row(self, y: float) -> int:
        """The line of a value, from the top."""
        return self._dot(1, y)[1] // 4

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        across = round(self._horizontal.at(x) * (2 * self._columns - 1))
        return across, round((1 - self._vertical.at(y)) * (4 * self._rows - 1))

    def draw(self, line: Line) -> None:
        """Straight between neighbours, which is a curve of powers; every third dot where it is dotted."""
        points = [self._dot(x, y) for x, y in sorted(line.points.items())]
        for (left, top), (right, bottom) in pairwise(points):
            length = max(right - left, abs(bottom - top), 1)
            for step in range(0, length + 1, 1 if line.marker else 3):
                across = left + round((right - left) * step / length)
                self._set(across, top + round((bottom - top) * step / length), line.colour)
        if line.marker:
            self._markers.update({(x // 2, y // 4): (line.marker, line.colour) for x, y in points})

    def _set(self, x: int, y: int, colour: str) -> None:
        bits, _ = self._dots.get((x // 2, y // 4), (0, colour))
        self._dots[x // 2, y // 4] = bits | _DOTS[y % 4][x % 2], colour

    def text(self, row: int) -> Text:
        """One line of it."""
        text = Text()
        for cell in ((column, row) for column in range(self._columns)):
            bits, colour = self._dots.get(cell, (0, ""))
            marker = self._markers.get(cell, (chr(0x2800 + bits) if bits else " ", colour))
            text.append(*marker)
        return text
