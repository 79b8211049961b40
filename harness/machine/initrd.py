# SPDX-License-Identifier: BSD-3-Clause
"""Initial RAM disks: cpio archives in the "newc" format, of what is in a folder or given as bytes.

machine = Machine(initrd=from_folder("root"))
machine = Machine(initrd=pack({"etc/motd": b"Welcome."}))

The same content gives the same bytes: names are sorted, owners are 0 and times are left out.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from harness.errors import MachineError

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_LIMIT = 1 << 32
_FILE = stat.S_IFREG | 0o644
_PROGRAM = stat.S_IFREG | 0o755
_FOLDER = stat.S_IFDIR | 0o755


def from_folder(folder: str | PathLike[str]) -> bytes:
    """The archive of a folder's files, with paths as seen from it. Symbolic links become what they point to.

    Raises MachineError for what is neither file nor folder, or when there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MachineError(f"{root} is not a folder: an initrd is made from one")
    entries: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        if not path.is_file():
            raise MachineError(f"{path} is not a file: an initrd holds files and folders only; take it out")
        mode = _PROGRAM if path.stat().st_mode & stat.S_IXUSR else _FILE
        entries[path.relative_to(root).as_posix()] = (mode, path.read_bytes())
    return _archive(entries)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of these files, by path: "etc/motd", a leading "/" is left out. Folders are added.

    Raises MachineError for a path that names no file, and for more than an archive can hold.
    """
    return _archive({path: (_FILE, content) for path, content in files.items()})


def entry(name: str, mode: int, content: bytes = b"", *, inode: int = 0, links: int = 1) -> bytes:
    """One entry of an archive, padded, as it is: `name` may be anything but contain a NUL."""
    encoded = name.encode() + b"\0"
    if len(content) >= _LIMIT or b"\0" in encoded[:-1]:
        raise MachineError(f"{name!r} with {len(content)} bytes does not fit in a cpio archive")
    fields = [inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(content)


def trailer() -> bytes:
    """The entry that ends an archive."""
    return entry(_TRAILER, 0)


def _archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """All entries. Folders come before what is in them, as unpacking wants it."""
    entries: dict[str, tuple[int, bytes]] = {}
    for path, made in files.items():
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or "/".join(parts) == _TRAILER:
            raise MachineError(f"{path!r} is not the path of a file in an initrd")
        names = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        for name, wanted in zip(names, [(_FOLDER, b"")] * (len(parts) - 1) + [made], strict=True):
            if entries.setdefault(name, wanted) != wanted:
                raise MachineError(f"{path!r}: {name!r} is something else in the same initrd")
    packed = [
        entry(name, mode, content, inode=number, links=2 if mode == _FOLDER else 1)
        for number, (name, (mode, content)) in enumerate(sorted(entries.items()), start=1)
    ]
    return b"".join(packed) + trailer()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
