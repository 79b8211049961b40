# SPDX-License-Identifier: BSD-3-Clause
"""Reports as JSON: addresses are strings in hexadecimal, sizes and counts are numbers."""

from __future__ import annotations

from typing import Any

from harness.arch.permissions import Permissions
from harness.arch.regime import Regime
from harness.arch.walker import Walk
from harness.bench.asked import ASKED, MOST_BYTES, Asked
from harness.bench.growth import Growth
from harness.kernel import ArrayValue, EnumValue, PointerValue, Run, StructValue, Tables
from harness.report.areas import AreaView
from harness.report.spaces import RegionView, SpaceView
from harness.report.tree import Counts, TableNode

Json = dict[str, Any]


def tables_data(tables: Tables) -> Json:
    """A half: how it is translated, its runs, its tables."""
    pages = [{"pa": hex(page.pa), "level": page.level} for page in tables.pages()]
    return {
        "name": tables.name,
        **regime_data(tables.regime),
        "runs": runs_data(tables.runs()),
        "tables": pages,
    }


def regime_data(regime: Regime) -> Json:
    """How a half is translated."""
    return {
        "half": regime.half,
        "va_bits": regime.va_bits,
        "granule": regime.granule.value,
        "root": hex(regime.table_base),
        "asid": regime.asid,
    }


def runs_data(runs: list[Run] | tuple[Run, ...]) -> list[Json]:
    """The lines of a listing."""
    return [
        {
            **_range(run.va, run.pa, run.size),
            **_rights(run.permissions),
            "memory": run.memory,
            "global": run.is_global,
            "pages": _counts(run.pages),
        }
        for run in runs
    ]


def space_data(view: SpaceView) -> Json:
    """An address space."""
    return {
        "id": view.id,
        **regime_data(view.regime),
        "regions": [_region(each) for each in view.regions],
        "runs": runs_data(view.runs),
        "tables": [_table(node) for node in view.tree.all()],
        "counts": view.counts,
    }


def area_data(area: AreaView) -> Json:
    """A VMA."""
    return {
        "va": hex(area.start),
        "size": area.size,
        "type": area.kind,
        "rights": str(area.rights),
        "name": area.name,
        "pages": _counts(area.pages),
    }


def walk_data(walk: Walk) -> Json:
    """The translation of one address."""
    steps = [
        {"level": s.level, "entry": hex(s.entry_address), "raw": hex(s.raw), "kind": s.descriptor.kind}
        for s in walk.steps
    ]
    pa = None if walk.pa is None else hex(walk.pa)
    fault = None if walk.fault is None else str(walk.fault)
    return {"va": hex(walk.va), "pa": pa, "fault": fault, **_rights(walk.permissions), "steps": steps}


def value_data(value: Any) -> Any:
    """A C value: pointers as hexadecimal strings, enumerators by name, structs as objects."""
    if isinstance(value, PointerValue):
        return hex(value)
    if isinstance(value, EnumValue):
        return value.name or int(value)
    if isinstance(value, StructValue):
        return {name: value_data(getattr(value, name)) for name in dir(value)}
    if isinstance(value, ArrayValue):
        return [value_data(each) for each in value]
    return value


def growth_data(growth: Growth) -> Json:
    """Each operation: cost by number of VMAs, the original, what is asked and whether it is met."""
    operations = {asked.key: _asked(asked, growth) for asked in ASKED}
    low, high = growth.metadata
    return {"operations": operations, "metadata_bytes": {"from": low, "to": high, "most": MOST_BYTES}}


def _asked(asked: Asked, growth: Growth) -> Json:
    costs = growth.costs[asked.key]
    return {
        "text": asked.text,
        "instructions": {str(n): cost.instructions for n, cost in costs.items()},
        "tlbi": {str(n): cost.tlbi for n, cost in costs.items()},
        "dsb": {str(n): cost.dsb for n, cost in costs.items()},
        "original": {str(n): instructions for n, instructions in asked.original.items()},
        "most": {"1": asked.bound(1), "any": asked.most, "tlbi": asked.most_tlbi, "dsb": asked.most_dsb},
        "met": all(asked.is_met(cost, n) for n, cost in costs.items()),
    }


def _range(va: int, pa: int, size: int) -> Json:
    return {"va": hex(va), "pa": hex(pa), "size": size}


def _rights(permissions: Permissions) -> Json:
    return {"el0": str(permissions.el0), "el1": str(permissions.el1)}


def _counts(pages: Counts) -> Json:
    return {str(size): count for size, count in pages}


def _region(region: RegionView) -> Json:
    return {
        **_range(region.va, region.pa, region.size),
        "prop": region.prop,
        **_rights(region.permissions),
        "pages": _counts(region.pages),
    }


def _table(node: TableNode) -> Json:
    return {
        "pa": hex(node.pa),
        "level": node.level,
        "va": hex(node.va),
        "span": node.span,
        "leaves": _counts(node.leaves),
        "reserved": node.kept,
    }
