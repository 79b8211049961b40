# SPDX-License-Identifier: BSD-3-Clause
"""Types as `ptype` writes them."""

from __future__ import annotations

from typing import Any

from harness.image.types import Array, CType, Enum, Function, Pointer, Qualified, Record, Typedef, strip


def describe(ctype: CType) -> str:
    """The definition behind typedefs: a struct with its members, an enumeration with its values."""
    stars, inner = "", ctype
    while isinstance(inner, Typedef | Pointer | Qualified):
        if isinstance(inner, Pointer):
            if isinstance(strip(inner.target), Function | Array):
                return str(inner)
            stars += "*"
        inner = inner.target
    tail = f" {stars}" if stars else ""
    if isinstance(inner, Record):
        return _record(inner) + tail
    if isinstance(inner, Enum):
        return f"{inner} {{{', '.join(_enumerators(inner))}}}{tail}"
    return f"{inner}{tail}"


def _record(ctype: Record) -> str:
    if not ctype.is_complete:
        return f"{ctype} {{\n    <incomplete type>\n}}"
    lines = []
    for each in ctype.members:
        bits = f" : {each.bit_size}" if each.bit_size is not None else ""
        inner = strip(each.type)
        if not each.name and isinstance(inner, Record):
            body = _record(inner).replace("\n", "\n    ")
            lines.append(f"    {body};")
        else:
            lines.append(f"    {each.type.declare(each.name)}{bits};")
    return "\n".join([f"{ctype} {{", *lines, "}"])


def _enumerators(ctype: Enum) -> list[str]:
    """With their value where it does not follow from the one before."""
    found, expected = [], 0
    for name, value in ctype.members.items():
        found.append(name if value == expected else f"{name} = {value}")
        expected = value + 1
    return found


def data_of(ctype: CType) -> dict[str, Any]:
    """A type for programs."""
    real = strip(ctype)
    found: dict[str, Any] = {"type": str(ctype), "size": real.size}
    if isinstance(real, Record):
        found["members"] = [
            {"name": each.name, "type": str(each.type), "offset": each.offset, "bits": each.bit_size}
            for each in real.members
        ]
    if isinstance(real, Enum):
        found["enumerators"] = dict(real.members)
    return found
