# SPDX-License-Identifier: BSD-3-Clause
"""Memory by physical address, and by virtual address through the live translation tables."""

from __future__ import annotations

from collections.abc import Iterator

from harness.arch.bits import bit
from harness.arch.regime import Half, Regime
from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.arch.walker import Walk, Walker
from harness.errors import MachineError
from harness.machine.engine import Engine
from harness.machine.exceptions import PAN, current_el
from harness.machine.ram import Ram

RAM_BASE = 0x4000_0000


class Memory:
    """Physical RAM. Devices are not reached through it: reading one can change it."""

    def __init__(self, engine: Engine, ram: Ram) -> None:
        self._engine = engine
        self._ram = ram
        self.base = RAM_BASE
        self.size = ram.size

    @property
    def end(self) -> int:
        """One past the last byte of RAM."""
        return self.base + self.size

    def contains(self, pa: int, size: int = 1) -> bool:
        """Whether [pa, pa + size) is RAM."""
        return size >= 0 and self.base <= pa and pa + size <= self.end

    def read(self, pa: int, size: int) -> bytes:
        """`size` bytes at the physical address `pa`. Raises MachineError outside RAM."""
        self._check(pa, size, "read")
        return self._ram.read(pa - self.base, size)

    def write(self, pa: int, data: bytes) -> None:
        """Store bytes at the physical address `pa`. Raises MachineError outside RAM.

        The TLB is not flushed: a changed table entry needs a TLBI from the guest, as on hardware.
        """
        self._check(pa, len(data), "write")
        if data:
            self._ram.write(pa - self.base, bytes(data))
            self._engine.forget_code([(pa, pa + len(data))])

    def read_qword(self, pa: int) -> int | None:
        """The 64-bit word at `pa`, or None where there is no RAM: what a table walker asks for."""
        return self._ram.read_qword(pa - self.base) if self.contains(pa, 8) else None

    def read_block(self, pa: int, size: int) -> bytes:
        """`read` for a table walker. Raises LookupError outside RAM."""
        if not self.contains(pa, size):
            raise LookupError(f"no RAM at {pa:#x}")
        return self._ram.read(pa - self.base, size)

    def alike(self, one: int, other: int, size: int) -> bool:
        """Whether `size` bytes at two physical addresses are RAM, and the same."""
        inside = self.contains(one, size) and self.contains(other, size)
        return inside and self._ram.read(one - self.base, size) == self._ram.read(other - self.base, size)

    def digest(self) -> str:
        """SHA-256 of the contents of RAM; equal contents give equal digests."""
        return self._ram.digest()

    def _check(self, pa: int, size: int, verb: str) -> None:
        if not self.contains(pa, size):
            raise MachineError(
                f"cannot {verb} {size:#x} bytes at PA {pa:#x}: RAM is [{self.base:#x}, {self.end:#x})"
            )


class VirtualMemory:
    """Memory as the EL1&0 regime sees it. Access permissions are not checked: this is a debugger's view."""

    def __init__(self, engine: Engine, memory: Memory) -> None:
        self._engine = engine
        self._memory = memory

    def walker(self, half: Half, ttbr0: int | None = None) -> Walker:
        """A walker for one half by the registers as they are now, or with another TTBR0_EL1 value."""
        read = self._engine.read_system
        ttbr = read(SYSTEM_REGISTERS[f"{half.upper()}_EL1"])
        if half == "ttbr0" and ttbr0 is not None:
            ttbr = ttbr0
        sctlr, pstate = read(SYSTEM_REGISTERS["SCTLR_EL1"]), self._engine.read("pstate")
        try:
            regime = Regime.from_registers(
                *(read(SYSTEM_REGISTERS["TCR_EL1"]), ttbr, read(SYSTEM_REGISTERS["MAIR_EL1"]), half),
                wxn=bit(sctlr, 19),
                pan=bool(pstate & PAN),
            )
        except ValueError as error:
            raise MachineError(str(error)) from None
        return Walker(self._memory.read_qword, regime, self._memory.read_block)

    def walk(self, va: int, ttbr0: int | None = None) -> Walk:
        """The table walk of `va`, of whichever half it belongs to."""
        return self.walker("ttbr1" if bit(va, 55) else "ttbr0", ttbr0).walk(va)

    @property
    def enabled(self) -> bool:
        """Whether the MMU translates at the current exception level."""
        level = max(1, current_el(self._engine.read("pstate")))
        on = bit(self._engine.read_system(SYSTEM_REGISTERS[f"SCTLR_EL{level}"]), 0)
        if on and level != 1:
            raise MachineError(f"the MMU is on at EL{level}; only the EL1&0 regime can be read")
        return on

    def read(self, va: int, size: int, ttbr0: int | None = None) -> bytes:
        """`size` bytes at `va`, across any number of pages. Raises MachineError with the walk."""
        return b"".join(self._memory.read(pa, length) for pa, length in self._pieces(va, size, ttbr0))

    def write(self, va: int, data: bytes, ttbr0: int | None = None) -> None:
        """Store bytes at `va`. Nothing is written unless all of it can be."""
        pieces = list(self._pieces(va, len(data), ttbr0))
        done = 0
        for pa, length in pieces:
            self._memory.write(pa, data[done : done + length])
            done += length

    def _pieces(self, va: int, size: int, ttbr0: int | None) -> Iterator[tuple[int, int]]:
        """The physical ranges that [va, va + size) is made of; all are RAM."""
        if size < 0 or not 0 <= va <= (1 << 64) - size:
            raise MachineError(f"no virtual range has {size:#x} bytes at {va:#x}")
        translated = ttbr0 is not None or self.enabled
        while size > 0:
            pa, length = self._piece(va, size, ttbr0) if translated else (va, size)
            if not self._memory.contains(pa, length):
                raise MachineError(f"VA {va:#x} is PA {pa:#x}, which is not RAM")
            yield pa, length
            va, size = va + length, size - length

    def _piece(self, va: int, size: int, ttbr0: int | None) -> tuple[int, int]:
        walk = self.walk(va, ttbr0)
        if walk.pa is None:
            raise MachineError(f"VA {va:#x} is not mapped: {walk.fault}\n{walk.describe()}")
        return walk.pa, min(size, walk.page_size - va % walk.page_size)
