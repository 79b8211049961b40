# SPDX-License-Identifier: BSD-3-Clause
"""What names mean in the selected frame: variables, functions, registers, convenience variables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.debugger.expressions.values import UNSIGNED, UNSIGNED_LONG, CValue, ExpressionError, from_number
from harness.debugger.frames import FrameView, local_value, stack
from harness.debugger.timeline import Timeline
from harness.errors import MachineError
from harness.image.types import VOID, Function, Int, Pointer, sizeof, strip
from harness.kernel import Kernel, StructValue

_QUAD = Int("unsigned __int128", 16, signed=False)
_GENERAL = re.compile(r"[xw]([12]?\d|30)|sp|pc|lr|fp|ip")
_ALIASES = {"lr": "x30", "fp": "x29", "cpsr": "pstate"}
_POINTERS = ("sp", "pc")
_FLOATING = (*(f"q{number}" for number in range(32)), "fpcr", "fpsr")


class KernelMemory:
    """Virtual memory as a debugger sees it; before the MMU is on, segments are where they were loaded."""

    def __init__(self, kernel: Kernel) -> None:
        self._machine, self._image = kernel.machine, kernel.image

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes. Raises MachineError."""
        try:
            return self._machine.read_virtual(address, size)
        except MachineError as error:
            pa = self._loaded(address, size)
            if pa is None:
                raise _short(address, error) from None
            return self._machine.memory.read(pa, size)

    def write(self, address: int, data: bytes) -> None:
        """Store bytes, whatever the permissions. Raises MachineError."""
        try:
            self._machine.write_virtual(address, data)
        except MachineError as error:
            pa = self._loaded(address, len(data))
            if pa is None:
                raise _short(address, error) from None
            self._machine.memory.write(pa, data)

    def physical(self, address: int) -> int | None:
        """The physical address behind a virtual one, or None."""
        try:
            pa = self._machine.walk(address).pa if self._machine.virtual.enabled else address
        except MachineError:
            pa = None
        if pa is not None and self._machine.memory.contains(pa):
            return pa
        return self._loaded(address, 1)

    def _loaded(self, address: int, size: int) -> int | None:
        if self._translates():
            return None
        for segment in self._image.segments:
            offset = address - segment.vaddr
            if offset >= 0 and offset + size <= segment.memory_size:
                return segment.paddr + offset
        return None

    def _translates(self) -> bool:
        try:
            return self._machine.virtual.enabled
        except MachineError:
            return False


def _short(address: int, error: MachineError) -> MachineError:
    return MachineError(f"Cannot access memory at address {address:#x}: {str(error).splitlines()[0]}")


class DebugScope:
    """The names, by the frame that is selected."""

    def __init__(self, kernel: Kernel, timeline: Timeline, changed: Callable[[], None]) -> None:
        self.kernel, self.image, self._timeline = kernel, kernel.image, timeline
        self.memory = KernelMemory(kernel)
        self.history: list[CValue] = []
        self.variables: dict[str, CValue] = {}
        self._changed = changed
        self._frames: tuple[FrameView, ...] = ()
        self._reason = ""
        self.selected = 0

    def moved(self) -> None:
        """The machine is at another moment: the innermost frame is selected."""
        self._frames, self.selected = (), 0
        self.kernel.moved()

    def moved_back(self) -> None:
        """The machine was elsewhere meanwhile, and is where it was: the selected frame stays."""
        self._frames = ()
        self.kernel.moved()

    @property
    def frames(self) -> tuple[FrameView, ...]:
        """The stack."""
        if not self._frames:
            self._frames, self._reason = stack(self.kernel.machine, self.image)
        return self._frames

    @property
    def reason(self) -> str:
        """Why the stack ends, if not at the outermost frame."""
        _ = self.frames
        return self._reason

    @property
    def frame(self) -> FrameView:
        """The selected frame."""
        if not self.frames:
            raise ExpressionError("No frame selected.")
        return self.frames[min(self.selected, len(self.frames) - 1)]

    # -- names ------------------------------------------------------------------------------------------

    def is_variable(self, name: str) -> bool:
        """Whether a name is a variable in scope, before it can be a macro or a type."""
        return name.startswith("$") or self._local(name) is not None or name in self.image.variables

    def lookup(self, name: str) -> CValue | None:
        """A variable, a function, a register or a convenience variable."""
        if name.startswith("$"):
            return self._dollar(name[1:])
        local = self._local(name)
        if local is not None:
            return local
        return self._global(name)

    def _local(self, name: str) -> CValue | None:
        if not self.image.has_dwarf or not self.frames:
            return None
        view = self.frame
        for each in self.image.scopes.locals(view.lookup, view.depth):
            if each.name == name:
                return local_value(self.image, view, self.memory, each)
        return None

    def _global(self, name: str) -> CValue | None:
        image = self.image
        if name in image.variables:
            found = image.variables[name]
            if found.address is None:
                return CValue(found.type, None)
            size = found.type.size
            data = b"" if size is None else self.memory.read(found.address, size)
            return CValue(found.type, data, found.address)
        if name in image.functions and (address := image.functions[name].address) is not None:
            return CValue(image.functions[name].type, None, address)
        if name in image.symbols:
            symbol = image.symbols[name]
            if symbol.kind != "object":
                return CValue(Function(VOID, (), prototyped=False), None, symbol.address)
            size = symbol.size if symbol.size in (1, 2, 4) else 8
            ctype = Int(f"<data variable, no debug info, {size} bytes>", size, signed=False)
            return CValue(ctype, self.memory.read(symbol.address, size), symbol.address)
        return None

    def _dollar(self, name: str) -> CValue:
        if name == "" or name.strip("$") == "" or name.isdigit():
            return self._from_history(name)
        register = self.register(name)
        if register is not None:
            return register
        return self.variables.get(name, CValue(VOID, None))

    def _from_history(self, name: str) -> CValue:
        at = int(name) - 1 if name.isdigit() else len(self.history) - 1 - len(name)
        if not 0 <= at < len(self.history):
            return CValue(VOID, None)
        return self.history[at]

    def register(self, name: str) -> CValue | None:
        """A register by its name without the dollar sign; of outer frames those that are known."""
        name = name.lower()
        name = _ALIASES.get(name, name)
        machine = self.kernel.machine
        if _GENERAL.fullmatch(name):
            return self._general(name)
        if name == "pstate":
            return CValue(UNSIGNED, from_number(machine.registers[name], UNSIGNED).data, register=name)
        if name in ("fpcr", "fpsr") or re.fullmatch(r"q([12]?\d|3[01])", name):
            ctype = _QUAD if name[0] == "q" else UNSIGNED
            return CValue(ctype, machine.registers[name].to_bytes(sizeof(ctype), "little"), register=name)
        if name.upper() in SYSTEM_REGISTERS:
            number = machine.sysreg[name.upper()]
            return CValue(UNSIGNED_LONG, from_number(number, UNSIGNED_LONG).data, register=name.upper())
        return None

    def _general(self, name: str) -> CValue:
        wide = name.replace("w", "x", 1)
        try:
            values = self.frame.registers if self.selected else self.kernel.machine.registers
        except ExpressionError:
            values = self.kernel.machine.registers
        ctype = Pointer(VOID) if name in _POINTERS else UNSIGNED if name[0] == "w" else UNSIGNED_LONG
        if wide not in values:
            return CValue(ctype, None, register=wide)
        return CValue(ctype, from_number(values[wide], ctype).data, register=wide)

    # -- memory and changes -----------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """Memory. Raises HarnessError."""
        return self.memory.read(address, size)

    def assign(self, target: CValue, data: bytes) -> None:
        """Change a variable or a register; it becomes part of history."""
        if target.address is None and target.register is None:
            raise ExpressionError("Left operand of assignment is not an lvalue.")
        with self._timeline.changing():
            if target.bits is not None and target.address is not None:
                self._store_bits(target.address, target.bits, int.from_bytes(data, "little"))
            elif target.address is not None:
                self.memory.write(target.address, data)
            elif target.register is not None:
                self._set_register(target.register, int.from_bytes(data, "little"))
        self._changed()

    def _store_bits(self, address: int, bits: tuple[int, int], value: int) -> None:
        shift, width = bits
        size = (shift + width + 7) // 8
        old = int.from_bytes(self.memory.read(address, size), "little")
        mask = ((1 << width) - 1) << shift
        self.memory.write(address, (old & ~mask | value << shift & mask).to_bytes(size, "little"))

    def _set_register(self, name: str, value: int) -> None:
        if self.selected:
            raise ExpressionError("registers of outer frames cannot be changed: select frame 0")
        machine = self.kernel.machine
        if name in SYSTEM_REGISTERS:
            machine.sysreg[name] = value
        else:
            machine.registers[name] = value

    def convenience(self, name: str, value: CValue) -> None:
        """Set `$name`: a register, or a variable of the debugger."""
        register = self.register(name[1:])
        if register is None:
            self.variables[name[1:]] = value
            return
        number = value.number % (1 << 8 * sizeof(register.type))
        self.assign(register, number.to_bytes(sizeof(register.type), "little"))

    def call(self, function: str, arguments: list[Any]) -> CValue:
        """Call a function of the kernel; it becomes part of history. Raises GuestError, and puts all back.

        What was interrupted for it finds its registers as they were, those too that a callee may use.
        """
        if function not in self.image.functions:
            raise ExpressionError(f'No function "{function}" in this image.')
        target, registers = self.kernel.function(function), self.kernel.machine.registers
        kept = {name: registers[name] for name in (*registers, *_FLOATING)}
        try:
            with self._timeline.changing():
                result = target(*arguments)
                for name, value in kept.items():
                    registers[name] = value
        finally:
            self._changed()
        return self._result(target.prototype.return_type, result)

    def _result(self, ctype: Any, result: Any) -> CValue:
        if result is None:
            return CValue(VOID, None)
        if isinstance(result, StructValue):
            return CValue(strip(ctype), bytes(result))
        return from_number(int(result), ctype)
