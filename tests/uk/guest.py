# SPDX-License-Identifier: BSD-3-Clause
"""The emulated kernel as the state machine's guest."""

from __future__ import annotations

from tests.support.files import Files
from tests.support.vmm import PAGE
from tests.uk import driver
from tests.uk.machine import DMA_PAGES


class Guest:
    """A kernel with both VASes and memory for dma, to be set back for each sequence."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.names = [0, int(kernel.buffer(b"one\0")), int(kernel.buffer(b"two\0"))]
        self.memory = kernel.frames_alloc(DMA_PAGES, 9, kernel.FRAME_REGION)
        kernel.machine.memory.write(self.memory, bytes(DMA_PAGES * PAGE))
        self.vases = {"kernel": driver.kernel_vas(kernel), "user": driver.user_vas(kernel)}
        mair = kernel.machine.sysreg["MAIR_EL1"].to_bytes(8, "little")
        self.types = [mair.index(kind) for kind in (0xFF, 0x44)]  # Normal write-back and non-cacheable
        self.files = Files(kernel)
        self.family = 4  # address spaces that are copies of each other, at most
        self.moment = kernel.snapshot()

    def reset(self):
        """As it was."""
        self.kernel.restore(self.moment)

    def shared_memory(self, size):
        """A handle to new shared memory."""
        return driver.shared_memory(self.kernel, size)

    def close_shared(self, memory):
        """Give up such a handle."""
        assert self.kernel.shared_memory_close(memory) == 0

    def word_at(self, pa):
        """8 bytes of memory."""
        return int.from_bytes(self.kernel.machine.memory.read(pa, 8), "little")
