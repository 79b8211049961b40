# SPDX-License-Identifier: BSD-3-Clause
"""Small readers for DWARF entries, and a scan that finds a unit's top-level entries quickly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from elftools.dwarf.abbrevtable import AbbrevDecl
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE, AttributeValue

from harness.image.reader import Cursor

# Steps of a skip plan: a number of bytes to skip, or one of these.
ULEB, STRING, BLOCK, BLOCK1, BLOCK2, BLOCK4, SIBLING4 = range(-1, -8, -1)

FIXED: Final = {
    "flag_present": 0, "implicit_const": 0, "data1": 1, "ref1": 1, "flag": 1, "strx1": 1, "addrx1": 1,
    "data2": 2, "ref2": 2, "strx2": 2, "addrx2": 2, "strx3": 3, "addrx3": 3, "data4": 4, "ref4": 4,
    "strx4": 4, "addrx4": 4, "ref_sup4": 4, "data8": 8, "ref8": 8, "ref_sig8": 8, "ref_sup8": 8, "data16": 16,
}  # fmt: skip
OFFSETS: Final = ("strp", "line_strp", "sec_offset", "ref_addr", "strp_sup", "GNU_ref_alt", "GNU_strp_alt")
BLOCK_SIZES: Final = {BLOCK1: 1, BLOCK2: 2, BLOCK4: 4}
VARIABLE: Final = {
    "udata": ULEB, "sdata": ULEB, "ref_udata": ULEB, "strx": ULEB, "addrx": ULEB, "loclistx": ULEB,
    "rnglistx": ULEB, "string": STRING, "block": BLOCK, "exprloc": BLOCK,
    "block1": BLOCK1, "block2": BLOCK2, "block4": BLOCK4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """How to step over an entry: what an abbreviation says about the size of its attributes."""

    tag: str
    has_children: bool
    steps: tuple[int, ...]


def scan(cu: CompileUnit, data: bytes, top: DIE) -> dict[str, list[int]]:
    """Offsets of the children of `top` in .debug_info, by tag ("DW_TAG_..." as pyelftools has it)."""
    found: dict[str, list[int]] = defaultdict(list)
    if not top.has_children:
        return found
    table, plans = cu.get_abbrev_table(), dict[int, Plan]()
    cursor, end, depth = Cursor(data, top.offset + top.size), cu.cu_offset + cu.size, 1
    while depth and cursor.position < end:
        start, code = cursor.position, cursor.uleb()
        if code == 0:
            depth -= 1
            continue
        plan = plans.get(code) or plans.setdefault(code, _plan(table.get_abbrev(code), cu))
        if depth == 1:
            found[plan.tag].append(start)
        sibling = _skip(cursor, plan.steps)
        if sibling:
            if cu.cu_offset + sibling < cursor.position:
                raise ValueError(f"the sibling of entry {start:#x} lies before its end")
            cursor.position = cu.cu_offset + sibling
        elif plan.has_children:
            depth += 1
    return found


def _plan(declaration: AbbrevDecl, cu: CompileUnit) -> Plan:
    steps: list[int] = []
    for name, form in declaration.iter_attr_specs():
        step = _step(name, form.removeprefix("DW_FORM_"), cu)
        if step >= 0 and steps and steps[-1] >= 0:
            steps[-1] += step
        else:
            steps.append(step)
    return Plan(str(declaration["tag"]), declaration.has_children(), tuple(steps))


def _step(name: str, form: str, cu: CompileUnit) -> int:
    if name == "DW_AT_sibling" and form == "ref4":
        return SIBLING4
    if form == "addr":
        return int(cu["address_size"])
    if form in OFFSETS:
        return cu.dwarf_format() // 8
    step = FIXED.get(form, VARIABLE.get(form))
    if step is None:
        raise ValueError(f"attribute form {form} of {name} is not supported")
    return step


def _skip(cursor: Cursor, steps: tuple[int, ...]) -> int:
    """Step over the attributes; the offset of the next sibling in the unit, or 0 when not stated."""
    sibling = 0
    for step in steps:
        if step >= 0:
            cursor.position += step
        elif step == ULEB:
            cursor.uleb()
        elif step == SIBLING4:
            sibling = cursor.unsigned(4)
        elif step == STRING:
            cursor.position = cursor.data.index(0, cursor.position) + 1
        else:
            size = cursor.uleb() if step == BLOCK else cursor.unsigned(BLOCK_SIZES[step])
            cursor.position += size
    return sibling


def children(die: DIE) -> Iterator[DIE]:
    """The entry's children. Raises ValueError where sibling references lead back, which would never end."""
    last = die.offset
    for child in die.iter_children():
        if child.offset <= last:
            raise ValueError(f"entry {child.offset:#x} follows entry {last:#x}")
        last = child.offset
        yield child


def attribute(die: DIE, name: str) -> AttributeValue | None:
    """An attribute with its form, or None."""
    found: AttributeValue | None = die.attributes.get(name)
    return found


def number(die: DIE, name: str) -> int | None:
    """An attribute whose value is a constant, an address or an offset; None when there is none."""
    value = die.attributes[name].value if name in die.attributes else None
    return value if isinstance(value, int) else None


def text(die: DIE, name: str) -> str:
    """An attribute that is a string; "" when absent."""
    value = die.attributes[name].value if name in die.attributes else b""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def flag(die: DIE, name: str) -> bool:
    """An attribute that is a flag; False when absent."""
    return name in die.attributes and bool(die.attributes[name].value)


def origins(die: DIE) -> Iterator[DIE]:
    """The entry and those it refers to for what it leaves out (abstract origin, specification)."""
    seen: set[int] = set()
    while die.offset not in seen:
        seen.add(die.offset)
        yield die
        for name in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if name in die.attributes:
                die = die.get_DIE_from_attribute(name)
                break


def name_of(die: DIE) -> str:
    """The entry's name, looked up through its origins; "" when it has none."""
    return next((name for each in origins(die) if (name := text(each, "DW_AT_name"))), "")


def holder(die: DIE, name: str) -> DIE | None:
    """The entry, among this one and its origins, that has the attribute `name`."""
    return next((each for each in origins(die) if name in each.attributes), None)
