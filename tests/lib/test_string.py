# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/string.c against Python's bytes."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

DATA = st.binary(max_size=150)
TEXT = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"x"))
OFFSET = st.integers(0, 15)
ROOM = 400
SHARED = [HealthCheck.function_scoped_fixture]  # the guest, which each example resets
shared_guest = settings(max_examples=150, deadline=None, suppress_health_check=SHARED)


def field(guest, data, offset, fill=0xEE):
    """Memory with data at an offset from a 16-byte boundary and a pattern around it; its address."""
    block = bytearray([fill]) * ROOM
    block[64 + offset : 64 + offset + len(data)] = data
    return guest.place(bytes(block)) + 64 + offset


@pytest.mark.parametrize("name", ["memcpy", "memmove", "memmove down", "memset", "memcmp"])
@pytest.mark.parametrize("size", [8, 16, 24, 32, 64, 96])
def test_whole_words_cost_less_than_the_bytes_before_the_last(guest, name, size):
    """So the last word, and the last line of four, are done as such."""
    guest.reset()
    to = guest.place(bytes(256))
    source = to - 8 if name == "memmove down" else guest.place(bytes(256))
    if name == "memmove down":
        to, source = to + 8, to
    last = 0 if name == "memset" else source
    whole, fewer = (guest.count(name.split()[0], to, last, count) for count in (size, size - 1))
    assert whole < fewer


def sign(number):
    return (number > 0) - (number < 0)


@shared_guest
@given(data=DATA, to=OFFSET, source=OFFSET)
def test_memcpy_copies_and_touches_nothing_else(guest, data, to, source):
    """At any two alignments, up to the byte."""
    guest.reset()
    origin, target = field(guest, data, source), field(guest, b"", to)
    assert guest.call("memcpy", target, origin, len(data)) == target
    expected = bytearray(b"\xee" * ROOM)
    expected[64 + to : 64 + to + len(data)] = data
    assert guest.read(target - 64 - to, ROOM) == expected


@shared_guest
@given(
    data=st.binary(min_size=200, max_size=200),
    to=st.integers(0, 99),
    source=st.integers(0, 99),
    count=st.integers(0, 100),
)
@example(data=bytes(range(200)), to=1, source=1, count=2)  # over before a word begins
def test_memmove_survives_overlap(guest, data, to, source, count):
    """Whichever of the two blocks is the lower one."""
    guest.reset()
    base = guest.place(data)
    assert guest.call("memmove", base + to, base + source, count) == base + to
    expected = bytearray(data)
    expected[to : to + count] = data[source : source + count]
    assert guest.read(base, 200) == expected


@shared_guest
@given(offset=OFFSET, count=st.integers(0, 150), byte=st.integers(0, 2**32 - 1))
def test_memset_fills_with_the_low_byte(guest, offset, count, byte):
    """And touches nothing else."""
    guest.reset()
    target = field(guest, b"", offset)
    assert guest.call("memset", target, byte, count) == target
    expected = bytearray(b"\xee" * ROOM)
    expected[64 + offset : 64 + offset + count] = bytes([byte & 0xFF]) * count
    assert guest.read(target - 64 - offset, ROOM) == expected


@shared_guest
@given(
    data=DATA,
    offsets=st.tuples(OFFSET, OFFSET),
    change=st.none() | st.tuples(st.integers(0, 149), st.integers(0, 255)),
)
def test_memcmp_orders_by_the_first_difference(guest, data, offsets, change):
    """Bytes are unsigned."""
    guest.reset()
    other = bytearray(data)
    if change is not None and change[0] < len(data):
        other[change[0]] = change[1]
    left, right = field(guest, data, offsets[0]), field(guest, bytes(other), offsets[1], fill=0x11)
    expected = (data > other) - (data < other)
    assert sign(guest.signed("memcmp", left, right, len(data))) == expected


@pytest.mark.parametrize("offset", range(8))
def test_memcmp_sees_a_difference_before_within_and_behind_the_words(guest, offset):
    """Both aligned alike: bytes up to a word, words, and the bytes that are left."""
    data = bytes(range(1, 28))
    for at in range(len(data)):
        other = data[:at] + b"\xff" + data[at + 1 :]
        left, right = field(guest, data, offset), field(guest, other, offset)
        assert guest.signed("memcmp", left, right, len(data)) < 0
        assert guest.signed("memcmp", left, right, at) == 0


@shared_guest
@given(data=DATA, byte=st.integers(0, 255), extra=st.integers(0, 3))
def test_memchr_finds_the_first(guest, data, byte, extra):
    """The byte is taken modulo 256; outside the block nothing is found."""
    guest.reset()
    block = field(guest, data, 3, fill=byte)
    at = data.find(byte)
    assert guest.call("memchr", block, byte + 256 * extra, len(data)) == (block + at if at >= 0 else 0)


@shared_guest
@given(text=TEXT, limit=st.integers(0, 50))
def test_lengths_stop_at_nul_or_limit(guest, text, limit):
    """strnlen reads no further than its limit."""
    guest.reset()
    address = field(guest, text + b"\0", 1)
    assert guest.call("strlen", address) == len(text)
    assert guest.call("strnlen", address, limit) == min(limit, len(text))


@shared_guest
@given(left=TEXT, right=TEXT, common=TEXT, limit=st.integers(0, 60))
def test_strings_compare_as_unsigned_bytes(guest, left, right, common, limit):
    """strncmp looks at limit characters at most."""
    guest.reset()
    left, right = common + left, common + right
    one, other = field(guest, left + b"\0", 0), field(guest, right + b"\0", 5)
    assert sign(guest.signed("strcmp", one, other)) == (left > right) - (left < right)
    cut_left, cut_right = left[:limit], right[:limit]
    assert sign(guest.signed("strncmp", one, other, limit)) == (cut_left > cut_right) - (cut_left < cut_right)


@shared_guest
@given(text=TEXT, character=st.integers(0, 255))
def test_strchr_finds_the_first_and_the_nul(guest, text, character):
    """The NUL is part of the string."""
    guest.reset()
    address = field(guest, text + b"\0", 0, fill=character)
    at = (text + b"\0").find(character)
    assert guest.call("strchr", address, character) == (address + at if at >= 0 else 0)


@pytest.mark.parametrize("name", ["memcpy", "memmove", "memset", "memcmp"])
@pytest.mark.parametrize("source", range(0, 8, 3))
def test_no_access_is_unaligned(probe, name, source):
    """Memory is Device memory while the MMU is off, where an unaligned access faults."""
    for to in range(8):
        left, right = probe.place(bytes(300)) + to, probe.place(bytes(300)) + source
        if name == "memmove":
            right = left + 24 + source
        assert probe.unaligned(name, left, 0 if name == "memset" else right, 203) == []
        if name == "memmove":
            assert probe.unaligned(name, right, left, 203) == []


@pytest.mark.parametrize("name", ["memcpy", "memset"])
def test_aligned_pages_cost_less_than_a_third_of_an_instruction_a_byte(release_guest, name):
    """The wide loops are what runs: a byte loop would take 16 times as long."""
    release_guest.reset()
    target, source = release_guest.alloc(4096), release_guest.alloc(4096)
    second = source if name == "memcpy" else 0
    assert release_guest.count(name, target, second, 4096) < 4096 / 3
