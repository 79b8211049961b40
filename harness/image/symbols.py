# SPDX-License-Identifier: BSD-3-Clause
"""The symbol table of an ELF file: by name and by address."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from struct import iter_unpack
from typing import Final, Literal

from harness.image.lookup import UnknownNameError

Kind = Literal["function", "object", "label"]

# ELF64 symbol (gABI): name, info, other, section index, value, size.
ENTRY: Final = "<IBBHQQ"
ENTRY_SIZE: Final = 24
SHN_UNDEF: Final = 0
SHN_LORESERVE: Final = 0xFF00
KINDS: Final[dict[int, Kind]] = {0: "label", 1: "object", 2: "function"}  # STT_NOTYPE, _OBJECT, _FUNC
STB_LOCAL: Final = 0
PREFERENCE: Final[dict[Kind, int]] = {"function": 0, "object": 1, "label": 2}


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name for an address; `section` is None for absolute symbols, `size` in bytes, 0 when not stated."""

    name: str
    address: int
    size: int
    kind: Kind
    is_global: bool
    section: int | None

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + max(self.size, 1)


class SymbolTable(Mapping[str, Symbol]):
    """Symbols by name (a global one wins over local ones of the same name) and by address.

    `section_ends` maps a section index to its end address: a label without a size reaches to the
    next symbol, but never out of its section.
    """

    def __init__(self, symbols: Iterable[Symbol], section_ends: Mapping[int, int]) -> None:
        self._all = tuple(symbols)
        self._ends = section_ends
        self._named: dict[str, Symbol] = {}
        for symbol in self._all:
            known = self._named.get(symbol.name)
            if known is None or (symbol.is_global and not known.is_global):
                self._named[symbol.name] = symbol

    def __getitem__(self, name: str) -> Symbol:
        try:
            return self._named[name]
        except KeyError:
            raise UnknownNameError("symbol", name, self._named) from None

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def all(self) -> tuple[Symbol, ...]:
        """Every symbol in the file's order, same-named local ones included."""
        return self._all

    def named(self, name: str) -> tuple[Symbol, ...]:
        """Every symbol of that name (static ones of several files may share it)."""
        return self._groups.get(name, ())

    def starts_at(self, address: int) -> bool:
        """Whether a symbol has exactly this address."""
        addresses = self._by_address[1]
        index = bisect_right(addresses, address) - 1
        return index >= 0 and addresses[index] == address

    def at(self, address: int) -> tuple[Symbol, int] | None:
        """The symbol that covers `address` and the offset into it, or None."""
        symbols, addresses = self._by_address
        for index in range(bisect_right(addresses, address) - 1, -1, -1):
            symbol = symbols[index]
            if address in symbol:
                return symbol, address - symbol.address
            if address - symbol.address >= self._longest:
                break
        return self._label_before(address)

    def _label_before(self, address: int) -> tuple[Symbol, int] | None:
        symbols, addresses = self._by_address
        index = bisect_right(addresses, address) - 1
        if index < 0:
            return None
        nearest = addresses[index]
        first = bisect_right(addresses, nearest - 1)
        for symbol in symbols[first : index + 1][::-1]:
            if symbol.size == 0 and address < self._ends.get(symbol.section or 0, 0):
                return symbol, address - symbol.address
        return None

    @cached_property
    def _by_address(self) -> tuple[list[Symbol], list[int]]:
        # Later entries of one address are found first: functions last, labels first, bigger before smaller.
        located = [symbol for symbol in self._all if symbol.section is not None]
        located.sort(key=lambda s: (s.address, -PREFERENCE[s.kind], s.size, s.is_global, s.name))
        return located, [symbol.address for symbol in located]

    @cached_property
    def _groups(self) -> dict[str, tuple[Symbol, ...]]:
        groups: dict[str, tuple[Symbol, ...]] = {}
        for symbol in self._all:
            groups[symbol.name] = (*groups.get(symbol.name, ()), symbol)
        return groups

    @cached_property
    def _longest(self) -> int:
        return max((symbol.size for symbol in self._all), default=0)


def parse_symbols(table: bytes, strings: bytes) -> Iterator[Symbol]:
    """Decode a .symtab; undefined, file, section and AArch64 mapping symbols ($x, $d) are left out."""
    usable = len(table) - len(table) % ENTRY_SIZE
    for offset, info, _other, section, value, size in iter_unpack(ENTRY, table[:usable]):
        kind = KINDS.get(info & 0xF)
        if kind is None or section == SHN_UNDEF or offset >= len(strings):
            continue
        name = strings[offset : strings.find(b"\0", offset)].decode("utf-8", "surrogateescape")
        if name and not name.startswith("$"):
            where = None if section >= SHN_LORESERVE else section
            yield Symbol(name, value, size, kind, info >> 4 != STB_LOCAL, where)
