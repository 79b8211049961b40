# SPDX-License-Identifier: BSD-3-Clause
"""A printf format with its arguments still in registers, as text: what a panic function was about to say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.errors import HarnessError
from harness.image.types import VOID, Pointer
from harness.kernel.values import Memory, PointerValue

_CONVERSION = re.compile(
    r"%(?P<flags>[-0 +#]*)(?P<width>\d*)(?:\.\d+)?(?P<length>hh|h|ll|l|z|j|t)?(?P<kind>[diuxXpcs%])"
)


def expand(text: str, words: Sequence[int], memory: Memory) -> str:
    """`text` with its conversions replaced by the 64-bit words, one each; strings are read from memory."""
    rest = iter(words)
    return _CONVERSION.sub(lambda found: _convert(found, rest, memory), text)


def _convert(found: re.Match[str], rest: Iterator[int], memory: Memory) -> str:
    kind = found["kind"]
    if kind == "%":
        return "%"
    word = next(rest, None)
    if word is None:
        return found[0]
    shown = _text(kind, word, found["length"], memory)
    if "-" in found["flags"]:
        return shown.ljust(int(found["width"] or 0))
    return shown.rjust(int(found["width"] or 0), "0" if "0" in found["flags"] else " ")


def _text(kind: str, word: int, length: str | None, memory: Memory) -> str:
    if kind == "s":
        try:
            return PointerValue(word, Pointer(VOID), memory).string()
        except HarnessError:
            return f"<{word:#x}>"
    bits = 64 if length in ("l", "ll", "z", "j", "t") or kind == "p" else 32
    number = word & ((1 << bits) - 1)
    if kind in "di" and number >> (bits - 1):
        number -= 1 << bits
    return {"x": f"{number:x}", "X": f"{number:X}", "p": f"{number:#x}", "c": chr(number & 0x7F)}.get(
        kind, str(number)
    )
