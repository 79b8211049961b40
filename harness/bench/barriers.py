# SPDX-License-Identifier: BSD-3-Clause
"""How many barriers and TLB invalidations a call executes: each such instruction of the text is watched."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from harness.kernel import Kernel

_EXECUTABLE = 1  # PF_X of a segment


@contextmanager
def counting(kernel: Kernel) -> Iterator[Counter[str]]:
    """Count what is executed inside: "dsb" and "tlbi", by name."""
    counts: Counter[str] = Counter()
    watches = [
        kernel.machine.on_address(va, partial(lambda _machine, name: counts.update([name]), name=name))
        for va, name in _watched(kernel)
    ]
    try:
        yield counts
    finally:
        for watch in watches:
            watch.remove()


def _watched(kernel: Kernel) -> Iterator[tuple[int, str]]:
    """Address and name of each DSB and TLBI of the kernel's text."""
    for segment in kernel.image.segments:
        if segment.flags & _EXECUTABLE:
            size = len(segment.data) // 4 * 4
            for index, (word,) in enumerate(struct.iter_unpack("<I", segment.data[:size])):
                if name := name_of(word):
                    yield segment.vaddr + 4 * index, name


def name_of(word: int) -> str | None:
    """ "dsb" or "tlbi" where an instruction is one.

    Arm DDI 0487, C4.1.96: DSB is MSR-like with CRn 3 and op2 4; TLBI is SYS with CRn 8.
    """
    if word & 0xFFFF_F0FF == 0xD503_309F:
        return "dsb"
    return "tlbi" if word & 0xFFF8_F000 == 0xD508_8000 else None
