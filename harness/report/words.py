# SPDX-License-Identifier: BSD-3-Clause
"""How numbers and permissions are written, everywhere the same."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from harness.arch.permissions import Permissions, Rights
from harness.arch.regime import Regime
from harness.report.sizes import format_size
from harness.report.tree import Counts

_STYLES = {"r": "green", "w": "yellow", "x": "cyan", "-": "dim"}


def address(value: int, digits: int = 10) -> str:
    """An address with as many digits as others in its column."""
    return f"{value:#0{digits + 2}x}"


def va_digits(regime: Regime) -> int:
    """Hexadecimal digits of a virtual address of this half."""
    return 16 if regime.half == "ttbr1" else -(-regime.va_bits // 4)


def counts(pages: Counts) -> str:
    """Pages by size, as "3 x 4K, 1 x 2M"; "-" for none."""
    return ", ".join(f"{count} x {format_size(size)}" for size, count in pages) or "-"


def levels(pages: Counts, regime: Regime) -> str:
    """The levels at which leaves of these sizes are, as "3" or "2-3"."""
    by_size = {regime.granule.level_size(level): level for level in range(4 - _levels(regime), 4)}
    found = sorted(by_size[size] for size, _ in pages)
    return "-" if not found else f"{found[0]}" if found[0] == found[-1] else f"{found[0]}-{found[-1]}"


def _levels(regime: Regime) -> int:
    return 4 - regime.start_level


def rights(value: Rights) -> Text:
    """ "rw-", in colours where there are any; what may be written and executed stands out."""
    text = str(value)
    if value.write and value.execute:
        return Text(text, style="bold red")
    return Text.assemble(*((letter, _STYLES[letter]) for letter in text))


def both(permissions: Permissions) -> tuple[Text, Text]:
    """The rights of EL0 and of EL1."""
    return rights(permissions.el0), rights(permissions.el1)


def short_memory(memory: str) -> str:
    """A memory type without its allocation hints: "Normal WB" for "Normal WB RAWA"."""
    words = [word for word in memory.split() if word not in ("RAWA", "RA", "WA", "no-allocate")]
    return " ".join(words)


def plural(count: int, noun: str) -> str:
    """ "1 table", "2 tables"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def faults(found: Mapping[str, int]) -> str:
    """What accesses found missing, of the counts of an address space: "3 read, 1 refused"."""
    kinds = {name.removeprefix("faults_"): n for name, n in found.items() if name.startswith("faults_")}
    return ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n) or "none"
