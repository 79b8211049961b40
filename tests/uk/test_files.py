# SPDX-License-Identifier: BSD-3-Clause
"""The file layer: names, descriptors, positions and memory."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.kernel.inject import fail_nth
from tests.support.files import BUFFER, Files, pattern
from tests.support.vmm import ALLOCATORS, BLOCK_2M, PAGE

BAD_FDS = (-1, 0, 1, 2, 3, 66, 67, 1 << 30, -(1 << 31))


@pytest.fixture
def files(kernel):
    return Files(kernel)


def test_what_is_written_can_be_read(kernel, files):
    """Through the same descriptor after a seek, and through another."""
    fd = files.make("/greeting", b"hello, ")
    assert files.write(fd, b"world") == 5
    assert kernel.file_size(fd) == 12
    assert files.read(fd, 10) == b""
    assert kernel.file_seek(fd, 7) == 0
    assert files.read(fd, 3) == b"wor"
    assert files.read(fd, 10) == b"ld"
    assert files.content("/greeting") == b"hello, world"


@pytest.mark.parametrize("path", ["a/b", "/a/b", "//a///b/", "./a/./b", "/./a/b/."])
def test_paths_have_one_form(kernel, files, path):
    """Repeated slashes and dots change nothing, and every path is absolute."""
    files.make(path, b"x")
    assert files.content("/a/b") == b"x"
    assert kernel.file_unlink("a/b") == 0
    assert kernel.file_open(path, kernel.FILE_READ) == -kernel.ENOENT


@pytest.mark.parametrize("path", ["", "/", ".", "//./", "..", "/a/../b", "/a/..", None])
def test_paths_that_name_no_file_are_invalid(kernel, path):
    """EINVAL from every call with a path."""
    assert kernel.file_open(path, kernel.FILE_RW | kernel.FILE_CREATE) == -kernel.EINVAL
    assert kernel.file_unlink(path) == -kernel.EINVAL


@pytest.mark.parametrize("path", ["/.x", "/x.", "/xy/.z", "/...", "/..x/a"])
def test_dots_in_names_are_letters(kernel, files, path):
    """Only a component that is one or two of them and nothing else is special."""
    files.make(path, b"x")
    assert files.content(path) == b"x"
    assert kernel.file_unlink(path) == 0
    assert kernel.file_unlink(path) == -kernel.ENOENT


def test_longest_path(kernel, files):
    """255 characters, slash included, in one component or many; a character more is too long."""
    for longest in ("/" + "n" * 254, "/a" * 127 + "b"):
        files.make(longest)
        assert kernel.file_open(longest + "c", kernel.FILE_READ) == -kernel.ENAMETOOLONG
        assert kernel.file_unlink("/x" + longest) == -kernel.ENAMETOOLONG
        assert kernel.file_unlink(longest) == 0
    for last in (
        "/" + "n" * 5000,
        "/a" * 128,
        "/a" * 125 + "/bb/cc",
        "/a" * 125 + "/bb/.c",
        "/a" * 127 + "/.",
    ):
        too_long = not last.endswith("/.")
        assert kernel.file_open(last, kernel.FILE_READ) == -(
            kernel.ENAMETOOLONG if too_long else kernel.ENOENT
        )


def test_flags_say_whether_the_file_may_or_must_be_there(kernel, files):
    """FILE_CREATE makes it if need be; with FILE_EXCLUSIVE it must be new."""
    assert kernel.file_open("/f", kernel.FILE_RW) == -kernel.ENOENT
    first = files.open("/f", kernel.FILE_CREATE)
    assert files.write(first, b"kept") == 4
    second = files.open("/f", kernel.FILE_CREATE)
    assert files.read(second, 9) == b"kept"
    exclusive = kernel.FILE_RW | kernel.FILE_CREATE | kernel.FILE_EXCLUSIVE
    assert kernel.file_open("/f", exclusive) == -kernel.EEXIST
    for flags in (0, kernel.FILE_CREATE, kernel.FILE_RW | kernel.FILE_EXCLUSIVE, kernel.FILE_RW | 16):
        assert kernel.file_open("/f", flags) == -kernel.EINVAL


def test_descriptor_is_only_good_for_what_it_was_opened_for(kernel, files):
    """EBADF for writing through one for reading, and the other way round."""
    files.make("/f", b"abc")
    reading, writing = kernel.file_open("/f", kernel.FILE_READ), kernel.file_open("/f", kernel.FILE_WRITE)
    assert files.write(reading, b"x") == -kernel.EBADF
    assert files.read(writing, 1) == -kernel.EBADF
    assert files.write(writing, b"x") == 1
    assert files.read(reading, 9) == b"xbc"


@pytest.mark.parametrize("fd", BAD_FDS)
def test_what_is_not_open_is_a_bad_descriptor(kernel, files, fd):
    """EBADF from every call, and nothing has changed."""
    assert files.read(fd, 1) == -kernel.EBADF
    assert files.write(fd, b"x") == -kernel.EBADF
    assert kernel.file_close(fd) == -kernel.EBADF
    assert kernel.file_seek(fd, 0) == -kernel.EBADF
    assert kernel.file_size(fd) == -kernel.EBADF
    assert files.make("/f") == 3


def test_what_lies_behind_the_descriptors_is_none(kernel, files):
    """However much it looks like one."""
    fd = files.make("/f", b"x")
    opened = kernel.variable("files").opened
    size = kernel.sizeof("struct descriptor")
    behind = opened[0].address + kernel.FILE_OPEN_MAX * size
    kernel.write(None, behind, kernel.read(None, opened[0].address, size))
    assert kernel.file_close(fd + kernel.FILE_OPEN_MAX) == -kernel.EBADF
    assert kernel.file_close(fd) == 0


def test_the_lowest_free_descriptor_is_used(kernel, files):
    """As many as FILE_OPEN_MAX, from 3 on; then EMFILE, and no file is made."""
    files.make("/f")
    fds = [3, *(files.open("/f") for _ in range(kernel.FILE_OPEN_MAX - 1))]
    assert fds == list(range(3, 3 + kernel.FILE_OPEN_MAX))
    assert kernel.file_open("/new", kernel.FILE_RW | kernel.FILE_CREATE) == -kernel.EMFILE
    assert [files.write(fds[-1], each) for each in (b"the ", b"last")] == [4, 4]
    assert kernel.file_seek(fds[-1], 0) == 0
    assert files.read(fds[-1], 9) == b"the last"
    assert [kernel.file_close(fds[-1]), files.open("/f")] == [0, fds[-1]]
    assert kernel.file_close(20) == 0
    assert kernel.file_close(10) == 0
    assert kernel.file_open("/new", kernel.FILE_RW) == -kernel.ENOENT
    assert [files.open("/f"), files.open("/f")] == [10, 20]


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 5, BLOCK_2M + 3])
def test_a_file_gives_all_its_memory_back(kernel, files, size):
    """Unlinked and closed, in either order, it leaves nothing behind."""
    before = files.frames()
    content = pattern(size)
    for unlink_first in (True, False):
        fd = files.make("/f", content)
        assert kernel.frames_count(kernel.FRAME_FILE) >= -(-size // PAGE)
        if unlink_first:
            assert kernel.file_unlink("/f") == 0
            assert kernel.file_seek(fd, 0) == 0
            assert files.read(fd, BUFFER) == content[:BUFFER]
        assert kernel.file_close(fd) == 0
        if not unlink_first:
            assert files.content("/f") == content
            assert kernel.file_unlink("/f") == 0
        assert kernel.frames_count(kernel.FRAME_FILE) == 0
        assert files.frames() == before


def test_unlinked_name_is_free_for_another_file(kernel, files):
    """Whoever has the old one open keeps it; the new one is apart."""
    old = files.make("/f", b"old")
    assert kernel.file_unlink("/f") == 0
    assert kernel.file_unlink("/f") == -kernel.ENOENT
    files.make("/f", b"new")
    assert kernel.file_seek(old, 0) == 0
    assert files.read(old, 9) == b"old"
    assert files.content("/f") == b"new"


def test_many_names(kernel, files):
    """More than there are hash buckets; each is found, and found no more when it is gone."""
    before = files.frames()
    names = [f"/many/{number}" for number in range(600)]
    for name in names:
        assert kernel.file_close(files.make(name, name.encode())) == 0
    for name in names[::2]:
        assert kernel.file_unlink(name) == 0
    for name in names[1::2]:
        assert files.content(name) == name.encode()
    for name in names[::2]:
        assert kernel.file_open(name, kernel.FILE_READ) == -kernel.ENOENT
    for name in names[1::2]:
        assert kernel.file_unlink(name) == 0
    assert files.frames() == before


def test_holes_read_as_zeros_and_cost_nothing(kernel, files):
    """A byte far out needs its page and the tables to it, up to the largest file."""
    before = files.frames()
    fd = files.make("/sparse", b"start")
    last = kernel.FILE_SIZE_MAX - 1
    assert kernel.file_seek(fd, last) == 0
    assert files.write(fd, b"end") == 1
    assert files.write(fd, b"nd") == -kernel.EFBIG
    assert files.write(fd, b"") == 0
    assert kernel.file_size(fd) == kernel.FILE_SIZE_MAX
    assert before - files.frames() <= 8
    assert kernel.file_seek(fd, 0) == 0
    assert files.read(fd, 3 * PAGE) == b"start" + bytes(3 * PAGE - 5)
    assert kernel.file_seek(fd, last - 2) == 0
    assert files.read(fd, 9) == b"\0\0e"
    assert kernel.file_seek(fd, -1) == -kernel.EINVAL
    assert kernel.file_close(fd) == 0
    assert kernel.file_unlink("/sparse") == 0
    assert files.frames() == before


@pytest.mark.parametrize("size", [1, 100, PAGE, 2 * PAGE])
def test_buffer_that_is_not_there(kernel, files, size):
    """EFAULT with nothing done, or as far as the buffer goes."""
    fd = files.make("/f", pattern(3 * PAGE))
    end = kernel.PAGE_SIZE + files.map(files.kernel_vas, fd, PAGE)
    kept = kernel.file_size(fd)
    assert kernel.file_write(fd, end, size) == -kernel.EFAULT
    assert kernel.file_size(fd) == kept
    assert kernel.file_seek(fd, 0) == 0
    assert kernel.file_read(fd, end, size) == -kernel.EFAULT
    assert kernel.file_read(fd, 0x10, size) == -kernel.EFAULT
    assert kernel.file_read(fd, end - 3, size) == min(size, 3)
    assert files.peek(end - 3, 3)[:size] == pattern(3)[:size]
    assert kernel.file_write(fd, end - 3, size) == min(size, 3)


def test_writing_out_of_a_mapping_of_the_same_file(kernel, files):
    """The buffer is paged in from the file while that is written to."""
    content = pattern(2 * PAGE)
    fd = files.make("/f", content)
    va = files.map(files.kernel_vas, fd, 2 * PAGE)
    assert kernel.file_write(fd, va, 2 * PAGE) == 2 * PAGE
    assert files.content("/f") == content * 2


def test_path_in_a_mapping_of_a_file(kernel, files):
    """A path may be demand-paged like any memory, from the file it names even."""
    fd = files.make("/f", b"/f")
    va = files.map(files.kernel_vas, fd, PAGE)
    assert kernel.file_open(kernel.cast(va, "char *"), kernel.FILE_READ) == 4
    assert kernel.file_unlink(kernel.cast(va, "char *")) == 0


@pytest.mark.parametrize("now", ["closed", "another file"])
def test_a_descriptor_given_to_another_meanwhile_keeps_its_position(kernel, files, now):
    """Another CPU closes it, and opens a file with its number, while bytes are copied from the first."""
    content = pattern(PAGE)
    fd, other = files.make("/f", content), files.make("/g", content)
    descriptor, theirs = (kernel.variable("files").opened[each - 3] for each in (fd, other))
    files.seek(fd, 0)
    first = descriptor.file

    def change(_machine):
        descriptor.file = theirs.file if now == "another file" else None
        descriptor.position = 5

    watch = kernel.machine.on_address(kernel.function("uk_nofault_memcpy").address, change)
    assert kernel.file_read(fd, files.buffer, 100) == 100
    watch.remove()
    assert kernel.read(None, files.buffer, 100) == content[:100]
    assert descriptor.position == 5
    descriptor.file = first


def test_out_of_memory_at_every_allocation(kernel, files):
    """The call fails, or stops early; what was there stays, and nothing is lost in the end."""
    before = files.frames()
    content = pattern(BLOCK_2M - PAGE)
    for nth in itertools.count(1):
        with fail_nth(kernel, ALLOCATORS, nth) as injection:
            fd = kernel.file_open("/f", kernel.FILE_RW | kernel.FILE_CREATE)
            written = 0
            if fd >= 0:
                written = kernel.file_write(fd, kernel.image.symbols["panic"].address & -PAGE, 3 * PAGE + 1)
                kernel.file_seek(fd, len(content))
                files.write(fd, b"abc")
        if fd >= 0:
            assert written in (-kernel.ENOMEM, PAGE, 2 * PAGE, 3 * PAGE, 3 * PAGE + 1)
            assert kernel.file_size(fd) in (max(written, 0), len(content) + 3)
            assert kernel.file_close(fd) == 0
            assert kernel.file_unlink("/f") == 0
        else:
            assert fd == -kernel.ENOMEM
            assert kernel.file_unlink("/f") == -kernel.ENOENT
        assert files.frames() == before
        if not injection.struck:
            break
    assert nth > 6


PATHS = ("/a", "/b", "/c/d")
operations = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(PATHS), st.booleans()),
    st.tuples(st.just("unlink"), st.sampled_from(PATHS)),
    st.tuples(st.just("close"), st.integers(3, 8)),
    st.tuples(st.just("seek"), st.integers(3, 8), st.integers(0, 4 * PAGE)),
    st.tuples(st.just("write"), st.integers(3, 8), st.integers(0, 2 * PAGE), st.integers(1, 1000)),
    st.tuples(st.just("read"), st.integers(3, 8), st.integers(0, 3 * PAGE)),
)


class Model:
    """What the file layer does, in Python."""

    def __init__(self):
        self.names, self.opened = {}, {}

    def open(self, path, create):
        if path not in self.names and not create:
            return -2
        fd = next(fd for fd in itertools.count(3) if fd not in self.opened)
        self.opened[fd] = [self.names.setdefault(path, bytearray()), 0]
        return fd

    def unlink(self, path):
        return 0 if self.names.pop(path, None) is not None else -2

    def close(self, fd):
        return 0 if self.opened.pop(fd, None) is not None else -9

    def seek(self, fd, position):
        if fd not in self.opened:
            return -9
        self.opened[fd][1] = position
        return 0

    def write(self, fd, size, seed):
        if fd not in self.opened:
            return -9
        content, position = self.opened[fd]
        if size:
            content.extend(bytes(max(0, position + size - len(content))))
            content[position : position + size] = pattern(size, seed)
            self.opened[fd][1] += size
        return size

    def read(self, fd, size):
        if fd not in self.opened:
            return -9
        content, position = self.opened[fd]
        found = bytes(content[position : position + size])
        self.opened[fd][1] += len(found)
        return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(operations, min_size=5, max_size=40))
def test_files_behave_as_their_model(kernel, steps):
    """Any sequence of calls gives what the model gives, and leaves no frame behind."""
    moment = kernel.snapshot()
    files, model = Files(kernel), Model()
    before = files.frames()
    create = {True: kernel.FILE_RW | kernel.FILE_CREATE, False: kernel.FILE_RW}
    act = {
        "open": lambda path, new: kernel.file_open(path, create[new]),
        "unlink": kernel.file_unlink,
        "close": kernel.file_close,
        "seek": kernel.file_seek,
        "write": lambda fd, size, seed: files.write(fd, pattern(size, seed)),
        "read": files.read,
    }
    for name, *arguments in steps:
        assert act[name](*arguments) == getattr(model, name)(*arguments)
    for path, content in model.names.items():
        assert files.content(path) == content
        assert kernel.file_unlink(path) == 0
    for fd in model.opened:
        assert kernel.file_close(fd) == 0
    assert files.frames() == before
    kernel.restore(moment)
