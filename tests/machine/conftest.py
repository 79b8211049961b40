# SPDX-License-Identifier: BSD-3-Clause
"""A tiny assembler and a bare bench: what the machine's tests run on, with no compiler needed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.arch.sysreg import encoding
from harness.machine import Machine, Stop

CODE = 0x4020_0000
VECTORS = 0x4020_8000
TABLES = 0x4030_0000  # L1 first; further tables behind it
USER_CODE = 0x4040_0000  # physical; the bench maps it at USER_VA
DATA = 0x4050_0000
USER_VA = 0x1_0000_0000
STACK_EL1, STACK_EL0 = 0x4060_0000, 0x4061_0000

SCTLR_M = 1
TCR = 25 | 25 << 16 | 2 << 30 | 2 << 32  # 39 bits and 4K in both halves, 40-bit output addresses
MAIR = 0xFF | 0x44 << 8  # 0: Normal write-back, 1: Normal non-cacheable, 2: Device-nGnRnE
AF, AP_EL0, AP_RO, PXN, UXN = 1 << 10, 1 << 6, 1 << 7, 1 << 53, 1 << 54
EL0T, EL1T, EL1H, EL2H = 0x3C0, 0x3C4, 0x3C5, 0x3C9


class Asm:
    """Instruction words, collected; labels are resolved by `code`. Registers are numbers."""

    def __init__(self) -> None:
        self._words: list[int | Callable[[int], int]] = []
        self._labels: dict[str, int] = {}

    def word(self, value: int) -> Asm:
        self._words.append(value)
        return self

    def label(self, name: str) -> Asm:
        self._labels[name] = len(self._words)
        return self

    def here(self, name: str) -> int:
        """Byte offset of a label."""
        return 4 * self._labels[name]

    def code(self) -> bytes:
        words = [w if isinstance(w, int) else w(at) for at, w in enumerate(self._words)]
        return struct.pack(f"<{len(words)}I", *words)

    def mov(self, rd: int, value: int) -> Asm:
        """MOVZ and three MOVK: any 64-bit value, always four instructions."""
        for shift in range(4):
            opcode = 0xD2800000 if shift == 0 else 0xF2800000
            self.word(opcode | shift << 21 | (value >> 16 * shift & 0xFFFF) << 5 | rd)
        return self

    def add(self, rd: int, rn: int, imm: int) -> Asm:
        return self.word(0x91000000 | imm << 10 | rn << 5 | rd)

    def sub(self, rd: int, rn: int, imm: int) -> Asm:
        return self.word(0xD1000000 | imm << 10 | rn << 5 | rd)

    def ldr(self, rt: int, rn: int, offset: int = 0) -> Asm:
        return self.word(0xF9400000 | offset // 8 << 10 | rn << 5 | rt)

    def str(self, rt: int, rn: int, offset: int = 0) -> Asm:
        return self.word(0xF9000000 | offset // 8 << 10 | rn << 5 | rt)

    def strb(self, rt: int, rn: int) -> Asm:
        return self.word(0x39000000 | rn << 5 | rt)

    def cbnz(self, rt: int, label: str) -> Asm:
        self._words.append(lambda at: 0xB5000000 | (self._labels[label] - at & 0x7FFFF) << 5 | rt)
        return self

    def b(self, label: str) -> Asm:
        self._words.append(lambda at: 0x14000000 | self._labels[label] - at & 0x3FFFFFF)
        return self

    def ret(self) -> Asm:
        return self.word(0xD65F03C0)

    def br(self, rn: int) -> Asm:
        return self.word(0xD61F0000 | rn << 5)

    def svc(self, imm: int = 0) -> Asm:
        return self.word(0xD4000001 | imm << 5)

    def hvc(self, imm: int = 0) -> Asm:
        return self.word(0xD4000002 | imm << 5)

    def smc(self, imm: int = 0) -> Asm:
        return self.word(0xD4000003 | imm << 5)

    def brk(self, imm: int = 0) -> Asm:
        return self.word(0xD4200000 | imm << 5)

    def udf(self) -> Asm:
        return self.word(0)

    def eret(self) -> Asm:
        return self.word(0xD69F03E0)

    def nop(self, count: int = 1) -> Asm:
        for _ in range(count):
            self.word(0xD503201F)
        return self

    def wfe(self) -> Asm:
        return self.word(0xD503205F)

    def wfi(self) -> Asm:
        return self.word(0xD503207F)

    def mrs(self, rt: int, name: str) -> Asm:
        return self.word(encoding(name).mrs | rt)

    def msr(self, name: str, rt: int) -> Asm:
        return self.word(encoding(name).mrs & ~(1 << 21) | rt)

    def tlbi_all(self) -> Asm:
        """TLBI VMALLE1; DSB SY; ISB."""
        return self.word(0xD508871F).word(0xD5033F9F).word(0xD5033FDF)


@dataclass(frozen=True)
class Piece:
    """A segment."""

    paddr: int
    data: bytes
    memory_size: int
    vaddr: int
    flags: int = 7


def piece(paddr: int, data: bytes, memory_size: int | None = None, vaddr: int | None = None) -> Piece:
    size = len(data) if memory_size is None else memory_size
    return Piece(paddr, data, size, paddr if vaddr is None else vaddr)


class Bench:
    """A machine with a translation table, vectors that hold ERET, and code written by a test."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._next_table = TABLES + 0x1000
        for entry in range(16):
            self.put(VECTORS + 0x80 * entry, Asm().eret().code())

    def put(self, pa: int, data: bytes) -> None:
        self.machine.memory.write(pa, data)

    def entry(self, table: int, index: int, value: int | None = None) -> int:
        """Read or write a table entry."""
        if value is not None:
            self.put(table + 8 * index, struct.pack("<Q", value))
        return int.from_bytes(self.machine.memory.read(table + 8 * index, 8), "little")

    def map(self, va: int, pa: int, attributes: int = AF, level: int = 3) -> int:
        """Map a page or block in the 39-bit table at TABLES; returns the address of its entry."""
        table = TABLES
        for step in range(1, level):
            index = va >> (39 - 9 * step) & 511
            if not self.entry(table, index) & 1:
                self.entry(table, index, self._next_table | 3)
                self._next_table += 0x1000
            table = self.entry(table, index) & 0xFFFF_FFFF_F000
        index = va >> (39 - 9 * level) & 511
        self.entry(table, index, pa | attributes | (3 if level == 3 else 1))
        return table + 8 * index

    def mmu_on(self) -> Bench:
        """RAM mapped one to one for EL1, user code at USER_VA for EL0; both halves share the table."""
        self.map(0x4000_0000, 0x4000_0000, AF | UXN, level=1)
        self.map(USER_VA, USER_CODE, AF | AP_EL0 | AP_RO | PXN)
        registers = self.machine.sysreg
        registers["TCR_EL1"], registers["MAIR_EL1"] = TCR, MAIR
        registers["TTBR0_EL1"] = registers["TTBR1_EL1"] = TABLES
        registers["VBAR_EL1"] = VECTORS
        registers["SCTLR_EL1"] |= SCTLR_M
        registers["SP_EL1"], registers["SP_EL0"] = STACK_EL1, STACK_EL0
        return self

    def start(self, asm: Asm, *, el0: bool = False, pstate: int | None = None) -> int:
        """Put code, stand at its first instruction at EL1 or EL0; returns that virtual address."""
        self.put(USER_CODE if el0 else CODE, asm.code())
        self.machine.registers["pstate"] = pstate if pstate is not None else EL0T if el0 else EL1H
        self.machine.registers["pc"] = USER_VA if el0 else CODE
        return USER_VA if el0 else CODE

    def run(self, asm: Asm, *, el0: bool = False, **options: Any) -> Stop:
        self.start(asm, el0=el0)
        return self.machine.run(**options)

    def run_to_vector(self, asm: Asm, offset: int, *, el0: bool = False) -> Stop:
        """Run until the CPU stands at a vector."""
        stop = self.run(asm, el0=el0, until={VECTORS + offset}, budget=10_000)
        assert (stop.kind, stop.pc) == ("address", VECTORS + offset)
        return stop


@pytest.fixture
def asm() -> type[Asm]:
    """The assembler."""
    return Asm


@pytest.fixture
def segment() -> Callable[..., Piece]:
    """Makes a segment."""
    return piece


@pytest.fixture
def make_machine() -> Iterator[Callable[..., Machine]]:
    """Makes machines and closes them afterwards."""
    made: list[Machine] = []

    def make(**options: Any) -> Machine:
        options.setdefault("ram_size", 64 << 20)
        made.append(Machine(**options))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def machine(make_machine: Callable[..., Machine]) -> Machine:
    """A machine with 64 MiB."""
    return make_machine()


@pytest.fixture
def make_bench(make_machine: Callable[..., Machine]) -> Callable[..., Bench]:
    """Makes benches."""
    return lambda **options: Bench(make_machine(**options))


@pytest.fixture
def bench(machine: Machine) -> Bench:
    """A bench with its MMU on."""
    return Bench(machine).mmu_on()
