# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's own copy of its library, called with plain numbers: what tests/lib asks of a guest."""

from __future__ import annotations

from harness import GuestPanic, Kernel
from harness.kernel.session import RETURN_ADDRESS

ARENA_SIZE = 8 << 20
BUDGET = 5_000_000
WINDOW = 0xFFFF_FFC0_0000_0000  # the kernel's own areas, of which there are none
_PAGE = 4096


class KernelGuest:
    """A booted kernel. Numbers in and out are unsigned 64-bit.

    `edge` is one past the last byte of a piece of memory, mapped again: to read there is an abort.
    """

    panic = GuestPanic

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        pa = kernel.frames_alloc(ARENA_SIZE // _PAGE, 0, kernel.FRAME_REGION)
        self._arena = self._top = int(kernel.vmm_arch_ram(pa))
        size = ARENA_SIZE // 2
        assert kernel.vmm_arch_map(None, kernel.AS_REGION_RW, WINDOW, int(pa) + size, size) == 0
        self.edge = WINDOW + size
        self._moment = kernel.snapshot()

    def reset(self) -> None:
        """Everything as it was just after boot; what alloc() gave is free again."""
        self._top = self._arena
        self.kernel.restore(self._moment)

    def alloc(self, size: int, *, align: int = 16) -> int:
        """The address of memory whose contents are undefined."""
        address = -(-self._top // align) * align
        self._top = address + size
        assert self._top <= self._arena + ARENA_SIZE
        return address

    def place(self, data: bytes, *, align: int = 16) -> int:
        """The address of a copy of data."""
        address = self.alloc(len(data), align=align)
        self.write(address, data)
        return address

    def read(self, address: int, size: int) -> bytes:
        return self.kernel.memory.read(address, size) if size else b""

    def write(self, address: int, data: bytes) -> None:
        if data:
            self.kernel.memory.write(address, data)

    def call(self, name: str, *arguments: int) -> int:
        """Call a C function by AAPCS64, integers and pointers only; x0 when it returns."""
        return self._run(name, arguments)[0]

    def signed(self, name: str, *arguments: int) -> int:
        """The same for a function that returns int."""
        value = self.call(name, *arguments) & 0xFFFFFFFF
        return value - (value >> 31 << 32)

    def count(self, name: str, *arguments: int) -> int:
        """Call a function and return how many instructions that took, its return included."""
        return self._run(name, arguments)[1]

    def printed(self, name: str, *arguments: int) -> str:
        """Call a function and return what it put to the console."""
        before = len(self.kernel.console)
        self.call(name, *arguments)
        return self.kernel.console[before:]

    def _run(self, name: str, arguments: tuple[int, ...]) -> tuple[int, int]:
        registers = self.kernel.machine.registers
        kept = registers["sp"]
        stack = kept - max(0, len(arguments) - 8 + 1) // 2 * 16
        for number, value in enumerate(arguments[:8]):
            registers[f"x{number}"] = value % (1 << 64)
        for number, value in enumerate(arguments[8:]):
            self.write(stack + 8 * number, (value % (1 << 64)).to_bytes(8, "little"))
        registers["sp"], registers["x29"], registers["x30"] = stack, 0, RETURN_ADDRESS
        registers["pc"] = self.kernel.image.symbols[name].address
        retired = self.kernel.session.run_function(name, BUDGET)
        registers["sp"] = kept
        return registers["x0"], retired
