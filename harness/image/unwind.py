# SPDX-License-Identifier: BSD-3-Clause
"""Backtraces: from the registers and memory of a stopped CPU to the chain of callers.

Follows call frame information, through exception vectors as well: a CIE with the signal flag
("S") or a return-address column other than x30 (33 is ELR_mode in the AArch64 DWARF ABI) means
that the caller was interrupted, so its PC is exact and not a return address. Where an image has
no such information, AAPCS64 frame records (x29) are followed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final, Protocol

from harness.errors import HarnessError
from harness.image.cfi import RA_SIGN_STATE, FrameInfo, Row, Rule, read_frames, row_at
from harness.image.dwarf import malformed_dwarf
from harness.image.expr import MASK, evaluate
from harness.image.inlines import SourceFrame
from harness.image.symbols import Symbol

# DWARF register numbers (DWARF for the Arm 64-bit Architecture, 4.1).
FP, LR, SP, PC, ELR = 29, 30, 31, 32, 33
NAMES: Final = {**{n: f"x{n}" for n in range(31)}, SP: "sp", PC: "pc"}
CALLER_SAVED: Final = range(19)  # x0 to x18: lost by a call (AAPCS64, 6.1.1)
STACK_ALIGNMENT: Final = 16
FRAME_LIMIT: Final = 256
VA_WIDTHS: Final = (39, 42, 47, 48, 52)

ReadRegister = Callable[[str], int]
"""The value of "x0" to "x30", "sp", "pc" or "elr" (ELR_EL1; HarnessError or KeyError if there is none)."""
ReadMemory = Callable[[int, int], bytes]
"""Bytes at a virtual address; raises HarnessError where there are none."""


class Code(Protocol):
    """What unwinding needs to know of an image."""

    def section(self, name: str) -> tuple[int, bytes] | None:
        """Address and contents of a section."""

    def is_code(self, address: int) -> bool:
        """Whether an address can be executed."""

    def symbol_at(self, address: int) -> tuple[Symbol, int] | None:
        """The symbol that covers an address."""

    def source_at(self, address: int) -> tuple[SourceFrame, ...]:
        """The C functions an address lies in."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One compiled function on the stack.

    `pc` is where it stands: of the instruction about to run when `is_exact`, else the return
    address. `source` has its C functions, innermost inlined call first. `cfa` is the stack pointer
    before the function was entered, None when not known. `registers` has those whose value in this
    frame is known, by name.
    """

    pc: int
    function: str | None
    source: tuple[SourceFrame, ...]
    cfa: int | None
    registers: Mapping[str, int]
    is_exact: bool

    @property
    def file(self) -> str | None:
        """The source file of the instruction, or None."""
        location = self.source[0].location if self.source else None
        return location.file if location else None

    @property
    def line(self) -> int | None:
        """The source line of the instruction, or None."""
        location = self.source[0].location if self.source else None
        return location.line if location else None

    @property
    def inlined(self) -> tuple[SourceFrame, ...]:
        """The inlined calls at the PC, innermost first, without the function itself."""
        return self.source[:-1]

    def __str__(self) -> str:
        parts = self.source or (SourceFrame(self.function or "??", None),)
        return "\n".join(f"{self.pc:#018x} in {part}{' [inlined]' * part.is_inlined}" for part in parts)


@dataclass(frozen=True, slots=True)
class Backtrace:
    """The frames found, innermost first, and why there are no more.

    `is_complete` when the outermost frame was reached, False when the stack could not be followed.
    """

    frames: tuple[Frame, ...]
    reason: str
    is_complete: bool

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def __str__(self) -> str:
        lines = [line for frame in self.frames for line in str(frame).splitlines()]
        numbered = [f"#{number:<3}{line}" for number, line in enumerate(lines)]
        return "\n".join(numbered if self.is_complete else [*numbered, f"    ({self.reason})"])


class _Stop(Exception):  # noqa: N818 - it ends a walk, it reports no error
    """The walk ends here."""

    def __init__(self, reason: str, *, is_complete: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_complete = is_complete


class Unwinder:
    """Finds callers in an image's stacks."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def frames(
        self, read_register: ReadRegister, read_memory: ReadMemory, *, end_at: Collection[int] = ()
    ) -> list[Frame]:
        """The frames of `backtrace`, without the reason why it ended."""
        return list(self.backtrace(read_register, read_memory, end_at=end_at))

    def backtrace(
        self, read_register: ReadRegister, read_memory: ReadMemory, *, end_at: Collection[int] = ()
    ) -> Backtrace:
        """The chain of callers of the CPU's current instruction.

        A frame whose PC is in `end_at` is not shown and ends the backtrace: the return address of a
        call made from outside. Never raises for what it finds on the stack, and never loops.
        """
        registers = {number: read_register(name) for number, name in NAMES.items()}
        with suppress(HarnessError, KeyError):  # of use in vectors only, so a reader may do without
            registers[ELR] = read_register("elr")
        walk = _Walk(self, self._code, read_memory, registers)
        frames: list[Frame] = []
        try:
            while walk.registers[PC] not in end_at:
                frames.append(walk.frame())
                walk.up()
            return Backtrace(tuple(frames), "the outermost frame", is_complete=True)
        except _Stop as stop:
            return Backtrace(tuple(frames), stop.reason, stop.is_complete)

    def info_at(self, address: int) -> FrameInfo | None:
        """The frame description that covers `address`, or None."""
        frames, starts = self._frames
        index = bisect_right(starts, address) - 1
        return frames[index] if index >= 0 and address < frames[index].high else None

    @cached_property
    def _frames(self) -> tuple[list[FrameInfo], list[int]]:
        found: dict[int, FrameInfo] = {}
        for name in (".eh_frame", ".debug_frame"):
            section = self._code.section(name)
            if section is not None:
                address, data = section
                with malformed_dwarf(name):
                    found |= {
                        frame.low: frame for frame in read_frames(data, address, is_eh=name == ".eh_frame")
                    }
        frames = [found[low] for low in sorted(found) if self._code.is_code(low)]
        return frames, [frame.low for frame in frames]


class _Walk:
    """A walk up one stack: the registers as they were in the frame it has reached."""

    def __init__(
        self, unwinder: Unwinder, code: Code, read_memory: ReadMemory, registers: dict[int, int]
    ) -> None:
        self.unwinder = unwinder
        self.code = code
        self.read_memory = read_memory
        self.registers = registers
        self.is_exact = True
        self.seen: set[tuple[int, int]] = set()

    @property
    def lookup(self) -> int:
        """An address within the call: a return address may already belong to the next function or line."""
        return self.registers[PC] - (0 if self.is_exact else 1)

    def frame(self) -> Frame:
        """The frame reached. Stops at what was seen before."""
        pc, sp = self.registers[PC], self.registers[SP]
        if (pc, sp) in self.seen:
            raise _Stop(f"the stack repeats itself at {sp:#x}")
        if len(self.seen) >= FRAME_LIMIT:
            raise _Stop(f"more than {FRAME_LIMIT} frames")
        self.seen.add((pc, sp))
        source, symbol = self.code.source_at(self.lookup), self.code.symbol_at(self.lookup)
        function = source[-1].function if source else symbol[0].name if symbol else None
        named = {NAMES[n]: value for n, value in self.registers.items() if n in NAMES}
        return Frame(pc, function, source, self.cfa(), MappingProxyType(named), self.is_exact)

    def cfa(self) -> int | None:
        """The canonical frame address, None when nothing says or it cannot be computed."""
        try:
            row = self.row()
            return self.compute_cfa(row) if row else None
        except (_Stop, HarnessError):
            return None

    def row(self) -> Row | None:
        """The unwinding rules in force, or None."""
        info = self.unwinder.info_at(self.lookup)
        if info is None:
            return None
        with malformed_dwarf("call frame information"):
            return row_at(info, self.lookup)

    def up(self) -> None:
        """Go to the caller."""
        try:
            row = self.row()
            if row is None:
                self.up_by_record()
            else:
                self.up_by_rules(row)
        except HarnessError as error:
            raise _Stop(f"cannot go on from {self.registers[PC]:#x}: {error}") from error

    def up_by_rules(self, row: Row) -> None:
        """Restore the caller's registers by call frame information."""
        info = self.unwinder.info_at(self.lookup)
        assert info is not None
        column = info.common.return_column
        interrupted = info.common.is_signal or column != LR
        cfa = self.compute_cfa(row)
        if not interrupted and cfa < self.registers[SP]:
            raise _Stop(f"the frame at {cfa:#x} lies below the stack pointer {self.registers[SP]:#x}")
        lost = () if interrupted else CALLER_SAVED
        kept = {n: v for n, v in self.registers.items() if n not in lost and n != ELR}
        restored = {n: self.restore(n, rule, cfa) for n, rule in row.rules.items()}
        registers = kept | {SP: cfa} | {n: v for n, v in restored.items() if v is not None}
        registers = {n: v for n, v in registers.items() if restored.get(n, v) is not None}
        if column == ELR and ELR not in row.rules and ELR in self.registers:
            registers[ELR] = self.registers[ELR]  # a vector that has not saved it yet
        if column not in registers or (column == LR and LR not in row.rules and not self.is_exact):
            # Either the rules say that there is no caller, or the function called another one without
            # having saved x30, so it cannot return.
            raise _Stop("the outermost frame", is_complete=True)
        if row.rules.get(RA_SIGN_STATE, Rule("same")).number:
            registers[column] = self.strip_signature(registers[column])
        self.enter(registers, registers[column], interrupted)

    def up_by_record(self) -> None:
        """Go to the caller by the frame record that x29 points to (AAPCS64, 6.4.6)."""
        lr, fp = self.registers.get(LR, 0), self.registers.get(FP, 0)
        kept = {n: v for n, v in self.registers.items() if n not in CALLER_SAVED}
        here, there = self.code.symbol_at(self.lookup), self.code.symbol_at(lr - 1)
        if self.is_exact and self.code.is_code(lr) and (here and here[0]) != (there and there[0]):
            # A leaf function, or a jump to nowhere: x30 still has the return address.
            self.enter(kept, lr, interrupted=False)
            return
        if not self.code.is_code(self.lookup):
            raise _Stop(f"{self.registers[PC]:#x} is not in the image")
        if fp == 0:
            raise _Stop("the outermost frame", is_complete=True)
        if fp % STACK_ALIGNMENT or fp < self.registers[SP]:
            raise _Stop(f"x29 ({fp:#x}) is not a frame record above the stack pointer")
        registers = kept | {FP: self.memory(fp, 8), SP: fp + 16}
        self.enter(registers, self.memory(fp + 8, 8), interrupted=False)

    def enter(self, registers: dict[int, int], pc: int, interrupted: bool) -> None:
        """Make the caller the frame reached."""
        if pc == 0 and not interrupted:
            raise _Stop("the outermost frame", is_complete=True)
        if pc % 4:
            raise _Stop(f"the return address {pc:#x} is not aligned")
        self.registers = registers | {PC: pc}
        self.is_exact = interrupted

    def compute_cfa(self, row: Row) -> int:
        """The canonical frame address."""
        if row.expression:
            return evaluate(row.expression, self)
        return (self.register(row.register) + row.offset) & MASK

    def restore(self, number: int, rule: Rule, cfa: int) -> int | None:
        """The caller's value of a register, None when it is lost."""
        match rule.kind:
            case "offset":
                return self.memory((cfa + rule.number) & MASK, 8)
            case "val_offset":
                return (cfa + rule.number) & MASK
            case "register":
                return self.registers.get(rule.number)
            case "expression":
                return self.memory(evaluate(rule.expression, self, (cfa,)), 8)
            case "val_expression":
                return evaluate(rule.expression, self, (cfa,))
            case "same":
                return self.registers.get(number)
        return None

    def register(self, number: int) -> int:
        """A register of the frame reached, as expressions ask for it."""
        try:
            return self.registers[number]
        except KeyError:
            raise _Stop(f"the value of register {NAMES.get(number, number)} is lost") from None

    def memory(self, address: int, size: int) -> int:
        """Memory as an unsigned number, as expressions ask for it."""
        return int.from_bytes(self.read_memory(address, size), "little")

    def strip_signature(self, address: int) -> int:
        """A return address without its pointer authentication code (bits 54 down to the VA width)."""
        for width in VA_WIDTHS:
            high = MASK >> width << width
            plain = address | high if address >> 55 & 1 else address & ~high
            if self.code.is_code(plain):
                return plain
        return address
