# SPDX-License-Identifier: BSD-3-Clause
"""The stack as GDB numbers it: an inlined call is a frame of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.debugger.expressions.values import CValue, ExpressionError
from harness.image import ElfImage, Frame, SourceLocation
from harness.image.expr import MASK
from harness.image.scope import Local, Piece
from harness.image.types import sizeof, strip
from harness.image.unwind import NAMES
from harness.kernel.failure import backtrace
from harness.kernel.session import RETURN_ADDRESS
from harness.kernel.values import Memory
from harness.machine import Machine


@dataclass(frozen=True, slots=True)
class FrameView:
    """One frame. `depth` counts the inlined calls within the same compiled function that lie inside it."""

    index: int
    frame: Frame
    depth: int

    @property
    def function(self) -> str | None:
        """The C function's name."""
        return self.frame.source[self.depth].function if self.frame.source else self.frame.function

    @property
    def location(self) -> SourceLocation | None:
        """Where in the source it stands."""
        return self.frame.source[self.depth].location if self.frame.source else None

    @property
    def is_inlined(self) -> bool:
        """Whether the call was inlined."""
        return bool(self.frame.source) and self.frame.source[self.depth].is_inlined

    @property
    def lookup(self) -> int:
        """The address by which its variables are found."""
        return self.frame.pc - (0 if self.frame.is_exact else 1)

    @property
    def registers(self) -> Mapping[str, int]:
        """The registers whose value in this frame is known."""
        return self.frame.registers


def stack(machine: Machine, image: ElfImage) -> tuple[tuple[FrameView, ...], str]:
    """The frames, innermost first, and why there are no more ("" at the outermost)."""
    found = backtrace(machine, image, (RETURN_ADDRESS,))
    views: list[FrameView] = []
    for frame in found:
        for depth in range(max(1, len(frame.source))):
            views.append(FrameView(len(views), frame, depth))
    return tuple(views), "" if found.is_complete else found.reason


class _Context:
    """A frame as location expressions ask about it."""

    def __init__(self, view: FrameView, memory: Memory) -> None:
        self._view, self._memory = view, memory

    def register(self, number: int) -> int:
        name = NAMES.get(number, f"register {number}")
        if name not in self._view.registers:
            raise ExpressionError(f"{name} of this frame is lost")
        return self._view.registers[name]

    def memory(self, address: int, size: int) -> int:
        return int.from_bytes(self._memory.read(address, size), "little")

    def cfa(self) -> int:
        if self._view.frame.cfa is None:
            raise ExpressionError("the frame's address is not known")
        return self._view.frame.cfa


def local_value(image: ElfImage, view: FrameView, memory: Memory, local: Local) -> CValue:
    """A local variable's value; without data where the compiler keeps none at this place."""
    context = _Context(view, memory)
    try:
        pieces = image.scopes.place(local, view.lookup, context)
        size = sizeof(strip(local.type))
        if len(pieces) == 1 and pieces[0].kind == "memory" and pieces[0].size in (None, size):
            address = pieces[0].number & MASK
            return CValue(local.type, memory.read(address, size), address)
        data = b"".join(_bytes(piece, size, context) for piece in pieces)
    except (ExpressionError, ValueError):
        return CValue(local.type, None)
    register = NAMES.get(pieces[0].number) if len(pieces) == 1 and pieces[0].kind == "register" else None
    return CValue(local.type, data if len(data) == size else None, register=register)


def _bytes(piece: Piece, size: int, context: _Context) -> bytes:
    wanted = size if piece.size is None else piece.size
    if piece.kind == "memory":
        return context.memory(piece.number & MASK, wanted).to_bytes(wanted, "little")
    if piece.kind == "lost":
        raise ExpressionError("a part was optimized out")
    number = context.register(piece.number) if piece.kind == "register" else piece.number
    return (number % (1 << 8 * wanted)).to_bytes(wanted, "little")
