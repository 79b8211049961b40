# SPDX-License-Identifier: BSD-3-Clause
"""What a LuKOS kernel's own books say of its tables, for an audit: frame records and lists of VMAs."""

from __future__ import annotations

from harness.checks.audit import Area, Books, audit
from tests.support.frames import PURPOSES, blocks, single_frames
from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import KERNEL_WINDOW, NONE, RW, RWX, RX, R, Vas, W

USES = {
    "FRAME_FREE": "free",
    "FRAME_TABLE": "table",
    "FRAME_OBJECT": "kernel",
    "FRAME_REGION": "data",
    "FRAME_PAGE": "data",
    "FRAME_FILE": "data",
}
HELD = ("FRAME_REGION", "FRAME_PAGE")
"""What is allocated to be mapped, by nobody but VMAs."""

_RIGHTS = {NONE: "---", R: "r--", W: "rw-", RW: "rw-", RX: "r-x", RWX: "rwx"}
_COW = 2  # the flag of VMAs that may share their pages
_MEMORY = {1: "Normal WT", 2: "Normal NC", 3: "Device-nGnRnE", 4: "Device-nGnRE", 5: "Device-GRE"}


def uses(kernel):
    """What each frame is for, by PA; frames that are not there are not the allocator's."""
    names = {getattr(kernel, name): use for name, use in USES.items()}
    found = {pa: names[block.purpose] for block in blocks(kernel) for pa in range(block.pa, block.end, PAGE)}
    for purpose in PURPOSES:
        found |= dict.fromkeys(single_frames(kernel, purpose), "free")
    return found


def areas_of(vas):
    """The VMAs of a VAS."""
    return [
        Area(
            *(vma.start, vma.end, _RIGHTS[vma.attr & 15], "w" if vma.flags & _COW else ""),
            _MEMORY.get(vma.attr >> 5 & 7, ""),
        )
        for vma in vas.all_vmas()
    ]


def held(kernel, vases, apart):
    """The frames that are to be mapped: those for pages, but for what is kept in invalid entries, by PA."""
    purposes = {getattr(kernel, name) for name in HELD}
    found = {
        pa for block in blocks(kernel) if block.purpose in purposes for pa in range(block.pa, block.end, PAGE)
    }
    for vas in vases:
        closed = [vma for vma in vas.all_vmas() if not vma.attr & RWX]
        for page in vas.all_pages():
            if page.prot == "---" and any(vma.start <= page.va < vma.end for vma in closed):
                found.difference_update(range(page.pa, page.pa + page.size, PAGE))
    return sorted(found.difference(apart))


def books_of(kernel, apart=()):
    """All there is, as an audit wants it: walkers of each VAS, and the books as they are now.

    `apart` are the PAs of what a test has allocated for itself.
    """
    vases, used = all_vases(kernel), uses(kernel)
    books = Books(
        owner=lambda pa: used.get(pa, "unmanaged"),
        areas=[areas_of(vas) for vas in vases],
        direct=range(KERNEL_BASE, KERNEL_WINDOW),
        held=held(kernel, vases, apart),
    )
    return [vas.tables().walker for vas in vases], books


def concerns(kernel, apart=()):
    """What an audit of all there is finds."""
    return audit(*books_of(kernel, apart))


def all_vases(kernel):
    """That of each address space, and the kernel's."""
    found, at = [], kernel.vmm_address_space_next(None)
    while at:
        found.append(Vas(kernel, at.vas, at))
        at = kernel.vmm_address_space_next(at)
    return [*found, Vas(kernel, kernel.variable("kernel_vas"))]
