# SPDX-License-Identifier: BSD-3-Clause
"""The figures that ukvmem's specification draws beside its fifth example: what a heap's VMAs look like."""

from __future__ import annotations

import re
from typing import NamedTuple

# What has been done, and the VMAs from the heap's base on after it; a figure that is open below goes on.
FIGURES = {
    "Reserve 1GB": """
┌────────┐0MB
│        │
│  RSVD  │
│        │
│        │
└ ─ ─ ─ ─┘""",
    "Initial 1MB mapping": """
┌────────┐0MB
│  HEAP  │
├────────┤1MB
│  RSVD  │
│        │
└ ─ ─ ─ ─┘""",
    "Grow mapping by 2MB": """
┌────────┐0MB
│/  /  / │
│  HEAP  │
│ /  /  /│
├────────┤3MB
└ ─ ─ ─ ─┘""",
    "Shrink mapping by 1MB": """
┌────────┐0MB
│/  /  / │
│  HEAP  │
├────────┤2MB
│  RSVD  │
└ ─ ─ ─ ─┘""",
}
WHOLE = 1024  # megabytes that the example reserves


class Drawn(NamedTuple):
    """A VMA of a figure, in megabytes from the heap's base; what has no room for its label is the rest."""

    start: int
    end: int
    label: str


def lines_of(figure: str) -> list[str]:
    """The figure's lines, from its upper edge to its lower one."""
    return figure.strip("\n").splitlines()


def read_figure(figure: str) -> list[Drawn]:
    """The VMAs that a figure shows."""
    edges = [int(found) for found in re.findall(r"[┐┤](\d+)MB", figure)]
    boxes = re.split(r"[┌├]─+[┐┤]\d+MB", figure)[1:]
    labels = [(re.findall(r"[A-Z]+", box) or ["RSVD"])[0] for box in boxes]
    return [Drawn(*each) for each in zip(edges, [*edges[1:], WHOLE], labels, strict=True)]
