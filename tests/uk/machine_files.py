# SPDX-License-Identifier: BSD-3-Clause
"""Files and private mappings of them, among everything else that the state machine does.

Files are made, written to, closed and unlinked while they are mapped. A page of a mapping is a copy of what
the file was when the page was first used.
"""

from __future__ import annotations

import struct

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.support.vmm import PAGE
from tests.uk.driver import ANY, LARGE, POPULATE, REPLACE, SIZE_2M, UNINITIALIZED
from tests.uk.machine import (
    SIZE_MASK,
    SVC,
    EngineMachine,
    attributes,
    failures,
    pages,
    picks,
    populated,
    sizes,
    vases,
)
from tests.uk.model import File

PATHS = ("/one", "/two", "/three")
MOST_OPEN, MOST_PAGES = 6, 40

paths = st.sampled_from(PATHS)
file_pages = st.sampled_from([0, 1, 1, 2, 3, 5, 16])
tails = st.sampled_from([0, 8, 100, PAGE - 8])


class FilesMachine(EngineMachine):
    """Also with files."""

    def __init__(self):
        super().__init__()
        self.named, self.opened = {}, {}  # File by path, and by descriptor

    @initialize(which=vases, length=file_pages, tail=tails)
    def start(self, which, length, tail):
        """With a file to begin with."""
        super().start(which)
        self.open(PATHS[0], length, tail)

    def fd(self, pick):
        """An open descriptor."""
        return sorted(self.opened)[pick % len(self.opened)]

    def text(self, size):
        """Content: each page begins with a number of its own, which as code is a system call."""
        made = b""
        while len(made) < size:
            self.value += 1
            made += struct.pack("<Q", self.value << 32 | SVC) + bytes([self.value & 0xFF]) * (PAGE - 8)
        return made[:size]

    @precondition(lambda self: len(self.opened) < MOST_OPEN)
    @rule(path=paths, length=file_pages, tail=tails)
    def open(self, path, length, tail):
        """A descriptor of a file, which is made if there is none."""
        files = self.guest.files
        if path in self.named:
            self.opened[files.open(path)] = self.named[path]
            return
        content = self.text(length * PAGE + tail)
        fd = files.make(path, content)
        self.opened[fd] = self.named[path] = File(files.name_of(fd), bytearray(content))

    @precondition(lambda self: self.opened)
    @rule(pick=picks, at=st.integers(0, 16), length=file_pages, tail=tails)
    def write(self, pick, at, length, tail):
        """Over what there is, and beyond its end, but no hole."""
        fd = self.fd(pick)
        file, content = self.opened[fd], self.text(length * PAGE + tail)
        at = min(at, len(file.content) // PAGE) * PAGE
        if at + len(content) <= MOST_PAGES * PAGE:
            self.guest.files.seek(fd, at)
            assert self.guest.files.write(fd, content) == len(content)
            file.content[at : at + len(content)] = content

    @precondition(lambda self: self.opened)
    @rule(pick=picks)
    def close(self, pick):
        """A descriptor, whoever has mapped the file."""
        fd = self.fd(pick)
        del self.opened[fd]
        self.guest.files.close(fd)

    @precondition(lambda self: self.named)
    @rule(pick=picks)
    def unlink(self, pick):
        """A name, whoever has opened or mapped the file."""
        path = sorted(self.named)[pick % len(self.named)]
        del self.named[path]
        self.guest.files.unlink(path)

    @precondition(lambda self: self.opened)
    @rule(
        pick=picks,
        offset=st.sampled_from([0, 0, 1, 2, 16]),
        length=st.sampled_from([1, 1, 2, 3, 5, 8, 17]),
        attr=attributes,
        page=st.one_of(st.none(), pages, pages),
        flags=st.tuples(
            sizes, populated, st.sampled_from([0, 0, UNINITIALIZED]), st.sampled_from([0, 0, REPLACE])
        ),
        failure=failures,
    )
    def map_file(self, pick, offset, length, attr, page, flags, failure):
        """uk_vma_map_file(); what cannot be populated, because the file ends before, is not mapped."""
        fd, flags = self.fd(pick), sum(flags)
        at, size = ANY if page is None else self.va(page), length * PAGE
        if flags & SIZE_MASK == SIZE_2M:
            at, size = at & -LARGE, LARGE
        if flags & REPLACE:
            flags &= ~POPULATE
        self.map_open(fd, size, attr, at, offset * PAGE, flags, failure)

    def map_open(self, fd, size, attr, at, offset, flags, failure):
        """What a descriptor stands for, in kernel and model."""
        arguments = {"size": size, "attr": attr, "at": at, "fd": fd, "offset": offset}
        self.map_both("file", size, flags, arguments | {"file": self.opened[fd]}, failure)

    @property
    def mappings(self):
        """The VMAs of files."""
        return [area for area in self.model.areas if area.file is not None]

    @precondition(lambda self: self.opened and self.mappings)
    @rule(pick=picks, length=st.integers(1, 3), further=st.sampled_from([0, 0, PAGE]), failure=failures)
    def map_behind(self, pick, length, further, failure):
        """Behind a mapping, where it ends in the file, or a page on: only the former makes them one."""
        fd, area = self.fd(pick), self.mappings[pick % len(self.mappings)]
        offset = max(area.end + area.shift, 0) + further
        self.map_open(fd, length * PAGE, area.attr, area.end, offset, 0, failure)

    @precondition(lambda self: self.mappings)
    @rule(pick=picks, page=st.integers(0, 16))
    def use(self, pick, page):
        """Read any page of a mapping, where near() is but around its ends."""
        area = self.mappings[pick % len(self.mappings)]
        va = area.start + page * PAGE % (area.end - area.start)
        found = self.vas.load(va)
        assert (found is not None) == (self.model.access("r", va) == "ok")
        if found is not None:
            self.compare_word(va, "r", found)

    @precondition(lambda self: self.model.tails)
    @rule(pick=picks)
    def look(self, pick):
        """A page of a file is the file's up to its last byte, and zero behind the end."""
        copied = sorted(self.model.tails)
        va = copied[pick % len(copied)]
        assert self.vas.word(va + PAGE - 8) == self.model.tails[va]

    @invariant()
    def files_are_kept_as_long_as_needed(self):
        """While one has a name, a descriptor or a mapping its memory stays, and no longer."""
        if "vas" not in self.__dict__:
            return
        mapped = {area.file for area in self.model.areas if area.file is not None}
        live = mapped | set(self.named.values()) | set(self.opened.values())
        held = [file.end // PAGE for file in live]
        assert self.guest.files.held() == sum(held) + sum(count > 1 for count in held)  # and a table

    def teardown(self):
        """Names and descriptors go first."""
        if "vas" in self.__dict__:
            for path in self.named:
                self.guest.files.unlink(path)
            for fd in self.opened:
                self.guest.files.close(fd)
        super().teardown()
        if "vas" in self.__dict__:
            assert self.guest.files.held() == 0
