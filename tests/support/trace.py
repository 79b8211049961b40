# SPDX-License-Identifier: BSD-3-Clause
"""What a call does to the translation tables, in order: stores, TLBI, barriers, TTBR0, caches.

    with tracing(kernel) as trace:
        kernel.vmm_address_space_region_destroy(space, va)
    assert trace.script == ["break 3", "dsb ishst", "tlbi vae1is", "dsb ish", "free 1"]

Every such instruction of the kernel's text is found by its encoding and watched. Between two of them,
stores are found by comparing the table pages; their order there is of no matter to the architecture either.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.frames import frame_address, frame_purposes
from tests.support.vmm import PAGE

VALID = 1
TABLE = 3
PERMISSIONS = 1 << 6 | 1 << 7 | 1 << 53 | 1 << 54

_BARRIERS = {4: "dsb", 5: "dmb", 6: "isb"}
_DOMAINS = {15: "sy", 14: "st", 11: "ish", 10: "ishst", 9: "ishld", 7: "nsh"}
_TLBI = {0: "vmalle1", 1: "vae1", 2: "aside1", 3: "vaae1", 5: "vale1", 7: "vaale1"}
_CACHE = {
    (0, 6, 1): "dc ivac",
    (3, 11, 1): "dc cvau",
    (3, 5, 1): "ic ivau",
    (0, 1, 0): "ic ialluis",
    (0, 5, 0): "ic iallu",
}
_DC_ZVA = (3, 4, 1)


@dataclass(frozen=True)
class Instruction:
    """One system instruction of the text."""

    va: int
    name: str
    register: int


@dataclass(frozen=True)
class Store:
    """One descriptor that changed. `live`: a walk could reach it before."""

    address: int
    old: int
    new: int
    live: bool

    @property
    def kind(self):
        """What it is to the architecture.

        fill: no walk can come here; make, break, permit: as pte_write.h has them; reserve: neither was nor is
        valid; rewrite: valid to valid in what only break-before-make may change.
        """
        if not self.live:
            return "fill"
        if not self.new & VALID:
            return "break" if self.old & VALID else "reserve"
        if not self.old & VALID:
            return "make"
        return "permit" if (self.old ^ self.new) & ~PERMISSIONS == 0 else "rewrite"


@dataclass(frozen=True)
class Event:
    """An instruction that is about to execute, and what became of the tables since the one before."""

    name: str
    operand: int
    stores: tuple[Store, ...]
    allocated: frozenset[int]
    freed: frozenset[int]
    active: int  # TTBR0_EL1

    @property
    def va(self):
        """The address that a TLBI by VA names."""
        return (self.operand & (1 << 44) - 1) << 12

    @property
    def asid(self):
        """The ASID that a TLBI or TTBR0 write names."""
        return self.operand >> 48


@dataclass
class Trace:
    """All events of a `with tracing(...)`."""

    events: list[Event] = field(default_factory=list)

    @property
    def script(self):
        """The events in words; stores between two of them are counted by kind."""
        lines = []
        for event in self.events:
            kinds = [store.kind for store in event.stores]
            lines += [f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds))]
            if event.freed:
                lines.append(f"free {len(event.freed)}")
            lines.append(event.name)
        assert lines.pop() == "end"
        return lines

    def named(self, prefix):
        """The events whose name starts so."""
        return [event for event in self.events if event.name.startswith(prefix)]


def system_instructions(kernel):
    """Barriers, TLBI, cache instructions (but DC ZVA) and writes of TTBR0 in the upper half's text."""
    found = []
    for segment in kernel.image.segments:
        if not segment.flags & 1 or segment.vaddr == segment.paddr:
            continue
        words = struct.unpack(f"<{len(segment.data) // 4}I", segment.data[: len(segment.data) // 4 * 4])
        for number, word in enumerate(words):
            name = system_name(word)
            if name:
                found.append(Instruction(segment.vaddr + 4 * number, name, word & 31))
    return found


def system_name(word):
    """The barrier, TLBI, cache instruction or write of TTBR0 that a word is, or None.

    SYS, MSR and barriers: 1101010100 L op0 op1 CRn CRm op2 Rt (C6.2).
    """
    if word >> 22 != 0b1101010100 or word >> 21 & 1:
        return None
    op0, op1, crn, crm, op2 = word >> 19 & 3, word >> 16 & 7, word >> 12 & 15, word >> 8 & 15, word >> 5 & 7
    if (op0, op1, crn) == (0, 3, 3) and op2 in _BARRIERS:
        return _BARRIERS[op2] if op2 == 6 else f"{_BARRIERS[op2]} {_DOMAINS[crm]}"
    if (op0, op1, crn) == (1, 0, 8) and crm in (3, 7):
        return f"tlbi {_TLBI[op2]}{'is' if crm == 3 else ''}"
    if (op0, crn) == (1, 7) and (op1, crm, op2) != _DC_ZVA:
        return _CACHE.get((op1, crm, op2), f"sys {op1} {crm} {op2}")
    return "msr ttbr0" if (op0, op1, crn, crm, op2) == (3, 0, 2, 0, 0) else None


@contextmanager
def tracing(kernel):
    """Record what happens inside. Calls of the facade may be made freely; each adds its events."""
    trace, recorder = Trace(), _Recorder(kernel)

    def see(machine, instruction):
        value = 0 if instruction.register == 31 else machine.registers[f"x{instruction.register}"]
        quick = instruction.name.startswith(
            ("dc", "ic")
        )  # one for each cache line; no part of a table update
        trace.events.append((recorder.cache if quick else recorder.event)(instruction.name, value))

    watches = [
        kernel.machine.on_address(each.va, lambda machine, each=each: see(machine, each))
        for each in system_instructions(kernel)
    ]
    try:
        yield trace
        trace.events.append(recorder.event("end", 0))
    finally:
        for watch in watches:
            watch.remove()


class _Recorder:
    """Compares the table pages with what they were at the event before."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.memory = kernel.machine.memory
        self._kernel_half = []
        counted = set(self._table_pages())
        self._kernel_half = [page.pa for page in kernel.tables().pages() if page.pa not in counted]
        self.tables = self._read(self._table_pages())

    def event(self, name, operand):
        before, after = self.tables, self._read(self._table_pages())
        stores = []
        if after != before:
            reachable = self._reachable(before)
            for pa, content in after.items():
                stores += self._stores(pa, before.get(pa, bytes(PAGE)), content, pa in reachable)
        self.tables = after
        ttbr0 = self.kernel.machine.sysreg["TTBR0_EL1"]
        return Event(
            *(name, operand, tuple(stores)),
            *(frozenset(after.keys() - before.keys()), frozenset(before.keys() - after.keys()), ttbr0),
        )

    def cache(self, name, operand):
        """An event whose tables are left to the next one."""
        return Event(name, operand, (), frozenset(), frozenset(), 0)

    def _table_pages(self):
        """The frames that hold tables by the allocator's books, and those that the boot made."""
        purposes, found = frame_purposes(self.kernel), self._kernel_half.copy()
        at = purposes.find(bytes([self.kernel.FRAME_TABLE]))
        while at >= 0:
            found.append(frame_address(self.kernel, at))
            at = purposes.find(bytes([self.kernel.FRAME_TABLE]), at + 1)
        return found

    def _read(self, pages):
        return {pa: self.memory.read(pa, PAGE) for pa in pages}

    def _reachable(self, tables):
        """Tables on a way from a root, whoever runs with it."""
        reachable, pending = set(), [each for each in self._roots() if each[0] in tables]
        while pending:
            pa, level = pending.pop()
            if pa in reachable:
                continue
            reachable.add(pa)
            for word in struct.unpack("<512Q", tables[pa]) if level < 3 else ():  # there it would be a page
                target = word & 0xFFFF_FFFF_F000
                if word & TABLE == TABLE and target in tables:
                    pending.append((target, level + 1))
        return reachable

    def _roots(self):
        """TTBR1, and the root of every address space in the list of live ones; with their levels."""
        kernel, user = (self.kernel.tables(half=half).regime for half in ("ttbr1", "ttbr0"))
        roots = [(kernel.table_base, kernel.start_level)]
        spaces = self.kernel.variable("spaces")
        offset = self.kernel.type("struct address_space").member("link").offset
        at = spaces.live.next
        while int(at) != spaces.live.address and at:
            space = self.kernel.cast(int(at) - offset, "struct address_space *")
            context = self.kernel.cast(space.vas.pt, "struct uk_pagetable *")
            roots.append((int(context.pt_pbase), user.start_level))
            at = at.next
        return roots

    def _stores(self, pa, old, new, live):
        if old == new:
            return []
        words = zip(struct.unpack("<512Q", old), struct.unpack("<512Q", new), strict=True)
        return [Store(pa + 8 * at, was, now, live) for at, (was, now) in enumerate(words) if was != now]
