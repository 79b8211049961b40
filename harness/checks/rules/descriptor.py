# SPDX-License-Identifier: BSD-3-Clause
"""Rule 7: entries make sense."""

from __future__ import annotations

from typing import Any

from harness.arch.bits import get, mask
from harness.arch.descriptor import CONTIGUOUS_RUN, decode, kind_of
from harness.checks.findings import Rule
from harness.checks.model.change import Change
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import ADDRESS, VALID, Use
from harness.checks.rules.base import Report
from harness.checks.rules.leaves import EntryCheck

_AF, _CONTIGUOUS = 1 << 10, 1 << 52
_PA_BITS = (32, 36, 40, 42, 44, 48, 52)  # ID_AA64MMFR0_EL1.PARange


class DescriptorMakesSense(EntryCheck):
    """Reserved encodings, addresses that cannot be, attributes that nobody defined, torn contiguous runs."""

    rule = Rule(
        *(7, "descriptor", "D8.3 and D8.7.1"),
        "a valid entry is of a kind its level has, its address exists and is aligned, its attributes are "
        "defined; a contiguous run is complete and alike",
        ("access-flag", "address-size", "attribute-index", "contiguous", "misaligned", "reserved"),
    )

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self._contiguous: dict[int, Change] = {}

    def look(self, model: Model, change: Change) -> bool:
        """Each thing by itself."""
        use, raw = change.use, change.new
        granule = use.root.regime.granule
        if kind_of(raw, use.level, granule) == "reserved":
            message = f"an entry of level {use.level} has the reserved encoding {raw & 3:#04b}"
            self.found("reserved", message, change, change)
            return False
        good = self._look_at_address(model, change)
        if use.is_table(raw):
            return good
        if not raw & _AF and use.root.half == "ttbr1" and not model.hardware_af:
            message = "the access flag of a kernel page is clear, and the hardware does not set it"
            self.found("access-flag", message, change, change)
            good = False
        index = get(raw, 4, 2)
        if use.root.regime.memory_type(index).startswith("reserved"):
            self.found("attribute-index", f"MAIR_EL1 gives attribute {index} no meaning", change, change)
            good = False
        if raw & _CONTIGUOUS:
            self._contiguous[change.entry] = change
            good = False
        return good

    def _look_at_address(self, model: Model, change: Change) -> bool:
        use, raw = change.use, change.new
        if self.good_address(model, use, raw):
            return True
        address = decode(raw, use.level, use.root.regime.granule).output_address
        if address >> _pa_bits(model, use):
            message = f"the output address is beyond the {_pa_bits(model, use)} bits of a physical address"
            self.found("address-size", message, change, change)
        else:
            size = 1 << use.shift
            message = f"PA {raw & ADDRESS:#x} is not aligned to the {size:#x} bytes of its level"
            self.found("misaligned", message, change, change)
        return False

    def good_address(self, model: Model, use: Use, raw: int) -> bool:
        """Aligned, and within the physical address size."""
        low = use.root.regime.granule.shift if use.is_table(raw) else use.shift
        unaligned = raw & ADDRESS & mask(low - 1, 0)
        return not unaligned and not (raw & ADDRESS) >> _pa_bits(model, use)

    def entry_gone(self, model: Model, change: Change) -> None:
        """One of a contiguous run: what is left of the run is none."""
        if change.old & _CONTIGUOUS and not change.new & VALID and change.use.is_leaf(change.old):
            self._contiguous.update(_left(model, change))

    def settled(self, model: Model, reliance: Reliance) -> None:
        """By now contiguous runs are complete."""
        for change in self._contiguous.values():
            is_table = change.use in model.book.at(change.entry)
            there = is_table and model.memory.read_qword(change.entry) == change.new
            if there and not _alike(model, change):
                message = "a contiguous run is incomplete, or its entries differ in more than the address"
                self.found("contiguous", message, change, change)
        self._contiguous.clear()

    def save(self) -> Any:
        """The runs that are still being made."""
        return dict(self._contiguous)

    def restore(self, state: Any) -> None:
        """Back to them."""
        self._contiguous = dict(state or {})
        self._good.clear()


def _pa_bits(model: Model, use: Use) -> int:
    return min(use.root.regime.output_bits, _PA_BITS[model.pa_range])


def _run(change: Change) -> tuple[int, int]:
    """The first entry of the run that an entry is part of, and how many there are."""
    use = change.use
    count = CONTIGUOUS_RUN[use.root.regime.granule].get(use.level, 1)
    return change.entry - (change.entry - use.table) // 8 % count * 8, count


def _left(model: Model, change: Change) -> dict[int, Change]:
    """The next entry that is left of the run of one that goes, if any is."""
    first, count = _run(change)
    for entry in (*range(change.entry + 8, first + 8 * count, 8), *range(first, change.entry, 8)):
        raw = model.memory.read_qword(entry) or 0
        if raw & _CONTIGUOUS and raw & VALID:
            return {entry: change._replace(entry=entry, old=0, new=raw)}
    return {}


def _alike(model: Model, change: Change) -> bool:
    """Whether the run that an entry says it is part of is one (D8.7.1)."""
    use, raw = change.use, change.new
    first, count = _run(change)
    start = (raw & ADDRESS) - ((change.entry - first) // 8 << use.shift)
    if start & ((count << use.shift) - 1):
        return False
    expected = [raw & ~ADDRESS | start + (at << use.shift) for at in range(count)]
    found = [model.memory.read_qword(first + 8 * at) for at in range(count)]
    return all(entry is not None and entry & VALID for entry in found) and found == expected
