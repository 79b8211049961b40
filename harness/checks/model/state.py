# SPDX-License-Identifier: BSD-3-Clause
"""The state of a kernel's translation regime, kept by listening to the machine.

It knows any kernel and no names: tables are what TTBRs and descriptors say. What it finds out it tells the
checks of `harness.checks.rules`, which know what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.arch.bits import bit, get
from harness.arch.maintenance import Invalidation, invalidation, tlbi_operation
from harness.arch.regime import Half, Regime
from harness.checks.model.accesses import LOW_HALF, Accesses
from harness.checks.model.change import Change
from harness.checks.model.owed import Debts, Owed
from harness.checks.model.reliance import Reliance
from harness.checks.model.stores import TableStores
from harness.checks.model.tables import Root, RootKey, TableBook, Use
from harness.machine import ExceptionTaken, Machine
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation
from harness.machine.exceptions import current_el

if TYPE_CHECKING:
    from harness.checks.rules.base import Check

REGISTERS = ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "SCTLR_EL1")
_HALVES: tuple[Half, Half] = ("ttbr0", "ttbr1")
_M, _HA, _A1, _AS = 0, 39, 22, 36
_EL0 = 1 << 6


class Model:
    """Follows one machine. Attach it with `machine.events.listen(model)`."""

    def __init__(self, machine: Machine, checks: Sequence[Check], others: bool) -> None:
        """`others`: whether other CPUs may walk the same tables, so that a local TLBI is not enough."""
        self.machine, self.memory, self.checks, self.others = machine, machine.memory, checks, others
        self.book = TableBook(machine.memory, machine.events.watched)
        self.debts = Debts(others)
        self._stores, self.accesses = TableStores(self), Accesses(self)
        self._reset()
        self.restore(None)

    def _reset(self) -> None:
        self.registers = dict.fromkeys(REGISTERS, 0)
        self.enabled = False
        self.learning = False  # what is found was there before anyone looked
        self.roots: dict[RootKey, Root] = {}
        self.active: dict[Half, Root | None] = {"ttbr0": None, "ttbr1": None}
        self.asid = 0
        self.asids_seen: frozenset[int] = frozenset()
        self.detached: dict[Use, Owed] = {}
        self.fresh: list[Change] = []  # made, not yet made visible to walks by a DSB
        self.fresh_unsynced: list[Change] = []  # visible, no ISB yet; of the kernel's half only
        self.unsynced: list[Owed] = []  # invalidated, no ISB yet; of the kernel's half only
        self.written: dict[str, RegisterWrite] = {}  # MSR without an ISB behind it
        self._flushed: list[tuple[Root, int | None]] = []  # by TLBIs that no DSB has completed yet
        self._left: Returned | None = None  # an ERET of which it is not known yet where it went

    # -- what the checks ask ------------------------------------------------------------------------------

    @property
    def hardware_af(self) -> bool:
        """Whether walks set the access flag."""
        return bit(self.registers["TCR_EL1"], _HA)

    @property
    def now(self) -> Reliance:
        """Where the CPU stands."""
        return Reliance("end", self.machine.instructions, self.machine.registers["pc"])

    @cached_property
    def pa_range(self) -> int:
        """ID_AA64MMFR0_EL1.PARange."""
        return get(self.machine.sysreg["ID_AA64MMFR0_EL1"], 3, 0)

    @cached_property
    def cache_type(self) -> int:
        """CTR_EL0."""
        return self.machine.sysreg["CTR_EL0"]

    def is_walked(self, root: Root) -> bool:
        """Whether this CPU walks the tree now."""
        return self.enabled and self.active[root.half] is root

    def output_page(self, va: int) -> int | None:
        """Where the page of a virtual address is, or None; by the tables as they are."""
        root = self.active["ttbr1" if bit(va, 55) else "ttbr0"]
        return None if root is None else self.book.output_page(self.book.root_use(root), va)

    # -- registers ----------------------------------------------------------------------------------------

    def register_write(self, event: RegisterWrite) -> None:
        """MSR: where the tables are, and whether they are used."""
        if self._left is not None:
            self.paused()
        for check in self.checks:
            check.register_write(self, event)
        if event.register not in self.registers:
            return
        self.registers[event.register] = event.value
        self.written[event.register] = event
        if event.register in LOW_HALF and self.enabled:
            self.accesses.expect_isb()
        enabled = bit(self.registers["SCTLR_EL1"], _M)
        if enabled and (not self.enabled or event.register in ("TCR_EL1", "MAIR_EL1")):
            self.enabled = True
            self._activate(_HALVES, event)
        elif not enabled:
            self._switch_off()
        elif event.register.startswith("TTBR"):
            self._activate(("ttbr0" if event.register == "TTBR0_EL1" else "ttbr1",), event)

    def _activate(self, halves: Sequence[Half], event: RegisterWrite | None) -> None:
        tcr = self.registers["TCR_EL1"]
        wide, source = bit(tcr, _AS), "TTBR1_EL1" if bit(tcr, _A1) else "TTBR0_EL1"
        self.asid = get(self.registers[source], 63 if wide else 55, 48)
        self.asids_seen |= {self.asid}
        for half in halves:
            root, left = self._root(half), self.active[half]
            self.active[half] = root
            if left is not None and left is not root:
                self._leave(left)
            if root is None:
                continue
            self.roots[root.key] = root
            self.book.add(self.book.root_use(root), 0, self.entered)
            self._named()
            for check in self.checks:
                check.activated(self, root, event)
        self._named()

    def _named(self) -> None:
        """What is walked in the low half goes by the ASID that there is now, which TTBR1 may have changed."""
        low = self.active["ttbr0"]
        if low is not None and self.book.valid_entries(self.book.root_use(low)):
            low.asids |= {self.asid}

    def _switch_off(self) -> None:
        """This CPU walks nothing any more; TLBs keep what they have."""
        was_enabled, self.enabled = self.enabled, False
        for root in self.active.values() if was_enabled else ():
            if root is not None:
                self._leave(root)

    def _leave(self, root: Root) -> None:
        """It is walked no more. Of the kernel's half TLBs may hold entries whatever the ASID is."""
        if root.half == "ttbr1":
            root.is_global = True
        if self._in_no_tlb(root):
            self.forget(root)

    def _root(self, half: Half) -> Root | None:
        ttbr = self.registers["TTBR0_EL1" if half == "ttbr0" else "TTBR1_EL1"]
        try:
            regime = Regime.from_registers(self.registers["TCR_EL1"], ttbr, self.registers["MAIR_EL1"], half)
        except ValueError:
            return None
        if regime.epd:
            return None
        new = Root(half, regime)
        root = self.roots.get(new.key, new)
        root.regime = regime
        return root

    def entered(self, use: Use, entry: int) -> None:
        """A page serves as table from now on."""
        self._stores.linked(use)
        for check in self.checks:
            check.table_found(self, use, entry)

    def store(self, event: Store) -> None:
        """A store to a table, or to what a check watches."""
        if self._left is not None:
            self.paused()
        self._stores.store(event)

    # -- maintenance --------------------------------------------------------------------------------------

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI, DC, IC."""
        if self._left is not None:
            self.paused()
        operation = tlbi_operation(event.encoding)
        if operation is None:
            for check in self.checks:
                check.cache_operation(self, event)
            return
        what = invalidation(operation, event.operand)
        for check in self.checks:
            check.tlbi(self, event, what)
        self.debts.invalidate(event.time, event.pc, what)
        self._flush(what)

    def cache_flood(self) -> None:
        """More cache maintenance than is told of."""
        for check in self.checks:
            check.cache_flood(self)

    def _flush(self, what: Invalidation) -> None:
        """Address spaces of which nothing is in a TLB once this is complete: what is walked can come back."""
        operation = what.operation
        if operation.target == "va" or operation.regime != 1:
            return
        for root in self.roots.values():
            kept = self.asid if self.is_walked(root) else None
            named = root.asids if operation.target == "all" else root.asids & {what.asid}
            self._flushed += [(root, asid) for asid in named if asid != kept]
            if operation.target == "all" and kept is None:
                self._flushed.append((root, None))

    def barrier(self, event: BarrierDone) -> None:
        """DSB, DMB, ISB."""
        barrier = event.barrier
        if barrier.kind == "isb":
            self._synchronized()
        elif barrier.kind == "dsb":
            self._forgotten(self.debts.barrier(barrier))
            if barrier.writes and (barrier.shared or not self.others):
                self.fresh_unsynced += [each for each in self.fresh if each.use.root.half == "ttbr1"]
                self.fresh.clear()
            if barrier.completes_maintenance:
                self._complete_flushes()
        self.accesses.review()
        for check in self.checks:
            check.barrier(self, event)

    def _forgotten(self, done: Sequence[Owed]) -> None:
        """No TLB holds these any more, which may have been the last of an address space."""
        for owed in done:
            for use in owed.tables:
                if self.detached.get(use) is owed:
                    del self.detached[use]
                    self.book.remove(use)
            if owed.change.use.root.half == "ttbr1":
                self.unsynced.append(owed)
        for root in {owed.change.use.root for owed in done}:
            if self._in_no_tlb(root):
                self.forget(root)

    def _complete_flushes(self) -> None:
        for root, asid in self._flushed:
            if self.is_walked(root) and asid in (None, self.asid):
                continue  # it has come back meanwhile
            if asid is None:
                root.is_global = False
            else:
                root.asids -= {asid}
            if self._in_no_tlb(root):
                self.forget(root)
        self._flushed.clear()

    def _in_no_tlb(self, root: Root) -> bool:
        """Whether nothing of a tree can be in a TLB, and no walk brings it there."""
        if self.is_walked(root):
            return False
        return not (root.asids or root.is_global) or self._is_empty(root)

    def _is_empty(self, root: Root) -> bool:
        """Whether a tree maps nothing, and TLBs were told of what it did: they hold nothing invalid."""
        first = self.book.root_use(root)
        return not self.book.valid_entries(first) and all(
            owed.change.use.root is not root for owed in self.debts
        )

    def forget(self, root: Root) -> None:
        """Its pages are tables no more."""
        if self.roots.pop(root.key, None) is None:
            return
        for use in {use for use in self.book.uses() if use.root is root}:
            for _, entry, raw in self._stores.cached_entries(use):
                for check in self.checks:
                    check.entry_gone(self, Change(use, entry, raw, 0, self.now.time, self.now.pc))
        self.book.remove_root(root)
        for owed in self.debts:
            if owed.change.use.root is root:
                self.debts.drop(owed)
        self.detached = {use: owed for use, owed in self.detached.items() if use.root is not root}

    def _synchronized(self) -> None:
        """A context synchronization event: ISB, exception entry, ERET."""
        self.unsynced.clear()
        self.fresh_unsynced.clear()
        self.written.clear()
        self.accesses.synchronized()
        for check in self.checks:
            check.synchronized(self)

    # -- exceptions and pauses ----------------------------------------------------------------------------

    def exception(self, event: ExceptionTaken) -> None:
        """An exception was taken: if from EL0, then the last ERET went there."""
        if event.from_el == 0 and self._left is not None:
            self.settle(Reliance("eret", self._left.time, self._left.pc))
        self._left = None
        self.accesses.refused(event)
        self._synchronized()

    def returned(self, event: Returned) -> None:
        """ERET, to a level that is known later."""
        self._left = event
        for check in self.checks:
            check.returned(self, event)
        self._synchronized()

    def paused(self) -> None:
        """The CPU stands still, or did something that tells where the last ERET went."""
        if self._left is not None and current_el(self.machine.registers["pstate"]) == 0:
            self.settle(Reliance("eret", self._left.time, self._left.pc))
        self._left = None

    # -- reliance -----------------------------------------------------------------------------------------

    def settle(self, reliance: Reliance) -> None:
        """The kernel relies on all that it did; for EL0 only what EL0 can reach counts."""
        at_el0 = reliance.kind == "eret"
        for owed in [*self.debts, *self.unsynced]:
            if not owed.idle and (not at_el0 or self._concerns_el0(owed.change, owed.change.old)):
                self.rely(owed, reliance)
        for change in [*self.fresh, *self.fresh_unsynced]:
            if not at_el0 or self._concerns_el0(change, change.new):
                self.rely_fresh(change, reliance)
        for check in self.checks:
            check.settled(self, reliance)
        if not at_el0:
            self.fresh.clear()
            self._synchronized()
        self.accesses.review()

    def _concerns_el0(self, change: Change, raw: int) -> bool:
        return change.use.root is self.active["ttbr0"] and (change.use.is_table(raw) or bool(raw & _EL0))

    def rely_fresh(self, change: Change, reliance: Reliance) -> None:
        """Something relies on a new entry, if it is there still: the checks say what is wrong."""
        if self.memory.read_qword(change.entry) == change.new:
            for check in self.checks:
                check.fresh_relied(self, change, reliance, visible=change in self.fresh_unsynced)
        if reliance.kind == "access":
            for part in (self.fresh, self.fresh_unsynced):
                part[:] = [each for each in part if each is not change]

    def rely_registers(self, names: Collection[str], reliance: Reliance) -> None:
        """Something relies on registers that no ISB has put into effect."""
        for event in [self.written.pop(name) for name in names if name in self.written]:
            for check in self.checks:
                check.register_relied(self, event, reliance)

    def rely(self, owed: Owed, reliance: Reliance) -> None:
        """Something relies on an invalidation: the checks say what is wrong, and that is settled."""
        for check in self.checks:
            check.relied(self, owed, reliance)
        self.debts.drop(owed)
        self.unsynced = [each for each in self.unsynced if each is not owed]
        for use in owed.tables:
            self.detached.pop(use, None)
            self.book.remove(use)
        for other in self.debts if owed.tables else ():
            if other.change.use in owed.tables:
                self.debts.drop(other)

    def detach(self) -> None:
        """Watch nothing any more; the machine has room for another model then."""
        self._reset()
        self.book.restore({})
        self.debts.restore(([], []))
        self.machine.events.watched.set([])
        self.accesses.start_over()

    # -- snapshots ----------------------------------------------------------------------------------------

    def save(self) -> Any:
        """The state, for `restore`."""
        roots = [(root, root.regime, root.asids, root.is_global) for root in self.roots.values()]
        return (
            *(self.book.save(), self.debts.save(), roots, dict(self.active), dict(self.registers)),
            *(self.enabled, self.asid, self.asids_seen, dict(self.written), self._left),
            [list(part) for part in self._in_flight()],
            [check.save() for check in self.checks],
        )

    def _in_flight(self) -> tuple[list[Any], ...]:
        """What waits for a barrier."""
        return self.fresh, self.fresh_unsynced, self.unsynced, self._flushed

    def restore(self, state: Any) -> None:
        """Back to a saved state; None: to what the machine's registers say now."""
        self._reset()
        if state is None:
            self.book.restore({})
            self.debts.restore(([], []))
            self.registers = {name: self.machine.sysreg[name] for name in REGISTERS}
            for check in self.checks:
                check.restore(None)
            self.machine.events.watched.set([])
            self.enabled = bit(self.registers["SCTLR_EL1"], _M)
            if self.enabled:
                self.learning = True
                self._activate(_HALVES, None)
                self.learning = False
            self.accesses.start_over()
            return
        book, debts, roots, self.active, registers = state[:5]
        self.enabled, self.asid, self.asids_seen, written, self._left, in_flight, checks = state[5:]
        self.book.restore(book)
        self.debts.restore(debts)
        for root, regime, asids, is_global in roots:
            root.regime, root.asids, root.is_global = regime, asids, is_global
            self.roots[root.key] = root
        self.active, self.registers = dict(self.active), dict(registers)
        self.written = dict(written)
        for part, saved in zip(self._in_flight(), in_flight, strict=True):
            part[:] = saved
        self.detached = {use: owed for owed in self.debts for use in owed.tables}
        for check, saved in zip(self.checks, checks, strict=True):
            check.restore(saved)
        watches = [each for check in self.checks for each in check.watches()]
        self.machine.events.watched.set([*self.book.extents(), *watches])
        self.accesses.start_over()
