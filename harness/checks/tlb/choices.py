# SPDX-License-Identifier: BSD-3-Clause
"""What the architecture leaves open, decided by a seed."""

from __future__ import annotations

import struct
from hashlib import blake2b

from harness.arch.bits import U64


class Choices:
    """Decisions: the same question at the same moment gets the same answer, however often it is asked.

    How often the CPU asks for a translation depends on a cache of the emulator, which must not matter.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed & U64
        self.moment = 0
        """Counts the events after which everything may be decided anew."""

    def below(self, limit: int, *question: int) -> int:
        """A number from 0 to limit - 1."""
        words = (self._seed, self.moment, *(each & U64 for each in question))
        digest = blake2b(struct.pack(f"<{len(words)}Q", *words), digest_size=8).digest()
        return int.from_bytes(digest, "little") % limit

    def yes(self, *question: int) -> bool:
        """Heads or tails."""
        return self.below(2, *question) == 1
