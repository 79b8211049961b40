# SPDX-License-Identifier: BSD-3-Clause
"""The same lines as an SVG drawing, for a page in light or dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from harness.report.chart import Axis, Line, axes

_LEFT, _TOP, _WIDTH, _HEIGHT = 80, 56, 560, 360  # of the plot
_LEGEND, _LINE = 380, 22
_COLOURS = {
    "cyan": "#0891b2",
    "green": "#16a34a",
    "yellow": "#ca8a04",
    "magenta": "#c026d3",
    "red": "#dc2626",
    "blue": "#2563eb",
}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2937}.title{font-size:16px;font-weight:600}"
    ".grid{stroke:#d1d5db}.tick,.axis{fill:#6b7280}polyline{fill:none;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.grid{stroke:#374151}.tick,.axis{fill:#9ca3af}}"
)


def svg(lines: Sequence[Line], title: str, across: str) -> str:
    """A document of its own."""
    horizontal, vertical = axes(lines)
    width, height = _LEFT + _WIDTH + _LEGEND, _TOP + _HEIGHT + 60
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="{_LEFT}" y="28">{escape(title)}</text>',
            *_grid(horizontal, vertical),
            f'<text class="axis" x="{_LEFT + _WIDTH // 2}" y="{_TOP + _HEIGHT + 44}" text-anchor="middle">'
            f"{escape(across)}</text>",
            *(part for line in lines for part in _line(line, horizontal, vertical)),
            *_legend(lines),
            "</svg>\n",
        ]
    )


def _place(horizontal: Axis, vertical: Axis, x: float, y: float) -> tuple[float, float]:
    return _LEFT + _WIDTH * horizontal.at(x), _TOP + _HEIGHT * (1 - vertical.at(y))


def _grid(horizontal: Axis, vertical: Axis) -> Iterator[str]:
    right, bottom = _LEFT + _WIDTH, _TOP + _HEIGHT
    for tick in vertical.ticks:
        y = _place(horizontal, vertical, 10**horizontal.first, tick)[1]
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,}</text>'
    for tick in horizontal.ticks:
        x = _place(horizontal, vertical, tick, 10**vertical.first)[0]
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:,}</text>'


def _line(line: Line, horizontal: Axis, vertical: Axis) -> Iterator[str]:
    colour = _COLOURS[line.colour]
    places = [_place(horizontal, vertical, x, y) for x, y in sorted(line.points.items())]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = "" if line.marker else ' stroke-dasharray="2 5" stroke-linecap="round"'
    yield f'<polyline points="{joined}" stroke="{colour}"{dashes}/>'
    if line.marker:
        for (x, y), (_, value) in zip(places, sorted(line.points.items()), strict=True):
            title = f"<title>{value:,.0f}</title>"
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{title}</circle>'


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    left = _LEFT + _WIDTH + 24
    for number, line in enumerate(lines):
        y, colour = _TOP + 10 + number * _LINE, _COLOURS[line.colour]
        dashes = "" if line.marker else ' stroke-dasharray="2 5" stroke-linecap="round"'
        yield f'<polyline points="{left},{y} {left + 24},{y}" stroke="{colour}"{dashes}/>'
        yield f'<text x="{left + 32}" y="{y + 4}">{escape(line.label)}</text>'
