# SPDX-License-Identifier: BSD-3-Clause
"""The VMA engine in the simplest words: a sorted list of VMAs, the pages that are present, what they hold.

A call of the model gives the name of an error and has changed nothing, or "OK". It knows nothing of page
tables, nor of the sizes of pages in them: 4K are present or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.support.vmm import PAGE
from tests.uk.driver import (
    ANY,
    DONTNEED,
    GROWS_UP,
    GUARD_ABOVE,
    GUARD_BELOW,
    POPULATE,
    REPLACE,
    RW,
    STRICT,
    UNINITIALIZED,
    WILLNEED,
    Vma,
)

_LEVELS = {0: -1, 12: 0, 21: 1, 30: 2}
_RIGHT = {"r": 7, "w": 2, "x": 4}  # any right includes reading
_NO_SPLIT = ("stack", "region")
_TYPES = 6  # memory types there are


@dataclass(eq=False)
class File:
    """A file, whatever its name: `text` is the address of the kernel's copy of that."""

    text: int
    content: bytearray = field(default_factory=bytearray)

    @property
    def end(self):
        """Up to where there are pages."""
        return -(-len(self.content) // PAGE) * PAGE

    def ends(self, offset):
        """The first and the last 8 bytes of the page there; zeros behind the end."""
        page = bytes(self.content[offset : offset + PAGE]).ljust(PAGE, b"\0")
        return int.from_bytes(page[:8], "little"), int.from_bytes(page[-8:], "little")


@dataclass
class Area:
    """One VMA; `shift`: PA - VA of dma, offset - VA of a file or of shared memory."""

    start: int
    end: int
    kind: str
    attr: int
    flags: int = 0
    level: int = -1
    name: int = 0
    shift: int = 0
    file: File | None = None

    @property
    def page(self):
        """Bytes of the pages it insists on."""
        return PAGE << 9 * max(self.level, 0)

    @property
    def has_memory(self):
        """Whether accesses make pages present."""
        return self.kind in ("anon", "stack", "dma", "file", "shared")

    def is_guard(self, va):
        """Whether it is a stack and va in one of its guards."""
        return self.kind == "stack" and not self.start + GUARD_BELOW <= va < self.end - GUARD_ABOVE

    def reaches(self, va):
        """Whether there is memory for the page at va: a file may have ended before."""
        return self.file is None or (va & -self.page) + self.shift < self.file.end

    def continues(self, below):
        """Whether it and the one below it have to be one VMA."""
        mine, other = replace(self, start=0, end=0), replace(below, start=0, end=0)
        return below.end == self.start and mine == other and self.kind not in _NO_SPLIT


@dataclass
class Model:
    """A VAS. `base` and `end`: where VMAs without an address go; `low`: the lowest address there is."""

    base: int
    low: int
    end: int
    areas: list[Area] = field(default_factory=list)
    present: set[int] = field(default_factory=set)
    words: dict[int, int] = field(default_factory=dict)  # the first of each page that was written, or copied
    tails: dict[int, int] = field(default_factory=dict)  # the last of each page that was copied
    others: dict[tuple[str, int], int] = field(default_factory=dict)  # the first of dma and shared memory
    paging: bool = True

    # -- looking ----------------------------------------------------------------------------------------

    def vmas(self):
        """As Vas.vmas()."""
        return [Vma(a.start, a.end, a.kind, a.attr, a.flags, a.level, a.name) for a in self.areas]

    def find(self, va):
        """The VMA at va, or None."""
        return next((area for area in self.areas if area.start <= va < area.end), None)

    def between(self, start, end):
        """The VMAs that the range touches."""
        return [area for area in self.areas if area.start < end and start < area.end]

    def owned(self):
        """Frames of pages that are present and the VAS's own."""
        return sum(self.find(va).kind in ("anon", "stack", "file") for va in self.present)

    def word(self, va):
        """What an 8-byte read at the start of a present page gives; None: nobody knows."""
        area = self.find(va)
        if area.kind in ("dma", "shared"):
            return self.others.get((area.kind, va + area.shift), 0)
        return self.words.get(va, self.fresh(va))

    def fresh(self, va):
        """The same for memory that nobody has written."""
        area = self.find(va)
        if area.file is not None:
            return area.file.ends((va & -PAGE) + area.shift)[0]
        return None if area.flags & 1 else 0

    def write(self, va, value):
        """An 8-byte write there."""
        area = self.find(va)
        if area.kind in ("dma", "shared"):
            self.others[area.kind, va + area.shift] = value
        else:
            self.words[va] = value

    # -- ranges -----------------------------------------------------------------------------------------

    def _range_error(self, va, size, flags=0):
        if size == 0 or (va | size) % PAGE or self._cuts_page(va) or self._cuts_page(va + size):
            return "EINVAL"
        if (
            flags & STRICT
            and sum(min(a.end, va + size) - max(a.start, va) for a in self.between(va, va + size)) < size
        ):
            return "ENOENT"
        return None

    def _cuts_page(self, va):
        area = self.find(va)
        return area is not None and va % area.page != 0

    def _cuts_whole(self, start, end):
        """Whether an end of the range cuts a VMA that is never split."""
        ends = [self.find(va) for va in (start, end)]
        return any(
            area is not None and area.kind in _NO_SPLIT and area.start != va
            for area, va in zip(ends, (start, end), strict=True)
        )

    def _cut(self, va):
        area = self.find(va)
        if area is not None and area.start != va:
            self.areas.append(replace(area, start=va))
            area.end = va
            self.areas.sort(key=lambda each: each.start)

    def _remove(self, start, end):
        self._cut(start)
        self._cut(end)
        self.areas = [area for area in self.areas if not start <= area.start < end]
        self._drop(start, end)

    def _drop(self, start, end):
        self.present = {va for va in self.present if not start <= va < end}
        for known in (self.words, self.tails):
            for va in [va for va in known if start <= va < end]:
                del known[va]

    def _merge(self):
        merged = []
        for area in sorted(self.areas, key=lambda each: each.start):
            if merged and area.continues(merged[-1]):
                merged[-1] = replace(merged[-1], end=area.end)
            else:
                merged.append(area)
        self.areas = merged

    def _supply(self, area, start, end):
        """What a prefault makes present; its status."""
        if not area.has_memory or not area.attr & 15:
            return "OK"
        for va in range(start, end, PAGE):
            if va not in self.present and not area.reaches(va):
                return "EFAULT"
            if not area.is_guard(va):
                self._make_present(area, va)
        return "OK"

    def _make_present(self, area, va):
        if va not in self.present and area.file is not None:
            self.words[va], self.tails[va] = area.file.ends(va + area.shift)
        self.present.add(va)

    # -- calls ------------------------------------------------------------------------------------------

    def place(self, size, align):
        """The lowest address for a VMA, or None."""
        floor = self.base
        for start, end in [
            *((a.start, a.end) for a in self.areas if a.end > self.base),
            (self.end, self.end),
        ]:
            at = -(-floor // align) * align
            if at + size <= start:
                return at
            floor = max(floor, end)
        return None

    def map(self, kind, size, attr, at=ANY, flags=0, name=0, pa=None, file=None, offset=0):
        """uk_vma_map(): (status, where)."""
        level = _LEVELS.get(flags >> 5 & 63)
        if level is None or size == 0 or size % (PAGE << 9 * max(level, 0)) or not is_attr(attr):
            return "EINVAL", at
        page = PAGE << 9 * max(level, 0)
        where = at
        if at == ANY:
            where = self.place(size, page)
            if where is None:
                return "ENOMEM", at
        elif at % page or not self.low <= at <= self.end - size:
            return "EINVAL", at
        status = self._replaceable(where, size, flags)
        if status == "OK" and kind == "dma" and (pa % PAGE or flags & UNINITIALIZED):
            status = "EINVAL"
        if status == "OK" and self._cuts_whole(where, where + size):
            status = "EPERM"
        if status != "OK":
            return status, at
        self._remove(where, where + size)
        kept = flags >> 32 << 32 | (flags & UNINITIALIZED if kind != "file" else 0) >> 1
        shift = {"dma": (pa or 0) - where, "file": offset - where, "shared": offset - where}.get(kind, 0)
        area = Area(where, where + size, kind, attr, kept, level, name, shift, file)
        self.areas.append(area)
        if flags & POPULATE:
            status = self._supply(area, area.start, area.end)
            if status != "OK":
                self._remove(area.start, area.end)
                return status, at
        self._merge()
        return "OK", where

    def _replaceable(self, va, size, flags):
        if not self.between(va, va + size):
            return "OK"
        if not flags & REPLACE:
            return "EEXIST"
        return "EINVAL" if self._cuts_page(va) or self._cuts_page(va + size) else "OK"

    def stack(self, size, premapped, at=ANY, flags=0, name=0):
        """uk_vma_map_stack(): (status, where)."""
        if size == 0 or (size | premapped) % PAGE or flags >> 5 & 63:
            return "EINVAL", at
        premapped = size if flags & POPULATE else min(size, premapped)
        whole = size + GUARD_BELOW + GUARD_ABOVE
        status, where = self.map("stack", whole, RW, at, flags & ~POPULATE | 12 << 5, name)
        if status != "OK":
            return status, at
        bottom = where + GUARD_BELOW
        first = bottom if flags & GROWS_UP else bottom + size - premapped
        self._supply(self.find(where), first, first + premapped)
        return "OK", bottom

    def file(self, size, attr, file, offset, at=ANY, flags=0, fd=None):
        """uk_vma_map_file() of a descriptor, which is for reading: (status, where)."""
        return self.map("file", size, attr, at, flags, file.text, file=file, offset=offset)

    def unmap(self, va, size, flags=0):
        """uk_vma_unmap()."""
        error = self._range_error(va, size, flags)
        if error or self._cuts_whole(va, va + size):
            return error or "EPERM"
        self._remove(va, va + size)
        return "OK"

    def set_attr(self, va, size, attr, flags=0):
        """uk_vma_set_attr()."""
        error = None if is_attr(attr) else "EINVAL"
        error = error or self._range_error(va, size, flags)
        if error or self._cuts_whole(va, va + size):
            return error or "EPERM"
        self._cut(va)
        self._cut(va + size)
        for area in self.between(va, va + size):
            area.attr = attr
        self._merge()
        return "OK"

    def advise(self, va, size, advice, flags=0):
        """uk_vma_advise()."""
        error = self._range_error(va, size, flags)
        if error:
            return error
        for area in self.between(va, va + size):
            start, end = max(area.start, va), min(area.end, va + size)
            if advice & DONTNEED and area.kind in ("anon", "file", "shared"):
                self._drop(start, end)
            status = self._supply(area, start, end) if advice & WILLNEED else "OK"
            if status != "OK":
                return status
        return "OK"

    def clone(self):
        """vmm_address_space_clone(): the same but for pages of shared memory, which come by faults again."""
        present = {va for va in self.present if self.find(va).kind != "shared"}
        areas = [replace(area) for area in self.areas]
        return replace(self, areas=areas, present=present, words=dict(self.words), tails=dict(self.tails))

    # -- accesses ---------------------------------------------------------------------------------------

    def access(self, access, va):
        """ "ok", "permission" (a page is there) or "nothing" (there is none, or one without rights)."""
        area, page = self.find(va), va & -PAGE
        if area is None or not area.attr & 15:
            return "nothing"
        allowed = bool(area.attr & _RIGHT[access])
        if page not in self.present and not (
            allowed and self.paging and area.has_memory and not area.is_guard(page) and area.reaches(page)
        ):
            return "nothing"
        if page not in self.present:
            first = page & -area.page
            for each in range(first, first + area.page, PAGE):
                self._make_present(area, each)
        return "ok" if allowed else "permission"


def is_attr(attr):
    """Whether there is such memory."""
    kind = attr >> 5 & 7
    if attr & ~0x3E7 or kind >= _TYPES:
        return False
    return not attr & 4 or (not attr & 2 and kind < 3)
