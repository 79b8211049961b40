# SPDX-License-Identifier: BSD-3-Clause
"""What the VMA engine costs, beside what is asked of it and what the original costs: tables and a picture."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from harness.bench.asked import ASKED, MOST_BYTES, ORIGINAL_BYTES, Asked
from harness.bench.growth import Growth
from harness.report.chart import Line
from harness.report.listing import grid

ACROSS = "N, the number of VMAs"
SOURCE = (
    "original: Unikraft's ukvmem, its sources unmodified, -O2, assertions off, on the same emulated CPU\n"
    "TLBI, DSB: the most with any N"
)
_DRAWN = {
    "find slowest": ("cyan", "●"),
    "map anywhere": ("green", "▲"),
    "fault": ("yellow", "◆"),
    "split": ("magenta", "■"),
}
_FIND = "find"  # the original's figure for it is for the last VMA, its slowest


def asked_table(growth: Growth) -> Table:
    """Each operation with a bound: original, ours, bound, and whether it is met."""
    shown = [count for count in growth.counts if count in (1, 10_000, 100_000)]
    ours = [f">ours {count:,}" if count == shown[0] else f">{count:,}" for count in shown]
    table = grid("instructions with N VMAs", ">original 1", ">10,000", *ours, ">at most", "")
    for asked in ASKED:
        costs = growth.costs[asked.key]
        table.add_row(
            asked.text,
            *(f"{asked.original[count]:,}" if count in asked.original else "" for count in (1, 10_000)),
            *(f"{costs[count].instructions:,}" for count in shown),
            f"{asked.most:,}" if asked.most_alone is None else f"{asked.most_alone:,}, then {asked.most:,}",
            _met(all(cost.instructions <= asked.bound(count) for count, cost in costs.items())),
        )
    low, high = growth.metadata
    ours = [f"{low}" if low == high else f"{low}-{high}", *[""] * (len(shown) - 1)]
    original = "-".join(map(str, ORIGINAL_BYTES))
    table.add_row("bytes of a VMA", original, "", *ours, f"{MOST_BYTES}", _met(high <= MOST_BYTES))
    return table


def barrier_table(growth: Growth) -> Table:
    """The same for barriers and TLB invalidations, where they are bounded."""
    table = grid("TLBI and DSB executed", "", ">original", ">ours", ">at most", "")
    for asked in ASKED:
        costs = growth.costs[asked.key].values()
        for name, original, ours, most in (
            ("TLBI", asked.original_tlbi, max(cost.tlbi for cost in costs), asked.most_tlbi),
            ("DSB", asked.original_dsb, max(cost.dsb for cost in costs), asked.most_dsb),
        ):
            if most is not None:
                table.add_row(asked.text, name, f"{original:,}", f"{ours:,}", f"{most}", _met(ours <= most))
    return table


def _met(yes: bool) -> Text:
    return Text("met", "green") if yes else Text("NOT MET", "bold red")


def debug_table(release: Growth, debug: Growth) -> Table:
    """What assertions and poison cost on top."""
    counts = debug.counts
    table = grid("with assertions and poison (Debug)", *(f">N = {n:,}" for n in counts), ">times Release")
    for asked in ASKED:
        costs = debug.costs[asked.key]
        ratio = costs[counts[-1]].instructions / release.costs[asked.key][counts[-1]].instructions
        table.add_row(asked.text, *(f"{costs[n].instructions:,}" for n in counts), f"{ratio:.1f}")
    return table


def lines(growth: Growth) -> list[Line]:
    """The picture: ours as measured; the original as the line that its two figures lie on."""
    drawn = []
    by_key = {asked.key: asked for asked in ASKED}
    for key, (colour, marker) in _DRAWN.items():
        points = {float(n): float(cost.instructions) for n, cost in growth.costs[key].items()}
        drawn.append(Line(by_key[key].text, points, colour, marker))
    for key, (colour, _) in _DRAWN.items():
        asked = by_key[key] if by_key[key].original else by_key[_FIND]
        drawn.append(Line(f"original: {asked.text}", _linear(asked), colour))
    return drawn


def _linear(asked: Asked) -> dict[float, float]:
    (low, first), (high, second) = sorted(asked.original.items())
    slope = (second - first) / (high - low)
    steps = range(10 * round(math.log10(high / low)) + 1)
    return {x: first + slope * (x - low) for x in (low * 10 ** (step / 10) for step in steps)}
