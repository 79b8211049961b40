# SPDX-License-Identifier: BSD-3-Clause
"""What is said when an image has no such symbol, type, function or macro."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from harness.errors import ImageError


class UnknownNameError(ImageError, KeyError):
    """An image defines nothing of that name; also a KeyError, so mappings behave as Python expects."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show repr(), with quotes around the sentence


def unknown(kind: str, name: object, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """The error for a `name` that is not among `known`, with the closest names that are."""
    close = get_close_matches(name, list(known), n=3) if isinstance(name, str) else []
    suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
    advice = f"; {hint}" if hint else ""
    return UnknownNameError(f"no {kind} named {name!r} in this image{suggestion}{advice}")
