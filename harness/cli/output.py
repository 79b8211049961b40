# SPDX-License-Identifier: BSD-3-Clause
"""Where text goes."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console, RenderableType

from harness.report.text import PLAIN_WIDTH, plain


def show(renderable: RenderableType) -> None:
    """Print for people: in colours and to its width on a terminal, plain and wide elsewhere."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(renderable)
    else:
        print(plain(renderable, PLAIN_WIDTH))
    sys.stdout.flush()


def show_json(value: Any) -> None:
    """Print for programs."""
    print(json.dumps(value, indent=2))


class Stream:
    """The guest's console on our standard output, byte for byte, as the guest sends it."""

    def __call__(self, character: str) -> None:
        """Take one byte, as the machine's console sink."""
        sys.stdout.buffer.write(character.encode("latin-1"))
        if character == "\n":
            sys.stdout.buffer.flush()

    def __enter__(self) -> Stream:
        sys.stdout.flush()
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.buffer.flush()


def silent(_character: str) -> None:
    """A console sink that shows nothing; the machine keeps the text all the same."""
