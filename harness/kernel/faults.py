# SPDX-License-Identifier: BSD-3-Clause
"""Faults to be injected, as values: parameters of a test, which are shown by what they are.

    @pytest.mark.parametrize("fault", [SkipInstruction("TLBI"), SkipInstruction("DSB"), DelayTlbi()], ids=str)
    def test_it_is_noticed(kernel, fault):
        with fault.inject(kernel) as injection, pytest.raises(GuestError):
            ...
        assert injection.struck

`struck` stays None where the fault found no occasion.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from harness.arch.bits import U64
from harness.arch.esr import EC_DABT_LOWER
from harness.checks.mutation.mutants import barrier_name
from harness.errors import HarnessError
from harness.kernel.inject import Injection, address_of, fail_nth
from harness.kernel.kernel import Kernel
from harness.machine import Machine

_WIDTH = 4  # bytes of an instruction
_EXECUTABLE = 1
_ZERO_REGISTER = 31
_SAME_LEVEL, _IL, _WNR, _TRANSLATION_LEVEL_3 = 1 << 26, 1 << 25, 1 << 6, 0b000111


class Fault(Protocol):
    """What can go wrong."""

    def inject(self, kernel: Kernel) -> AbstractContextManager[Injection]:
        """Let it go wrong within a `with` statement."""


def occurrences(kernel: Kernel, name: str) -> dict[int, int]:
    """Address -> word of each instruction of a kind (DSB, ISB, TLBI, DC, IC) in the kernel's half."""
    found: dict[int, int] = {}
    for segment in kernel.image.segments:
        if segment.flags & _EXECUTABLE and segment.vaddr >> 63:
            words = struct.unpack(f"<{len(segment.data) // 4}I", segment.data[: len(segment.data) // 4 * 4])
            named = {at: word for at, word in enumerate(words) if barrier_name(word) == name}
            found |= {segment.vaddr + _WIDTH * at: word for at, word in named.items()}
    if not found:
        raise HarnessError(f"{kernel.image.path} has no {name}")
    return found


@dataclass(frozen=True, slots=True)
class FailCall:
    """The n-th call of any of `functions` returns `result` without running: see `fail_nth`."""

    functions: tuple[str, ...]
    n: int = 1
    result: int = 0

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """Within, one call fails."""
        with fail_nth(kernel, self.functions, self.n, self.result) as injection:
            yield injection

    def __str__(self) -> str:
        return f"fail-{'-'.join(self.functions)}-{self.n}"


@dataclass(frozen=True, slots=True)
class SkipInstruction:
    """The n-th TLBI (or DSB, ISB, DC, IC) that is to be executed is not."""

    name: str = "TLBI"
    n: int = 1

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """Within, one instruction has no effect."""
        injection = Injection()

        def reached(machine: Machine) -> None:
            where = machine.registers["pc"]
            injection.calls.append(kernel.image.describe(where))
            if len(injection.calls) == self.n:
                injection.struck = injection.calls[-1]
                machine.registers["pc"] = where + _WIDTH

        with _watching(kernel, occurrences(kernel, self.name), reached):
            yield injection

    def __str__(self) -> str:
        return f"skip-{self.name}-{self.n}"


@dataclass(slots=True)
class _Late:
    """A TLBI on its way: it waits for a DSB, and is then executed behind it."""

    at: int
    register: str | None
    operand: int
    resume: int | None = None  # where to go on behind the TLBI
    kept: int = 0


@dataclass(frozen=True, slots=True)
class DelayTlbi:
    """The n-th TLBI takes effect only behind the DSB that should have waited for it."""

    n: int = 1

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """Within, one TLBI and the DSB after it change places."""
        injection, late = Injection(), list[_Late]()
        tlbis, barriers = occurrences(kernel, "TLBI"), occurrences(kernel, "DSB")

        def at_tlbi(machine: Machine) -> None:
            where = machine.registers["pc"]
            if late and late[0].resume is not None:
                return  # it is on its second way
            injection.calls.append(kernel.image.describe(where))
            if len(injection.calls) == self.n:
                number = tlbis[where] & 31
                register = None if number == _ZERO_REGISTER else f"x{number}"
                late.append(_Late(where, register, machine.registers[register] if register else 0))
                machine.registers["pc"] = where + _WIDTH

        def behind_barrier(machine: Machine) -> None:
            if late and late[0].resume is None:
                (each,) = late
                injection.struck = injection.calls[self.n - 1]
                each.resume = machine.registers["pc"]
                if each.register:
                    each.kept = machine.registers[each.register]
                    machine.registers[each.register] = each.operand
                machine.registers["pc"] = each.at

        def behind_tlbi(machine: Machine) -> None:
            if late and late[0].resume is not None and machine.registers["pc"] == late[0].at + _WIDTH:
                each = late.pop()
                assert each.resume is not None
                if each.register:
                    machine.registers[each.register] = each.kept
                machine.registers["pc"] = each.resume

        with (
            _watching(kernel, {at + _WIDTH for at in tlbis}, behind_tlbi),
            _watching(kernel, {at + _WIDTH for at in barriers}, behind_barrier),
            _watching(kernel, tlbis, at_tlbi),
        ):
            yield injection

    def __str__(self) -> str:
        return f"delay-TLBI-{self.n}"


@dataclass(frozen=True, slots=True)
class FlipBit:
    """A bit of a word in physical memory, such as a table entry, is inverted at once, and stays so.

    The TLB is not told, as on hardware.
    """

    address: int
    bit: int

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """The bit is inverted when this begins."""
        memory, size = kernel.machine.memory, 8
        old = int.from_bytes(memory.read(self.address, size), "little")
        memory.write(self.address, (old ^ 1 << self.bit).to_bytes(size, "little"))
        yield Injection(struck=f"bit {self.bit} of {old:#x} at {self.address:#x}")

    def __str__(self) -> str:
        return f"flip-bit-{self.bit}"


@dataclass(frozen=True, slots=True)
class AsidNames:
    """How a kernel calls its books of ASIDs: a variable, and what its struct has.

    `count` is how many there are, `lent` an array of 64-bit words with a bit set for each that is in use,
    `hint` the first that may be free. A kernel without a hint has "".
    """

    variable: str = "asids"
    count: str = "count"
    lent: str = "lent"
    hint: str = "hint"


@dataclass(frozen=True, slots=True)
class FillAsids:
    """All ASIDs of the present generation but the last `left` are lent, as if that many spaces had run."""

    left: int = 0
    names: AsidNames = AsidNames()

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """They are lent when this begins."""
        asids = kernel.variable(self.names.variable)
        count, lent = int(getattr(asids, self.names.count)), getattr(asids, self.names.lent)
        free = range(count - self.left, count)
        for word in range(count // 64):
            lent[word] = U64
        for asid in free:
            lent[asid // 64] &= U64 ^ 1 << asid % 64
        if self.names.hint:
            setattr(asids, self.names.hint, free.start)
        yield Injection(struck=f"{free.start} ASIDs lent")

    def __str__(self) -> str:
        return f"asids-left-{self.left}"


@dataclass(frozen=True, slots=True)
class SpuriousFault:
    """At the n-th call of a function the CPU takes a translation fault on an address that is mapped.

    So it is on hardware when another CPU has mapped the page meanwhile, or a stale entry was used.
    """

    function: str
    address: int
    n: int = 1
    write: bool = False

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """Within, one call begins with a fault."""
        injection = Injection()
        esr = EC_DABT_LOWER << 26 | _SAME_LEVEL | _IL | (_WNR if self.write else 0) | _TRANSLATION_LEVEL_3

        def entered(machine: Machine) -> None:
            if injection.struck is not None:
                return  # the handler has returned to it
            injection.calls.append(self.function)
            if len(injection.calls) == self.n:
                injection.struck = f"{self.function} at {self.address:#x}"
                machine.raise_exception(esr, self.address)

        with _watching(kernel, [address_of(kernel, self.function)], entered):
            yield injection

    def __str__(self) -> str:
        return f"fault-at-{self.function}-{self.n}"


@dataclass(frozen=True, slots=True)
class LittleStack:
    """Calls find only `room` bytes of the kernel's stack left."""

    room: int

    @contextmanager
    def inject(self, kernel: Kernel) -> Iterator[Injection]:
        """Within, SP is near the end of the memory that is mapped below it."""
        registers = kernel.machine.registers
        kept, page = registers["sp"], kernel.tables().regime.granule.value
        low = kept & -page
        while kernel.machine.walk(low - 1).fault is None:
            low -= page
        registers["sp"] = low + self.room & -16
        try:
            yield Injection(struck=f"{self.room} bytes above {low:#x}")
        finally:
            registers["sp"] = kept

    def __str__(self) -> str:
        return f"stack-of-{self.room}"


@contextmanager
def _watching(
    kernel: Kernel, addresses: Collection[int], callback: Callable[[Machine], None]
) -> Iterator[None]:
    watches = [kernel.machine.on_address(address, callback) for address in addresses]
    try:
        yield
    finally:
        for watch in watches:
            watch.remove()
