# SPDX-License-Identifier: BSD-3-Clause
"""What a check found, as objects and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.arch.descriptor import Descriptor
from harness.checks.model.change import Change
from harness.errors import GuestViolation


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the architecture: its number among ours, name, section of Arm DDI 0487, and what it says.

    `checks` are the names of the ways to break it.
    """

    number: int
    name: str
    reference: str
    summary: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """An instruction: its address, source line, and the calls that led there, innermost first."""

    pc: int
    source: str
    backtrace: str = ""

    def __str__(self) -> str:
        return f"{self.pc:#x} {self.source}".rstrip()


@dataclass(frozen=True, slots=True)
class Entry:
    """A descriptor: its address, level, what it translates, what it was and what it is."""

    address: int
    level: int
    va: int
    size: int
    old: str
    new: str

    @classmethod
    def of(cls, change: Change) -> Entry:
        """The entry that a store changed."""
        old, new = describe(change.before), describe(change.after)
        return cls(change.entry, change.use.level, change.va, 1 << change.use.shift, old, new)

    def __str__(self) -> str:
        return (
            f"L{self.level} entry at PA {self.address:#x}, VA [{self.va:#x}, {self.va + self.size:#x})\n"
            f"  was {self.old}\n  is  {self.new}"
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation: the rule, and what about it (`check`, its name within the rule).

    `where` is the instruction at fault, `seen_at` the one that relied on what was missing.
    """

    rule: Rule
    check: str
    message: str
    where: Where
    entry: Entry | None = None
    missing: str = ""
    seen_at: Where | None = None
    time: int = 0
    more: int = 0

    @property
    def name(self) -> str:
        """What suppressions name: rule and check."""
        return f"{self.rule.name}/{self.check}"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.message}", f"  rule {self.rule.number}: {self.rule.summary}"]
        lines.append(f"  Arm DDI 0487, {self.rule.reference}")
        lines.append(f"at {self.where}")
        lines += _indented(self.where.backtrace)
        if self.entry is not None:
            lines += _indented(str(self.entry))
        if self.missing:
            lines.append(f"missing: {self.missing}")
        if self.seen_at is not None:
            lines.append(f"relied upon at {self.seen_at}")
            lines += _indented(self.seen_at.backtrace)
        if self.more:
            lines.append(f"({self.more} more entries of the same instruction)")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        entry = self.entry
        return {
            "rule": self.rule.name,
            "check": self.check,
            "reference": self.rule.reference,
            "message": self.message,
            "time": self.time,
            "where": _where_dict(self.where),
            "seen_at": None if self.seen_at is None else _where_dict(self.seen_at),
            "missing": self.missing,
            "entry": None
            if entry is None
            else {name: getattr(entry, name) for name in ("address", "level", "va", "size", "old", "new")},
            "more": self.more,
        }


def report(findings: Sequence[Finding]) -> str:
    """Findings as text."""
    count = len(findings)
    heading = f"{count} violation{'s' if count != 1 else ''} of the architecture"
    return "\n\n".join([heading, *map(str, findings)])


def violation(findings: Sequence[Finding]) -> GuestViolation:
    """The error that tells of findings."""
    return GuestViolation(report(findings), findings=list(findings))


def describe(descriptor: Descriptor) -> str:
    """A descriptor in a line."""
    text = f"{descriptor.raw:#018x} {descriptor.kind}"
    if descriptor.kind == "table":
        return f"{text} -> PA {descriptor.output_address:#x}"
    if not descriptor.is_leaf:
        return text
    flags = {
        "EL0": descriptor.ap & 1,
        "RO": descriptor.ap & 2,
        "nG": descriptor.ng,
        "UXN": descriptor.uxn,
        "PXN": descriptor.pxn,
        "AF": descriptor.af,
        "Contiguous": descriptor.contiguous,
    }
    shown = " ".join(name for name, is_set in flags.items() if is_set)
    return f"{text} PA {descriptor.output_address:#x} Attr{descriptor.attr_index} SH{descriptor.sh} {shown}"


def _where_dict(where: Where) -> dict[str, Any]:
    return {"pc": where.pc, "source": where.source, "backtrace": where.backtrace.splitlines()}


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
