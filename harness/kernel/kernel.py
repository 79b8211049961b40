# SPDX-License-Identifier: BSD-3-Clause
"""A booted kernel whose C functions, variables, types, enumerators and macros are at hand in Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from types import TracebackType
from typing import Any

from harness.arch.regime import Half
from harness.checks.sanitizer import Options
from harness.checks.tlb import AdversarialTlb
from harness.errors import CallError, HarnessError, ImageError
from harness.image import ElfImage
from harness.image.types import CType, Pointer, sizeof, strip
from harness.image.unwind import Backtrace
from harness.kernel.call import CFunction
from harness.kernel.scratch import SCRATCH_SIZE, Scratch, scratch_range
from harness.kernel.session import Session
from harness.kernel.tables import Tables
from harness.kernel.values import PointerValue, StructValue, from_bytes, load, store, to_bytes, where
from harness.machine import CpuModel, Machine
from harness.machine import Snapshot as MachineSnapshot
from harness.machine.machine import DEFAULT_RAM_SIZE
from harness.machine.reset import EntryLevel

DEFAULT_BUDGET = 2_000_000_000
PANIC_SYMBOLS = ("panic",)
SANITIZE = Options()

attachments: list[Callable[[Machine, ElfImage], None]] = []
"""Called with machine and image of each kernel before it boots: for checks that look at all of a run."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What `Kernel.restore` goes back to."""

    machine: MachineSnapshot
    scratch_used: int


class Kernel:
    """A kernel image on a machine, booted until it idles.

        with Kernel("kernel.elf") as kernel:
            space = kernel.vmm_address_space_create()
            va = kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)
            print(kernel.tables(space).lookup(va))

    An attribute is, in this order: a C function, a variable of file scope, an enumerator, a macro that is a
    number or a string. `kernel.function("name")` and `kernel.variable("name")` say which is meant.
    """

    def __init__(
        self,
        elf: str | PathLike[str] | ElfImage,
        *,
        cpu: CpuModel = "a72",
        ram_size: int = DEFAULT_RAM_SIZE,
        entry_el: EntryLevel = 1,
        bootargs: str = "",
        initrd: bytes | None = None,
        id_registers: Mapping[str, int] | None = None,
        dtb_in_x0: bool = False,
        console_sink: Callable[[str], None] | None = None,
        panic_symbols: Collection[str] = PANIC_SYMBOLS,
        boot_until: str | None = None,
        budget: int = DEFAULT_BUDGET,
        boot: bool = True,
        sanitize: Options | None = SANITIZE,
        tlb: AdversarialTlb | None = None,
    ) -> None:
        """Load and boot; without `boot` it stays at its entry point, for a debugger to run.

        `panic_symbols` name the functions that end a failed kernel; `boot_until` names a function to stop
        at instead of the first WFI; `budget` limits boot and each call, in instructions; `sanitize` says how
        the MMU sanitizer looks on, None that it does not; `tlb` is what to translate by instead of a TLB that
        forgives. The others are those of `Machine`.

        Raises ImageError, MachineError, or GuestError when it does not come up.
        """
        self.image = elf if isinstance(elf, ElfImage) else ElfImage.load(elf)
        reserved = scratch_range(self.image.segments)
        self.machine = Machine(
            ram_size=ram_size,
            cpu=cpu,
            entry_el=entry_el,
            bootargs=bootargs,
            initrd=initrd,
            reserved=[reserved],
            id_registers=id_registers,
            dtb_in_x0=dtb_in_x0,
            console_sink=console_sink,
        )
        self.tlb = None if tlb is None else tlb.attach(self.machine)
        self.session = Session(self.machine, self.image, panic_symbols, budget, sanitize)
        self.memory = self.session.memory
        for attach in attachments:
            attach(self.machine, self.image)
        try:
            if boot:
                self.session.boot(boot_until)
            else:
                self.machine.load(self.image.segments, self.image.entry)
        except HarnessError:
            self.close()
            raise
        self._reserved = reserved[0]
        self._placed: Scratch | None = None

    @property
    def _scratch(self) -> Scratch:
        if self._placed is None:
            self._placed = Scratch(self.memory, self._mapped_at(self._reserved), SCRATCH_SIZE)
        return self._placed

    def moved(self) -> None:
        """The machine was taken to another moment, where the kernel may see RAM elsewhere or not yet."""
        self._placed = None

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the machine. Safe to call twice."""
        self.machine.close()

    def _mapped_at(self, pa: int) -> int:
        """Where the kernel sees a physical address. A kernel without a map of RAM gets its stack used."""
        if not self.machine.virtual.enabled:
            return pa
        for leaf in chain(self.tables().leaves(), self.tables(half="ttbr0").leaves()):
            if leaf.pa <= pa < leaf.pa + leaf.size and leaf.permissions.el1.write:
                return leaf.va + pa - leaf.pa
        return self.machine.registers["sp"] - SCRATCH_SIZE

    # -- names ------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "image" not in self.__dict__:
            raise AttributeError(name)
        image = self.image
        if name in image.functions:
            return self.function(name)
        if name in image.variables:
            return self.variable(name)
        if name in image.types.enumerators:
            return image.types.enumerators[name]
        if name in image.macros:
            return self._macro(name)
        raise AttributeError(f"{image.path.name} has no function, variable, enumerator or macro {name!r}")

    def _macro(self, name: str) -> int | str:
        try:
            return self.image.macros.value(name)
        except ImageError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> list[str]:
        image = self.image
        return [*super().__dir__(), *image.functions, *image.variables, *image.types.enumerators]

    def function(self, name: str) -> CFunction:
        """A C function, ready to be called. Raises UnknownNameError."""
        return CFunction(self.session, self._scratch, self.image.functions[name])

    def routine(self, name: str) -> CFunction:
        """Code by its symbol alone, with or without DWARF: see `Functions.by_symbol`.

        Raises UnknownNameError, CallError for a symbol of data.
        """
        prototype = self.image.functions.by_symbol(name)
        if not self.image.is_code(prototype.address or 0):
            raise CallError(f"{name} is not code")
        return CFunction(self.session, self._scratch, prototype)

    def variable(self, name: str) -> Any:
        """The value of a variable of file scope; structs and arrays as views of its memory."""
        address, ctype = self._variable(name)
        return load(self.memory, address, ctype)

    def set_variable(self, name: str, value: Any) -> None:
        """Store a value in a variable of file scope."""
        address, ctype = self._variable(name)
        store(self.memory, address, ctype, value)

    def _variable(self, name: str) -> tuple[int, CType]:
        found = self.image.variables[name]
        if found.address is None:
            raise HarnessError(f"the variable {name} is not in memory: the compiler has removed it")
        return found.address, found.type

    def type(self, ctype: str | CType) -> CType:
        """A C type by its name, as "struct frame *"."""
        return self.image.types[ctype] if isinstance(ctype, str) else ctype

    def sizeof(self, ctype: str | CType) -> int:
        """Bytes of a value of a C type."""
        return sizeof(self.type(ctype))

    def new(self, ctype: str | CType, value: Any = None) -> Any:
        """Make a C object in guest memory; a struct as a view, anything else as a typed pointer to it.

        It lasts until the next restore. `value` initialises it; without, it is zeroed.
        """
        made = self.type(ctype)
        data = bytes(sizeof(made)) if value is None else to_bytes(made, value)
        pointer = PointerValue(self._scratch.place(data), Pointer(made), self.memory)
        return pointer.target if isinstance(pointer.target, StructValue) else pointer

    def buffer(self, content: bytes | int, align: int = 16) -> PointerValue:
        """Bytes in guest memory, these or so many zeros; they last until the next restore."""
        address = self._scratch.place(bytes(content), align)
        return PointerValue(address, Pointer(self.image.types["unsigned char"]), self.memory)

    def cast(self, value: int | StructValue, ctype: str | CType) -> Any:
        """A number, or the address of a struct, as a value of another C type."""
        number = where(value) if isinstance(value, StructValue) else int(value)
        target = strip(self.type(ctype))
        size = sizeof(target)
        return from_bytes(self.memory, (number % (1 << 8 * size)).to_bytes(size, "little"), target)

    # -- looking ----------------------------------------------------------------------------------------

    @property
    def console(self) -> str:
        """What the kernel printed."""
        return self.machine.console

    def backtrace(self) -> Backtrace:
        """The chain of C functions where the machine stands."""
        return self.session.backtrace()

    def tables(self, space: Any = None, *, half: Half = "ttbr1") -> Tables:
        """The tables of an `address_space_t *`; without one, those of the live TTBR1 (kernel) or TTBR0."""
        if space is not None:
            return Tables(self.machine.walker("ttbr0", self.ttbr0(space)), f"address space {space.id}")
        return Tables(self.machine.walker(half), "kernel (TTBR1)" if half == "ttbr1" else "user (TTBR0)")

    def ttbr0(self, space: Any) -> int:
        """What TTBR0_EL1 holds while an `address_space_t *` is active: root and ASID."""
        if not isinstance(space, PointerValue) or not space:
            raise CallError(f"expected an address_space_t *, got {space!r}")
        table = space.vas.pt
        return int(table.pt_pbase) | (int(table.arch.tag) & 0xFFFF) << 48

    def read(self, space: Any, va: int, size: int) -> bytes:
        """Memory of an address space, whatever the user may do there; `space` None: of the kernel."""
        return self.machine.read_virtual(va, size, None if space is None else self.ttbr0(space))

    def write(self, space: Any, va: int, data: bytes) -> None:
        """Store into an address space, all of it or nothing; `space` None: into the kernel."""
        self.machine.write_virtual(va, data, None if space is None else self.ttbr0(space))

    # -- time -------------------------------------------------------------------------------------------

    def snapshot(self) -> Moment:
        """The present moment, for `restore`."""
        return Moment(self.machine.snapshot(), self._scratch.used)

    def restore(self, moment: Moment) -> None:
        """Go back to a moment; objects made with `new` since then are gone."""
        self.machine.restore(moment.machine)
        self._scratch.used = moment.scratch_used
