# SPDX-License-Identifier: BSD-3-Clause
"""What an image holds, and what is refused as one."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ImageError
from harness.image import ElfImage, Symbol, SymbolTable

PHDR_OFFSET, E_TYPE, E_MACHINE = 32, 16, 18


def rewritten(path: Path, offset: int, content: bytes) -> ElfImage:
    """The image with some bytes of its file replaced."""
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    return ElfImage(bytes(data), path)


def test_segments_cover_entry_and_sections(sample: ElfImage) -> None:
    """The entry point lies in an executable segment whose bytes are the file's."""
    assert sample.is_code(sample.entry)
    assert sample.symbols["_start"].address == sample.entry
    code = next(s for s in sample.segments if s.vaddr <= sample.entry < s.vaddr + s.memory_size)
    assert "x" in code.permissions
    assert sample.read(sample.entry, 4) == code.data[sample.entry - code.vaddr :][:4]
    assert all(len(segment.data) <= segment.memory_size for segment in sample.segments)


def test_bss_reads_as_zero_and_beyond_is_refused(sample: ElfImage) -> None:
    """Memory beyond the file's bytes is zero; memory of no segment is an error that names it."""
    assert sample.read(sample.symbols["linker_made"].address, 8) == bytes(8)
    with pytest.raises(ImageError, match="no segment holds 0x8 bytes at 0x10"):
        sample.read(0x10, 8)


def test_symbols_know_kind_size_and_binding(sample: ElfImage) -> None:
    """Functions, objects and labels are told apart, and global symbols from local ones."""
    assert sample.symbols["outer"].kind == "function"
    assert sample.symbols["outer"].is_global
    assert sample.symbols["outer"].size > 0
    assert sample.symbols["the_holder"].kind == "object"
    assert sample.symbols["bare_label"].kind == "label"
    assert not any(symbol.is_global for symbol in sample.symbols.named("quiet"))
    assert not any(name.startswith("$") for name in sample.symbols)


def test_every_function_address_finds_its_symbol(sample: ElfImage) -> None:
    """Each address of a function is resolved to it with the right offset."""
    for symbol in sample.symbols.all():
        if symbol.kind == "function" and symbol.size:
            for offset in {0, 4, symbol.size - 4}:
                found = sample.symbol_at(symbol.address + offset)
                assert found is not None
                assert found[0].address + found[1] == symbol.address + offset
                assert found[0].address == symbol.address


def test_label_without_size_reaches_to_end_of_section_only(sample: ElfImage) -> None:
    """An assembly label covers what follows it, not addresses outside every section."""
    label = sample.symbols["bare_label"]
    assert sample.symbol_at(label.address + 4) == (label, 4)
    assert sample.symbol_at(0xFFFF_0000_0000_0000) is None
    assert sample.symbol_at(0) is None


def test_functions_and_global_symbols_are_preferred() -> None:
    """Of two names for one address the function's is taken, of two symbols of one name the global one."""
    local = Symbol("twin", 0x100, 8, "function", is_global=False, section=1)
    other = Symbol("twin", 0x200, 8, "function", is_global=True, section=1)
    label = Symbol("alias", 0x200, 8, "label", is_global=True, section=1)
    for order in ((local, other, label), (label, other, local)):
        table = SymbolTable(order, {1: 0x300})
        assert table["twin"] == other
        assert table.at(0x204) == (other, 4)
        assert set(table.named("twin")) == {local, other}


def test_dropped_code_has_no_source(any_compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What the linker dropped is described at address 0 or the like, which is not taken for code."""
    source = tmp_path / "dropped.c"
    source.write_text("long value; void dropped(void) { value = 1; }\nvoid _start(void) { value = 2; }\n")
    options = ("-ffunction-sections", "-Wl,--gc-sections", "-Wl,-e,_start")
    image = ElfImage.load(any_compiler.build([source], tmp_path / "dropped.elf", *options))
    assert "dropped" not in image.symbols
    assert not image.functions["dropped"].is_callable
    assert image.source_at(image.entry)[0].function == "_start"
    for address in range(0, 32, 4):
        assert image.source_at(address) == ()
        assert image.location(address) is None


def test_unknown_symbol_suggests_near_names(sample: ElfImage) -> None:
    """A misspelt symbol is answered with the names that come close, as a KeyError too."""
    with pytest.raises(ImageError, match=r"no symbol named 'bare_labl'.*did you mean bare_label"):
        sample.symbols["bare_labl"]
    assert "bare_labl" not in sample.symbols


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A path that is not there is an ImageError that says so."""
    with pytest.raises(ImageError, match=r"nowhere\.elf: cannot be read: No such file"):
        ElfImage.load(tmp_path / "nowhere.elf")


@pytest.mark.parametrize("content", [b"", b"#include <stdio.h>\n", b"\x7fEL", bytes(5000)])
def test_what_is_no_elf_is_refused(content: bytes, tmp_path: Path) -> None:
    """Empty files, sources and zeros are refused with advice."""
    path = tmp_path / "kernel.elf"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"not an ELF file; give the linked kernel\.elf"):
        ElfImage.load(path)


@pytest.mark.parametrize(
    ("offset", "content", "message"),
    [
        (4, b"\x01", "32-bit ELF file; build for AArch64"),
        (5, b"\x02", "big-endian ELF file; build for little-endian"),
        (E_MACHINE, struct.pack("<H", 62), "built for X86_64, not AArch64"),
        (E_TYPE, struct.pack("<H", 1), r"not an executable \(ET_REL\); link it"),
        (E_TYPE, struct.pack("<H", 4), r"not an executable \(ET_CORE\)"),
        (PHDR_OFFSET, struct.pack("<Q", 1 << 40), "program headers reach to byte"),
        (56, struct.pack("<H", 0), "nothing to load"),
    ],
)
def test_unfit_files_are_refused_with_advice(
    plain_path: Path, offset: int, content: bytes, message: str
) -> None:
    """Another machine, byte order or kind of file is named in the error."""
    with pytest.raises(ImageError, match=message):
        rewritten(plain_path, offset, content)


def test_every_truncation_is_refused(plain_path: Path) -> None:
    """A file that lost its end is refused, wherever it was cut."""
    data = plain_path.read_bytes()
    for size in [4, 63, 64, 200, *range(1000, len(data) - 1, len(data) // 50), len(data) - 1]:
        with pytest.raises(ImageError, match="truncated or damaged"):
            ElfImage(data[:size], plain_path)


def test_overlapping_segments_are_refused(plain_path: Path) -> None:
    """Two segments at one physical address cannot both be loaded."""
    data = bytearray(plain_path.read_bytes())
    table, entry_size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    for index in range(count):
        struct.pack_into("<Q", data, table + index * entry_size + 24, 0x1000)
    with pytest.raises(ImageError, match="segments overlap at physical address 0x1000"):
        ElfImage(bytes(data), plain_path)


def test_segment_larger_in_file_than_in_memory_is_refused(plain_path: Path) -> None:
    """A segment whose memory is smaller than its file bytes is damage."""
    table, entry_size = struct.unpack_from("<Q", plain_path.read_bytes(), 32)[0], 56
    data = bytearray(plain_path.read_bytes())
    for index in range(struct.unpack_from("<H", data, 56)[0]):
        struct.pack_into("<Q", data, table + index * entry_size + 40, 1)
    with pytest.raises(ImageError, match="in the file but 1 in memory"):
        ElfImage(bytes(data), plain_path)


def use_everything(image: ElfImage) -> None:
    """Ask an image for all that it reads lazily."""
    image.describe(image.entry)
    image.source_at(image.entry)
    for mapping in (image.symbols, image.functions, image.variables, image.types, image.macros):
        for name in mapping:
            assert str(mapping[name])
    for symbol in image.symbols.all():
        image.source_at(symbol.address)
        registers = {"pc": symbol.address, "sp": 0x1000}
        assert str(
            image.unwinder.backtrace(lambda name, r=registers: r.get(name, 0), lambda _, size: bytes(size))
        )
    assert image.types.enumerators is not None
    assert list(image.lines.all()) is not None


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_but_image_errors(plain_path: Path, data: st.DataObject) -> None:
    """Whatever bytes are damaged, the file is read or refused with an ImageError."""
    content = bytearray(plain_path.read_bytes())
    places = st.lists(
        st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=40
    )
    for offset, value in data.draw(places):
        content[offset] = value
    with suppress(ImageError):
        use_everything(ElfImage(bytes(content), plain_path))


def test_without_dwarf_symbols_still_work(plain_path: Path, any_compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """An image built with -g0 has symbols, and says what it has not."""
    source = tmp_path / "bare.c"
    source.write_text("int value; void _start(void) { for (;;) value++; }\n")
    image = ElfImage.load(any_compiler.build([source], tmp_path / "bare.elf", "-Wl,-e,_start", debug=False))
    assert not image.has_dwarf
    assert image.describe(image.entry) == "_start"
    assert image.source_at(image.entry) == ()
    assert image.location(image.entry) is None
    for lookup in (image.functions, image.types, image.variables):
        assert len(lookup) == 0
        with pytest.raises(ImageError, match="no DWARF: build it with -g3"):
            lookup["anything"]
