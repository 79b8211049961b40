# SPDX-License-Identifier: BSD-3-Clause
"""A struct uk_vas in short words: calls by name, statuses by name, VMAs and accesses as Python values."""

from __future__ import annotations

import errno
import struct
from contextlib import contextmanager
from typing import NamedTuple

from harness.kernel.inject import fail_nth
from harness.kernel.tables import merge
from tests.support.vmm import ALLOCATORS, KERNEL_BASE, PAGE

LARGE = 1 << 21
HUGE = 1 << 30

NONE, R, W, RW, RX, RWX = 0, 1, 2, 3, 5, 7

POPULATE, UNINITIALIZED, REPLACE = 1, 2, 4
SIZE_4K, SIZE_2M, SIZE_1G = 12 << 5, 21 << 5, 30 << 5
GROWS_UP = 1 << 32
STRICT = 0x1000
DONTNEED, WILLNEED = 1, 2
READ, WRITE, EXEC, NONPRESENT, SOFT = 0, 1, 2, 4, 16
CONTINUE, NOPAGING = 1, 2
GUARD_BELOW, GUARD_ABOVE = PAGE, 4 * PAGE

ANY = 0xBAAD_BAAD_8000_0000
USER_BASE = 0x10_0000_0000
KERNEL_WINDOW, KERNEL_WINDOW_END = 0xFFFF_FFC0_0000_0000, 0xFFFF_FFFF_C000_0000
PROBE = 0x10000  # where the user program for accesses lives

KINDS = ("anon", "stack", "dma", "rsvd", "file", "region", "numbers", "shared")
_RETURN = 0xD65F_03C0  # ret


class Vma(NamedTuple):
    """One VMA as the kernel has it; `attr` with memory type, `level` -1 without a wish."""

    start: int
    end: int
    kind: str
    attr: int
    flags: int
    level: int
    name: int


class Page(NamedTuple):
    """A valid leaf: `prot` of EL0 in a user's half, of EL1 in the kernel's; `attr` is its MAIR index."""

    va: int
    pa: int
    size: int
    prot: str
    attr: int


class Access(NamedTuple):
    """How an access from EL0 ended: "ok" or "fault", and what the fault said."""

    outcome: str
    permission: bool = False
    address: int = 0
    access: str = ""
    value: int = 0


def status_name(status):
    """ "OK", or the name of a negative errno."""
    return errno.errorcode[-status] if status else "OK"


class Vas:
    """A struct uk_vas of a running kernel. Methods called do_* give the status; the others assert "OK"."""

    def __init__(self, kernel, vas, space=None):
        self.kernel, self.vas, self.space = kernel, vas, space
        self.address = vas.address
        self.half = "ttbr1" if space is None else "ttbr0"
        self.is_user = space is not None
        self.program_frames = int(self.is_user)  # of the region that the user program is in
        self.base, self.low = int(vas.vma_base), PAGE if self.is_user else KERNEL_WINDOW
        self.end = KERNEL_WINDOW_END if space is None else 1 << kernel.tables(half="ttbr0").regime.va_bits
        own = {kind: f"{kind}_ops" for kind in ("region", "numbers", "shared")}
        ops = {kind: f"uk_vma_{kind}_ops" for kind in KINDS} | own
        self.ops = {kind: kernel.variable(name) for kind, name in ops.items()}
        self._kind_at = {each.address: kind for kind, each in self.ops.items()}
        self._first = vas.vmas.address + kernel.type("struct vma_tree").member("first").offset
        vma = kernel.type("struct uk_vma")
        self._vma_size = kernel.sizeof(vma)
        self._at = {name: vma.member(name).offset for name in ("ops", "attr", "flags", "page_lvl", "name")}
        self._next = kernel.type("struct vma_node").member("next").offset
        self._vaddr = kernel.new("__vaddr_t")
        self._args = kernel.new("struct uk_vma_dma_args")
        self._word = kernel.buffer(8)
        self._registers = kernel.new("struct user_registers")
        self._registers_size = kernel.sizeof("struct user_registers")
        self._fault_address = kernel.type("struct user_exit").member("address").offset
        regime = self.tables().regime
        self._top = regime.table_base, regime.start_level, regime.base
        self.table_pages = 0
        self._by_purpose = kernel.variable("pool").by_purpose.address
        self._purposes = [getattr(kernel, f"FRAME_{each}") for each in ("TABLE", "OBJECT", "REGION", "PAGE")]
        self._functions = {}

    def call(self, name, *arguments):
        """Call a function of the kernel."""
        found = self._functions.get(name)
        if found is None:
            found = self._functions[name] = self.kernel.function(name)
        return found(*arguments)

    def _peek(self, va, size):
        return self.kernel.machine.memory.read(int(va) - KERNEL_BASE, size)

    def _poke(self, va, data):
        self.kernel.machine.memory.write(int(va) - KERNEL_BASE, data)

    # -- mapping ----------------------------------------------------------------------------------------

    def do_map(self, kind, size, attr=RW, *, at=ANY, flags=0, name=0, pa=None):
        """uk_vma_map(); (status, where)."""
        args = None
        if pa is not None:
            self._poke(self._args.address, struct.pack("<Q", pa))
            args = self._args
        self._poke(self._vaddr, struct.pack("<Q", at))
        status = self.call(
            "uk_vma_map", self.vas, self._vaddr, size, attr, flags, name or None, self.ops[kind], args
        )
        [where] = struct.unpack("<Q", self._peek(self._vaddr, 8))
        if status:
            assert where == at, "a call that fails leaves *vaddr alone"
        return status_name(status), where

    def map(self, kind, size, attr=RW, **options):
        """The same where it has to work; where."""
        status, where = self.do_map(kind, size, attr, **options)
        assert status == "OK"
        return where

    def do_stack(self, size, premapped=0, *, at=ANY, flags=0, name=0):
        """uk_vma_map_stack(); (status, the lowest address that is not guard)."""
        self._poke(self._vaddr, struct.pack("<Q", at))
        status = self.call("uk_vma_map_stack", self.vas, self._vaddr, size, flags, name or None, premapped)
        return status_name(status), struct.unpack("<Q", self._peek(self._vaddr, 8))[0]

    def stack(self, size, premapped=0, **options):
        """The same where it has to work."""
        status, where = self.do_stack(size, premapped, **options)
        assert status == "OK"
        return where

    def do_shared(self, memory, size, attr=RW, *, at=ANY, flags=0, name=0, offset=0):
        """shared_memory_map(); (status, where)."""
        self._poke(self._vaddr, struct.pack("<Q", at))
        arguments = self.vas, self._vaddr, size, attr, flags, name or None, memory, offset
        status = self.call("shared_memory_map", *arguments)
        return status_name(status), struct.unpack("<Q", self._peek(self._vaddr, 8))[0]

    def shared(self, memory, size, attr=RW, **options):
        """The same where it has to work."""
        status, where = self.do_shared(memory, size, attr, **options)
        assert status == "OK"
        return where

    def do_file(self, size, attr, fd, offset, *, at=ANY, flags=0, file=None):
        """uk_vma_map_file(); (status, where). `file` is for the model."""
        self._poke(self._vaddr, struct.pack("<Q", at))
        args = self.kernel.new("struct uk_vma_file_args", {"fd": fd, "offset": offset})
        arguments = self.vas, self._vaddr, size, attr, flags, None, self.ops["file"], args
        status = self.call("uk_vma_map", *arguments)
        return status_name(status), struct.unpack("<Q", self._peek(self._vaddr, 8))[0]

    def do_unmap(self, va, size, flags=0):
        """uk_vma_unmap()."""
        return status_name(self.call("uk_vma_unmap", self.vas, va, size, flags))

    def do_set_attr(self, va, size, attr, flags=0):
        """uk_vma_set_attr()."""
        return status_name(self.call("uk_vma_set_attr", self.vas, va, size, attr, flags))

    def do_advise(self, va, size, advice, flags=0):
        """uk_vma_advise()."""
        return status_name(self.call("uk_vma_advise", self.vas, va, size, advice, flags))

    def unmap(self, va, size):
        """Unmap; asserts that it works."""
        assert self.do_unmap(va, size) == "OK"

    def set_attr(self, va, size, attr):
        """Set attributes; asserts that it works."""
        assert self.do_set_attr(va, size, attr) == "OK"

    def advise(self, va, size, advice):
        """Advise; asserts that it works."""
        assert self.do_advise(va, size, advice) == "OK"

    def do_region(self, at, size, prop):
        """vmm_address_space_region_create_at()."""
        return status_name(self.call("vmm_address_space_region_create_at", self.space, at, size, prop))

    def region(self, at, size, prop=2):
        """A LuKOS region in this VAS (RW unless told)."""
        assert self.do_region(at, size, prop) == "OK"
        return at

    def empty(self):
        """uk_vas_destroy()."""
        self.call("uk_vas_destroy", self.vas)

    def set_paging(self, on):
        """Switch demand paging."""
        self.vas.flags = 0 if on else 1

    # -- looking ----------------------------------------------------------------------------------------

    def vmas(self):
        """The VMAs in the order of the list; without the user program's."""
        return [vma for vma in self.all_vmas() if vma.start != PROBE]

    def all_vmas(self):
        """The VMAs in the order of the list."""
        found, at = [], struct.unpack("<Q", self._peek(self._first, 8))[0]
        while at:
            raw = self._peek(at, self._vma_size)
            start, end = struct.unpack_from("<QQ", raw)
            ops, attr, flags, name = (
                struct.unpack_from("<Q", raw, self._at[each])[0] for each in ("ops", "attr", "flags", "name")
            )
            [level] = struct.unpack_from("<i", raw, self._at["page_lvl"])
            found.append(Vma(start, end, self._kind_at.get(ops, "?"), attr, flags, level, name))
            [at] = struct.unpack_from("<Q", raw, self._next)
        return found

    def layout(self):
        """[(start, end, kind, attr)] of all VMAs."""
        return [(vma.start, vma.end, vma.kind, vma.attr) for vma in self.vmas()]

    def tables(self):
        """The translation tables of this VAS."""
        return self.kernel.tables(self.space)

    def leaves(self):
        """What is mapped, by address; without the user program, or the kernel's map of RAM."""
        if self.space is None:
            return list(self.tables().leaves(KERNEL_WINDOW, KERNEL_WINDOW_END))
        return [leaf for leaf in self.tables().leaves() if leaf.va != PROBE]

    def pages(self):
        """The same by a walk of its own, for those who look often; memory without rights too.

        Also counts the tables that it meets, in `table_pages`; none of them but the root may be empty.
        """
        return [page for page in self.all_pages() if page.va != PROBE]

    def all_pages(self):
        """The same with the user program."""
        first = 0 if self.space is not None else KERNEL_WINDOW
        self.table_pages = 0
        return [page for page in self._walk(*self._top) if page.va >= first]

    def _walk(self, table, level, base):
        shift, self.table_pages = 39 - 9 * level, self.table_pages + 1
        entries = struct.unpack("<512Q", self.kernel.machine.memory.read(table, PAGE))
        assert any(entries) or table == self._top[0], f"empty table {table:#x} for {base:#x}"
        for index, raw in enumerate(entries):
            if raw == 0:
                continue
            va, pa = base + (index << shift), raw & 0xFFFF_FFFF_F000
            if raw & 3 == 3 and level < 3:
                if self.space is not None or KERNEL_WINDOW - (1 << shift) < va < KERNEL_WINDOW_END:
                    yield from self._walk(pa, level + 1, va)
            else:
                yield Page(va, pa, 1 << shift, self._prot(raw), raw >> 2 & 7)

    def _prot(self, raw):
        """AP[2:1] in bits 7:6, PXN 53, UXN 54 (D8.4)."""
        if not raw & 1:
            return "---"
        user = self.space is not None
        readable = bool(raw >> 6 & 1) or not user
        execute = raw >> (54 if user else 53) & 1 == 0
        return f"{'r' if readable else '-'}{'-' if raw >> 7 & 1 else 'w'}{'x' if execute else '-'}"

    def word(self, va):
        """8 bytes of a page that is there, whatever its rights."""
        page = next(page for page in self.pages() if page.va <= va < page.va + page.size)
        return int.from_bytes(self.kernel.machine.memory.read(page.pa + va - page.va, 8), "little")

    def present(self, va, size):
        """The addresses of the 4K pages in a range that are mapped."""
        return [each for each in range(va, va + size, PAGE) if self.tables().lookup(each) is not None]

    def pa(self, va):
        """The physical address behind a mapped page."""
        leaf = self.tables().lookup(va)
        return leaf.pa + va - leaf.va

    def mmu_agrees(self, va, access):
        """AT of the emulated CPU and the software walker say the same of an address."""
        walk, el = self.tables().walk(va), 0 if self.is_user else 1
        found, fault = self.kernel.machine.translate(va, el, access), walk.check(el, access)
        if fault is not None:
            return found.status == fault.status
        return found.status is None and found.pa == walk.pa

    def stats(self):
        """vas_stats(): counts by name."""
        out = self.kernel.new("vas_stats_t")
        assert self.call("vas_stats", self.vas, out) == 0
        return {name: int(value) for name, value in out.as_dict().items()}

    def limit(self, resident=(1 << 64) - 1, vmas=(1 << 64) - 1):
        """vas_set_limits()."""
        assert self.call("vas_set_limits", self.vas, resident, vmas) == 0

    def is_sound(self):
        """The tree's own invariants, and the frame allocator's."""
        return self.call("vma_tree_check", self.vas.vmas) and self.call("frames_check")

    def frames(self):
        """Frames in use by purpose."""
        counts = struct.unpack("<6Q", self._peek(self._by_purpose, 48))
        return tuple(counts[each] for each in self._purposes)

    def free_frames(self):
        """Frames that nobody has."""
        return self.call("frames_count", self.kernel.FRAME_FREE)

    def books(self):
        """Everything that a call which failed must have left as it was."""
        leaves = [(leaf.va, leaf.pa, leaf.size, leaf.descriptor.raw) for leaf in self.leaves()]
        return self.frames(), self.vmas(), leaves, self.is_sound()

    def mapping(self):
        """What is mapped where with which rights, and the VMAs; not the sizes of pages, nor their tables."""
        leaves = [(run.va, run.pa, run.size, run.prot, run.memory) for run in merge(self.leaves())]
        return self.frames()[1:], self.vmas(), leaves, self.is_sound()

    # -- accesses ---------------------------------------------------------------------------------------

    def load(self, va, flags=0):
        """8 bytes read by the kernel through uk_nofault_memcpy(), or None when it faults."""
        done = self.call("uk_nofault_memcpy", self._word, va, 8, flags)
        return int.from_bytes(self._peek(self._word, 8), "little") if done == 8 else None

    def store(self, va, value, flags=0):
        """Write 8 bytes from EL1; whether it could be done."""
        self._poke(self._word, struct.pack("<Q", value))
        return self.call("uk_nofault_memcpy", va, self._word, 8, flags) == 8

    def can_read(self, va, size=1, flags=0):
        """uk_nofault_probe_r(): the bytes."""
        return self.call("uk_nofault_probe_r", va, size, flags)

    def can_write(self, va, size=1, flags=0):
        """uk_nofault_probe_rw(): the bytes."""
        return self.call("uk_nofault_probe_rw", va, size, flags)

    def execute(self, va):
        """Let the kernel call what is at va, and come back."""
        registers = self.kernel.machine.registers
        kept = {name: registers[name] for name in ("sp", "pc", "x29", "x30")}
        try:
            registers["x30"], registers["pc"] = 0x00AD_DE00_0000_0000, va
            self.kernel.session.run_function("code", None)
        finally:
            for name, value in kept.items():
                registers[name] = value

    def user(self, access, va, value=0):
        """One access ("r", "w", "x") from EL0. An "x" that finds anything but code still counts as "ok"."""
        pc = {"r": PROBE + 8, "w": PROBE + 16, "x": va}[access]
        registers = struct.pack("<31Q3Q", va, value, *[0] * 29, 0, pc, 0)
        self._poke(self._registers.address, registers.ljust(self._registers_size, b"\0"))
        stopped = self.call("arch_user_run", self._registers)
        [x0] = struct.unpack("<Q", self._peek(self._registers.address, 8))
        if stopped.stop != self.kernel.USER_FAULT:
            return Access("ok", value=x0)
        [at] = struct.unpack_from("<Q", bytes(stopped), self._fault_address)
        return Access("fault", stopped.permission, at, "rwx"[int(stopped.access)])

    def fault(self, va, kind=READ):
        """fault_resolve(), as after an access that found nothing mapped."""
        return status_name(self.call("fault_resolve", va, kind | NONPRESENT, None))

    def run(self):
        """Make this address space the one that accesses are made in."""
        assert self.call("vmm_address_space_activate", self.space) == 0

    def do_clone(self):
        """vmm_address_space_clone(): the copy, or the name of the error."""
        copy = self.call("vmm_address_space_clone", self.space)
        return Vas(self.kernel, copy.vas, copy) if copy else status_name(self.kernel.vmm_last_error())

    def clone(self):
        """The same where it has to work."""
        copy = self.do_clone()
        assert isinstance(copy, Vas), copy
        return copy

    def destroy(self):
        """Destroy the address space, which must not be the active one."""
        assert self.call("vmm_address_space_destroy", self.space) == 0

    def words(self, *vas):
        """What a read of 8 bytes gives at each of these addresses, in this address space."""
        self.run()
        return [self.load(va) for va in vas]

    def write(self, va, value, who="kernel"):
        """Write 8 bytes in this address space from EL0, from EL1, or by the copy functions of the VMM."""
        if who == "copy_in":
            self.kernel.write(None, self._word, struct.pack("<Q", value))
            self.call("vmm_address_space_copy_in", self.space, self._word, va, 8)
            return status_name(self.kernel.vmm_last_error()) == "OK"
        self.run()
        return self.user("w", va, value).outcome == "ok" if who == "user" else self.store(va, value)

    # -- failures ---------------------------------------------------------------------------------------

    @contextmanager
    def failing(self, n):
        """The n-th allocation of the calls inside fails."""
        with fail_nth(self.kernel, ALLOCATORS, n) as injection:
            yield injection


def exhaust(call, vas, books, limit=64):
    """Let each allocation of `call` fail, one after the other: ENOMEM, and `books()` as before.

    Returns how many there were; afterwards the call has been made and has worked.
    """
    before = books()
    for n in range(1, limit):
        with vas.failing(n) as injection:
            status = call()
        if injection.struck is None:
            assert status == "OK"
            return n - 1
        assert status in ("ENOMEM", "OK"), (n, status)
        if status == "OK":  # it has found another way
            return n
        assert books() == before, f"allocation {n}, by {injection.struck}()"
    raise AssertionError(f"more than {limit} allocations")


def shared_memory(kernel, size):
    """A handle to new shared memory."""
    handle = kernel.buffer(8)
    assert kernel.shared_memory_create(size, handle) == 0
    return int.from_bytes(kernel.read(None, handle, 8), "little")


def user_vas(kernel):
    """A new, active address space with the user program in it."""
    space = kernel.vmm_address_space_create()
    assert kernel.vmm_address_space_region_create_at(space, PROBE, PAGE, kernel.AS_REGION_RX) == 0
    kernel.write(space, PROBE, kernel.read(None, kernel.image.symbols["arch_user_probe"].address, 24))
    assert kernel.vmm_address_space_activate(space) == 0
    return Vas(kernel, space.vas, space)


def kernel_vas(kernel):
    """The kernel's own VAS, with no address space active."""
    return Vas(kernel, kernel.variable("kernel_vas"))


def code(vas, va):
    """Put a function that returns at once where the kernel has mapped something."""
    vas.kernel.write(vas.space, va, struct.pack("<I", _RETURN))
