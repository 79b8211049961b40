# SPDX-License-Identifier: BSD-3-Clause
"""The instructions of an image, as far as control flow is concerned."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from harness.arch.a64 import NOP, Branch, branch, is_system
from harness.image import ElfImage

_PAGE = 1024  # the emulator's blocks do not cross pages of the smallest size that an Arm CPU ever had
PF_X = 1


class Program:
    """The code of an image: what DWARF has lines for, or without DWARF, the executable segments."""

    def __init__(self, image: ElfImage) -> None:
        self.image = image
        self._words: dict[int, int] = {}
        for start, data in self._pieces():
            words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
            self._words.update(zip(range(start, start + 4 * len(words), 4), words, strict=True))
        self._ends: dict[int, int] = {}

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        code = [(low, self.image.read(low, high - low)) for low, high in self.image.lines.code()]
        executable = ((s.vaddr, s.data) for s in self.image.segments if s.flags & PF_X)
        yield from code or executable

    def __contains__(self, address: int) -> bool:
        return address in self._words

    def word(self, address: int) -> int:
        """The instruction at an address of this program."""
        return self._words[address]

    def branch(self, address: int) -> Branch | None:
        """The branch at an address, or None."""
        return branch(self._words[address], address)

    def end(self, start: int) -> int:
        """The address of the instruction that ends the block at `start`: the next branch, or the last one."""
        if start not in self._ends:
            at = start
            while self.branch(at) is None and at + 4 in self._words:
                at += 4
            self._ends[start] = at
        return self._ends[start]

    def may_split(self, address: int) -> bool:
        """Whether the emulator may begin a block here though no branch leads to it."""
        return address % _PAGE == 0 or address - 4 not in self._words or is_system(self._words[address - 4])

    @cached_property
    def targets(self) -> frozenset[int]:
        """Where the direct branches of the program lead to."""
        found = (self.branch(address) for address in self._words)
        return frozenset(each.target for each in found if each is not None and each.target is not None)

    @cached_property
    def instructions(self) -> tuple[int, ...]:
        """The addresses of all instructions, rising, without what fills the gaps before aligned ones."""
        ordered = sorted(self._words)
        kept = ordered[:1]
        for before, address in pairwise(ordered):
            if not self._is_padding(before, address, before in kept[-1:]):
                kept.append(address)
        return tuple(kept)

    def _is_padding(self, before: int, address: int, before_kept: bool) -> bool:
        """NOP or zero that nothing falls into or branches to."""
        if self._words[address] not in (NOP, 0) or address in self.targets:
            return False
        if self.image.symbols.starts_at(address):
            return False
        if before + 4 != address or not before_kept:
            return True
        leaving = self.branch(before)
        return leaving is not None and not leaving.falls_through
