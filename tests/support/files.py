# SPDX-License-Identifier: BSD-3-Clause
"""Files of the kernel, and mappings of them, in short words."""

from __future__ import annotations

import errno

from tests.support.vmm import PAGE

BUFFER = 256 << 10
ANY = 0xBAAD_BAAD_8000_0000


class Files:
    """The file layer of a kernel, with two VASes to map into: the kernel's and one of an address space."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.buffer = kernel.buffer(BUFFER)
        self.ops = kernel.image.variables["uk_vma_file_ops"].address

    def open(self, path, flags=0):
        """A descriptor for reading and writing."""
        fd = self.kernel.file_open(path, self.kernel.FILE_RW | flags)
        assert fd >= 3, errno.errorcode[-fd]
        return fd

    def make(self, path, content=b""):
        """A new file with this content, open, at its end."""
        fd = self.open(path, self.kernel.FILE_CREATE | self.kernel.FILE_EXCLUSIVE)
        assert self.write(fd, content) == len(content)
        return fd

    def write(self, fd, content):
        """What file_write() says."""
        written = 0
        for start in range(0, max(len(content), 1), BUFFER):
            piece = content[start : start + BUFFER]
            self.kernel.write(None, self.buffer, piece)
            done = self.kernel.file_write(fd, self.buffer, len(piece))
            if done != len(piece):
                return done if written == 0 else written + max(done, 0)
            written += done
        return written

    def seek(self, fd, position):
        """Go to a place, of an open file."""
        assert self.kernel.file_seek(fd, position) == 0

    def close(self, fd):
        """Close an open file."""
        assert self.kernel.file_close(fd) == 0

    def unlink(self, path):
        """Take away a name that is there."""
        assert self.kernel.file_unlink(path) == 0

    def name_of(self, fd):
        """Where the path of an open file is: the name of its mappings."""
        return self.kernel.variable("files").opened[fd - 3].file.path.address

    def held(self):
        """Frames in use by files."""
        return self.kernel.frames_count(self.kernel.FRAME_FILE)

    def read(self, fd, size):
        """The bytes that file_read() gives, or its error."""
        self.kernel.write(None, self.buffer, b"\xee" * size)
        count = self.kernel.file_read(fd, self.buffer, size)
        after = self.kernel.read(None, self.buffer, size)
        assert after[max(count, 0) :] == b"\xee" * (size - max(count, 0))
        return count if count < 0 else after[:count]

    def content(self, path):
        """All of a file."""
        fd = self.kernel.file_open(path, self.kernel.FILE_READ)
        assert fd >= 3, errno.errorcode[-fd]
        found, piece = b"", None
        while piece != b"":
            piece = self.read(fd, BUFFER)
            found += piece
        assert self.kernel.file_close(fd) == 0
        return found

    def frames(self):
        """How many frames are free, and that the allocator's books are in order."""
        assert self.kernel.frames_check()
        return self.kernel.frames_count(self.kernel.FRAME_FREE)

    @property
    def kernel_vas(self):
        """The kernel's own VAS."""
        return self.kernel.vas_of_kernel()

    def vas_of(self, space):
        """The VAS of an address space."""
        return self.kernel.cast(space.vas, "struct uk_vas *")

    def map(self, vas, fd, size, *, offset=0, at=None, attr=None, flags=0, name=None):
        """What uk_vma_map_file() does: the VA, or the status if that is not 0."""
        kernel = self.kernel
        va = kernel.new("__vaddr_t", ANY if at is None else at)
        args = kernel.new("struct uk_vma_file_args")
        args.fd, args.offset = fd, offset
        prot = kernel.PAGE_ATTR_PROT_RW if attr is None else attr
        status = kernel.uk_vma_map(vas, va, size, prot, flags, name, self.ops, args)
        return va.target if status == 0 else status

    def unmap(self, vas, va, size):
        """Unmap what is there."""
        assert self.kernel.uk_vma_unmap(vas, va, size, self.kernel.UK_VMA_FLAG_STRICT_VMA_CHECK) == 0

    def vmas(self, vas):
        """[(start, end, name)] of a VAS."""
        kernel, found = self.kernel, []
        first = kernel.cast(vas.vmas.first, "struct uk_vma *")
        while first:
            found.append((first.start, first.end, self.text(first.name)))
            first = kernel.cast(first.node.next, "struct uk_vma *")
        return found

    def text(self, address):
        """A string of C; None for NULL."""
        if not address:
            return None
        return self.kernel.read(None, int(address), 256).split(b"\0")[0].decode()

    def peek(self, va, size):
        """What EL1 reads at a VA, demand paging included, up to a fault that is not resolved."""
        count = self.kernel.uk_nofault_memcpy(self.buffer, va, size, 0)
        return self.kernel.read(None, self.buffer, count)

    def poke(self, va, data):
        """Write at a VA as EL1 does; the number of bytes."""
        self.kernel.write(None, self.buffer, data)
        return self.kernel.uk_nofault_memcpy(va, self.buffer, len(data), 0)


def padded(content, size=None):
    """Content as a mapping shows it: with zeros up to the end of its last page."""
    return content + bytes(-len(content) % PAGE if size is None else size - len(content))


def pattern(size, seed=1):
    """Bytes in which no two pages, and no two places nearby, are alike."""
    words = (
        ((index * 0x9E3779B1 + seed) & 0xFFFFFFFF).to_bytes(4, "little") for index in range(-(-size // 4))
    )
    return b"".join(words)[:size]
