# SPDX-License-Identifier: BSD-3-Clause
"""The kernel interface as the tests of kernel_c use it, and the books that a failed call must leave alone."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from typing import NamedTuple

PAGE = 1 << 12
BLOCK_2M = 1 << 21
BLOCK_1G = 1 << 30
KERNEL_BASE = 0xFFFF_FF80_0000_0000
PROPS = ("NO_ACCESS", "RO", "RW", "RX")
ALLOCATORS = ("frames_alloc", "object_alloc")


class Stats(NamedTuple):
    """vmm_stats_t."""

    frames_total: int
    frames_free: int
    frames_table: int
    frames_object: int
    frames_region: int
    frames_page: int
    frames_file: int
    address_spaces: int
    regions: int


class Region(NamedTuple):
    """address_space_region_t."""

    va: int
    pa: int
    len: int
    prop: int

    @property
    def end(self):
        """One past the last VA."""
        return self.va + self.len


@dataclass(frozen=True)
class Books:
    """All there is to know of the VMM's state; compare with ==."""

    stats: Stats
    spaces: tuple[tuple[int, int, tuple[Region, ...], tuple[tuple[int, bytes], ...]], ...]
    kernel_half: tuple[tuple[int, bytes], ...]
    sound: bool


class Vmm:
    """A kernel and the structs its calls fill in."""

    def __init__(self, kernel):
        self.kernel = kernel
        self._stats = kernel.new("vmm_stats_t")
        self._region = kernel.new("address_space_region_t")
        self._pa = kernel.buffer(8)
        self.user_end = 1 << kernel.tables(half="ttbr0").regime.va_bits

    @property
    def props(self):
        """The properties by name."""
        return {name: getattr(self.kernel, f"AS_REGION_{name}") for name in PROPS}

    @property
    def error(self):
        """The status of the latest call by name: "OK", "EINVAL", ..."""
        status = -self.kernel.vmm_last_error()
        return errno.errorcode[status] if status else "OK"

    def space(self):
        """A new address space."""
        made = self.kernel.vmm_address_space_create()
        assert made, self.error
        return made

    def create(self, space, size, prop="RW", at=None):
        """A new region; its VA. Asserts that it can be had."""
        value = self.props[prop]
        if at is None:
            va = int(self.kernel.vmm_address_space_region_create(space, size, value))
        else:
            va = at
            self.kernel.vmm_address_space_region_create_at(space, at, size, value)
        assert (bool(va), self.error) == (True, "OK")
        return va

    def destroy(self, space, va):
        """Destroy a region that is there."""
        assert self.kernel.vmm_address_space_region_destroy(space, va) == 0

    def set_prop(self, space, va, prop):
        """Change the property of a region that is there."""
        assert self.kernel.vmm_address_space_region_set_prop(space, va, self.props[prop]) == 0

    def activate(self, space):
        """Let EL0 run in an address space; None: in none."""
        assert self.kernel.vmm_address_space_activate(space) == 0

    def translate(self, space, va):
        """The PA behind a VA by vmm_address_space_translate(), or None."""
        pointer = self.kernel.cast(self._pa, "void **")
        if self.kernel.vmm_address_space_translate(space, va, pointer) != 0:
            return None
        return int.from_bytes(self.kernel.read(None, self._pa, 8), "little")

    def stats(self):
        """What vmm_stats() says."""
        assert self.kernel.vmm_stats(self._stats) == 0
        return Stats(*struct.unpack("<9Q", bytes(self._stats)))

    def regions(self, space):
        """The regions in the order in which vmm_address_space_region_next() gives them."""
        found, at = [], 0
        while self.kernel.vmm_address_space_region_next(space, at, self._region) == 0:
            found.append(Region(*struct.unpack("<QQQIxxxx", bytes(self._region))))
            at = found[-1].end
        assert self.error == "ENOENT"
        return found

    def spaces(self):
        """The live address spaces as vmm_address_space_next() lists them."""
        found, at = [], self.kernel.vmm_address_space_next(None)
        while at:
            found.append(at)
            at = self.kernel.vmm_address_space_next(at)
        return found

    def table_bytes(self, space=None):
        """Address and contents of each table of an address space, or of the kernel's half."""
        pages = sorted({page.pa for page in self.kernel.tables(space).pages()})
        return tuple((pa, self.kernel.machine.memory.read(pa, PAGE)) for pa in pages)

    def books(self):
        """The state of everything."""
        return Books(
            self.stats(),
            tuple((int(s), int(s.id), tuple(self.regions(s)), self.table_bytes(s)) for s in self.spaces()),
            self.table_bytes(),
            self.kernel.frames_check(),
        )

    def ram(self, pa, size):
        """Physical memory."""
        return self.kernel.machine.memory.read(pa, size)

    def run_user(self, pc, *arguments, sp=0):
        """Run at EL0 from pc; why it stopped, and the registers then."""
        registers = self.kernel.new("struct user_registers")
        for number, value in enumerate(arguments):
            registers.x[number] = value
        registers.pc, registers.sp = pc, sp
        return self.kernel.arch_user_run(registers), registers


def boundary_of(size):
    """The boundary a region of this size is placed on, by the specification."""
    return next(each for each in (BLOCK_1G, BLOCK_2M, PAGE) if size >= each or each == PAGE)


def page_round(size):
    """Lengths are rounded up to 4K."""
    return -(-size // PAGE) * PAGE
