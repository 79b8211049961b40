# SPDX-License-Identifier: BSD-3-Clause
"""The machine as GDB's packets ask for it: registers, memory, stoppoints, motion."""

from __future__ import annotations

from collections.abc import Callable

from harness.debugger.gdb.description import CORE, REGISTERS, VECTOR, Register
from harness.debugger.motion import Halt
from harness.debugger.session import Debugger
from harness.debugger.stops import Access, Breakpoint, Stoppoint, Watchpoint
from harness.errors import HarnessError, MachineError

SIGINT, SIGTRAP, SIGSEGV = 2, 5, 11
_PAGE = 4096
_ACCESS: dict[int, Access] = {2: "w", 3: "r", 4: "rw"}
_STOP_WORDS = {"w": "watch", "r": "rwatch", "rw": "awatch"}


class TargetError(HarnessError):
    """A request that cannot be met; GDB gets an error number."""


class Target:
    """One debugger as a target of GDB."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        self._points: dict[tuple[int, int, int], tuple[Stoppoint, int]] = {}
        self._stop = b"T%02xthread:1;" % SIGTRAP

    # -- registers --------------------------------------------------------------------------------------

    def registers(self) -> bytes:
        """The general and vector registers, one after the other."""
        return b"".join(self._read(each) for each in (*CORE, *VECTOR))

    def register(self, number: int) -> bytes:
        """One register by GDB's number. Raises TargetError."""
        return self._read(self._known(number))

    def set_registers(self, data: bytes) -> None:
        """All general and vector registers. Raises TargetError, with nothing changed, for another size."""
        known = (*CORE, *VECTOR)
        if len(data) != sum(each.size for each in known):
            raise TargetError("the registers are not all there")
        at = 0
        with self.debugger.timeline.changing():
            for each in known:
                self._write(each, data[at : at + each.size])
                at += each.size
        self.debugger.scope.moved()

    def set_register(self, number: int, data: bytes) -> None:
        """One register. Raises TargetError."""
        register = self._known(number)
        if len(data) != register.size:
            raise TargetError(f"{register.name} has {register.size} bytes")
        with self.debugger.timeline.changing():
            self._write(register, data)
        self.debugger.scope.moved()

    def _known(self, number: int) -> Register:
        if not 0 <= number < len(REGISTERS):
            raise TargetError(f"there is no register {number}")
        return REGISTERS[number]

    def _read(self, register: Register) -> bytes:
        machine = self.debugger.machine
        source = machine.sysreg if register.is_system else machine.registers
        return (source[register.machine] % (1 << 8 * register.size)).to_bytes(register.size, "little")

    def _write(self, register: Register, data: bytes) -> None:
        machine, value = self.debugger.machine, int.from_bytes(data, "little")
        if register.is_system:
            machine.sysreg[register.machine] = value
        elif machine.registers[register.machine] != value:
            machine.registers[register.machine] = value

    # -- memory -----------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """Memory by the current translation, whatever its rights; what there is before the first hole."""
        found = bytearray()
        while len(found) < size:
            at = address + len(found)
            length = min(size - len(found), _PAGE - at % _PAGE)
            try:
                found += self.debugger.scope.memory.read(at, length)
            except MachineError:
                break
        if size and not found:
            raise TargetError(f"no memory at {address:#x}")
        return bytes(found)

    def write(self, address: int, data: bytes) -> None:
        """Store memory, all of it or nothing. Raises HarnessError."""
        if not data:
            return
        with self.debugger.timeline.changing():
            self.debugger.scope.memory.write(address, data)
        self.debugger.scope.moved()

    # -- stoppoints -------------------------------------------------------------------------------------

    def insert(self, kind: int, address: int, size: int) -> None:
        """A breakpoint (0, 1) or watchpoint (2 write, 3 read, 4 access). Twice is once."""
        key = (kind, address, size)
        if key in self._points:
            return
        if kind in (0, 1):
            point: Stoppoint = Breakpoint(f"*{address:#x}", addresses=(address,))
        elif kind in _ACCESS:
            pa = self.debugger.scope.memory.physical(address)
            memory = self.debugger.machine.memory
            if pa is None or not memory.contains(pa, max(size, 1)) or size > _PAGE:
                raise TargetError(f"nothing can be watched at {address:#x}")
            access = _ACCESS[kind]
            point = Watchpoint(hex(address), pa=pa, size=max(size, 1), access=access, changes=False)
        else:
            raise TargetError(f"there is no stoppoint of kind {kind}")
        self._points[key] = (self.debugger.stoppoints.add(point), address)

    def remove(self, kind: int, address: int, size: int) -> None:
        """Take one away; one that is not there is no error."""
        found = self._points.pop((kind, address, size), None)
        if found is not None:
            self.debugger.stoppoints.remove(found[0].number)

    def remove_all(self) -> None:
        """Take away what this client has inserted."""
        for key in tuple(self._points):
            self.remove(*key)

    # -- motion -----------------------------------------------------------------------------------------

    @property
    def stop_reply(self) -> bytes:
        """Why the machine stands still."""
        return self._stop

    def resume(self, *, step: bool, backwards: bool, within: tuple[int, int] | None = None) -> bytes:
        """Move until something stops it; the stop reply. `within`: step as long as PC is in that range."""
        motion = self.debugger.motion
        moves: dict[tuple[bool, bool], Callable[[], Halt]] = {
            (False, False): motion.forward,
            (False, True): motion.backward,
            (True, False): (lambda: self._steps(within)) if within else motion.step,
            (True, True): motion.step_back,
        }
        try:
            halt = self.debugger.travel(moves[step, backwards], backwards=backwards)
        except HarnessError as error:
            self.debugger.console(f"{error}\n")
            halt = Halt("abort")
        self._stop = self._reply(halt)
        return self._stop

    def _steps(self, within: tuple[int, int]) -> Halt:
        motion, registers = self.debugger.motion, self.debugger.machine.registers
        while True:
            halt = motion.step()
            if halt.reason != "step" or not within[0] <= registers["pc"] < within[1]:
                return halt
            stopped = motion.stopped_here()
            if stopped is not None:
                return stopped
            if self.debugger.timeline.interrupted():
                return Halt("interrupt")

    def _reply(self, halt: Halt) -> bytes:
        signal = {"interrupt": SIGINT, "abort": SIGSEGV}.get(halt.reason, SIGTRAP)
        reply = b"T%02xthread:1;" % signal
        if halt.reason == "watchpoint" and isinstance(halt.stoppoint, Watchpoint):
            point = halt.stoppoint
            address = next((each[1] for each in self._points.values() if each[0] is point), None)
            if address is not None:
                reply += b"%s:%x;" % (_STOP_WORDS[point.access].encode(), address)
        elif halt.reason == "breakpoint":
            hardware = any(key[0] == 1 and each[0] is halt.stoppoint for key, each in self._points.items())
            reply += b"hwbreak:;" if hardware else b"swbreak:;"
        elif halt.reason == "history":
            reply += b"replaylog:begin;"
        return reply

    def restart(self) -> None:
        """Back to reset."""
        self.debugger.restart()
        self.debugger.ended = ""
        self._stop = b"T%02xthread:1;" % SIGTRAP
