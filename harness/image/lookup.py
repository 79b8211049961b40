# SPDX-License-Identifier: BSD-3-Clause
"""What is said when an image has no such symbol, type, function or macro."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from harness.errors import ImageError


class UnknownNameError(ImageError, KeyError):
    """An image defines nothing of that name; also a KeyError, so mappings behave as Python expects."""

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        super().__init__(kind, name)
        self._known = known
        self._hint = hint

    def __str__(self) -> str:
        # Composed only when shown: `in` and `get` of mappings raise and drop this error.
        kind, name = self.args
        close = get_close_matches(name, list(self._known), n=3) if isinstance(name, str) else []
        suggestion = f"; did you mean {' or '.join(close)}?" if close else ""
        advice = f"; {self._hint}" if self._hint else ""
        return f"no {kind} named {name!r} in this image{suggestion}{advice}"
