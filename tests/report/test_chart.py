# SPDX-License-Identifier: BSD-3-Clause
"""Charts show the values they are given, where they belong."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.chart import Axis, Chart, Line
from harness.report.svg import svg
from harness.report.text import plain

SVG = "{http://www.w3.org/2000/svg}"
values = st.lists(st.integers(1, 10**9), min_size=1, max_size=20)
RISING = Line("ours & <theirs>", {1: 10, 10: 100, 100: 1_000}, "cyan", "●")
DOTTED = Line("original", {1: 1_000, 100: 10}, "red")


@given(values)
def test_an_axis_has_all_values_in_order(found: list[int]) -> None:
    """From 0 to 1, with ticks at both ends and no power of ten more than it needs."""
    axis = Axis.around(found)
    places = [axis.at(value) for value in sorted(found)]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 1 + 1e-9
    assert [axis.at(axis.ticks[0]), axis.at(axis.ticks[-1])] == [0, 1]
    assert max(found) * 10 > axis.ticks[-1] or len(axis.ticks) == 2


@pytest.mark.parametrize("width", [60, 80, 300])
def test_points_of_a_rising_line_rise(width: int) -> None:
    """Each marker is further right and higher up than the one before, from corner to corner."""
    text = plain(Chart([RISING, DOTTED], "N"), width).split("┴")[0].splitlines()
    marks = [(line.index("●"), -number) for number, line in enumerate(text) if "●" in line]
    assert [mark[0] for mark in marks] == sorted((mark[0] for mark in marks), reverse=True)
    assert len(marks) == len(RISING.points)
    assert marks[-1][0] == text[0].index("┤") + 1
    assert marks[0][1] == 0
    assert max(map(len, text)) <= min(width, 100)


def test_axes_and_lines_are_named() -> None:
    """The values of ticks, what is counted across, and every line."""
    text = plain(Chart([RISING, DOTTED], "number of things"), 80)
    for label in ("  1,000 ┤", "     10 ┤", "number of things", "● ours & <theirs>", "⋯ original"):
        assert label in text


def test_drawing_has_every_point_where_it_belongs() -> None:
    """A circle for each, with its value; a dashed line without circles; names escaped."""
    root = ElementTree.fromstring(svg([RISING, DOTTED], "title", "N"))
    circles = [
        (float(each.attrib["cx"]), -float(each.attrib["cy"]), each.find(f"{SVG}title").text)
        for each in root.iter(f"{SVG}circle")
    ]
    assert circles == sorted(circles)
    assert [text for _, _, text in circles] == ["10", "100", "1,000"]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(circles)]
    assert steps[0] == pytest.approx(steps[1])
    assert sum("stroke-dasharray" in each.attrib for each in root.iter(f"{SVG}polyline")) == 2
    texts = {each.text for each in root.iter(f"{SVG}text")}
    assert {"title", "N", "ours & <theirs>", "original", "1,000"} <= texts
