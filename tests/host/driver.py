# SPDX-License-Identifier: BSD-3-Clause
"""The core on the build host as a process, and its VASes with the methods of tests/uk/driver.py."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.vmm import PAGE
from tests.uk.driver import ANY, RW, Access, Page, Vma, status_name
from tests.uk.machine_files import PATHS

KINDS = ("anon", "stack", "dma", "rsvd", "file", "region", "shared")
_ALLOCATORS = (None, "frames_alloc", "object_alloc")


class HostError(Exception):
    """The process has ended: a panic, or a finding of a sanitizer. The message is what it said."""


class Host:
    """The program kernel_c/host/server.c: commands in, numbers out."""

    def __init__(self, program):
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def __call__(self, command, *arguments):
        """One command; its numbers, unsigned."""
        with suppress(BrokenPipeError):  # what it said last is told below
            print(command, *arguments, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise HostError(f"{command}{arguments}: {self._process.stderr.read()}")
        return [int(word, 16) for word in line.split()]

    def status(self, command, *arguments):
        """One command that gives a status first: the status by name, and the other numbers."""
        status, *rest = self(command, *arguments)
        return status_name(status - (1 << 64) if status >> 63 else status), *rest


@dataclass
class Injection:
    """The allocator that was made to fail, or None."""

    struck: str | None = None


class HostVas:
    """A struct uk_vas of that process: 0 is the kernel's, 1 that of the active address space."""

    def __init__(self, host, number):
        self.host, self.number = host, number
        self.is_user, self.program_frames = number != 0, 0
        self.base, self.low, self.end, _ = host("layout", number)
        self.table_pages = 0

    # -- mapping ----------------------------------------------------------------------------------------

    def do_map(self, kind, size, attr=RW, *, at=ANY, flags=0, name=0, pa=None):
        """uk_vma_map(); (status, where)."""
        kind = KINDS.index(kind)
        return self.host.status("map", self.number, kind, at, size, attr, flags, name, pa or 0)

    def do_stack(self, size, premapped=0, *, at=ANY, flags=0, name=0):
        """uk_vma_map_stack(); (status, the lowest address that is not guard)."""
        return self.host.status("stack", self.number, at, size, flags, name, premapped)

    def do_file(self, size, attr, fd, offset, *, at=ANY, flags=0, file=None):
        """uk_vma_map_file(); (status, where). `file` is for the model."""
        return self.do_map("file", size, attr, at=at, flags=flags, pa=fd | offset << 32)

    def do_shared(self, memory, size, attr, *, at=ANY, flags=0, name=0, offset=0):
        """shared_memory_map(); (status, where). `memory` is the number of a handle."""
        arguments = self.number, at, size, attr, flags, name, memory, offset // PAGE
        return self.host.status("shared_map", *arguments)

    def do_unmap(self, va, size, flags=0):
        """uk_vma_unmap()."""
        return self.host.status("unmap", self.number, va, size, flags)[0]

    def do_set_attr(self, va, size, attr, flags=0):
        """uk_vma_set_attr()."""
        return self.host.status("set_attr", self.number, va, size, attr, flags)[0]

    def do_advise(self, va, size, advice, flags=0):
        """uk_vma_advise()."""
        return self.host.status("advise", self.number, va, size, advice, flags)[0]

    def do_region(self, at, size, prop):
        """vmm_address_space_region_create_at()."""
        return self.host.status("region", self.number, at, size, prop)[0]

    def empty(self):
        """uk_vas_destroy()."""
        self.host("destroy", self.number)

    def set_paging(self, on):
        """Switch demand paging."""
        self.host("paging", self.number, int(on))

    # -- looking ----------------------------------------------------------------------------------------

    def vmas(self):
        """The VMAs in order."""
        numbers = self.host("vmas", self.number)
        found = []
        for start, end, kind, attr, flags, level, name in zip(*[iter(numbers)] * 7, strict=True):
            level = -1 if level >> 63 else level
            found.append(Vma(start, end, KINDS[kind], attr, flags, level, name))
        return found

    def pages(self):
        """What is mapped, by address; the number of tables is in `table_pages`."""
        *numbers, self.table_pages = self.host("pages", self.number)
        return [
            Page(va, pa, size, "".join(c if attr & 1 << i else "-" for i, c in enumerate("rwx")), attr >> 5)
            for va, pa, size, attr in zip(*[iter(numbers)] * 4, strict=True)
        ]

    def word(self, va):
        """8 bytes of a page that is there, whatever its rights."""
        page = next(page for page in self.pages() if page.va <= va < page.va + page.size)
        return self.host("peek", page.pa + va - page.va)[0]

    def mmu_agrees(self, va, access):
        """The TLB knows nothing, of this address and all others, but what the tables say."""
        return bool(self.host("agrees", self.number)[0])

    def is_sound(self):
        """The process panics if tree, frames, pages or TLB are not."""
        self.host("check")
        return True

    def frames(self):
        """Frames in use: tables, objects, regions, pages."""
        return tuple(self.host("frames")[2:6])

    def free_frames(self):
        """Frames that nobody has."""
        return self.host("frames")[0]

    def stats(self):
        """vas_stats(): the counts that do not tell how something came about."""
        return dict(zip(("resident", "vmas"), self.host("stats", self.number), strict=True))

    # -- copies -----------------------------------------------------------------------------------------

    def run(self):
        """Make this address space the one that accesses are made in."""
        assert self.host.status("activate", self.number) == ("OK",)

    def do_clone(self):
        """vmm_address_space_clone() in the place of the other address space: the copy, or the error."""
        [status] = self.host.status("clone", self.number)
        return HostVas(self.host, 3 - self.number) if status == "OK" else status

    def destroy(self):
        """What comes of it: the place stays, for another copy."""
        self.empty()

    # -- accesses ---------------------------------------------------------------------------------------

    def write(self, va, value, who):
        """8 bytes in this address space, as from EL0, from EL1, or by the copy functions of the VMM."""
        if who == "copy_in":
            self.host("fill", value, 0)
            return self.host.status("copy_in", self.number, va, 8) == ("OK",)
        self.run()
        return self.user("w", va, value).outcome == "ok" if who == "user" else self.store(va, value)

    def user(self, access, va, value=0):
        """One access ("r", "w", "x") as from EL0."""
        stopped, permission, at, access, value = self.host("user", "rwx".index(access), va, value)
        if stopped == 0:
            return Access("ok", value=value)
        return Access("fault", bool(permission), at, "rwx"[access])

    def load(self, va, flags=0):
        """8 bytes read by uk_nofault_memcpy(), or None."""
        done, value = self.host("load", va, flags)
        return value if done == 8 else None

    def store(self, va, value, flags=0):
        """Write 8 bytes; whether it could be done."""
        return self.host("store", va, flags, value) == [8]

    def can_read(self, va, size=1, flags=0):
        """uk_nofault_probe_r(): the bytes."""
        return self.host("probe", va, size, flags, 0)[0]

    def can_write(self, va, size=1, flags=0):
        """uk_nofault_probe_rw(): the bytes."""
        return self.host("probe", va, size, flags, 1)[0]

    # -- failures ---------------------------------------------------------------------------------------

    @contextmanager
    def failing(self, n):
        """The n-th allocation of the calls inside fails."""
        injection = Injection()
        self.host("fail", n)
        yield injection
        injection.struck = _ALLOCATORS[self.host("struck")[0]]


class HostFiles:
    """The file layer of that process, with the methods of tests/support/files.py that the model wants."""

    def __init__(self, host):
        self.host = host

    def open(self, path):
        """A descriptor for reading and writing, of a file that is there or is made."""
        return self.host("open", PATHS.index(path), 1)[0]

    def make(self, path, content):
        """A new file with this content."""
        fd = self.open(path)
        self.seek(fd, 0)
        assert self.write(fd, content) == len(content)
        return fd

    def seek(self, fd, position):
        """Where the next write() goes."""
        self.position = position

    def write(self, fd, content):
        """Pages of a number and a byte, as the state machine makes them."""
        for start in range(0, len(content), PAGE):
            piece = content[start : start + PAGE]
            number = int.from_bytes(piece[:8], "little")
            self.host("fill", number, piece[8] if len(piece) > 8 else 0)
            page = (self.position + start) // PAGE
            assert self.host("write", fd, page, len(piece)) == [0, len(piece)]
        return len(content)

    def close(self, fd):
        """Close an open file."""
        assert self.host("close", fd) == [0]

    def unlink(self, path):
        """Take away a name that is there."""
        assert self.host("unlink", PATHS.index(path)) == [0]

    def name_of(self, fd):
        """Where the path of an open file is."""
        return self.host("file_name", fd)[0]

    def held(self):
        """Frames in use by files."""
        return self.host("frames")[6]


class HostGuest:
    """The seam of tests/uk/machine.py: a process that goes back to where it was by a fork."""

    def __init__(self, host):
        self.host = host
        self.names, self.types = [0, 1, 2], [0, 2]
        self.memory = host("layout", 0)[3]
        self.files = HostFiles(host)
        self.family = 2
        self.vases = {"kernel": HostVas(host, 0), "user": HostVas(host, 1)}
        host("mark")

    def reset(self):
        """As it was."""
        self.host("reset")

    def shared_memory(self, size):
        """The number of a handle to new shared memory."""
        assert self.host.status("shared_create", 0, size) == ("OK",)
        return 0

    def close_shared(self, memory):
        """Give up such a handle."""
        assert self.host.status("shared_close", memory) == ("OK",)

    def word_at(self, pa):
        """8 bytes of memory."""
        return self.host("peek", pa)[0]
