# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/lib/cpio.c against archives whole and broken, at the very end of the guest's memory."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.machine.initrd import entry, pack, trailer

ENOENT, EINVAL = -2, -22
REGULAR, FOLDER = 0o100644, 0o040755
IN_GUEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Written out by hand, so that it does not depend on what makes archives elsewhere.
BY_HAND = (
    b"070701" + b"00000007" + b"000081a4" + b"00000000" * 2 + b"00000001" + b"00000000" + b"00000005"
    b"00000000" + b"00000000" * 3 + b"00000006" + b"00000000" + b"hello\0" + b"world" + b"\0" * 3
    + b"070701" + b"00000000" * 4 + b"00000001" + b"00000000" * 6 + b"0000000B" + b"00000000"
    + b"TRAILER!!!\0" + b"\0" * 3
)  # fmt: skip


class Archive:
    """An archive that ends where memory ends: to read behind it is an error of the emulator."""

    def __init__(self, guest, data, *, skew=0):
        self.guest, self.data = guest, data
        self.start = guest.edge - skew - len(data)
        guest.write(self.start, data + bytes(skew))
        self.cpio = guest.place(struct.pack("<3Q", self.start, len(data), 0))
        self.entry = guest.alloc(32)

    @property
    def offset(self):
        return struct.unpack("<3Q", self.guest.read(self.cpio, 24))[2]

    def walk(self):
        """All entries as (name, mode, links, data), and the status at the end."""
        found = []
        while (status := self.guest.signed("cpio_next", self.cpio, self.entry)) == 0:
            name, data, size, mode, links = struct.unpack("<3Q2I", self.guest.read(self.entry, 32))
            assert self.start <= name < data <= data + size <= self.start + len(self.data)
            text = self.guest.read(name, data - name).split(b"\0")[0]
            found.append((text.decode("latin-1"), mode, links, self.guest.read(data, size)))
            assert len(found) <= len(self.data) // 110
        return found, status


def test_archive_written_by_hand(guest):
    """The format as its documentation has it, digits of either case."""
    archive = Archive(guest, BY_HAND)
    assert archive.walk() == ([("hello", 0o100644, 1, b"world")], ENOENT)
    assert pack({"hello": b"world"}) == BY_HAND.replace(b"7000081a4", b"1000081A4")


names = st.text(st.characters(min_codepoint=1, max_codepoint=0x7F), min_size=1, max_size=40)
entries = st.lists(
    st.tuples(
        names.filter(lambda name: name != "TRAILER!!!"),
        st.sampled_from([REGULAR, FOLDER, 0o120777]),
        st.integers(0, 5),
        st.binary(max_size=200),
    ),
    max_size=8,
)


def build(items):
    """An archive without its trailer."""
    return b"".join(entry(name, mode, data, links=links) for name, mode, links, data in items)


@IN_GUEST
@given(items=entries, skew=st.integers(0, 3), rest=st.binary(max_size=20))
def test_entries_come_as_they_were_put_in(guest, items, skew, rest):
    """Names, modes, links and data, at any alignment of the archive; what follows the trailer is ignored."""
    archive = Archive(guest, build(items) + trailer() + rest, skew=skew)
    assert archive.walk() == (items, ENOENT)
    assert archive.offset == len(build(items))
    assert archive.walk() == ([], ENOENT)


def test_archive_that_breaks_off_gives_what_is_whole(guest):
    """Cut at every byte: the entries before, then EINVAL at the start of the one that is cut."""
    items = [("a", REGULAR, 1, b"12345"), ("folder", FOLDER, 2, b""), ("folder/b", REGULAR, 1, b"x" * 9)]
    starts = [len(build(items[:count])) for count in range(4)]
    whole = build(items) + trailer()
    for size in range(len(whole) - 3):
        guest.reset()
        archive = Archive(guest, whole[:size])
        found, status = archive.walk()
        count = len(found)
        missing = size - starts[count]
        assert (found, status) == (items[:count], EINVAL)
        assert archive.offset == min(starts[count], size)
        assert count == 3 or missing < starts[count + 1] - starts[count]
    assert Archive(guest, whole[:-3]).walk() == (items, ENOENT)


@pytest.mark.parametrize(
    ("at", "broken"),
    [
        (0, b"070702"),  # with checksums
        (0, b"070707"),  # the old format
        (0, b"\xc7\x71" + b"0" * 4),
        (14, b"0000g1a4"),
        (14, b" 0081a4 "),
        (54, b"0000000a"),  # the data, one byte more than there is
        (54, b"ffffffff"),
        (94, b"00000000"),  # the name without its NUL,
        (94, b"00000001"),  # empty,
        (94, b"00000005"),  # cut off,
        (94, b"00000007"),  # longer than to its NUL,
        (94, b"ffffffff"),  # longer than the archive
        (112, b"\0"),
    ],
)
def test_malformed_entry_is_refused(guest, at, broken):
    """EINVAL, and the walk stays where it is."""
    first = entry("first", REGULAR, b"1")
    good = BY_HAND[:124]
    bad = good[:at] + broken + good[at + len(broken) :]
    archive = Archive(guest, first + bad)
    assert archive.walk() == ([("first", REGULAR, 1, b"1")], EINVAL)
    assert archive.offset == len(first)
    assert archive.walk() == ([], EINVAL)


@IN_GUEST
@given(
    items=entries,
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from(b"\0fF07/a\xff")), min_size=1, max_size=6
    ),
    cut=st.integers(0, 40),
)
def test_no_archive_is_read_outside_itself(guest, items, changes, cut):
    """Whatever the bytes are, the walk ends, and names and data lie inside."""
    guest.reset()
    data = bytearray(build(items) + trailer())
    for at, byte in changes:
        data[at % len(data)] = byte
    _, status = Archive(guest, bytes(data[: len(data) - cut])).walk()
    assert status in (ENOENT, EINVAL)


def test_entry_without_a_name_is_refused(guest):
    """Not even a trailer is nameless."""
    assert Archive(guest, entry("", REGULAR, b"1") + trailer()).walk() == ([], EINVAL)
