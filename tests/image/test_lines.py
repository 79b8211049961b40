# SPDX-License-Identifier: BSD-3-Clause
"""Source lines of addresses, addresses of lines, and inlined calls."""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile

from harness.image import ElfImage
from harness.image.lines import _run

MAIN = Path(__file__).parent / "sample/main.c"


def line_of(comment: str) -> int:
    """The line of main.c that has the comment."""
    return next(n for n, line in enumerate(MAIN.read_text().splitlines(), 1) if comment in line)


def test_rows_are_those_of_pyelftools(sample_path: Path, sample: ElfImage) -> None:
    """The line table is, row by row, what pyelftools makes of it."""
    with sample_path.open("rb") as file:
        info = ELFFile(file).get_dwarf_info()
        expected = set()
        for unit in info.iter_CUs():
            program = info.line_program_for_CU(unit)
            assert program is not None
            for entry in program.get_entries():
                state = entry.state
                if state and not state.end_sequence and sample.is_code(state.address):
                    expected.add((state.address, state.file, state.line, state.column, bool(state.is_stmt)))
    units = sample._dwarf.units
    rows = {row for unit in units for rows, _ in sample.lines.sequences(unit) for row in rows}
    assert expected
    assert expected == {(row.address, row.file, row.line, row.column, row.is_stmt) for row in rows}


class Program:
    """A line number program with the header that GCC writes for AArch64."""

    def __init__(self, code: bytes) -> None:
        self.header = {
            "opcode_base": 13, "standard_opcode_lengths": [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1],
            "default_is_stmt": 1, "minimum_instruction_length": 4, "line_base": -5, "line_range": 14,
        }  # fmt: skip
        self.program_start_offset, self.program_end_offset = 0, len(code)


def test_rare_opcodes_advance_as_the_standard_says() -> None:
    """const_add_pc, fixed_advance_pc and operands of unknown kinds (DWARF 5, 6.2.5.2)."""
    # const_add_pc adds (255 - 13) // 14 instructions, fixed_advance_pc bytes; set_isa has one operand.
    code = bytes([8, 1, 9, 0x34, 0x12, 1, 12, 7, 1, 0, 1, 1])
    ((rows, end),) = list(_run(Program(code), code))  # type: ignore[arg-type]
    assert [row.address for row in rows] == [68, 68 + 0x1234, 68 + 0x1234]
    assert end == 68 + 0x1234


def test_functions_begin_in_their_source(sample: ElfImage) -> None:
    """The entry of a function belongs to one of its first lines, in the file by its full path."""
    for name in ("outer", "deep", "by_value"):
        location = sample.location(sample.symbols[name].address)
        assert location is not None
        assert location.file == str(MAIN)
        assert 0 <= location.line - sample.functions[name].line <= 3
    assert sample.location(0) is None


def test_assembly_has_lines_too(sample: ElfImage) -> None:
    """Instructions of an assembly file are attributed to it."""
    location = sample.location(sample.symbols["assembled"].address)
    assert location is not None
    assert Path(location.file).name == "start.S"
    text = MAIN.with_name("start.S").read_text().splitlines()
    assert text[location.line - 1].strip() == "nop"


def test_lines_and_addresses_are_inverse(sample: ElfImage) -> None:
    """Each address found for a line is of that line, and every statement's line finds an address."""
    count = 0
    for number in range(1, len(MAIN.read_text().splitlines()) + 1):
        for address in sample.lines.addresses("main.c", number):
            location = sample.location(address)
            assert location is not None
            assert (Path(location.file).name, location.line) == ("main.c", number)
            count += 1
    assert count > 10
    assert sample.lines.addresses("sample/main.c", line_of("// the deepest call"))


def test_files_are_matched_by_whole_names(sample: ElfImage) -> None:
    """A file is named by the end of its path, cut at slashes; another file's name finds nothing."""
    line = line_of("// the deepest call")
    assert sample.lines.addresses(str(MAIN), line) == sample.lines.addresses("main.c", line)
    assert sample.lines.addresses("ain.c", line) == []
    assert sample.lines.addresses("", line) == []
    assert sample.lines.addresses("main.c", 100_000) == []
    assert str(MAIN) in sample.lines.files


def test_all_rows_agree_with_single_lookups(sample: ElfImage) -> None:
    """The whole table says of each address what the lookup says."""
    rows = list(sample.lines.all())
    assert rows
    for start, end, location in rows:
        assert start < end
        assert sample.location(start) == location
        assert sample.location(end - 4) == location


def test_every_instruction_of_c_knows_its_function(sample: ElfImage) -> None:
    """The chain of inlined calls ends in the compiled function, for each of its instructions."""
    inlined = set()
    for name in ("outer", "deep", "by_value", "handle"):
        symbol = sample.symbols[name]
        for address in range(symbol.address, symbol.address + symbol.size, 4):
            chain = sample.source_at(address)
            assert chain[-1].function == name
            assert not chain[-1].is_inlined
            inlined |= {(frame.function, frame.is_inlined) for frame in chain[:-1]}
    assert inlined == {("twice", True), ("wrapped", True)}


def test_inlined_calls_state_where_they_were_called(sample: ElfImage) -> None:
    """In the innermost inlined function the outer ones stand at the line of the call."""
    places = {"wrapped": line_of("// call within a call"), "outer": line_of("// the inlined call")}
    symbol = sample.symbols["outer"]
    chains = [sample.source_at(a) for a in range(symbol.address, symbol.address + symbol.size, 4)]
    deepest = [chain for chain in chains if len(chain) == 3]
    assert deepest
    for chain in deepest:
        assert {f.function: f.location.line for f in chain[1:] if f.location} == places
        assert all(Path(f.location.file).name == "main.c" for f in chain[1:] if f.location)


def test_descriptions_name_symbol_offset_and_line(sample: ElfImage) -> None:
    """An address is described as people write it."""
    address = sample.symbols["deep"].address
    assert sample.describe(address) == f"deep ({sample.location(address)})"
    assert sample.describe(address).startswith(f"deep ({MAIN}:")
    assert sample.describe(address + 4).startswith("deep+0x4 (")
    assert sample.describe(0x10) == "0x10"
