# SPDX-License-Identifier: BSD-3-Clause
"""Guest RAM that goes back to an earlier state in microseconds, whatever its size.

The guest sees a private (copy-on-write) mapping of a memfd. A page that the guest wrote is an anonymous copy;
all others are the memfd's. MADV_DONTNEED drops the copies, and the memfd's contents show again:

    guest writes ->  [anonymous copies]      dropped by `reset`
                     [memfd: the base   ]    filled once, by `fold`

Which pages are copies is asked of the kernel: PAGEMAP_SCAN where there is one (Linux 6.7), else pagemap.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Mapping

from harness.errors import MachineError

PAGE = 4096
_ZEROES = bytes(PAGE)
_CHUNK = 64 * PAGE
_ZEROES_OF_CHUNK = bytes(_CHUNK)
_MAP_NORESERVE = 0x4000  # <asm-generic/mman.h>; the mmap module has no name for it

# <linux/fs.h>: struct pm_scan_arg and its ioctl number.
_SCAN = struct.Struct("<12Q")
_SCAN_IOCTL = 3 << 30 | _SCAN.size << 16 | ord("f") << 8 | 16
_IS_FILE, _IS_PRESENT, _IS_SWAPPED = 1 << 2, 1 << 3, 1 << 4
_MAX_RUNS = 4096

# /proc/self/pagemap, one word for each page: 63 present, 62 swapped, 61 page of a file.
_ENTRIES = 512


class Ram:
    """A block of memory with one base state and cheap returns to it."""

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE:
            raise MachineError(f"the RAM size must be a positive multiple of {PAGE}, got {size:#x}")
        self.size = size
        self._memfd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        os.ftruncate(self._memfd, size)
        flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
        self._map = mmap.mmap(self._memfd, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._anchor: ctypes.c_char | None = ctypes.c_char.from_buffer(self._map)
        self.host_address = ctypes.addressof(self._anchor)
        self._open_pagemap()
        self._scan_supported = True

    def _open_pagemap(self) -> None:
        """It is of this process: a child that was forked has to open its own."""
        self._pagemap, self._process = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC), os.getpid()

    def close(self) -> None:
        """Give the memory back. Nothing may use `host_address` any more."""
        if self._anchor is not None:
            self._anchor = None
            self._map.close()
            os.close(self._memfd)
            os.close(self._pagemap)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`; the caller has checked the bounds."""
        return self._map[offset : offset + size]

    def read_qword(self, offset: int) -> int:
        """The little-endian 64-bit word at `offset`."""
        return int.from_bytes(self._map[offset : offset + 8], "little")

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes; translated code of them, if any, is not the business of this room."""
        self._map[offset : offset + len(data)] = data

    def write_base(self, offset: int, data: bytes) -> None:
        """Store bytes in the base and in the present contents."""
        os.pwrite(self._memfd, data, offset)
        if self.read(offset, len(data)) != data:  # the guest has a copy of its own
            self.write(offset, data)

    # -- states -------------------------------------------------------------------------------------

    def fold(self) -> None:
        """Make the present contents the base."""
        for start, end in self.dirty_runs():
            for offset in range(start, end, PAGE):
                os.pwrite(self._memfd, self._map[offset : offset + PAGE], offset)
        self._map.madvise(mmap.MADV_DONTNEED)

    def become(self, pages: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
        """Make RAM the base with these pages in it. Yields the ranges that change."""
        missing = dict(pages)
        for start, end in self._dirty_chunks():
            offsets = range(start, end, PAGE)
            wanted = [missing.pop(offset, None) for offset in offsets]
            if None in wanted or b"".join(filter(None, wanted)) != self._map[start:end]:
                yield start, end
                self._map.madvise(mmap.MADV_DONTNEED, start, end - start)
                for offset, page in zip(offsets, wanted, strict=True):
                    if page is not None:
                        self.write(offset, page)
        for offset, page in missing.items():
            yield offset, offset + PAGE
            self.write(offset, page)

    def dirty_pages(self, previous: Mapping[int, bytes]) -> dict[int, bytes]:
        """Offset -> contents of the pages that differ from the base.

        Those that are as in `previous`, or as the one before, are shared. Those that were written and are
        zero, as the base is there, count as never written from now on.
        """
        pages: dict[int, bytes] = {}
        shared = _ZEROES
        for start, end in self._dirty_chunks():
            chunk, offsets = self._map[start:end], range(start, end, PAGE)
            if chunk == _ZEROES_OF_CHUNK[: end - start] and self._is_hole(start, end):
                self._map.madvise(mmap.MADV_DONTNEED, start, end - start)
                continue
            known = [previous.get(offset, b"") for offset in offsets]
            if b"".join(known) != chunk:
                for at, old in enumerate(known):
                    page = chunk[at * PAGE : (at + 1) * PAGE]
                    known[at] = shared = old if old == page else shared if shared == page else page
            pages.update(zip(offsets, known, strict=True))
        return pages

    def _dirty_chunks(self) -> Iterator[tuple[int, int]]:
        """The dirty runs, in pieces of at most CHUNK bytes."""
        for start, end in self.dirty_runs():
            for first in range(start, end, _CHUNK):
                yield first, min(first + _CHUNK, end)

    def _is_hole(self, start: int, end: int) -> bool:
        """Whether the base has no data, and so is zero, in a range."""
        try:
            return os.lseek(self._memfd, start, os.SEEK_DATA) >= end
        except OSError:  # ENXIO: no data up to the end
            return True

    def dirty_runs(self) -> list[tuple[int, int]]:
        """The runs [start, end) of pages that were written since the base was set."""
        if self._process != os.getpid():
            os.close(self._pagemap)
            self._open_pagemap()
        if self._scan_supported:
            try:
                return self._scan()
            except OSError:
                self._scan_supported = False
        return list(_runs(self._read_pagemap()))

    def digest(self) -> str:
        """SHA-256 of the contents. Zero pages do not count, so RAM of any size is quick."""
        touched = {offset for start, end in self.dirty_runs() for offset in range(start, end, PAGE)}
        touched.update(self._base_pages())
        state = hashlib.sha256()
        for offset in sorted(touched):
            page = self._map[offset : offset + PAGE]
            if page != _ZEROES:
                state.update(offset.to_bytes(8, "little") + page)
        return state.hexdigest()

    def _base_pages(self) -> Iterator[int]:
        """Offsets of the pages that the memfd really has."""
        end = 0
        while True:
            try:
                start = os.lseek(self._memfd, end, os.SEEK_DATA)
            except OSError:  # ENXIO: no data up to the end
                return
            end = os.lseek(self._memfd, start, os.SEEK_HOLE)
            yield from range(start, end, PAGE)

    def _scan(self) -> list[tuple[int, int]]:
        """PAGEMAP_SCAN: present or swapped, and not of a file."""
        runs: list[tuple[int, int]] = []
        found = (ctypes.c_uint64 * (3 * _MAX_RUNS))()
        start, end = self.host_address, self.host_address + self.size
        while start < end:
            argument = bytearray(
                _SCAN.pack(
                    *(_SCAN.size, 0, start, end, 0, ctypes.addressof(found), _MAX_RUNS, 0),
                    *(_IS_FILE, _IS_FILE, _IS_PRESENT | _IS_SWAPPED, _IS_FILE),
                )
            )
            count = fcntl.ioctl(self._pagemap, _SCAN_IOCTL, argument)
            base = self.host_address
            runs += [(found[3 * i] - base, found[3 * i + 1] - base) for i in range(count)]
            # With the vector full, the kernel's walk_end may lie before runs already told.
            start = base + runs[-1][1] if count == _MAX_RUNS else _SCAN.unpack(argument)[4]
        return runs

    def _read_pagemap(self) -> Iterator[int]:
        """The same from /proc/self/pagemap, for kernels before 6.7: offsets of dirty pages, ascending."""
        first, nothing = self.host_address // PAGE, bytes(8 * _ENTRIES)
        for page in range(0, self.size // PAGE, _ENTRIES):
            count = min(_ENTRIES, self.size // PAGE - page)
            words = os.pread(self._pagemap, 8 * count, 8 * (first + page))
            if words == nothing[: len(words)]:
                continue
            for index, word in enumerate(struct.unpack(f"<{count}Q", words)):
                if word >> 62 and not word >> 61 & 1:
                    yield (page + index) * PAGE


def _runs(offsets: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Consecutive page offsets, merged."""
    start = end = -1
    for offset in offsets:
        if offset != end:
            if start >= 0:
                yield start, end
            start = offset
        end = offset + PAGE
    if start >= 0:
        yield start, end
