# SPDX-License-Identifier: BSD-3-Clause
"""The initial RAM disk: what the kernel makes of it at boot, and how the harness builds one."""

from __future__ import annotations

import os

import pytest

from harness.errors import MachineError
from harness.kernel.inject import fail_nth
from harness.machine.initrd import entry, from_folder, pack, trailer
from tests.support.files import Files, pattern
from tests.support.frames import drain
from tests.support.vmm import PAGE, Vmm

REGULAR, LINK, DEVICE, FOLDER = 0o100644, 0o120777, 0o020600, 0o040755


def test_files_of_a_folder_are_there_from_the_start(boot_kernel, tmp_path):
    """From a host folder through the device tree to file_open(), whatever their sizes."""
    contents = {
        "empty": b"",
        "etc/motd": b"Welcome.\n",
        "a/b/c/deep": pattern(PAGE),
        "big": pattern(3 * PAGE + 1),
    }
    for path, content in contents.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "link").symlink_to("etc/motd")
    archive = from_folder(tmp_path)
    assert len(archive) % 4 == 0
    kernel = boot_kernel(initrd=archive)
    files = Files(kernel)
    for path, content in {**contents, "link": contents["etc/motd"]}.items():
        assert files.content(path) == content
        assert files.content("/" + path) == content
    assert "initrd: 5 files\n" in kernel.console
    assert "left out" not in kernel.console


def test_without_an_initrd_there_are_no_files(kernel):
    """Nothing is said of it either."""
    assert kernel.frames_count(kernel.FRAME_FILE) == 0
    assert "initrd" not in kernel.console


def test_what_is_no_regular_file_is_left_out(boot_kernel):
    """With a message, and what comes after it is loaded; folders need no message."""
    archive = (
        entry("folder", FOLDER, links=2)
        + entry("folder/link", LINK, b"../f")
        + entry("null", DEVICE)
        + entry("hard", REGULAR, links=2)
        + entry("../up", REGULAR, b"x")
        + entry("n" * 300, REGULAR, b"x")
        + entry("f", REGULAR, b"content")
        + trailer()
    )
    kernel = boot_kernel(initrd=archive)
    assert Files(kernel).content("/f") == b"content"
    for name, reason in [
        ("folder/link", "not a regular file"),
        ("null", "not a regular file"),
        ("hard", "a hard link"),
        ("../up", "EINVAL"),
        ("n" * 300, "ENAMETOOLONG"),
    ]:
        assert f'initrd: "{name}" is left out: {reason}' in kernel.console
    assert "initrd: 1 files\n" in kernel.console
    assert '"folder"' not in kernel.console


def test_a_link_that_has_the_data_is_the_file(boot_kernel):
    """Of hard links the archive has one with the content, the last."""
    archive = entry("a", REGULAR, links=2) + entry("b", REGULAR, b"content", links=2) + trailer()
    kernel = boot_kernel(initrd=archive)
    assert Files(kernel).content("/b") == b"content"
    assert "initrd: 1 files\n" in kernel.console


def test_the_later_of_two_files_of_one_name_stays(boot_kernel):
    """As when an archive is unpacked to disk."""
    archive = entry("f", REGULAR, b"first and longer") + entry("./f", REGULAR, b"second") + trailer()
    assert Files(boot_kernel(initrd=archive)).content("/f") == b"second"


@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, 5 * PAGE + 100])
def test_the_archive_gives_its_memory_back(kernel, boot_kernel, size):
    """All pages of it, whole or not: what is not free is in use by the files, which are copies."""
    other = boot_kernel(initrd=pack({"f": pattern(size)}).ljust(size, b"\0"))
    books, plain = Vmm(other).stats(), Vmm(kernel).stats()
    assert (books.frames_total, books.frames_file > 0) == (plain.frames_total, True)
    assert books.frames_free == books.frames_total - books.frames_file - books.frames_object
    assert other.frames_check()
    drain(other)
    assert Files(other).content("/f") == pattern(size)


@pytest.mark.parametrize(
    ("broken", "offset"),
    [
        (b"\x1f\x8b" + bytes(200), 0),
        (b"x", 0),
        (entry("good", REGULAR, b"1234"), 120),
        (entry("good", REGULAR, b"1234") + entry("cut", REGULAR, bytes(5000))[:-1000], 120),
        (entry("good", REGULAR, b"1234") + entry("bad", REGULAR).replace(b"070701", b"070707"), 120),
    ],
)
def test_malformed_archive_is_reported_and_what_came_before_stays(boot_kernel, broken, offset):
    """The message says from which byte on it is not an archive, and the kernel runs."""
    kernel = boot_kernel(initrd=broken)
    assert f"initrd: malformed at byte {offset} of {len(broken)}" in kernel.console
    if offset:
        assert Files(kernel).content("good") == b"1234"
    for name in ("cut", "bad"):
        assert kernel.file_open(name, kernel.FILE_READ) == -kernel.ENOENT


@pytest.mark.parametrize(
    "range",
    [
        (0x1000, 0x2000),
        (0x900_0000, 0x900_1000),  # the console
        (0x3FFF_F000, 0x4000_1000),
        (0xBFFF_F000, 0xC000_1000),
        (0xFFFF_FFFF_0000_0000, 0xFFFF_FFFF_0000_1000),
        (0x4000_1000, 0x4000_0000),
    ],
)
def test_initrd_outside_memory_is_reported(kernel, range):
    """A device tree may say anything; only memory is read."""
    kernel.files_load({"start": range[0], "end": range[1]})
    assert f"initrd: [{range[0]:#x}, {range[1]:#x}) is not all memory" in kernel.console


def test_out_of_memory_while_loading(kernel):
    """Files that do not fit are left out as a whole, and nothing is lost."""
    files = Files(kernel)
    archive = pack({"a": b"1", "b": pattern(2 * PAGE), "c": b"3"})
    at = int(files.buffer)
    kernel.write(None, at, archive)
    start = at - files.kernel.image.macros.value("KERNEL_BASE")
    before = files.frames()
    for nth in range(1, 20):
        moment = kernel.snapshot()
        with fail_nth(kernel, ("frames_alloc", "object_alloc"), nth) as injection:
            kernel.files_load({"start": start, "end": start + len(archive)})
        there = {name for name in "abc" if kernel.file_open(name, kernel.FILE_READ) >= 0}
        assert len(there) == (2 if injection.struck else 3)
        for number, name in enumerate(sorted(there)):
            assert kernel.file_close(3 + number) == 0
            assert files.content(name) == {"a": b"1", "b": pattern(2 * PAGE), "c": b"3"}[name]
            assert kernel.file_unlink(name) == 0
        assert files.frames() == before
        assert ("left out: ENOMEM" in kernel.console) == bool(injection.struck)
        if not injection.struck:
            break
        kernel.restore(moment)
    assert nth > 6


def test_the_same_folder_gives_the_same_archive(tmp_path):
    """Whoever made it, and when."""
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        for path in ("x", "sub/y") if name == "one" else ("sub/y", "x"):
            (folder / path).write_bytes(b"content")
    os.utime(tmp_path / "one/x", (1, 1))
    assert from_folder(tmp_path / "one") == from_folder(tmp_path / "two")
    assert from_folder(tmp_path / "one") == pack({"x": b"content", "/sub//y": b"content"})


def test_what_cannot_be_archived_is_refused(tmp_path):
    """With the name of the culprit, before anything is made."""
    with pytest.raises(MachineError, match=r"nowhere is not a folder"):
        from_folder(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MachineError, match=r"pipe is not a file"):
        from_folder(tmp_path)
    for path in ("", "/", "a/../b", "TRAILER!!!", "nul\0"):
        with pytest.raises(MachineError):
            pack({path: b""})
    with pytest.raises(MachineError, match="is something else"):
        pack({"a": b"", "a/b": b""})
