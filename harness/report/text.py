# SPDX-License-Identifier: BSD-3-Clause
"""Renderables as plain text, for files, test reports and tests."""

from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

PLAIN_WIDTH = 150  # where there is no terminal: wide enough for the widest listing


def plain(renderable: RenderableType, width: int = PLAIN_WIDTH) -> str:
    """Without colours, at most `width` columns wide, no blanks at the ends of lines."""
    console = Console(file=StringIO(), width=width, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
