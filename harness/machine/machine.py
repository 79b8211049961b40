# SPDX-License-Identifier: BSD-3-Clause
"""The machine: one AArch64 CPU, RAM, a console and firmware, as on QEMU's `virt` board.

    0x0900_0000  PL011 UART
    0x4000_0000  RAM; the device tree is at its start
                 initrd, if any, 128 MiB (or half the RAM) above the start

There are no interrupts and no timer, one CPU, and no stage 2.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

from harness.arch.regime import Half
from harness.arch.walker import Walk, Walker
from harness.errors import MachineError
from harness.machine import devicetree
from harness.machine.answers import Answers
from harness.machine.blocks import BlockTrace
from harness.machine.calibration import layout_of
from harness.machine.devices import UART_BASE, UART_SIZE, Pl011, Sink
from harness.machine.engine import CpuModel, Engine
from harness.machine.events import Events, Listener
from harness.machine.exceptions import Cause, ExceptionTaken, set_pstate
from harness.machine.memory import RAM_BASE, Memory, VirtualMemory
from harness.machine.mmu import Mmu, Translator
from harness.machine.oracle import Oracle, Translation
from harness.machine.ram import PAGE, Ram
from harness.machine.records import MemoryAccess
from harness.machine.registers import Registers, SystemRegisters, identification
from harness.machine.reset import EntryLevel, reset
from harness.machine.runner import DEFAULT_BUDGET, Conduit, Runner, RunnerState, Stop, Watch

DEFAULT_RAM_SIZE = 2 << 30
_INITRD_OFFSET = 128 << 20
_EXECUTABLE = 1  # PF_X
# More changed bytes, or pieces of memory, than this: dropping all translated code is cheaper than some of it.
_FLUSH_BYTES, _FLUSH_RUNS = 64 << 20, 2000


class Segment(Protocol):
    """A piece of a program: what `Machine.load` needs to know of it."""

    @property
    def paddr(self) -> int:
        """Physical address to load it at."""

    @property
    def vaddr(self) -> int:
        """Virtual address it is linked at."""

    @property
    def flags(self) -> int:
        """ELF's p_flags: 4 readable, 2 writable, 1 executable."""

    @property
    def data(self) -> bytes:
        """Its contents."""

    @property
    def memory_size(self) -> int:
        """Bytes it takes in memory; what is beyond the data is zeroed."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A moment of a machine, to go back to with `Machine.restore`."""

    owner: object
    context: Any
    pages: Mapping[int, bytes]
    uart: tuple[bytes, dict[int, int]]
    runner: RunnerState
    listeners: tuple[tuple[Listener, Any], ...] = ()

    @property
    def instructions(self) -> int:
        """Instructions retired up to this moment."""
        return self.runner.retired

    @property
    def size(self) -> int:
        """Bytes of memory that this snapshot holds beyond the machine's base state."""
        return len(self.pages) * PAGE


class Machine:
    """An emulated machine. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        *,
        ram_size: int = DEFAULT_RAM_SIZE,
        cpu: CpuModel = "a72",
        entry_el: EntryLevel = 1,
        bootargs: str = "",
        initrd: bytes | None = None,
        reserved: Collection[tuple[int, int]] = (),
        id_registers: Mapping[str, int] | None = None,
        dtb_in_x0: bool = False,
        console_sink: Sink | None = None,
    ) -> None:
        """A machine with nothing loaded.

        `ram_size` in bytes; `entry_el` 1 or 2, where the guest starts; `id_registers` changes what MRS of
        identification registers returns; `dtb_in_x0` passes the device tree's address in x0, as Linux wants
        it, instead of 0; `reserved` are physical ranges [start, end) that the device tree tells the guest
        never to use; `console_sink` is called with each character sent to the UART.
        """
        if entry_el not in (1, 2):
            raise MachineError(f"entry_el must be 1 or 2, got {entry_el}")
        overrides = identification(id_registers or {})
        self._cpu: CpuModel = cpu
        self._engine = Engine(cpu)
        self._engine.use_layout(layout_of(cpu))
        self._ram = Ram(ram_size)
        self._engine.map_memory(RAM_BASE, ram_size, self._ram.host_address)
        self._uart = Pl011(console_sink)
        self._engine.map_device(UART_BASE, UART_SIZE, self._uart.read, self._uart.write)
        reset(self._engine, entry_el)
        self._cold = self._engine.save()
        conduit: Conduit = "hvc" if entry_el == 1 else "smc"
        self._runner = Runner(self._engine, conduit, self._instruction_at, self._physical)
        self._answers = Answers(self._engine, overrides, lambda: self._runner.instructions)
        self.events = Events(self._engine, self._runner)
        self._oracle: Oracle | None = None
        self._base_taken = False
        self._before_run: list[Callable[[], None]] = []
        self._program: list[tuple[int, int, int]] = []  # vaddr, paddr, size of what was loaded
        self._last_pages: Mapping[int, bytes] = {}
        self.memory = Memory(self._engine, self._ram)
        self.virtual = VirtualMemory(self._engine, self.memory)
        self.registers = Registers(self._engine, self._runner.jumped)
        self.sysreg = SystemRegisters(self._engine, self._answers.value)
        self._reserved = self._place_boot_data(conduit, bootargs, initrd, reserved)
        self._boot_x0 = RAM_BASE if dtb_in_x0 else 0
        self.budget_limit = 1 << 62
        """No run gets more instructions than this, whatever its caller allows."""

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the CPU and the memory. Safe to call twice."""
        if self._oracle is not None:
            self._oracle.close()
            self._oracle = None
        self._engine.close()
        self._ram.close()

    # -- loading ----------------------------------------------------------------------------------------

    def _place_boot_data(
        self, conduit: Conduit, bootargs: str, initrd: bytes | None, reserved: Collection[tuple[int, int]]
    ) -> list[tuple[str, int, int]]:
        """Put device tree and initrd into RAM; returns what they occupy."""
        archive = None
        if initrd:
            start = RAM_BASE + min(_INITRD_OFFSET, self._ram.size // 2) // PAGE * PAGE
            archive = (start, start + len(initrd))
            self.memory.write(start, initrd)
        tree = devicetree.build(
            ram_base=RAM_BASE,
            ram_size=self._ram.size,
            psci_method=conduit,
            bootargs=bootargs,
            initrd=archive,
            reserved=reserved,
        )
        self.memory.write(RAM_BASE, tree)
        taken = [("the device tree", RAM_BASE, RAM_BASE + len(tree))]
        taken += [("reserved memory", *each) for each in reserved]
        return taken + ([("the initrd", *archive)] if archive else [])

    def load(self, segments: Iterable[Segment], entry: int) -> None:
        """Put a program into RAM and stand at its entry point, a physical address, as after reset.

        Raises MachineError, with nothing loaded, when a segment is not within RAM or overlaps the device
        tree, the initrd or another segment.
        """
        program = list(segments)
        self._check_fit(program)
        if not self.memory.contains(entry, 4) or entry % 4:
            raise MachineError(f"the entry point {entry:#x} is not an instruction address in RAM")
        self._answers.forget()
        self._program = [(each.vaddr, each.paddr, each.memory_size) for each in program]
        for segment in program:
            data = bytes(segment.data)
            self.memory.write(segment.paddr, data + bytes(segment.memory_size - len(data)))
            self._answers.watch(data, (segment.paddr, segment.vaddr))
        texts = [segment for segment in program if segment.flags & _EXECUTABLE]
        self.events.load((bytes(text.data), (text.paddr, text.vaddr)) for text in texts)
        self._engine.restore(self._cold)
        self.flush_tlb()
        self._engine.write("x0", self._boot_x0)
        self.registers["pc"] = entry

    def is_loaded(self, pa: int) -> bool:
        """Whether a physical address belongs to the program as it was loaded."""
        return any(start <= pa < start + size for _, start, size in self._program)

    def _check_fit(self, program: list[Segment]) -> None:
        taken = list(self._reserved)
        for segment in program:
            start, end = segment.paddr, segment.paddr + segment.memory_size
            if segment.memory_size < len(segment.data):
                raise MachineError(f"the segment at {start:#x} has more data than memory_size says")
            if not self.memory.contains(start, segment.memory_size):
                raise MachineError(
                    f"the segment [{start:#x}, {end:#x}) does not fit into RAM [{self.memory.base:#x}, "
                    f"{self.memory.end:#x}); give the machine more RAM or link it elsewhere"
                )
            for name, low, high in taken:
                if start < high and low < end:
                    raise MachineError(f"the segment [{start:#x}, {end:#x}) overlaps {name} at {low:#x}")
            taken.append(("another segment", start, end))

    # -- running ----------------------------------------------------------------------------------------

    def run(self, *, budget: int = DEFAULT_BUDGET, until: Collection[int] = ()) -> Stop:
        """Run until an address of `until`, WFI, power-off, a dead end, or `budget` instructions.

        An `until` address counts as reached when the CPU is about to execute it, or to fetch it in vain: a
        return address that nothing maps will do. A run that starts at one goes on.
        """
        for callback in tuple(self._before_run):
            callback()
        return self._runner.run(min(budget, self.budget_limit), until)

    def before_run(self, callback: Callable[[], None]) -> Watch:
        """Call `callback` at the start of each run, when all is as the guest will find it."""
        self._before_run.append(callback)
        return Watch(lambda: self._before_run.remove(callback))

    @property
    def instructions(self) -> int:
        """Instructions retired since the machine was made; part of snapshots, equal for equal runs."""
        return self._runner.instructions

    def request_stop(self, detail: str = "") -> None:
        """From a callback: end the run with a Stop of kind "requested"."""
        self._runner.request_stop(detail)

    def on_address(self, va: int, callback: Callable[[Machine], None]) -> Watch:
        """Call `callback` before the instruction at the virtual address `va` executes; `.remove()` ends it.

        The CPU is stopped then: registers (PC too), memory and snapshots may be read and changed. A call
        costs some 100 microseconds; instructions elsewhere are as fast as without.
        """
        return self._runner.on_address(va, lambda: callback(self))

    def observe(self, callback: Callable[[ExceptionTaken], None]) -> Watch:
        """Call `callback` with each exception the CPU takes; `.remove()` ends it. It may look, not change."""
        return self._runner.observe(callback)

    def trace_blocks(self, consumer: Callable[[array[int]], None]) -> None:
        """Hand `consumer` the way that control took, piece by piece: see `harness.machine.blocks`."""
        BlockTrace(self._engine, self._runner, consumer)

    def on_memory(
        self, pa: int, size: int, access: Literal["r", "w", "rw"], callback: Callable[[MemoryAccess], None]
    ) -> Watch:
        """Call `callback` at each access to a physical range, from within it; `.remove()` ends it.

        It may look, not change, and not stop the run; `instructions` counts the accessing one already.
        """
        return Watch(self._engine.on_memory(pa, pa + size, access, callback).remove)

    def translate_by(self, translator: Translator) -> Callable[[], None]:
        """Let `translator` stand between the CPU and its tables, and make what it grants and refuses true.

        The result makes the CPU ask anew; it may be called from listeners of events, not from translators.
        """
        self._runner.mmu = Mmu(self._engine, self.events.settle, translator)
        return self._engine.flush_tlb

    def flush_tlb(self) -> None:
        """Forget all cached translations of addresses, as a restore does."""
        self._engine.flush_tlb()
        if self._runner.mmu is not None:
            self._runner.mmu.translator.forget()

    def raise_exception(self, esr: int, far: int | None = None) -> None:
        """Let the stopped CPU take an exception to EL1 that nothing caused, with the present PC as ELR.

        For fault injection: the handler finds this syndrome and fault address.
        """
        self._refuse_while_running("raise an exception")
        self._runner.raise_exception(Cause(esr, self.registers["pc"], 1, far))

    @property
    def exceptions(self) -> deque[ExceptionTaken]:
        """The last exceptions taken, oldest first."""
        return self._runner.exceptions

    @property
    def console(self) -> str:
        """What the guest sent to its UART."""
        return self._uart.text

    def set_pstate(self, value: int) -> None:
        """Change PSTATE, with the stack pointer that belongs to its exception level."""
        set_pstate(self._engine, value)

    # -- looking ----------------------------------------------------------------------------------------

    def walker(self, half: Half, ttbr0: int | None = None) -> Walker:
        """A software walker over the live tables of one half, or those of another TTBR0_EL1 value."""
        return self.virtual.walker(half, ttbr0)

    def walk(self, va: int, ttbr0: int | None = None) -> Walk:
        """The software walk of `va` through the live tables."""
        return self.virtual.walk(va, ttbr0)

    def read_virtual(self, va: int, size: int, ttbr0: int | None = None) -> bytes:
        """Memory at a virtual address, whatever its permissions, across any number of pages."""
        return self.virtual.read(va, size, ttbr0)

    def write_virtual(self, va: int, data: bytes, ttbr0: int | None = None) -> None:
        """Write memory at a virtual address, whatever its permissions: all of it or nothing."""
        self.virtual.write(va, data, ttbr0)

    def translate(self, va: int, el: int = 1, access: Literal["r", "w"] = "r") -> Translation:
        """What the emulated MMU itself (AT S1E<el><R|W>) says of `va`. Changes nothing."""
        return self._ask().translate(va, el, access)

    def can_execute(self, va: int, el: int = 1) -> bool:
        """Whether the emulated MMU lets the CPU fetch at `va`. Nothing is executed or changed."""
        return self._ask().can_execute(va, el)

    def _ask(self) -> Oracle:
        if self._oracle is None:
            self._oracle = Oracle(self._cpu, self._engine, self._ram)
        return self._oracle

    def _instruction_at(self, va: int) -> int | None:
        """The word at a virtual address; before the MMU is on, as it was loaded. None where there is none."""
        try:
            return int.from_bytes(self.virtual.read(va, 4), "little")
        except MachineError:
            for start, pa, size in self._program:
                if start <= va < start + size:
                    return int.from_bytes(self.memory.read(pa + va - start, 4), "little")
        return None

    def _physical(self, va: int) -> int | None:
        return self.virtual.walk(va).pa if self.virtual.enabled else va

    # -- snapshots --------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The present moment. The first one becomes the base of all others, which hold only what differs."""
        self._refuse_while_running("take a snapshot")
        if self._base_taken:
            self._last_pages = self._ram.dirty_pages(self._last_pages)
        else:
            self._ram.fold()
            self._base_taken = True
        pages = dict(self._last_pages)
        return Snapshot(
            *(self._runner, self._engine.save(), pages, self._uart.save(), self._runner.save()),
            self.events.save(),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back: memory, registers, console, instruction count. Callbacks stay as they are."""
        self._refuse_while_running("restore")
        if snapshot.owner is not self._runner:
            raise MachineError("this snapshot is of another machine")
        self._forget_code(list(self._ram.become(snapshot.pages)))
        self._engine.restore(snapshot.context)
        self._uart.restore(snapshot.uart)
        self._runner.restore(snapshot.runner)
        self.events.restore(snapshot.listeners)
        self._last_pages = snapshot.pages

    def patch(self, pa: int, data: bytes) -> None:
        """Change the program: memory at `pa`, now and in all snapshots in which the guest has not written
        the page. What is known of the old instructions, for events, stays: barriers are not for this.
        """
        self._refuse_while_running("change the program")
        self._ram.write_base(pa - RAM_BASE, data)
        self._forget_code([(pa - RAM_BASE, pa - RAM_BASE + len(data))])

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._engine.is_open

    def _forget_code(self, runs: list[tuple[int, int]]) -> None:
        """Drop translated code of what has changed; that of all other memory stays good."""
        if len(runs) > _FLUSH_RUNS or sum(end - start for start, end in runs) > _FLUSH_BYTES:
            self._engine.flush_code()
        else:
            self._engine.forget_code((RAM_BASE + start, RAM_BASE + end) for start, end in runs)

    def _refuse_while_running(self, what: str) -> None:
        if self._runner.running:
            raise MachineError(f"cannot {what} from an observer, while the CPU runs; request_stop first")
