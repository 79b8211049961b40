# SPDX-License-Identifier: BSD-3-Clause
"""Who called: what the stack was when something happened that is judged later.

Most violations show when something is relied upon, and by then the instruction at fault has long returned.
To unwind at each event would take longer than all the rest. So of each the registers are kept from which an
unwinding starts, and a piece of the stack; who needs a backtrace has it made of these. Between two barriers
an instruction is looked at a few times only: hundreds of stores in a row are one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.arch.maintenance import Invalidation
from harness.checks.model.change import Change
from harness.checks.model.reliance import Reliance
from harness.checks.model.state import Model
from harness.checks.model.tables import Root, Use
from harness.checks.rules.base import Check, Moment
from harness.errors import MachineError
from harness.machine import Machine
from harness.machine.events import BarrierDone, RegisterWrite, Store, SystemOperation

if TYPE_CHECKING:
    from harness.image import ElfImage

_PASSES = 4  # of an instruction between two barriers
_TRAILS = 1024
_DEPTH = 1024  # bytes of stack: five to ten calls of C
_PAGE_SHIFT = 12
_PAGE_MASK = (1 << _PAGE_SHIFT) - 1


class Trail(NamedTuple):
    """The registers that lead to the caller, and the stack from `sp` upwards."""

    pc: int
    sp: int
    x29: int
    x30: int
    stack: bytes

    def register(self, name: str) -> int:
        """One by its name; those that are not kept lead nowhere."""
        known = {"pc": self.pc, "sp": self.sp, "x29": self.x29, "x30": self.x30}
        return known.get(name, 0)

    def read(self, address: int, size: int) -> bytes:
        """Memory of the stack. Raises MachineError beyond what was kept."""
        start = address - self.sp
        if not 0 <= start <= len(self.stack) - size:
            raise MachineError(f"of the stack then, nothing is known at {address:#x}")
        return self.stack[start : start + size]


class Witness(Check):
    """Looks on with the checks, before them, and finds no fault. `moved` is called when time goes back."""

    def __init__(
        self, machine: Machine, image: ElfImage | None, end_at: tuple[int, ...], moved: Callable[[], object]
    ) -> None:
        self._machine, self._image, self._end_at, self._moved = machine, image, end_at, moved
        self._trails: dict[tuple[int, int], Trail] = {}  # by time and address of the instruction
        self._passes: dict[int, int] = {}  # by address of the instruction, since the last barrier
        self._pages: dict[int, int] = {}  # of stacks: virtual page number -> physical address
        self._over = False  # the call is, and what was kept of it of no use when the next event comes

    def backtrace(self, at: Moment) -> str:
        """The calls that led to something that happened, innermost first; "" where nothing is known."""
        if self._image is None:
            return ""
        trail = self._trails.get((at.time, at.pc))
        if trail is not None:
            return self._unwind(self._image, trail.register, trail.read)
        if at.pc == self._machine.registers["pc"] and self._machine.instructions - at.time <= 1:
            return self._unwind(self._image, self._register, self._machine.read_virtual)
        before = (time for time, pc in reversed(self._trails) if pc == at.pc and time < at.time)
        earlier = self._trails.get((next(before, 0), at.pc))
        if earlier is None:
            return ""
        text = self._unwind(self._image, earlier.register, earlier.read)
        return f"{text}\n    (of an earlier time that it was executed)"

    def _unwind(
        self, image: ElfImage, register: Callable[[str], int], read: Callable[[int, int], bytes]
    ) -> str:
        return str(image.unwinder.backtrace(register, read, end_at=self._end_at))

    def _register(self, name: str) -> int:
        return self._machine.sysreg["ELR_EL1"] if name == "elr" else self._machine.registers[name]

    # -- what is kept -------------------------------------------------------------------------------------

    def entry_valid(self, model: Model, use: Use, entry: int, raw: int, change: Change) -> None:
        """A change. Most are of a loop, and one call less for each is felt."""
        if self._passes.get(change.pc, 0) < _PASSES:
            self._note(model, change.time, change.pc)

    def entry_gone(self, model: Model, change: Change) -> None:
        """A change; the stack may be what it unmaps."""
        self._note(model, change.time, change.pc)
        first = change.va >> _PAGE_SHIFT
        last = first + (1 << change.use.shift >> _PAGE_SHIFT)
        if any(first <= page < last for page in self._pages):
            self._pages.clear()

    def data_store(self, model: Model, event: Store) -> None:
        """Code, for instance, is written."""
        self._note(model, event.time, event.pc)

    def torn(self, model: Model, event: Store, uses: Sequence[Use]) -> None:
        """A change by bytes."""
        self._note(model, event.time, event.pc)

    def tlbi(self, model: Model, event: SystemOperation, what: Invalidation) -> None:
        """It may prove to be early, or of the wrong scope."""
        self._note(model, event.time, event.pc)

    def register_write(self, model: Model, event: RegisterWrite) -> None:
        """It may prove to lack an ISB."""
        self._note(model, event.time, event.pc)

    def activated(self, model: Model, root: Root, event: RegisterWrite | None) -> None:
        """What was mapped, and where, may be no more."""
        self._pages.clear()

    def barrier(self, model: Model, event: BarrierDone) -> None:
        """What comes now may be another call."""
        self._passes.clear()

    def settled(self, model: Model, reliance: Reliance) -> None:
        """The checks may still ask now."""
        self._over = reliance.kind == "end"

    def _note(self, model: Model, time: int, pc: int) -> None:
        passes = self._passes.get(pc, 0)
        if passes == _PASSES or self._image is None:
            return
        if self._over:
            self._forget()
        self._passes[pc] = passes + 1
        sp, x29, x30 = self._machine.registers.frame()
        if len(self._trails) == _TRAILS:
            del self._trails[next(iter(self._trails))]
        self._trails[time, pc] = Trail(pc, sp, x29, x30, self._stack(model, sp))

    def _stack(self, model: Model, sp: int) -> bytes:
        data, end = b"", sp + _DEPTH
        while sp < end:
            page = self._page(model, sp)
            size = min(end, (sp | _PAGE_MASK) + 1) - sp
            if page is None or not model.memory.contains(page, 1 << _PAGE_SHIFT):
                break
            data += model.memory.read(page | sp & _PAGE_MASK, size)
            sp += size
        return data

    def _page(self, model: Model, va: int) -> int | None:
        """The physical address of the page of a virtual address."""
        if not model.enabled:
            return va & ~_PAGE_MASK
        page = self._pages.get(va >> _PAGE_SHIFT)
        if page is None:
            page = model.output_page(va & ~_PAGE_MASK)
            if page is not None:
                self._pages[va >> _PAGE_SHIFT] = page
        return page

    # -- snapshots ----------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._trails, self._over = {}, False
        self._passes.clear()

    def save(self) -> dict[tuple[int, int], Trail]:
        """What was kept of a call that is not over."""
        return {} if self._over else dict(self._trails)

    def restore(self, state: Any) -> None:
        """Back to another moment."""
        self._forget()
        self._trails = dict(state or {})
        self._pages.clear()
        self._moved()
