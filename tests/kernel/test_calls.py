# SPDX-License-Identifier: BSD-3-Clause
"""Calling C from Python: what goes in, what comes out, and what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import CallError, Kernel

NARROW = [(8, True), (8, False), (16, True), (16, False), (32, True), (32, False), (63, True), (62, False)]
integers = st.tuples(
    *(
        st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else st.integers(0, (1 << bits) - 1)
        for bits, signed in NARROW
    )
)
REUSE = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@REUSE
@given(values=integers)
def test_integers_of_every_width_arrive_with_their_sign(foreign: Kernel, values: tuple[int, ...]) -> None:
    """Narrow integers are extended as AAPCS64 callees expect."""
    total = sum(values) % (1 << 64)
    assert foreign.add_narrow(*values) % (1 << 64) == total


def test_the_ninth_and_tenth_arguments_go_on_the_stack(foreign: Kernel) -> None:
    """Arguments beyond x7 take 8 bytes each on the stack."""
    assert foreign.tenth(*range(8), 9, 7) == 9007


def test_small_structs_travel_in_registers_both_ways(foreign: Kernel) -> None:
    """A struct of up to 16 bytes is one or two words."""
    swapped = foreign.swap({"first": 1, "second": -2})
    assert swapped.as_dict() == {"first": -2, "second": 1}
    both = foreign.swap_two(3, {"low": 10, "high": 20})
    assert both.as_dict() == {"low": 20, "high": 13}


def test_large_structs_travel_through_memory_both_ways(foreign: Kernel) -> None:
    """A larger struct is passed by the address of a copy and comes back through x8."""
    given_big = foreign.new("struct big", {"words": [1, 2, 3, 4, 5], "inner": {"first": 8}})
    made = foreign.make_big(given_big, 100)
    assert list(made.words) == [101, 102, 103, 104, 105]
    assert made.inner.first == 9
    assert list(given_big.words) == [1, 2, 3, 4, 5]


def test_members_called_like_our_own_attributes_are_members(foreign: Kernel) -> None:
    """A C member named address or type wins over what the view calls so."""
    made = foreign.clash(77)
    assert (made.address, made.type, made.as_dict()) == (77, 3, {"address": 77, "type": 3})
    kept = foreign.new("struct clash", {"address": 5})
    assert kept.address == 5
    assert foreign.cast(kept, "struct clash *").target.address == 5


def test_an_out_parameter_is_a_struct_in_guest_memory(foreign: Kernel) -> None:
    """`new` makes it, the call fills it, and its members read as their C types."""
    big = foreign.new("struct big")
    assert foreign.fill(big, "BLUE") is None
    assert (big.words[2], big.colour.name, big.flag, big.bits, big.signed_bits) == (42, "BLUE", True, 6, -2)
    assert big.next.target == big
    assert big.next.next.words[2] == 42


def test_enums_and_booleans_keep_their_types(foreign: Kernel) -> None:
    """Enumerators go in by value or name and come out as EnumValue; _Bool comes out as bool."""
    assert foreign.next_colour(foreign.RED).name == "GREEN"
    assert foreign.next_colour("GREEN") == -3
    assert foreign.is_odd(True, 3) is True
    assert foreign.is_odd(False, 3) is False


def test_text_and_bytes_are_lent_to_the_call(foreign: Kernel) -> None:
    """str arrives NUL-terminated; a bytearray brings back what the call wrote."""
    assert foreign.length("seven77") == 7
    assert foreign.greeting().string() == "hello"
    data = bytearray(b"abcdef")
    foreign.reverse(data, len(data))
    assert data == b"fedcba"


def test_variable_arguments_follow_the_named_ones(foreign: Kernel) -> None:
    """The part behind "..." takes numbers and text, in registers and on the stack."""
    assert foreign.sum(9, *range(1, 9), -(1 << 40)) == 36 - (1 << 40)


def test_a_union_is_given_by_one_of_its_members(foreign: Kernel) -> None:
    """Which member is set decides the bytes."""
    assert foreign.number_of({"bytes": b"\x01\x02\x03\x04"}) == 0x04030201


def test_a_c_function_can_be_passed_by_its_address(foreign: Kernel) -> None:
    """Function pointers to guest code are numbers."""
    assert foreign.apply(foreign.twice.address, 21) == 42


REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("add_narrow", (1, 2, 3), r"takes 8 arguments, got 3"),
    ("add_narrow", (128, 0, 0, 0, 0, 0, 0, 0), r"argument a: 128 is out of range for .*: -128 to 127"),
    ("add_narrow", (0, -1, 0, 0, 0, 0, 0, 0), r"argument b: -1 is out of range"),
    ("add_narrow", ("1", 0, 0, 0, 0, 0, 0, 0), r"argument a: expected an int"),
    ("add_narrow", (1.0, 0, 0, 0, 0, 0, 0, 0), r"argument a: expected an int"),
    ("next_colour", ("PINK",), r"'PINK' is no enumerator of enum colour: RED, GREEN, BLUE"),
    ("swap", ({"third": 1},), r"no member of struct pair named 'third'"),
    ("swap", (7,), r"expected struct pair or a dict"),
    ("fill", ("text", 0, 1), r"takes 2 arguments, got 3"),
    ("apply", (lambda value: value, 1), r"callbacks into Python are not supported; give the address"),
    ("length", (-1,), r"expected an address"),
    ("sum", (), r"takes at least 1 arguments, got 0"),
    ("sum", (1, 2.5), r"argument #2: expected a number or a string"),
    ("number_of", ({"number": 1, "bytes": b""},), r"takes one member"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED, ids=lambda value: str(value)[:24])
def test_what_does_not_fit_is_refused_before_anything_runs(
    foreign: Kernel, name: str, arguments: tuple[Any, ...], message: str
) -> None:
    """A CallError names the function and the argument; not one instruction retires, no memory is kept."""
    before = foreign.machine.instructions, foreign.machine.memory.digest(), dict(foreign.machine.registers)
    with pytest.raises(CallError, match=message):
        getattr(foreign, name)(*arguments)
    after = foreign.machine.instructions, foreign.machine.memory.digest(), dict(foreign.machine.registers)
    assert before == after


def test_a_pointer_to_another_struct_is_refused(foreign: Kernel) -> None:
    """Struct pointers do not mix, unless cast."""
    pair = foreign.new("struct pair")
    with pytest.raises(CallError, match=r"expected struct big \*, got a pointer to struct pair"):
        foreign.fill(pair, 0)
    assert foreign.cast(pair, "struct big *").type.declare() == "struct big *"


def test_what_does_not_fit_in_guest_memory_is_refused(foreign: Kernel) -> None:
    """The harness's own memory is bounded, and the error says so."""
    with pytest.raises(CallError, match="do not fit in the harness's 1048576 bytes"):
        foreign.buffer(1 << 21)


def test_arguments_do_not_pile_up_in_guest_memory(foreign: Kernel) -> None:
    """What a call borrowed is free again after it, whatever its number."""
    for _ in range(40):
        assert foreign.length("x" * 100_000) == 100_000


def test_an_unknown_name_suggests_what_was_meant(foreign: Kernel) -> None:
    """Attributes are functions, variables, enumerators and macros; anything else is an AttributeError."""
    with pytest.raises(AttributeError, match="has no function, variable, enumerator or macro 'nonesuch'"):
        _ = foreign.nonesuch
    assert (foreign.GREEN, foreign.ANSWER, foreign.counter) == (5, 42, 8)


def test_variables_are_read_and_written_by_type(foreign: Kernel) -> None:
    """A struct of file scope is a view of guest memory."""
    assert foreign.global_big.inner.second == 2
    foreign.global_big.inner = {"first": 5, "second": 6}
    foreign.set_variable("counter", -1)
    assert (foreign.global_big.inner.first, foreign.counter) == (5, -1)
    with pytest.raises(CallError, match="8 does not fit in the 3 bits of bits"):
        foreign.global_big.bits = 8
