# SPDX-License-Identifier: BSD-3-Clause
"""Macros of an image, and the values of what they stand for."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ImageError
from harness.image import ElfImage
from harness.image.cexpr import Names, evaluate
from harness.image.preprocessor import Macro, expand, parse_definition, tokenize

NO_NAMES = Names({}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAGE_SHIFT", 12),
        ("PAGE_SIZE", 4096),
        ("PAGE_MASK", 0xFFFF_FFFF_FFFF_F000),
        ("ALL_ONES", 0xFFFF_FFFF_FFFF_FFFF),
        ("TRUNCATED", 0xFF),
        ("NEGATIVE", -3),
        ("COMPARED", 0),
        ("CHOSEN", ord("A")),
        ("LETTERS", "lukos vmm"),
        ("HOLDER_SIZE", 56),
        ("POINTER_SIZE", 8),
        ("COLOUR_PLUS", 7),
        ("QUOTED", 'a + "b"'),
        ("LARGEST", 5),
        ("ONLY_IN_MAIN", 41),
        ("ONLY_IN_OTHER", 7),
        ("__aarch64__", 1),
        ("__STDC_VERSION__", 201710),
    ],
)
def test_macros_have_the_values_c_gives_them(sample: ElfImage, name: str, value: int | str) -> None:
    """Object-like macros are expanded and evaluated with C's types, sizeof and enumerators included."""
    assert sample.macros.value(name) == value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ATTRIBUTE", "no value: not an integer constant expression, at __attribute__"),
        ("SELF", "no value: not an integer constant expression, at SELF"),
        ("DIVIDED", "no value: division by zero"),
        ("MAX_OF", "takes arguments"),
        ("PAGE_SIZ", "no macro named 'PAGE_SIZ'.*did you mean PAGE_SIZE"),
    ],
)
def test_macros_without_a_value_say_why(sample: ElfImage, name: str, message: str) -> None:
    """Attributes, self-references, divisions by zero and functions are refused with the reason."""
    with pytest.raises(ImageError, match=message):
        sample.macros.value(name)


def test_expressions_use_function_like_macros(sample: ElfImage) -> None:
    """A call of a function-like macro is evaluated as C would."""
    assert sample.macros.evaluate("MAX_OF(PAGE_SIZE, BIT(13)) + BLUE") == 8198
    assert sample.macros.evaluate("(uint8_t)(PAGE_SIZE - 1) | (enum colour)GREEN") == 255
    with pytest.raises(ImageError, match="macro MAX_OF takes 2 arguments, not 1"):
        sample.macros.evaluate("MAX_OF(1)")
    with pytest.raises(ImageError, match="without a closing parenthesis"):
        sample.macros.evaluate("MAX_OF(1, 2")


def test_definitions_keep_their_text(sample: ElfImage) -> None:
    """A macro can be shown as it was written."""
    assert str(sample.macros["PAGE_SHIFT"]) == "#define PAGE_SHIFT 12"
    assert sample.macros["MAX_OF"].parameters == ("a", "b")
    assert len(sample.macros.definitions("PAGE_SHIFT")) == 1


def test_units_that_differ_are_all_known(any_compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Of different definitions the first counts; undefined ones are gone."""
    first, second = tmp_path / "a.c", tmp_path / "b.c"
    first.write_text("#define X 1\n#define GONE 1\n#undef GONE\nint a; void _start(void) { a++; }\n")
    second.write_text("#define X 2\nint b; void second(void) { b++; }\n")
    image = ElfImage.load(any_compiler.build([first, second], tmp_path / "two.elf", "-Wl,-e,_start"))
    assert [macro.text for macro in image.macros.definitions("X")] == ["1", "2"]
    assert image.macros.value("X") == 1
    assert "GONE" not in image.macros


def test_images_without_macros_say_how_to_get_them(any_compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """An image built without -g3 names the option in the error."""
    source = tmp_path / "a.c"
    source.write_text("void _start(void) { }\n")
    image = ElfImage.load(any_compiler.build([source], tmp_path / "a.elf", "-Wl,-e,_start", debug=False))
    with pytest.raises(ImageError, match="build it with -g3"):
        image.macros.value("X")


def random_expression(source: random.Random, depth: int) -> str:
    """A C expression over integer constants of all types."""
    if depth == 0 or source.random() < 0.1:
        number = source.choice([0, 1, 2, 7, 31, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1])
        text = source.choice([str, hex, lambda n: f"0{n:o}"])(number)
        return text + source.choice(["", "", "u", "L", "UL", "ll", "ULL"])
    parts = [random_expression(source, depth - 1) for _ in range(3)]
    forms = [
        "({0} {op} {1})", "({0} {op} {1} {op2} {2})", "(-{0})", "(~{0})", "(!{0})", "({0} ? {1} : {2})",
        "(({type}){0})", "(int)sizeof({0})", "({0} << ({1} & 15))", "({0} >> ({1} & 31))",
    ]  # fmt: skip
    operators = ["+", "-", "*", "/", "%", "&", "|", "^", "<", ">", "<=", ">=", "==", "!=", "&&", "||"]
    types = ["char", "signed char", "unsigned short", "int", "unsigned", "long", "_Bool", "unsigned long"]
    return source.choice(forms).format(
        *parts, op=source.choice(operators), op2=source.choice(operators[:8]), type=source.choice(types)
    )


class DivisionByZero(Exception):  # noqa: N818 - it leads to another try and reports nothing
    """An expression that has no value."""


def integer(image: ElfImage, text: str) -> int:
    """The value of an expression that must have one, unless it divides by zero."""
    try:
        value = image.macros.evaluate(text)
    except ImageError as error:
        if "division by zero" in str(error):
            raise DivisionByZero from error
        raise
    assert isinstance(value, int)
    return value


TYPES_OF_C = """
char c; signed char sc; unsigned short us; int i; unsigned u; long l; _Bool b; unsigned long ul;
void _start(void) { c = sc = us = i = u = l = b = ul = 1; }
"""


def test_values_are_those_of_the_compiler(compiler, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Random constant expressions come out as the compiler itself evaluates them."""
    source = random.Random(20 + compiler.dwarf)
    types = tmp_path / "types.c"
    types.write_text(TYPES_OF_C)
    image = ElfImage.load(compiler.build([types], tmp_path / "types.elf", "-w", "-Wl,-e,_start"))
    values: list[tuple[str, int]] = []
    while len(values) < 400:
        text = random_expression(source, 4)
        with suppress(DivisionByZero):
            values.append((text, integer(image, text)))
    lines = [f"{text}," for text, _ in values]
    program = tmp_path / "values.c"
    program.write_text("\n".join([TYPES_OF_C, "unsigned long values[] = {", *lines, "};"]))
    options = ("-w", "-Wl,-e,_start", "-fwrapv", "-Wl,--no-gc-sections")
    built = ElfImage.load(compiler.build([program], tmp_path / "values.elf", *options))
    table = built.read(built.symbols["values"].address, 8 * len(values))
    for (text, value), expected in zip(values, struct.unpack(f"<{len(values)}Q", table), strict=True):
        assert value & 0xFFFF_FFFF_FFFF_FFFF == expected, text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 || 1 / 0", 1),
        ("0 && 1 % 0", 0),
        ("1 ? 2 : 1 / 0", 2),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("1 ? -1 : 0u", 0xFFFF_FFFF),
        ("0x80000000 >> 31", 1),
        ("2147483648 > 0", 1),
        ("'\\x41' + '\\101' + '\\n'", 65 + 65 + 10),
        ("1 << 2 + 3", 32),
        ("3 & 1 == 1", 1),
        ("0b101", 5),
    ],
)
def test_evaluation_follows_c(text: str, value: int) -> None:
    """Precedence, signs and what C leaves unevaluated."""
    assert evaluate(tokenize(text), NO_NAMES) == value


@pytest.mark.parametrize(
    "text", ["", "1 +", "(1", "1 2", "1.5", "x", "099", "f(1)", "1 ? 2", "18446744073709551616"]
)
def test_what_is_no_integer_constant_is_refused(text: str) -> None:
    """Incomplete expressions, floating point and unknown names are errors."""
    with pytest.raises((ImageError, ValueError), match=r"not an integer|invalid|fit 64"):
        evaluate(tokenize(text), NO_NAMES)


def lookup(*definitions: str):  # type: ignore[no-untyped-def]
    """A lookup in a few macros."""
    macros = {macro.name: macro for macro in map(parse_definition, definitions)}
    return macros.get


@pytest.mark.parametrize(
    ("definitions", "text", "expanded"),
    [
        (["A B", "B A"], "A B", "A B"),
        (["F(x) x x"], "F(F(1))", "1 1 1 1"),
        (["F(x) x", "G F"], "G (2) G", "2 F"),
        (["CAT(a,b) a##b", "XY 3"], "CAT(X,Y)", "3"),
        (["CAT(a,b) a##b", "X 1"], "CAT(X,)", "1"),
        (["CAT(a,b) a##b", "A 1", "AB 7"], "CAT(A,B)", "7"),
        (["A A B", "ID(x) x"], "ID(A)", "A B"),
        (["STR(x) #x"], 'STR("a\\n")', '"\\"a\\\\n\\""'),
        (["V(f,...) f(__VA_ARGS__)"], "V(g,1,(2,3))", "g ( 1 , ( 2 , 3 ) )"),
        (["N() 5"], "N() N", "5 N"),
        (["F(x) (x + 1)"], "F((1,2))", "( ( 1 , 2 ) + 1 )"),
    ],
)
def test_expansion_follows_the_standard(definitions: list[str], text: str, expanded: str) -> None:
    """Rescanning, recursion, pasting, stringizing and variable arguments (C17, 6.10.3)."""
    assert " ".join(token.text for token in expand(text, lookup(*definitions))) == expanded


def test_exponential_expansion_is_stopped() -> None:
    """Macros that double at each level end in an error, not in a full memory."""
    definitions = [f"A{n} A{n + 1} A{n + 1}" for n in range(64)]
    with pytest.raises(ImageError, match="grows without end"):
        expand("A0", lookup(*definitions))


def test_deep_nesting_is_refused() -> None:
    """A thousand parentheses are an error, not a crash."""
    with pytest.raises(ImageError, match="too deeply nested"):
        evaluate(tokenize("(" * 5000 + "1" + ")" * 5000), NO_NAMES)


@given(st.text(alphabet="AF(),#+12'\"\\ x?:*", max_size=30))
def test_no_text_raises_anything_but_image_errors(text: str) -> None:
    """Whatever the macro's text, there is a value or an ImageError."""
    known = {"A": Macro("A", None, "F(A)"), "F": Macro("F", ("x",), "x##1 #x")}
    with suppress(ImageError):
        assert isinstance(evaluate(expand(text, known.get), NO_NAMES), int)
