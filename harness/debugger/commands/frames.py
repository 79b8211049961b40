# SPDX-License-Identifier: BSD-3-Clause
"""Physical memory by the kernel's own books."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.debugger.commands.mmu import asking, number
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.result import Result
from harness.image.types import Enum, Record
from harness.kernel import Tables
from harness.report import words
from harness.report.listing import grid
from harness.report.sizes import format_size
from harness.report.spaces import has_spaces, live_spaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.debugger.session import Debugger

_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the buddy allocator by its head's record."""

    pa: int
    order: int
    purpose: str

    @property
    def size(self) -> int:
        """Bytes."""
        return _PAGE << self.order


def blocks(debugger: Debugger) -> Iterator[Block]:
    """All blocks, free single frames last. Raises UsageError for a kernel whose allocator is not known."""
    kernel = debugger.kernel
    if "frame_records" not in kernel.image.variables or "enum frame_purpose" not in kernel.image.types:
        raise UsageError("this kernel has no frame allocator that is known here: LuKOS has, in core/frames.c")
    records, record = kernel.variable("frame_records"), kernel.type("struct frame")
    size, count = kernel.sizeof("struct frame"), int(records.count)
    enum = kernel.type("enum frame_purpose")
    assert isinstance(record, Record)
    assert isinstance(enum, Enum)
    if not count:
        raise UsageError("the frame allocator has no frames at this moment")
    data = debugger.scope.read(int(records.at), size * count)
    purposes = {value: name for name, value in enum.members.items()}
    purpose_at, order = record.member("purpose").offset, record.member("order")
    mask, at = (1 << (order.bit_size or 8)) - 1, 0
    while at < count:
        purpose = data[at * size + purpose_at]
        exponent = data[at * size + order.offset] & mask if purpose else 0
        if purpose:
            yield Block((int(records.first) + at) * _PAGE, exponent, purposes.get(purpose, str(purpose)))
        at += 1 << exponent
    yield from _single_frames(debugger, int(records.at), int(records.first), size)


def _single_frames(debugger: Debugger, records: int, first: int, size: int) -> Iterator[Block]:
    """What is left of the blocks that single frames are taken of, as the largest blocks there can be."""
    for run in debugger.kernel.variable("pool").singles:
        at, end = ((int(each) - records) // size + first for each in (run.next, run.end))
        while at < end:
            order = min((at & -at).bit_length(), (end - at).bit_length()) - 1
            yield Block(at * _PAGE, order, "FRAME_FREE")
            at += 1 << order


@command("frames", group="mmu", example="frames 0x40800000", completes="expression", view=True)
def frames(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the buddy allocator's state, or of a physical address its block, its purpose, and who maps it."""
    if arguments.text:
        return _one(debugger, number(debugger, arguments.text))
    free, used = Counter[int](), Counter[str]()
    for each in blocks(debugger):
        if each.purpose == "FRAME_FREE":
            free[each.order] += 1
        used[each.purpose] += 1 << each.order
    table = grid("purpose", ">frames", ">size")
    for purpose, count in sorted(used.items()):
        table.add_row(purpose, str(count), format_size(count * _PAGE))
    orders = grid(">order", ">size", ">free blocks")
    for order, count in sorted(free.items()):
        orders.add_row(str(order), format_size(_PAGE << order), str(count))
    data = {"frames": dict(used), "free_blocks": {str(order): count for order, count in sorted(free.items())}}
    return Result(Group(table, Text(), orders), data)


def _one(debugger: Debugger, pa: int) -> Result:
    found = next((each for each in blocks(debugger) if each.pa <= pa < each.pa + each.size), None)
    if found is None:
        raise UsageError(f"{pa:#x} belongs to no block: it is not RAM that the allocator manages")
    head = (
        f"{pa:#x}: {found.purpose}, block of {format_size(found.size)} at {found.pa:#x} (order {found.order})"
    )
    parts: list[RenderableType] = [Text(head)]
    mappings = _mappings(debugger, pa)
    for each in mappings:
        parts.append(Text(f"mapped by {each['tables']} at {each['va']}: EL0 {each['el0']} EL1 {each['el1']}"))
    data = {"pa": hex(pa), "block": hex(found.pa), "order": found.order, "purpose": found.purpose}
    return Result(Group(*parts), {**data, "mappings": mappings})


def _mappings(debugger: Debugger, pa: int) -> list[dict[str, Any]]:
    """Every leaf, of the kernel and of each address space, that maps a physical address."""
    with asking(debugger):
        kernel = debugger.kernel
        halves = [kernel.tables()]
        if has_spaces(kernel):
            halves += [kernel.tables(each) for each in live_spaces(kernel)]
        return [each for half in halves for each in _in_half(half, pa)]


def _in_half(tables: Tables, pa: int) -> Iterator[dict[str, Any]]:
    for leaf in tables.leaves():
        if leaf.pa <= pa < leaf.pa + leaf.size:
            rights = {"el0": str(leaf.permissions.el0), "el1": str(leaf.permissions.el1)}
            va = words.address(leaf.va + pa - leaf.pa, words.va_digits(tables.regime))
            yield {"tables": tables.name, "va": va, **rights}
