# SPDX-License-Identifier: BSD-3-Clause
"""What EL1 itself does with memory while barriers of its own changes are outstanding.

An access by way of an entry relies on it, and on the invalidation of what it was (Arm DDI 0487, D8.2.6 and
D8.17.5); a store to memory that an entry gave up relies on no TLB knowing that entry any more. Of the
changes that wait for the same barrier the first SLOTS are watched.

An access to the low half, whose tables an MSR has changed, relies on that MSR (D24.1.2); of those between it
and its ISB the first ALL are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.arch.bits import bit
from harness.arch.loadstore import accessed_address
from harness.checks.model.change import Change
from harness.checks.model.owed import Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.tables import ADDRESS
from harness.machine.events import Access
from harness.machine.exceptions import ExceptionTaken, current_el
from harness.machine.hooks import PlacedHook

if TYPE_CHECKING:
    from harness.checks.model.state import Model

SLOTS = 4
ALL = 256
_PAGE_SHIFT = 12
LOW_HALF = frozenset({"TTBR0_EL1", "TCR_EL1"})


class Accesses:
    """The part of a model that looks at loads and stores of data."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._hook = model.machine.events.on_access(SLOTS, self._accessed)
        self._watched: list[tuple[Change | Owed, range, PlacedHook]] = []
        self._all = model.machine.events.on_access(1, self._before_isb)
        self._everything: PlacedHook | None = None
        self._looked_at = 0

    def start_over(self) -> None:
        """The model went back to another moment, or to none."""
        model = self._model
        self.synchronized()
        if LOW_HALF & model.written.keys():
            self.expect_isb()
        while self._watched:
            self._hook.uncover(self._watched.pop()[2])
        for subject in (*model.fresh, *model.fresh_unsynced, *model.debts, *model.unsynced):
            self.expect(subject)

    def expect(self, subject: Change | Owed) -> None:
        """A leaf is new in the kernel's half, or one has given up its memory: who goes there?"""
        if not self._hook.has_spare or not self._matters(subject):
            return
        change = subject if isinstance(subject, Change) else subject.change
        size = 1 << change.use.shift
        start = (change.new if subject is change else change.old) & ADDRESS & -size
        self._watched.append((subject, range(start, start + size), self._hook.cover(start, start + size)))

    def expect_isb(self) -> None:
        """A register of the low half was written: nothing may go there before an ISB."""
        if self._everything is None:
            memory = self._model.memory
            self._everything, self._looked_at = self._all.cover(memory.base, memory.end), 0

    def synchronized(self) -> None:
        """Registers are what they were written to be."""
        if self._everything is not None:
            self._all.uncover(self._everything)
            self._everything = None

    def _before_isb(self, event: Access) -> None:
        self._looked_at += 1
        va = self._address(event)
        if va is not None and not bit(va, 55):
            self._model.rely_registers(LOW_HALF, Reliance("access", event.time, event.pc))
        if self._looked_at == ALL or not LOW_HALF & self._model.written.keys():
            self.synchronized()

    def _address(self, event: Access) -> int | None:
        """The virtual address of an access by EL1 with the MMU on; None: another one, or not known."""
        machine = self._model.machine
        if not self._model.enabled or current_el(machine.registers["pstate"]) != 1:
            return None
        word = int.from_bytes(machine.read_virtual(event.pc, 4), "little")
        return accessed_address(word, event.pc, machine.registers.__getitem__)

    @staticmethod
    def _matters(subject: Change | Owed) -> bool:
        if isinstance(subject, Owed):
            return subject.frames is not None
        return subject.use.root.half == "ttbr1" and subject.use.is_leaf(subject.new)

    def review(self) -> None:
        """A barrier was executed, or a call is over: what waits for none any more is not looked at."""
        for each in tuple(self._watched):
            if not self._is_pending(each[0]):
                self._watched.remove(each)
                self._hook.uncover(each[2])

    def _is_pending(self, subject: Change | Owed) -> bool:
        model = self._model
        if isinstance(subject, Change):
            return subject in model.fresh or subject in model.fresh_unsynced
        return model.debts.is_owed(subject) or subject in model.unsynced

    def _accessed(self, event: Access) -> None:
        va = self._address(event)
        for subject, memory, _ in tuple(self._watched):
            if va is not None and event.pa in memory and self._is_pending(subject):
                change = subject if isinstance(subject, Change) else subject.change
                expected = change.va + (event.pa - memory.start)
                by_way = va >> _PAGE_SHIFT == expected >> _PAGE_SHIFT
                self._judge(subject, event, by_way=by_way)

    def _judge(self, subject: Change | Owed, event: Access, *, by_way: bool) -> None:
        model, access = self._model, Reliance("access", event.time, event.pc)
        if isinstance(subject, Change):
            if by_way:
                model.rely_fresh(subject, access)
        elif by_way and model.is_walked(subject.change.use.root):
            model.rely(subject, access)
        elif event.write and not by_way and subject.gives_up_el0 and not self.is_shared(subject):
            model.rely(subject, access._replace(kind="frame"))

    def is_shared(self, owed: Owed) -> bool:
        """Whether an address space maps the memory still: then it was given up by one entry only."""
        gave_up = owed.change.old & ADDRESS & -(1 << owed.change.use.shift)
        for use in [each for each in self._model.book.uses() if each.root.half == "ttbr0"]:
            for _, raw in self._model.book.valid_entries(use):
                start = raw & ADDRESS & -(1 << use.shift)
                if use.is_leaf(raw) and start <= gave_up < start + (1 << use.shift):
                    return True
        return False

    def refused(self, event: ExceptionTaken) -> None:
        """An access by EL1 was not translated, which it may have been: TLBs need not have forgotten yet."""
        if event.from_el != 1 or event.far is None or not event.syndrome.is_data_abort:
            return
        model = self._model
        for owed in [*model.debts.at(event.far), *model.unsynced]:
            change = owed.change
            inside = change.va <= event.far < change.va + (1 << change.use.shift)
            if inside and owed.frames is not None and model.is_walked(change.use.root):
                model.rely(owed, Reliance("access", event.time, event.elr))
