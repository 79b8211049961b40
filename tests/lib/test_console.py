# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/console.c against Python's % operator, whose conversions are those of C."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHARED = [HealthCheck.function_scoped_fixture]  # the guest, which each example resets
shared_guest = settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
FLAGS = st.sampled_from(["", "-", "0", "-0"])
WIDTH = st.integers(0, 40)
BITS = {"hh": 8, "h": 16, "": 32, "l": 64, "ll": 64, "z": 64}


def formatted(guest, form, *arguments, size=512):
    """The text and the length that format_string() gives."""
    buffer = guest.place(b"\xaa" * (size + 16))
    strings = [guest.place(a + b"\0") if isinstance(a, bytes) else a for a in arguments]
    length = guest.signed("format_string", buffer, size, guest.place(form.encode() + b"\0"), *strings)
    data = guest.read(buffer, size + 16)
    assert data[size:] == b"\xaa" * 16
    return data[:size].split(b"\0")[0].decode("latin-1") if size else "", length


@shared_guest
@given(
    value=st.integers(-(2**63), 2**64 - 1) | st.sampled_from([0, -1, 2**31, -(2**31), 2**63, -(2**63)]),
    size=st.sampled_from(sorted(BITS)),
    letter=st.sampled_from("diuxX"),
    flags=FLAGS,
    width=WIDTH,
    by_argument=st.booleans(),
)
def test_numbers_are_formatted_as_c_does(guest, value, size, letter, flags, width, by_argument):
    """Every size, sign, base, flag and width; the argument is cut to its size."""
    guest.reset()
    cut = value % 2 ** BITS[size]
    if letter in "di" and cut >= 2 ** (BITS[size] - 1):
        cut -= 2 ** BITS[size]
    shown = str(width) if width else ""
    expected = f"%{flags}{shown}{letter}" % cut
    if by_argument:
        text, length = formatted(guest, f"%{flags}*{size}{letter}", width, value)
    else:
        text, length = formatted(guest, f"%{flags}{shown}{size}{letter}", value)
    assert text == expected
    assert length == len(expected)


@shared_guest
@given(
    text=st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"x")),
    left=st.booleans(),
    width=WIDTH,
    precision=st.none() | st.integers(0, 70),
    by_argument=st.booleans(),
)
def test_strings_are_padded_and_cut(guest, text, left, width, precision, by_argument):
    """A precision is the most that is read."""
    guest.reset()
    form = f"%{'-' * left}{width or ''}"
    expected = (form + "s") % text.decode("latin-1")[:precision]
    if precision is None:
        result = formatted(guest, form + "s", text)
    elif by_argument:
        result = formatted(guest, form + ".*s", precision, text)
    else:
        result = formatted(guest, f"{form}.{precision}s", text)
    assert result == (expected, len(expected))


@pytest.mark.parametrize(
    ("form", "arguments", "expected"),
    [
        ("%05d|%-5d|%-05d|%0-5d|%5d|", (42,) * 5, "00042|42   |42   |42   |   42|"),
        ("%c|%3c|%-3c|", (65, 66, 67), "A|  B|C  |"),
        ("100%%", (), "100%"),
        ("%p", (0xFFFFFF8000001000,), "0xffffff8000001000"),
        ("%p", (0,), "0x0000000000000000"),
        ("%s", (0,), "(null)"),
        ("%*d|", (-6, 42), "42    |"),
        ("%.*s|", (-1, b"whole"), "whole|"),
        ("%q %d", (7,), "%q 7"),
        ("50%", (), "50%"),
        ("%5", (), "%5"),
        ("%d %d %d %d %d %d %d", (1, 2, 3, 4, 5, 6, 7), "1 2 3 4 5 6 7"),
    ],
)
def test_particular_texts(guest, form, arguments, expected):
    """What has no like in Python, the mistakes that stay readable, and arguments on the stack."""
    assert formatted(guest, form, *arguments) == (expected, len(expected))


@pytest.mark.parametrize("size", sorted(BITS))
@pytest.mark.parametrize("letter", "diuxX")
def test_numbers_are_taken_from_registers_and_then_from_the_stack(guest, size, letter):
    """Three of the eight registers have the other arguments; each number of ten is another one."""
    values = [3 + 10 * number for number in range(10)]
    text = " ".join(f"%{letter}" % value for value in values)
    assert formatted(guest, " ".join([f"%{size}{letter}"] * 10), *values) == (text, len(text))


@pytest.mark.parametrize(
    ("form", "arguments"),
    [
        ("%c", [(65 + n,) for n in range(10)]),
        ("%s", [(bytes([65 + n]) * 3,) for n in range(10)]),
        ("%*d", [(6 - n, n) for n in range(10)]),
        ("%-*d|", [(n, n) for n in range(10)]),
        ("%.*s", [(n, b"0123456789") for n in range(10)]),
    ],
)
def test_other_arguments_are_taken_so_too(guest, form, arguments):
    """Characters, texts, widths and precisions."""
    flat = [each for group in arguments for each in group]
    text = "".join(form % tuple(a.decode() if isinstance(a, bytes) else a for a in g) for g in arguments)
    assert formatted(guest, form * 10, *flat) == (text, len(text))


def test_pointers_are_taken_so_too(guest):
    """With all their digits."""
    pointers = [0x1000 + n for n in range(10)]
    text = "".join(f"{pointer:#018x}" for pointer in pointers)
    assert formatted(guest, "%p" * 10, *pointers) == (text, len(text))


def test_letters_that_are_no_conversion_are_text(guest):
    """Every byte but those that begin, are part of, or end one."""
    for letter in (chr(code) for code in range(1, 128) if chr(code) not in "diuxXpsc%-0123456789*.lzthj"):
        assert formatted(guest, f"%{letter}<%d", 7) == (f"%{letter}<7", 4)


@pytest.mark.parametrize("size", range(8))
def test_text_is_cut_to_the_buffer(guest, size):
    """With a NUL always, and the length it would have had."""
    assert formatted(guest, "%s", b"hello", size=size) == ("hello"[: max(size - 1, 0)], 5)


def test_console_gets_the_text(guest):
    """Lines end with LF alone."""
    form, name = guest.place(b"region %s: %d\n\0"), guest.place(b"text\0")
    assert guest.printed("console_printf", form, name, 3) == "region text: 3\n"


def test_fields_are_the_same_on_the_console(guest):
    """Blanks on either side, zeros, signs, and what stands before a number."""
    form = "%5d|%-5d|%05d|%20p|%3c|%-7s|"
    arguments = (-42, 42, -42, 0x1000, 65, guest.place(b"abc\0"))
    expected = "  -42|42   |-0042|  0x0000000000001000|  A|abc    |"
    assert guest.printed("console_printf", guest.place(form.encode() + b"\0"), *arguments) == expected


def test_without_a_console_nothing_happens(guest):
    """Early boot prints before there is a console."""
    guest.call("console_set", 0)
    guest.call("console_printf", guest.place(b"lost %d\n\0"), 1)
