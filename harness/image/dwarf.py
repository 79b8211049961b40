# SPDX-License-Identifier: BSD-3-Clause
"""The DWARF of an image: its units, an index of their top-level entries, and their address ranges.

pyelftools decodes single entries (DIEs). Finding them is done here: `scan` steps over entries by
their abbreviations without decoding a single attribute, ten times faster than decoding them all.
"""

from __future__ import annotations

import posixpath
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.dwarf.lineprogram import LineProgram
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

from harness.errors import ImageError
from harness.image.dies import attribute, number, scan, text

LANG_ASSEMBLER: Final = 0x8001  # DW_LANG_Mips_Assembler, which all assemblers use
UNIT_TAGS: Final = ("DW_TAG_compile_unit", "DW_TAG_partial_unit")
# What pyelftools and our own readers raise when bytes are not what they should be.
MALFORMED: Final = (
    *(ELFError, DWARFError, ConstructError, struct.error, NotImplementedError),
    *(AssertionError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError),
)

Range = tuple[int, int]
"""Addresses from the first up to, not including, the second."""


class Unit:
    """One compilation unit."""

    def __init__(self, dwarf: Dwarf, cu: CompileUnit) -> None:
        self.dwarf = dwarf
        self.cu = cu
        self.version: int = cu["version"]
        self.offset: int = cu.cu_offset

    @cached_property
    def top(self) -> DIE:
        """The unit's own entry."""
        return self.cu.get_top_DIE()

    @cached_property
    def name(self) -> str:
        """The source file's path as the compiler was given it, made absolute with its directory."""
        return _join(text(self.top, "DW_AT_comp_dir"), text(self.top, "DW_AT_name"))

    @cached_property
    def is_assembly(self) -> bool:
        """Whether the unit was written in assembly language."""
        return number(self.top, "DW_AT_language") == LANG_ASSEMBLER

    def die(self, offset: int) -> DIE:
        """The entry at `offset` of .debug_info."""
        return self.cu.get_DIE_from_refaddr(offset)

    @cached_property
    def entries(self) -> dict[str, list[int]]:
        """Offsets of the top-level entries by tag."""
        return scan(self.cu, self.dwarf.section(".debug_info"), self.top)

    @cached_property
    def line_program(self) -> LineProgram | None:
        """The unit's line number program (header decoded only), or None."""
        if "DW_AT_stmt_list" not in self.top.attributes or not self.dwarf.info.debug_line_sec:
            return None
        return self.dwarf.info.line_program_for_CU(self.cu)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths by the file numbers that DW_AT_decl_file and the line program use."""
        with self.dwarf.guard("file tables"):
            return self._read_files()

    def _read_files(self) -> tuple[str, ...]:
        program = self.line_program
        if program is None:
            return ()
        base = text(self.top, "DW_AT_comp_dir")
        directories = [_decode(d) for d in program["include_directory"]]
        files = program["file_entry"]
        if program["version"] < 5:  # numbered from 1, directory 0 is the unit's (DWARF 4, 6.2.4)
            paths = [(*directories[e["dir_index"] - 1 : e["dir_index"]], _decode(e["name"])) for e in files]
            return ("", *(_join(base, *parts) for parts in paths))
        return tuple(_join(base, directories[e["dir_index"]], _decode(e["name"])) for e in files)

    def file(self, index: int) -> str:
        """The path of file number `index`; "" when there is none."""
        return self.files[index] if 0 <= index < len(self.files) else ""

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """The addresses of the unit's code; what the linker dropped is left out."""
        return self.dwarf.ranges(self.top)


class Dwarf:
    """The debugging information of one image; `present` is False when the file has none."""

    def __init__(self, elf: ELFFile, path: Path, is_code: Callable[[int], bool]) -> None:
        self._elf = elf
        self.path = path
        self.is_code = is_code
        self._sections: dict[str, bytes] = {}

    @cached_property
    def present(self) -> bool:
        """Whether there is anything beyond the symbol table."""
        return bool(self.section(".debug_info"))

    @cached_property
    def info(self) -> DWARFInfo:
        """pyelftools' view."""
        with self.guard("debug sections"):
            return self._elf.get_dwarf_info(follow_links=False)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All compilation units, in the file's order."""
        if not self.present:
            return ()
        with self.guard(".debug_info"):
            units = (Unit(self, cu) for cu in self.info.iter_CUs())
            return tuple(unit for unit in units if unit.top.tag in UNIT_TAGS)

    def unit_at(self, address: int) -> Unit | None:
        """The unit whose code includes `address`, or None."""
        for low, high, unit in self._unit_ranges:
            if low <= address < high:
                return unit
        return None

    def unit_of(self, die: DIE) -> Unit:
        """The unit an entry belongs to."""
        return self._by_offset[die.cu.cu_offset]

    def tagged(self, *tags: str) -> Iterator[tuple[Unit, int]]:
        """The top-level entries with one of `tags`, of all units: (unit, offset)."""
        for unit in self.units:
            for tag in tags:
                for offset in unit.entries.get(tag, ()):
                    yield unit, offset

    def section(self, name: str) -> bytes:
        """The (decompressed) contents of a section; empty when there is none."""
        if name not in self._sections:
            section = self._elf.get_section_by_name(name)
            self._sections[name] = section.data() if section is not None else b""
        return self._sections[name]

    def ranges(self, die: DIE) -> tuple[Range, ...]:
        """The addresses an entry covers, by its low/high PC or its range list."""
        low = number(die, "DW_AT_low_pc")
        found: list[Range] = []
        if (lists := number(die, "DW_AT_ranges")) is not None:
            found = list(self._range_list(die, lists))
        elif low is not None and (high := attribute(die, "DW_AT_high_pc")) is not None:
            # A constant is a length, an address an end (DWARF 5, 2.17.2).
            found = [(low, high.value if high.form.startswith("DW_FORM_addr") else low + high.value)]
        # Linkers leave code that they dropped at 0, 1, -1 or -2 ("tombstones").
        return tuple((start, end) for start, end in found if start < end and self.is_code(start))

    def _range_list(self, die: DIE, offset: int) -> Iterator[Range]:
        lists = self.info.range_lists()
        if lists is None:
            return
        cu = die.cu
        assert isinstance(cu, CompileUnit)
        base = number(cu.get_top_DIE(), "DW_AT_low_pc") or 0
        for entry in lists.get_range_list_at_offset(offset, cu):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            else:
                shift = 0 if entry.is_absolute else base
                yield entry.begin_offset + shift, entry.end_offset + shift

    @cached_property
    def _unit_ranges(self) -> list[tuple[int, int, Unit]]:
        with self.guard("the units' address ranges"):
            return [(low, high, unit) for unit in self.units for low, high in unit.ranges]

    @cached_property
    def _by_offset(self) -> dict[int, Unit]:
        return {unit.offset: unit for unit in self.units}

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turns whatever malformed data does to a parser into an ImageError that names file and `what`."""
        with malformed_dwarf(f"{what} of {self.path}"):
            yield


@contextmanager
def malformed_dwarf(what: str) -> Iterator[None]:
    """Turns whatever malformed data does to a parser into an ImageError that names `what`."""
    try:
        yield
    except ImageError:
        raise
    except MALFORMED as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"malformed DWARF in {what}: {reason}; build the image again") from error


def by_name(dwarf: Dwarf, *tags: str) -> dict[str, list[tuple[Unit, int]]]:
    """Top-level entries with one of `tags` by their own name; nameless ones are left out.

    So are those of assembly units: assemblers give functions entries that say nothing about types.
    """
    found: dict[str, list[tuple[Unit, int]]] = defaultdict(list)
    with dwarf.guard(".debug_info"):
        for unit, offset in dwarf.tagged(*tags):
            name = "" if unit.is_assembly else text(unit.die(offset), "DW_AT_name")
            if name:
                found[name].append((unit, offset))
    return dict(found)


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _join(*parts: str) -> str:
    return posixpath.normpath(posixpath.join(*parts))
