# SPDX-License-Identifier: BSD-3-Clause
"""An image running on a machine: it runs until something happens, and fails with all that can be said."""

from __future__ import annotations

from collections.abc import Collection

from harness.checks.findings import Finding, report
from harness.checks.sanitizer import Options, Sanitizer
from harness.errors import GuestError, GuestException, GuestPanic, GuestRunaway, HarnessError
from harness.image import ElfImage
from harness.image.types import VOID, Pointer
from harness.image.unwind import Backtrace
from harness.kernel.failure import autopsy, backtrace
from harness.kernel.printf import expand
from harness.kernel.values import Memory, PointerValue
from harness.machine import Machine, Stop

# Where a called function returns to: an address that no kernel maps. Fetching there ends the call.
RETURN_ADDRESS = 0x00AD_DE00_0000_0000


class GuestMemory:
    """The kernel's virtual memory, as values are read from it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a kernel virtual address."""
        return self._machine.read_virtual(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Store bytes at a kernel virtual address, whatever its permissions."""
        self._machine.write_virtual(address, data)


class Session:
    """A machine, the image on it, and what counts as failure."""

    def __init__(
        self,
        machine: Machine,
        image: ElfImage,
        panics: Collection[str],
        budget: int,
        sanitize: Options | None = None,
    ) -> None:
        """`sanitize`: look at every table update, and fail calls for what is wrong with it."""
        self.machine, self.image, self.budget = machine, image, budget
        self.sanitizer = Sanitizer(machine, image, sanitize, (RETURN_ADDRESS,)) if sanitize else None
        self.memory: Memory = GuestMemory(machine)
        self._ready: int | None = None  # where the CPU stands between calls
        self._panics = {image.symbols[name].address: name for name in panics if name in image.symbols}

    def boot(self, until: str | None) -> None:
        """Run from reset to the first WFI, or to a function. Raises GuestError when it does not get there."""
        self.machine.load(self.image.segments, self.image.entry)
        goal = () if until is None else (self.image.symbols[until].address,)
        stop = self.run(until=goal)
        if stop.kind != ("wfi" if until is None else "address"):
            raise self.failure(
                GuestRunaway,
                f"boot ended with {_describe(stop)}, not at {until or 'the WFI of an idle kernel'}; "
                "name the function that means it is ready with boot_until (--boot-until)",
                since=0,
            )
        self._ready = self.machine.registers["pc"]
        self._end_of_call()

    def mute_sanitizer(self, muted: bool, checks: Collection[str] = ()) -> None:
        """Whether the sanitizer, if there is one, keeps quiet from now on, or leaves out some checks."""
        if self.sanitizer is not None:
            self.sanitizer.muted = muted
            self.sanitizer.leave_out(checks)

    def _end_of_call(self) -> None:
        """Whatever the kernel did to its tables is in effect by now. Raises GuestViolation if not."""
        if self.sanitizer is not None:
            self.sanitizer.end_of_call()

    def unseen(self) -> list[Finding]:
        """What the sanitizer has found and no call has failed for, which is then forgotten.

        Where the CPU is not in the middle of a call, nothing may be owed either.
        """
        sanitizer = self.sanitizer
        if sanitizer is None or not sanitizer.options.fatal or not self.machine.is_open:
            return []
        if self.machine.registers["pc"] in (self._ready, RETURN_ADDRESS):
            sanitizer.settle()
        return sanitizer.take()

    def run(self, *, until: Collection[int] = (), budget: int | None = None) -> Stop:
        """Let the machine run on. Raises GuestPanic at a panic function, GuestRunaway over budget."""
        since, limit = self.machine.instructions, budget or self.budget
        try:
            stop = self.machine.run(budget=limit, until=(*until, *self._panics))
        except BaseException as error:  # of a callback, or Ctrl-C
            self._abandon(error)
            raise
        if stop.kind == "address" and stop.pc in self._panics and stop.pc not in until:
            raise self.failure(GuestPanic, self._panic_message(), since)
        if stop.kind == "budget":
            message = f"still running after {limit:,} instructions; is it in a loop, or the budget too small?"
            raise self.failure(GuestRunaway, message, since)
        if stop.kind == "abort":
            raise self.failure(GuestException, stop.detail, since)
        return stop

    def run_function(self, name: str, budget: int | None) -> int:
        """Run until the function just entered returns. The instructions that took."""
        before = self.machine.instructions
        stop = self.run(until=(RETURN_ADDRESS,), budget=budget)
        if stop.kind != "address":
            faulted = any(each.time >= before and each.from_el == 1 for each in self.machine.exceptions)
            kind = GuestException if faulted else GuestRunaway
            raise self.failure(kind, f"{name}() did not return: {_describe(stop)}", before)
        retired = self.machine.instructions - before
        self._end_of_call()
        return retired

    def backtrace(self) -> Backtrace:
        """The chain of C functions where the machine stands."""
        return backtrace(self.machine, self.image, (RETURN_ADDRESS,))

    def failure(self, kind: type[GuestError], summary: str, since: int) -> GuestError:
        """An error that says what happened and how the machine looked, also as its `autopsy`.

        Exceptions the guest took before the instruction count `since` have nothing to do with it. What the
        sanitizer has found is in its notes.
        """
        try:
            found = autopsy(self.machine, self.image, since, (RETURN_ADDRESS,))
            failed = kind(f"{summary}\n{found}", found)
        except HarnessError as error:  # the tables may be what is broken
            failed = kind(f"{summary}\n(no more is known: {error})")
        failed.findings = self._abandon(failed)
        return failed

    def _abandon(self, error: BaseException) -> list[Finding]:
        """A call ends before its time. What the sanitizer has found in it is told with the error."""
        found = self.sanitizer.abandon() if self.sanitizer is not None else []
        if found:
            error.add_note(f"before that: {report(found)}")
        return found

    def _panic_message(self) -> str:
        """What the panic function is called with: a format and arguments, where they can be had."""
        registers = self.machine.registers
        name = self._panics[registers["pc"]]
        try:
            text = PointerValue(registers["x0"], Pointer(VOID), self.memory).string()
        except HarnessError:
            return f"the kernel called {name}()"
        return f"{name}: {expand(text, [registers[f'x{n}'] for n in range(1, 8)], self.memory)}"


def _describe(stop: Stop) -> str:
    return f"{stop.kind} ({stop.detail})" if stop.detail else stop.kind
