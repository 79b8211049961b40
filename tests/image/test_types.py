# SPDX-License-Identifier: BSD-3-Clause
"""C types, prototypes and variables as DWARF has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from harness.errors import ImageError
from harness.image import ElfImage
from harness.image.dies import scan
from harness.image.types import Enum, Function, Int, Pointer, Struct, Typedef, Union, sizeof, strip


@pytest.fixture(scope="module")
def holder(sample: ElfImage) -> Struct:
    """struct holder of the sample."""
    found = sample.types["struct holder"]
    assert isinstance(found, Struct)
    return found


def test_struct_members_have_the_offsets_of_aapcs64(holder: Struct) -> None:
    """Offsets are those the ABI gives, members of anonymous unions and structs included."""
    expected = {
        "id": 0, "low": 8, "middle": 8, "high": 12, "next": 16, "name": 24, "ready": 29,
        "number": 32, "left": 32, "right": 34, "top": 34, "colour": 36, "call": 40, "grid": 48, "tail": 54,
    }  # fmt: skip
    assert expected == {member.name: member.offset for member in holder.fields()}
    assert sizeof(holder) == 56
    assert [member.name for member in holder.members].count("") == 1


def test_bit_fields_count_from_the_least_significant_bit(holder: Struct) -> None:
    """Bit fields have the position and width that the little-endian ABI gives them."""
    bits = {m.name: (m.bit_offset, m.bit_size) for m in holder.fields() if m.bit_size is not None}
    assert bits == {"low": (64, 3), "middle": (67, 12), "high": (96, 7), "right": (272, 4), "top": (276, 12)}


def test_types_are_spelt_as_in_c(holder: Struct) -> None:
    """Declarations come out in C syntax, function pointers and arrays of arrays included."""
    spelt = {member.name: member.type.declare(member.name) for member in holder.fields()}
    assert spelt["next"] == "struct holder *next"
    assert spelt["grid"] == "uint8_t grid[2][3]"
    assert spelt["tail"] == "uint8_t tail[]"
    assert spelt["call"] == "callback_t call"
    assert strip(holder.member("call").type).declare("f") == "int (*f)(struct holder *, const char *)"


def test_declarator_syntax_of_variables(sample: ElfImage) -> None:
    """Qualifiers, pointers and arrays bind as in C."""
    pairs = sample.variables["pairs"]
    assert pairs.type.declare("pairs") == "const pair_t *const pairs[4]"
    assert sample.variables["sink"].type.declare("sink") == "volatile uint64_t sink"
    assert str(sample.types["words_t"]) == "words_t"
    typedef = sample.types["words_t"]
    assert isinstance(typedef, Typedef)
    assert str(typedef.target) == "uint64_t *restrict"


def test_a_struct_is_one_object_in_all_units(sample: ElfImage, holder: Struct) -> None:
    """However many units repeat a definition, and however it is reached, it is one type."""
    first = sample.functions["outer"].parameters[0].type
    assert first == Pointer(holder)
    assert holder.member("next").type == Pointer(holder)
    assert strip(sample.functions["by_value"].return_type) is strip(sample.types["pair_t"])
    other = sample.functions["other"].parameters[1].type
    assert isinstance(other, Pointer)
    assert other.target == sample.types["pair_t"]


def test_a_declared_struct_is_its_definition_elsewhere(sample: ElfImage) -> None:
    """A pointer to a struct declared in one unit leads to the definition in another."""
    hidden = sample.variables["hidden"].type
    assert isinstance(hidden, Pointer)
    assert isinstance(hidden.target, Struct)
    assert [member.name for member in hidden.target.members] == ["secret"]


def test_integers_have_width_sign_and_range(sample: ElfImage) -> None:
    """char, bool and the integer types differ as the ABI says; char is unsigned on AArch64."""
    byte, flag, long = (strip(sample.types[name]) for name in ("char", "_Bool", "long"))
    assert isinstance(byte, Int)
    assert isinstance(flag, Int)
    assert isinstance(long, Int)
    assert (byte.size, byte.signed, byte.is_char, byte.maximum) == (1, False, True, 255)
    assert (flag.size, flag.is_bool, flag.minimum, flag.maximum) == (1, True, 0, 1)
    assert (long.size, long.signed, long.minimum, long.maximum) == (8, True, -(2**63), 2**63 - 1)


@pytest.mark.parametrize("name", ["unsigned long", "long unsigned int", "unsigned long int", "unsigned int"])
def test_base_types_are_found_by_any_spelling(sample: ElfImage, name: str) -> None:
    """GCC and clang spell base types differently; all spellings find them."""
    found = sample.types[name]
    assert isinstance(found, Int)
    assert found.size == (4 if name == "unsigned int" else 8)
    assert not found.signed


def test_pointers_are_found_by_their_spelling(sample: ElfImage, holder: Struct) -> None:
    """A type name may end in asterisks."""
    assert sample.types["struct holder **"] == Pointer(Pointer(holder))
    assert str(sample.types["void *"]) == "void *"


def test_enumerators_keep_value_and_sign(sample: ElfImage) -> None:
    """Enumerators have their values, with and without a tag."""
    assert sample.types.enumerators["BLUE"] == 6
    assert sample.types.enumerators["MINUS"] == -2
    assert sample.types.enumerators["PROP_RW"] == 2
    colour, signed = sample.types["enum colour"], sample.types["enum signed_one"]
    assert isinstance(colour, Enum)
    assert isinstance(signed, Enum)
    assert dict(colour.members) == {"RED": 0, "GREEN": 5, "BLUE": 6}
    assert (colour.signed, signed.signed) == (False, True)
    assert (colour.name_of(5), colour.name_of(4)) == ("GREEN", None)


def test_prototypes_read_as_in_the_header(sample: ElfImage) -> None:
    """Prototypes have the declared types and names."""
    expected = {
        "outer": "int outer(struct holder *holder, unsigned int count)",
        "deep": "int64_t deep(struct holder *holder, int64_t depth)",
        "variadic": "int variadic(const char *format, ...)",
        "by_value": "pair_t by_value(pair_t pair, prop_t prop)",
        "nothing": "void nothing(void)",
    }
    assert expected == {name: str(sample.functions[name]) for name in expected}


def test_prototypes_have_their_symbols_address(sample: ElfImage) -> None:
    """A global function is callable where its symbol is, and knows its source line."""
    outer = sample.functions["outer"]
    assert outer.address == sample.symbols["outer"].address
    assert outer.is_callable
    assert outer.is_global
    assert Path(outer.file).name == "main.c"
    text = (Path(__file__).parent / "sample/main.c").read_text().splitlines()
    assert "int outer(" in text[outer.line - 1]


def test_assembly_functions_take_the_declared_prototype(sample: ElfImage) -> None:
    """A function written in assembly has the prototype of its C declaration."""
    assembled = sample.functions["assembled"]
    assert assembled.address == sample.symbols["assembled"].address
    assert [str(parameter.type) for parameter in assembled.parameters] == ["uint64_t", "struct opaque *"]


def test_inlined_away_functions_are_not_callable(sample: ElfImage) -> None:
    """A function without code of its own has a prototype, but no address."""
    wrapped = sample.functions["wrapped"]
    assert str(wrapped) == "int wrapped(struct holder *holder, int value)"
    assert (wrapped.address, wrapped.is_callable) == (None, False)


CHANGED = """
struct big { long a, b; };
volatile long sink;
static __attribute__((noinline)) long changed(struct big *big, long unused, long used)
{ sink++; return big->b + used + sink; }
__attribute__((noinline)) long kept(struct big *big, long unused, long used)
{ return changed(big, unused, used); }
void _start(void) { struct big big = {sink, sink}; sink = kept(&big, 1, sink) + changed(&big, 2, sink); }
"""


def test_functions_whose_arguments_were_changed_are_not_callable(compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A static function that lost an argument to optimisation must not be called by its C prototype."""
    source = tmp_path / "changed.c"
    source.write_text(CHANGED)
    image = ElfImage.load(compiler.build([source], tmp_path / "changed.elf", "-Wl,-e,_start"))
    assert image.functions["kept"].is_callable
    assert not image.functions["changed"].is_callable
    assert len(image.functions["changed"].parameters) == 3


def test_static_functions_of_one_name_are_kept_apart(sample: ElfImage) -> None:
    """Two static functions of one name are both there, each with its own types and address."""
    both = sample.functions.all_of("quiet")
    assert {str(each.return_type) for each in both} == {"int", str(sample.types["long"])}
    addresses = [each.address for each in both if each.address is not None]
    assert len(set(addresses)) == len(addresses)
    assert set(addresses) <= {symbol.address for symbol in sample.symbols.named("quiet")}


def test_variables_have_type_and_address(sample: ElfImage) -> None:
    """Variables of file scope are where their symbols are."""
    for name in ("the_holder", "sink", "other_value"):
        assert sample.variables[name].address == sample.symbols[name].address
    assert str(sample.variables["the_holder"].type) == "struct holder"


def test_variables_declared_in_c_are_found_by_symbol(sample: ElfImage, compiler) -> None:  # type: ignore[no-untyped-def]
    """GCC describes a variable that assembly defines; clang leaves it out, which is an error that says so."""
    if compiler.name == "zig":
        with pytest.raises(ImageError, match="no variable named 'linker_made'"):
            sample.variables["linker_made"]
    else:
        made = sample.variables["linker_made"]
        assert made.address == sample.symbols["linker_made"].address
        assert str(made.type) == "char []"


def test_names_that_are_not_there_are_answered_with_near_ones(sample: ElfImage) -> None:
    """Unknown types, functions and members say what is close."""
    with pytest.raises(ImageError, match="did you mean struct holder"):
        sample.types["struct holdr"]
    with pytest.raises(ImageError, match=r"no function named 'bare_label'.*without a C prototype"):
        sample.functions["bare_label"]
    with pytest.raises(ImageError, match="no member of struct holder named 'nam'"):
        _record(sample).member("nam")


def test_incomplete_types_have_no_size(sample: ElfImage) -> None:
    """sizeof of a function or of void is an error, not a number."""
    function = sample.functions["outer"].type
    assert isinstance(function, Function)
    with pytest.raises(ValueError, match="has no size"):
        sizeof(function)
    assert isinstance(next(m.type for m in _record(sample).members if not m.name), Union)


def test_the_quick_scan_agrees_with_pyelftools(sample_path: Path) -> None:
    """Stepping over entries by their abbreviations finds exactly the top-level entries there are."""
    with sample_path.open("rb") as file:
        elf = ELFFile(file)
        info = elf.get_dwarf_info()
        contents = elf.get_section_by_name(".debug_info").data()
        for unit in info.iter_CUs():
            expected: dict[str, list[int]] = {}
            for child in unit.get_top_DIE().iter_children():
                expected.setdefault(str(child.tag), []).append(child.offset)
            assert expected == scan(unit, contents, unit.get_top_DIE())


def _record(sample: ElfImage) -> Struct:
    found = sample.types["struct holder"]
    assert isinstance(found, Struct)
    return found
