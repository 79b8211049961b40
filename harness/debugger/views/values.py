# SPDX-License-Identifier: BSD-3-Clause
"""Values as GDB writes them: `$1 = {id = 1, name = 0x... "init", next = 0x0}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from harness.debugger.expressions.values import CValue, ExpressionError
from harness.errors import HarnessError
from harness.image import ElfImage
from harness.image.types import Array, CType, Enum, Function, Int, Member, Pointer, Record, Void, strip

FORMATS = "xduotacsz"
ELEMENTS = 200  # of an array or a string that are shown
REPEATS = 10  # equal elements in a row from which on they are counted instead
OPTIMIZED_OUT = "<optimized out>"
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 27: "\\033", 92: "\\\\"}


class Reader(Protocol):
    """Where values are read from, and what their addresses mean."""

    image: ElfImage

    def read(self, address: int, size: int) -> bytes:
        """Memory. Raises HarnessError."""


class ValueFormat:
    """Formats values; `letter` is one of FORMATS, or "" for what fits the type."""

    def __init__(self, reader: Reader, letter: str = "") -> None:
        self._reader, self._letter = reader, letter

    def top(self, value: CValue) -> str:
        """A value that stands alone: pointers have their type with them."""
        real = strip(value.type)
        if isinstance(real, Pointer) and not self._letter and value.data is not None:
            if isinstance(strip(real.target), Function | Void) or _is_char(real.target):
                prefix = f"({value.type}) " if not _is_char(real.target) else ""
                return prefix + self.text(value)
            return f"({value.type}) {self.text(value)}"
        if isinstance(real, Function):
            return f"{{{value.type}}} {value.number:#x}{symbolic(self._reader.image, value.number)}"
        return self.text(value)

    def text(self, value: CValue) -> str:
        """A value within others."""
        real = strip(value.type)
        if isinstance(real, Void):
            return "void"
        if value.data is None and not isinstance(real, Function):
            return OPTIMIZED_OUT
        if isinstance(real, Record):
            return self._record(value, real)
        if isinstance(real, Array):
            return self._array(value, real)
        return scalar(self._reader, value, self._letter)

    def _record(self, value: CValue, ctype: Record) -> str:
        parts = [f"{each.name} = {self.text(member(value, each))}" for each in ctype.fields()]
        return f"{{{', '.join(parts)}}}"

    def _array(self, value: CValue, ctype: Array) -> str:
        assert value.data is not None
        size = ctype.element.size or 0
        count = len(value.data) // size if size else 0
        if _is_char(ctype.element) and self._letter in ("", "s"):
            return quoted(value.data, ELEMENTS)
        cells = [value.data[at * size : (at + 1) * size] for at in range(min(count, ELEMENTS))]
        shown = [
            self.text(CValue(ctype.element, cell, _offset(value, at * size))) for at, cell in enumerate(cells)
        ]
        more = "..." if count > ELEMENTS else ""
        return f"{{{', '.join(_counted(shown))}{more}}}"


def member(value: CValue, each: Member) -> CValue:
    """A member of a struct value."""
    assert value.data is not None
    if each.bit_size is not None:
        bit = each.bit_offset or 0
        raw = int.from_bytes(value.data, "little") >> bit & ((1 << each.bit_size) - 1)
        real = strip(each.type)
        if getattr(real, "signed", False) and raw >> (each.bit_size - 1):
            raw -= 1 << each.bit_size
        size = each.type.size or 8
        return CValue(each.type, (raw % (1 << 8 * size)).to_bytes(size, "little"))
    size = each.type.size or 0
    return CValue(each.type, value.data[each.offset : each.offset + size], _offset(value, each.offset))


def _offset(value: CValue, offset: int) -> int | None:
    return None if value.address is None else value.address + offset


def _counted(cells: list[str]) -> list[str]:
    """Runs of equal elements as GDB counts them."""
    found: list[str] = []
    at = 0
    while at < len(cells):
        end = at
        while end < len(cells) and cells[end] == cells[at]:
            end += 1
        found += [f"{cells[at]} <repeats {end - at} times>"] if end - at > REPEATS else cells[at:end]
        at = end
    return found


def _is_char(ctype: CType) -> bool:
    real = strip(ctype)
    return isinstance(real, Int) and real.is_char


def quoted(data: bytes, limit: int) -> str:
    """Bytes up to the first NUL as a C string."""
    text = data.split(b"\0", 1)[0]
    shown = "".join(_character(byte, '"') for byte in text[:limit])
    return f'"{shown}"' + ("..." if len(text) > limit else "")


def _character(byte: int, quote: str) -> str:
    if byte in _ESCAPES:
        return _ESCAPES[byte]
    if chr(byte) == quote:
        return "\\" + quote
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def scalar(reader: Reader, value: CValue, letter: str) -> str:
    """A number in one of FORMATS, or as its type wants it."""
    real = strip(value.type)
    if letter and letter != "s":
        return number_text(reader.image, value.number, 8 * (real.size or 8), letter)
    if isinstance(real, Pointer):
        return _pointer(reader, value.number, real)
    if isinstance(real, Enum):
        return enumerator(real, value.number)
    if isinstance(real, Int) and real.is_bool:
        return "true" if value.number else "false"
    if _is_char(real):
        return f"{value.number} '{_character(value.number & 0xFF, chr(39))}'"
    if isinstance(real, Function):
        return f"{value.number:#x}{symbolic(reader.image, value.number)}"
    return str(value.number)


def _pointer(reader: Reader, number: int, ctype: Pointer) -> str:
    text = f"{number:#x}"
    if isinstance(strip(ctype.target), Function):
        return text + symbolic(reader.image, number)
    if _is_char(ctype.target) and number:
        try:
            return f"{text} {quoted(read_string(reader.read, number), ELEMENTS)}"
        except HarnessError:
            return f"{text} <error: Cannot access memory at address {text}>"
    return text + symbolic(reader.image, number, only_objects=True)


def read_string(read: Callable[[int, int], bytes], address: int) -> bytes:
    """Bytes up to a NUL or a little more than ELEMENTS."""
    found = bytearray()
    while len(found) <= ELEMENTS:
        byte = read(address + len(found), 1)
        if byte == b"\0":
            break
        found += byte
    return bytes(found)


def enumerator(ctype: Enum, number: int) -> str:
    """The enumerator's name; of flags, the names that make up the value."""
    name = ctype.name_of(number)
    if name is not None:
        return name
    left, names = number, []
    for each, flag in ctype.members.items():
        if flag > 0 and flag & (flag - 1) == 0 and left & flag:
            names.append(each)
            left &= ~flag
    if names and not left:
        return f"({' | '.join(names)})"
    return str(number)


def number_text(image: ElfImage, number: int, bits: int, letter: str) -> str:
    """A number of so many bits in a format."""
    unsigned = number % (1 << bits)
    match letter:
        case "x":
            return f"{unsigned:#x}"
        case "z":
            return f"{unsigned:#0{bits // 4 + 2}x}"
        case "o":
            return f"{'0' if unsigned else ''}{unsigned:o}"
        case "t":
            return f"{unsigned:b}"
        case "u":
            return str(unsigned)
        case "d":
            return str(unsigned - (1 << bits) if unsigned >> (bits - 1) else unsigned)
        case "a":
            return f"{unsigned:#x}{symbolic(image, unsigned)}"
        case "c":
            byte = unsigned & 0xFF
            return f"{byte} '{_character(byte, chr(39))}'"
    raise ExpressionError(f'Undefined output format "{letter}"; there are {" ".join(FORMATS)}')


def symbolic(image: ElfImage, address: int, *, only_objects: bool = False) -> str:
    """ " <symbol+8>" for an address in the image, else ""."""
    found = image.symbol_at(address)
    if found is None or (only_objects and found[0].kind != "object"):
        return ""
    symbol, offset = found
    return f" <{symbol.name}{f'+{offset}' if offset else ''}>"


def data_of(reader: Reader, value: CValue) -> Any:
    """A value for programs: numbers, strings for pointers and enumerators, objects and lists."""
    real = strip(value.type)
    if value.data is None and not isinstance(real, Function):
        return None
    if isinstance(real, Record):
        return {each.name: data_of(reader, member(value, each)) for each in real.fields()}
    if isinstance(real, Array):
        assert value.data is not None
        size = real.element.size or 1
        cells = [value.data[at : at + size] for at in range(0, len(value.data), size)]
        return [data_of(reader, CValue(real.element, cell)) for cell in cells]
    if isinstance(real, Pointer | Function):
        return hex(value.number)
    return enumerator(real, value.number) if isinstance(real, Enum) else value.number
