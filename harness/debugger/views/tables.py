# SPDX-License-Identifier: BSD-3-Clause
"""Walks with their verdicts, and differences between two moments of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from harness.arch.permissions import Access
from harness.arch.regime import Regime
from harness.arch.walker import Walk
from harness.kernel import Difference, Leaf
from harness.report import words
from harness.report.listing import grid
from harness.report.sizes import about_size, format_size
from harness.report.walk import walk_report

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_ACCESSES: tuple[Access, ...] = ("r", "w", "x")
_VERBS = {"r": "read", "w": "write", "x": "execute"}


def ask(debugger: Debugger, va: int, ttbr0: int | None) -> dict[str, str]:
    """What the emulated MMU says of an address, for each level and access, by AT and by a fetch."""
    if ttbr0 is None:
        return _answers(debugger, va)
    with debugger.aside():
        debugger.machine.sysreg["TTBR0_EL1"] = ttbr0
        return _answers(debugger, va)


def _answers(debugger: Debugger, va: int) -> dict[str, str]:
    machine, found = debugger.machine, dict[str, str]()
    for el in (0, 1):
        for access in ("r", "w"):
            answer = machine.translate(va, el, "w" if access == "w" else "r")
            found[f"S1E{el}{access.upper()}"] = (
                str(answer).partition(" -> ")[2] or str(answer).partition(": ")[2]
            )
        found[f"fetch at EL{el}"] = "yes" if machine.can_execute(va, el) else "no"
    return found


def walk(found: Walk, answers: Mapping[str, str]) -> RenderableType:
    """The entries, then for each level of privilege what is allowed, then what the MMU says."""
    table = grid("", *_VERBS.values(), "AT read", "AT write", "fetch")
    for el in (0, 1):
        faults = [found.check(el, access) for access in _ACCESSES]
        verdicts = ["yes" if fault is None else "no" for fault in faults]
        asked = (f"S1E{el}R", f"S1E{el}W", f"fetch at EL{el}")
        said = [_short(answers[each]) for each in asked]
        table.add_row(f"EL{el}", *verdicts, *said)
    return Group(walk_report(found), table)


def _short(text: str) -> str:
    """ "permission fault, level 3" as "permission L3", for the columns of a table."""
    return text.replace(" fault, level ", " L")


def size_of(size: int) -> str:
    """A size in short."""
    return about_size(size) if size else "nothing"


def differences(
    name: str,
    since: str,
    found: list[Difference],
    before: Mapping[int, int],
    after: Mapping[int, int],
    regime: Regime,
) -> RenderableType:
    """Table pages that came and went, then each leaf that is not as it was."""
    parts: list[RenderableType] = [Text(f"{name}: changes since {since}", "bold")]
    for pa in sorted(before.keys() - after.keys()):
        parts.append(Text(f"- L{before[pa]} table {words.address(pa)}", "red"))
    for pa in sorted(after.keys() - before.keys()):
        parts.append(Text(f"+ L{after[pa]} table {words.address(pa)}", "green"))
    table = grid("", "VA", ">size", "PA", "EL0", "EL1", "memory", "entry at")
    digits = words.va_digits(regime)
    for each in found:
        for sign, leaf in (("-", each.before), ("+", each.after)):
            if leaf is not None:
                table.add_row(sign, *_row(leaf, digits), style="red" if sign == "-" else "green")
    if found:
        parts.append(table)
    return Group(*parts) if len(parts) > 1 else Text(f"{name}: nothing changed since {since}")


def _row(leaf: Leaf, digits: int) -> list[str]:
    return [
        *(words.address(leaf.va, digits), format_size(leaf.size), words.address(leaf.pa)),
        *(str(leaf.permissions.el0), str(leaf.permissions.el1), leaf.memory),
        words.address(leaf.entry_address),
    ]


def differences_data(
    found: list[Difference], before: Mapping[int, int], after: Mapping[int, int]
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "tables_removed": [hex(pa) for pa in sorted(before.keys() - after.keys())],
        "tables_added": [hex(pa) for pa in sorted(after.keys() - before.keys())],
        "leaves": [
            {
                "change": each.change,
                "va": hex(each.va),
                "before": _leaf(each.before),
                "after": _leaf(each.after),
            }
            for each in found
        ],
    }


def _leaf(leaf: Leaf | None) -> dict[str, Any] | None:
    if leaf is None:
        return None
    rights = {"el0": str(leaf.permissions.el0), "el1": str(leaf.permissions.el1)}
    return {"pa": hex(leaf.pa), "size": leaf.size, **rights, "entry": hex(leaf.entry_address)}
