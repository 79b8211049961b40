# SPDX-License-Identifier: BSD-3-Clause
"""An AArch64 kernel ELF: what to load, where it starts, what its addresses mean."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from typing import Final, Self

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import StringTableSection

from harness.errors import ImageError
from harness.image.dwarf import Dwarf
from harness.image.functions import Functions, Variables
from harness.image.inlines import InlineTable, SourceFrame
from harness.image.lines import LineTable, SourceLocation
from harness.image.macros import MacroTable
from harness.image.scope import Scopes
from harness.image.symbols import Symbol, SymbolTable, parse_symbols
from harness.image.typedb import TypeDatabase
from harness.image.unwind import Unwinder

MAGIC: Final = b"\x7fELF"
HEADER_SIZE: Final = 64
ELFCLASS64: Final = 2
ELFDATA2LSB: Final = 1
PF_X, PF_W, PF_R = 1, 2, 4
SHN_UNDEF: Final = 0
SHT_NOBITS: Final = "SHT_NOBITS"
EXECUTABLE: Final = ("ET_EXEC", "ET_DYN")


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD segment: `data` goes to physical `paddr`, zeros follow up to `memory_size` bytes."""

    paddr: int
    vaddr: int
    data: bytes
    memory_size: int
    flags: int

    @property
    def permissions(self) -> str:
        """The segment's flags as "rwx" with dashes."""
        return "".join(c if self.flags & bit else "-" for c, bit in (("r", PF_R), ("w", PF_W), ("x", PF_X)))


class ElfImage:
    """An executable for AArch64, read whole; symbols, types, lines and unwinding are read when asked for."""

    def __init__(self, data: bytes, path: Path) -> None:
        """Read an image from the bytes of its file; `path` is used in messages.

        Raises ImageError for what is not a complete, little-endian, executable AArch64 ELF file.
        """
        self.path = path
        _check_header(data, path)
        try:
            self._elf = ELFFile(BytesIO(data))
            _check_kind(self._elf, path)
            _check_complete(self._elf, len(data), path)
            self.entry: int = self._elf.header["e_entry"]
            self.segments = _read_segments(self._elf, data, path)
        except ELFError as error:
            raise _damaged(path, str(error)) from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the image in the file at `path`. Raises ImageError, which says what to do."""
        where = Path(fspath(path))
        try:
            data = where.read_bytes()
        except OSError as error:
            why = error.strerror or str(error)
            raise ImageError(f"{where}: cannot be read: {why}; build it, or name another file") from error
        return cls(data, where)

    def patched(self, address: int, data: bytes) -> Self:
        """The same image with other bytes at a virtual address; what DWARF says is shared, not read again.

        Raises ImageError where no segment has these bytes in the file.
        """
        segments = list(self.segments)
        for index, each in enumerate(segments):
            offset = address - each.vaddr
            if offset >= 0 and offset + len(data) <= len(each.data):
                changed = each.data[:offset] + data + each.data[offset + len(data) :]
                segments[index] = replace(each, data=changed)
                other = copy(self)
                other.segments = tuple(segments)
                return other
        raise ImageError(f"{self.path}: no segment has {len(data)} bytes at {address:#x} to be changed")

    def __repr__(self) -> str:
        return f"ElfImage({str(self.path)!r}, entry={self.entry:#x})"

    @cached_property
    def symbols(self) -> SymbolTable:
        """The symbols, by name and by address; empty for a stripped file."""
        elf = self._elf
        ends = {i: s["sh_addr"] + s["sh_size"] for i, s in enumerate(elf.iter_sections())}
        try:
            table = elf.get_section_by_name(".symtab")
            if table is None:
                return SymbolTable((), ends)
            strings = elf.get_section(table["sh_link"])
            if not isinstance(strings, StringTableSection):
                raise _damaged(self.path, "its symbol table has no string table")
            return SymbolTable(parse_symbols(table.data(), strings.data()), ends)
        except ELFError as error:
            raise _damaged(self.path, str(error)) from error

    def symbol_at(self, address: int) -> tuple[Symbol, int] | None:
        """The symbol that covers `address` and the offset into it, or None."""
        return self.symbols.at(address)

    def describe(self, address: int) -> str:
        """`address` as people write it: "vmm_init+0x10 (core/vmm.c:42)", or in hexadecimal."""
        found, where = self.symbol_at(address), self.lines.location(address)
        text = f"{address:#x}"
        if found is not None:
            symbol, offset = found
            text = f"{symbol.name}+{offset:#x}" if offset else symbol.name
        return f"{text} ({where})" if where else text

    @property
    def has_dwarf(self) -> bool:
        """Whether the file has DWARF debugging information."""
        return self._dwarf.present

    @cached_property
    def types(self) -> TypeDatabase:
        """The C types, by the names C gives them."""
        return TypeDatabase(self._dwarf)

    @cached_property
    def functions(self) -> Functions:
        """The C functions' prototypes, by name."""
        return Functions(self.types, self.symbols)

    @cached_property
    def variables(self) -> Variables:
        """The C variables of file scope, by name."""
        return Variables(self.types, self.symbols)

    @cached_property
    def macros(self) -> MacroTable:
        """The preprocessor's macros (needs -g3, with clang also -fdebug-macro)."""
        return MacroTable(self._dwarf, self.types)

    @cached_property
    def lines(self) -> LineTable:
        """Source lines of addresses and addresses of source lines."""
        return LineTable(self._dwarf)

    def location(self, address: int) -> SourceLocation | None:
        """The source line of the instruction at `address`, or None."""
        return self.lines.location(address)

    @cached_property
    def _inlines(self) -> InlineTable:
        return InlineTable(self._dwarf, self.lines)

    def source_at(self, address: int) -> tuple[SourceFrame, ...]:
        """The C functions `address` lies in, innermost inlined call first; empty when not known."""
        return self._inlines.chain(address)

    @cached_property
    def scopes(self) -> Scopes:
        """Local variables of functions."""
        return Scopes(self._dwarf, self.types, self._inlines)

    @cached_property
    def unwinder(self) -> Unwinder:
        """Finds the callers from registers and memory."""
        return Unwinder(self)

    def section(self, name: str) -> tuple[int, bytes] | None:
        """Address and contents (decompressed) of the section `name`, or None."""
        section = self._elf.get_section_by_name(name)
        if section is None or section["sh_type"] == SHT_NOBITS:
            return None
        return section["sh_addr"], section.data()

    def is_code(self, address: int) -> bool:
        """Whether `address` lies in an executable segment."""
        return any(start <= address < end for start, end in self._code)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at virtual `address` as they are before the program runs. Raises ImageError."""
        for segment in self.segments:
            offset = address - segment.vaddr
            if offset >= 0 and offset + size <= segment.memory_size:
                return segment.data[offset : offset + size].ljust(size, b"\0")
        raise ImageError(f"{self.path}: no segment holds {size:#x} bytes at {address:#x}")

    @cached_property
    def _code(self) -> tuple[tuple[int, int], ...]:
        executable = (s for s in self.segments if s.flags & PF_X)
        return tuple((s.vaddr, s.vaddr + s.memory_size) for s in executable)

    @cached_property
    def _dwarf(self) -> Dwarf:
        return Dwarf(self._elf, self.path, self.is_code)


def _check_header(data: bytes, path: Path) -> None:
    if data[:4] != MAGIC:
        raise ImageError(f"{path}: not an ELF file; give the linked kernel.elf, not a raw binary or source")
    if len(data) < HEADER_SIZE:
        raise _damaged(path, f"it ends inside its header ({len(data)} bytes)")
    if data[4] != ELFCLASS64:
        raise ImageError(f"{path}: a 32-bit ELF file; build for AArch64 (LP64)")
    if data[5] != ELFDATA2LSB:
        raise ImageError(f"{path}: a big-endian ELF file; build for little-endian AArch64")


def _check_kind(elf: ELFFile, path: Path) -> None:
    machine, kind = elf.header["e_machine"], elf.header["e_type"]
    if machine != "EM_AARCH64":
        name = str(machine).removeprefix("EM_")
        raise ImageError(f"{path}: built for {name}, not AArch64; build it with an aarch64 compiler")
    if kind not in EXECUTABLE:
        raise ImageError(f"{path}: not an executable ({kind}); link it into an image with an entry point")


def _check_complete(elf: ELFFile, size: int, path: Path) -> None:
    header = elf.header
    tables = (
        ("program headers", header["e_phoff"], header["e_phentsize"] * header["e_phnum"]),
        (
            "section headers",
            header["e_shoff"],
            header["e_shentsize"] * header["e_shnum"],
        ),
    )
    for what, offset, length in tables:
        if length and offset + length > size:
            raise _damaged(path, f"its {what} reach to byte {offset + length}, the file has {size}")
    for segment in elf.iter_segments():
        end = segment["p_offset"] + segment["p_filesz"]
        if segment["p_filesz"] and end > size:  # one that is all zeros may lie anywhere
            raise _damaged(path, f"a segment reaches to byte {end}, the file has {size}")
    for section in elf.iter_sections():
        end = section["sh_offset"] + section["sh_size"]
        if section["sh_type"] != SHT_NOBITS and end > size:
            raise _damaged(path, f"section {section.name} reaches to byte {end}, the file has {size}")


def _read_segments(elf: ELFFile, data: bytes, path: Path) -> tuple[Segment, ...]:
    segments = []
    for header in elf.iter_segments("PT_LOAD"):
        start, size = header["p_offset"], header["p_filesz"]
        if size > header["p_memsz"]:
            raise _damaged(path, f"a segment has {size} bytes in the file but {header['p_memsz']} in memory")
        if header["p_memsz"]:
            content = data[start : start + size]
            segments.append(
                Segment(header["p_paddr"], header["p_vaddr"], content, header["p_memsz"], header["p_flags"])
            )
    if not segments:
        raise ImageError(f"{path}: nothing to load (no PT_LOAD segment); link it with a linker script")
    for low, high in pairwise(sorted(segments, key=lambda s: s.paddr)):
        if low.paddr + low.memory_size > high.paddr:
            raise ImageError(
                f"{path}: segments overlap at physical address {high.paddr:#x}; correct the linker script"
            )
    return tuple(segments)


def _damaged(path: Path, why: str) -> ImageError:
    return ImageError(f"{path}: truncated or damaged: {why}; build or copy it again")
