# SPDX-License-Identifier: BSD-3-Clause
"""The translation of one address, level by level."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from harness.arch.descriptor import Descriptor
from harness.arch.walker import Walk
from harness.report import words
from harness.report.listing import grid
from harness.report.sizes import format_size


def walk_report(walk: Walk) -> RenderableType:
    """Each entry that is read, and the outcome."""
    table = grid("level", "entry at", "descriptor", "kind", "~means")
    for step in walk.steps:
        entry = step.descriptor
        table.add_row(
            f"L{step.level}",
            words.address(step.entry_address),
            words.address(step.raw, 16),
            entry.kind,
            meaning(entry),
        )
    return Group(Text(f"walk of {walk.va:#018x}", "bold"), table, outcome(walk))


def meaning(entry: Descriptor) -> str:
    """What a descriptor says, by the names of the Arm ARM."""
    if entry.raw == 0:
        return "nothing"
    if entry.kind == "table":
        limits = [("APTable", entry.ap_table), ("UXNTable", entry.uxn_table), ("PXNTable", entry.pxn_table)]
        return " ".join([f"next {entry.output_address:#x}", *_set(limits)])
    fields = [f"PA {entry.output_address:#x}", f"AP={entry.ap:02b}", f"SH={entry.sh:02b}"]
    flags = [("AF", entry.af), ("nG", entry.ng), ("PXN", entry.pxn), ("UXN", entry.uxn)]
    more = [("Contiguous", entry.contiguous), ("DBM", entry.dbm)]
    return " ".join([*fields, f"AttrIndx={entry.attr_index}", *_set(flags + more)])


def _set(flags: list[tuple[str, int]] | list[tuple[str, bool]]) -> list[str]:
    return [name for name, value in flags if value]


def outcome(walk: Walk) -> Text:
    """PA and permissions, or the fault."""
    if walk.fault is not None or walk.pa is None:
        return Text(f"{walk.fault}", "yellow")
    el0, el1 = words.both(walk.permissions)
    size = format_size(walk.page_size)
    return Text.assemble(f"PA {walk.pa:#x}, in a mapping of {size}: EL0 ", el0, ", EL1 ", el1)
