# SPDX-License-Identifier: BSD-3-Clause
"""The frame allocator's own records, read from guest memory."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

from tests.support.vmm import KERNEL_BASE, PAGE

MAX_ORDER = 18
PURPOSES = ("FRAME_TABLE", "FRAME_OBJECT", "FRAME_REGION", "FRAME_PAGE", "FRAME_FILE")
"""What frames in use are for."""


class Block(NamedTuple):
    """A block of frames: what its head says."""

    pa: int
    order: int
    purpose: int

    @property
    def end(self):
        """One past its last byte."""
        return self.pa + (PAGE << self.order)


def _records(kernel):
    """The bytes of the array of struct frame; read by physical address, because that is quick."""
    records = kernel.variable("frame_records")
    size = kernel.sizeof("struct frame")
    return kernel.machine.memory.read(int(records.at) - KERNEL_BASE, records.count * size), size


def frame_purposes(kernel):
    """The purpose of each managed frame, a byte each."""
    records, size = _records(kernel)
    return records[kernel.type("struct frame").member("purpose").offset :: size]


def frame_address(kernel, index):
    """The PA of a frame by its number in the array."""
    return (kernel.variable("frame_records").first + index) * PAGE


def blocks(kernel):
    """Every block, free or in use, by address; frames that nobody manages are in none."""
    records, size = _records(kernel)
    fields = [kernel.type("struct frame").member(name).offset for name in ("purpose", "order")]
    first, found, at = kernel.variable("frame_records").first, [], 0
    while at < len(records) // size:
        purpose, order = (records[at * size + field] for field in fields)
        if purpose == kernel.FRAME_NONE:
            at += 1
            continue
        found.append(Block((first + at) * PAGE, order, purpose))
        at += 1 << order
    return found


def listed_blocks(kernel):
    """The free blocks on the allocator's lists, as a set of (PA, order)."""
    return {(block.pa, block.order) for block in blocks(kernel) if block.purpose == kernel.FRAME_FREE}


def single_frames(kernel, purpose="FRAME_REGION"):
    """The PAs of what is left of the block that single frames for a purpose are taken of."""
    run, record = kernel.variable("pool").singles[getattr(kernel, purpose)], kernel.sizeof("struct frame")
    first = (int(run.next) - int(kernel.variable("frame_records").at)) // record
    count = (int(run.end) - int(run.next)) // record
    return range(frame_address(kernel, first), frame_address(kernel, first + count), PAGE)


def free_blocks(kernel):
    """All that is free, as the largest blocks there can be: a set of (PA, order)."""
    found = listed_blocks(kernel)
    for pa in chain.from_iterable(single_frames(kernel, purpose) for purpose in PURPOSES):
        order = 0
        while order < MAX_ORDER and (pa ^ (PAGE << order), order) in found:
            found.remove((pa ^ (PAGE << order), order))
            pa &= ~(PAGE << order)
            order += 1
        found.add((pa, order))
    return found


def drain(kernel):
    """Allocate everything that is free, the largest blocks first; [(PA, frames)]."""
    taken = []
    for order in range(MAX_ORDER, -1, -1):
        while pa := kernel.frames_alloc(1 << order, 0, kernel.FRAME_REGION):
            taken.append((pa, 1 << order))
    return taken


def _forget_poison(kernel, head, count):
    """Records of frames that are filled with nothing: so nobody looks for it later."""
    size, member = kernel.sizeof("struct frame"), kernel.type("struct frame").member("poison")
    records = bytearray(kernel.machine.memory.read(head - KERNEL_BASE, count * size))
    for byte in range(4):
        records[member.offset + byte :: size] = bytes(count)
    kernel.machine.memory.write(head - KERNEL_BASE, bytes(records))


@contextmanager
def without_filling(kernel, least=0):
    """No zeroing, poisoning or checking of ranges of `least` bytes or more: the emulator is slow at it.

    Memory is zero after reset anyway. Only for tests that are about something else.
    """

    def skip(machine, size):
        if size >= least:
            machine.registers["pc"] = machine.registers["x30"]

    def leave_unfilled(machine):
        head, count = machine.registers["x0"], machine.registers["x1"]
        if count * PAGE >= least:
            _forget_poison(kernel, head, count)
        skip(machine, count * PAGE)

    skipped = [
        ("vmm_arch_zero", lambda machine: skip(machine, machine.registers["x1"])),
        ("poison_fill", leave_unfilled),
        ("poison_check", lambda machine: skip(machine, machine.registers["x1"] * PAGE)),
    ]
    watches = [
        kernel.machine.on_address(kernel.function(name).address, see)
        for name, see in skipped
        if kernel.function(name).address is not None  # Release has no poison
    ]
    try:
        yield
    finally:
        for watch in watches:
            watch.remove()
