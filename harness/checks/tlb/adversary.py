# SPDX-License-Identifier: BSD-3-Clause
"""The CPU's translations by way of a TLB that makes the most of what the architecture allows."""

from __future__ import annotations

import struct
from itertools import chain
from typing import Any, NamedTuple

from harness.arch.descriptor import LAST_LEVEL
from harness.arch.maintenance import Invalidation, invalidation, tlbi_operation
from harness.arch.permissions import Rights, permissions
from harness.arch.regime import Regime
from harness.arch.walker import Walk, Walker
from harness.checks.tlb.choices import Choices
from harness.checks.tlb.descriptors import PAGE, Descriptors
from harness.checks.tlb.entries import Dying, Entry, Tlb
from harness.checks.tlb.registers import NAMES, Registers
from harness.machine import ExceptionTaken, Machine
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation
from harness.machine.mmu import Granted, Request

_FREE = Rights(read=True, write=True, execute=True)  # with the MMU off
_TRANSLATION_FAULT, _PERMISSION_FAULT, _CONFLICT_ABORT = 0b000100, 0b001100, 0b110000
_TABLE = 3

# What is asked of `Choices`; the other rooms have 1 and 2.
_HIT, _LINK, _CONFLICT, _EVICT, _RELOAD, _AT_ONCE, _PREFETCH, _DESCEND = range(3, 11)


class _Found(NamedTuple):
    """The translation of an address, or the status of its fault; `once`: the next barrier may change that."""

    entry: Entry | None
    status: int = 0
    once: bool = False


class _Walked(NamedTuple):
    """A walk; `lasting`: a TLB may keep what it found."""

    walk: Walk
    regime: Regime
    once: bool
    lasting: bool


class Adversary:
    """Translates for one machine from now on, and listens to what must change its mind."""

    def __init__(self, machine: Machine, seed: int, capacity: int) -> None:
        self._machine, self.seed = machine, seed
        self._choices = Choices(seed)
        self._registers = Registers(machine, self._choices)
        self._descriptors = Descriptors(machine.memory, self._choices)
        self._tlb = Tlb(capacity)
        self._entries = 0  # made so far
        self._known: dict[
            tuple[int, bool], _Found
        ] = {}  # until something happens: by page, and whether fetched
        self._written: dict[int, bytes] = {}  # table pages that an instruction writes, as they were
        machine.events.listen(self)
        machine.before_run(self._begin)
        self._flush = machine.translate_by(self)

    @property
    def entries(self) -> list[Entry]:
        """What TLB and walk cache hold, the oldest first."""
        return list(self._tlb)

    # -- accesses -------------------------------------------------------------------------------------------

    def translate(self, request: Request) -> Granted | int:
        """See `Translator`. Table pages are granted to a store only once, so that each of them is seen."""
        context, va = self._registers.context, request.va
        if not context.enabled:
            return Granted(va, _FREE, context.old)
        fetch = request.access == "x"
        found = self._known.get((va // PAGE, fetch)) or self._look_up(va, fetch)
        entry, regime = found.entry, context.regime(va)
        if entry is None or regime is None:
            return found.status
        rights = permissions(entry.last, entry.limits, wxn=regime.wxn, pan=request.pan).at(request.el)
        if not rights.allows(request.access):
            return _PERMISSION_FAULT | entry.last.level
        pa, once = entry.pa + va - entry.va, found.once
        if self._descriptors.is_table(pa):
            if request.access == "w":
                once = True
                self._written.setdefault(pa & -PAGE, self._machine.memory.read(pa & -PAGE, PAGE))
            else:
                rights = Rights(rights.read, False, rights.execute)
        return Granted(pa, rights, once)

    def _look_up(self, va: int, fetch: bool) -> _Found:
        """In the TLB, or by a walk.

        Fetches leave no entries: which the emulator asks for depends on what code it has translated before.
        """
        context = self._registers.context
        kept = [each for each in self._tlb.matching(va, context.asid) if not each.is_table]
        hit = next((each for each in kept if self._choices.yes(_HIT, each.number)), None)
        if hit is None:
            found = self._walk_to(va, kept, remember=not fetch)
        elif self._in_conflict(va, hit, kept):
            found = _Found(None, _CONFLICT_ABORT)
        else:
            found = _Found(hit, once=context.old or hit in self._tlb.dying)
        if not found.once:
            self._known[va // PAGE, fetch] = found
        return found

    def _walk_to(self, va: int, kept: list[Entry], *, remember: bool) -> _Found:
        """A walk, though the TLB has entries: it may have lost them, or not."""
        walked = self._walk(va)
        fresh = None if walked is None or walked.walk.fault else self._leaf(walked)
        like = next((each for each in kept if fresh is not None and each.same(fresh)), None)
        if fresh is not None and self._in_conflict(va, fresh, kept):
            return _Found(None, _CONFLICT_ABORT)
        for each in kept:
            if each is not like and self._choices.yes(_EVICT, each.number):
                self._tlb.remove(each)
        if walked is None or fresh is None:
            fault = walked.walk.fault if walked else None
            return _Found(None, fault.status if fault else _TRANSLATION_FAULT)
        found = self._remember(walked) if remember and like is None else False
        return _Found(fresh, once=walked.once or found)

    def _in_conflict(self, va: int, one: Entry, kept: list[Entry]) -> bool:
        memory = self._machine.memory
        conflict = any(one.conflicts(each, memory) for each in kept)
        return conflict and self._choices.yes(_CONFLICT, va // PAGE)

    # -- walks ----------------------------------------------------------------------------------------------

    def _walk(self, va: int) -> _Walked | None:
        """A walk by way of the walk cache, or from the root; None: nothing translates this address."""
        context = self._registers.context
        regime = context.regime(va)
        if regime is None:
            return None
        links = [each for each in self._tlb.matching(va, context.asid) if each.is_table]
        link = next((each for each in links if self._choices.yes(_LINK, each.number)), None)
        self._descriptors.old_seen = False
        walk = Walker(self._descriptors.read, regime).walk(va, link.steps if link else ())
        dying = link is not None and link in self._tlb.dying
        return _Walked(walk, regime, context.old or dying or self._descriptors.old_seen, not dying)

    def _remember(self, walked: _Walked) -> bool:
        """Keep what a walk has found, of tables too; whether it has come by a new table page."""
        if not walked.lasting:
            return False
        walk, regime, new = walked.walk, walked.regime, False
        for at, step in enumerate(walk.steps):
            new |= self._descriptors.learn(regime, walk.va, walk.steps[: at + 1])
            if step.descriptor.kind == "table":
                self._keep(self._entry(walked, at + 1, self._registers.context.asid, 0))
        if walk.fault is None:
            self._keep(self._leaf(walked))
        return new

    def _leaf(self, walked: _Walked) -> Entry:
        last = walked.walk.steps[-1].descriptor
        asid = self._registers.context.asid if last.ng else None
        memory = walked.regime.memory_attribute(last.attr_index)
        return self._entry(walked, len(walked.walk.steps), asid, memory)

    def _entry(self, walked: _Walked, length: int, asid: int | None, memory: int) -> Entry:
        steps, regime = walked.walk.steps[:length], walked.regime
        shift = regime.granule.level_shift(steps[-1].level)
        limits = Walker(self._descriptors.read, regime).limits(steps)
        va = walked.walk.va >> shift << shift
        return Entry(va, shift, asid, steps, limits, memory, self._entries + 1)

    def _keep(self, entry: Entry) -> None:
        self._entries += self._tlb.add(entry)

    # -- speculation ----------------------------------------------------------------------------------------

    def _prefetch(self, va: int) -> None:
        """Walk for an address that nobody has accessed."""
        walked = self._walk(va) if self._registers.context.enabled else None
        if walked is not None:
            self._remember(walked)

    def _descend(self, regime: Regime, table: int, level: int, va: int) -> int:
        """Some address that is translated below a table, which is for addresses from `va` on."""
        memory, entries = self._machine.memory, PAGE // 8
        if level == regime.start_level:
            entries = min(regime.root_entries, entries)
        while memory.contains(table, 8 * entries):
            words = struct.unpack(f"<{entries}Q", memory.read(table, 8 * entries))
            valid = [at for at, raw in enumerate(words) if raw & 1]
            if not valid:
                break
            at = valid[self._choices.below(len(valid), _DESCEND, table)]
            va += at << regime.granule.level_shift(level)
            if level == LAST_LEVEL or words[at] & _TABLE != _TABLE:
                break
            table, level, entries = words[at] & 0xFFFF_FFFF_F000, level + 1, PAGE // 8
        return va

    def _prefetch_below(self, regime: Regime, table: int, level: int, va: int) -> None:
        if self._choices.yes(_PREFETCH, table):
            self._prefetch(self._descend(regime, table, level, va))

    def stepping(self, va: int, access: str) -> None:
        """Before a store to a table: what it changes may be in the TLB, although nobody has used it."""
        found = self._look_up(va, fetch=True)
        if access != "w" or found.entry is None:
            return
        pa, context = found.entry.pa + va - found.entry.va & -8, self._registers.context
        for place in self._descriptors.places(pa, context.roots):
            regime = context.regime(place.va)
            raw = self._machine.memory.read_qword(pa) or 0
            if regime is None or not raw & 1:
                continue
            first = place.va_of(pa, regime)
            if place.level < LAST_LEVEL and raw & _TABLE == _TABLE:
                self._prefetch_below(regime, raw & 0xFFFF_FFFF_F000, place.level + 1, first)
            elif self._choices.yes(_PREFETCH, pa):
                self._prefetch(first)

    # -- events ---------------------------------------------------------------------------------------------

    def _decide_anew(self) -> None:
        self._choices.moment += 1
        self._tlb.trim()
        self._known.clear()

    def _begin(self) -> None:
        if self._registers.refresh():
            self._learn_trees()
            self._decide_anew()
            self._flush()

    def _learn_trees(self) -> None:
        context = self._registers.latest
        for regime in (context.lower, context.upper):
            if context.enabled and regime is not None and not regime.epd:
                self._descriptors.learn_tree(regime)

    def stepped(self) -> None:
        """Stores to tables were made, or something was granted that a barrier may take away."""
        stored = [self._descriptors.stored(pa, before) for pa, before in self._written.items()]
        self._written.clear()
        if any(stored):
            self._decide_anew()
        context = self._registers.context
        for entry in chain(*stored):
            for place in self._descriptors.places(entry, context.roots):
                regime = context.regime(place.va)
                if regime is not None:
                    self._descriptors.learn_link(regime, place, entry)

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI."""
        operation = tlbi_operation(event.encoding)
        if operation is not None:
            self._invalidate(invalidation(operation, event.operand))
            self._decide_anew()
            self._flush()

    def _invalidate(self, what: Invalidation) -> None:
        """Entries go at once or with the DSB; what a walk may still see is there again.

        Where an earlier TLBI is complete but for the ISB, that is all that is missing.
        """
        for entry in self._tlb.reached(what):
            if self._descriptors.is_reloadable(entry.steps) and self._choices.yes(_RELOAD, entry.number):
                continue
            if self._choices.yes(_AT_ONCE, entry.number):
                self._tlb.remove(entry)
            else:
                self._tlb.dying.setdefault(entry, Dying.UNTIL_DSB)

    def register_write(self, event: RegisterWrite) -> None:
        """MSR."""
        if event.register not in NAMES:
            return
        lower = self._registers.context.lower
        if self._registers.context.enabled and lower is not None:
            self._prefetch_below(lower, lower.table_base, lower.start_level, lower.base)
        self._registers.write(event.register, event.value)
        self._learn_trees()
        self._decide_anew()
        self._flush()

    def barrier(self, event: BarrierDone) -> None:
        """DSB, ISB. This CPU's own walks and TLB are reached by all domains."""
        barrier = event.barrier
        if barrier.kind == "isb":
            self._synchronize()
        elif barrier.kind == "dsb":
            if barrier.writes:
                self._descriptors.barrier()
            if barrier.completes_maintenance:
                self._tlb.barrier()
        self._known.clear()

    def _synchronize(self) -> None:
        self._registers.synchronize()
        self._descriptors.synchronize()
        self._tlb.synchronize()
        self._known.clear()

    def returned(self, event: Returned) -> None:
        """ERET."""
        self._synchronize()

    def exception(self, event: ExceptionTaken) -> None:
        """The instruction that caused it may be in the TLB, with its tables."""
        self._prefetch(event.elr)
        self._synchronize()
        self._decide_anew()
        self._flush()

    def store(self, event: Store) -> None:
        """Stores to tables are seen by what they are granted."""

    def cache_flood(self) -> None:
        """Caches are not modelled."""

    def paused(self) -> None:
        """Nothing follows from that."""

    # -- states ---------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """The TLB is empty, and walks see memory as it is."""
        self._tlb.restore(None)
        self._descriptors.restore(None)
        self._known.clear()

    def save(self) -> Any:
        """For `restore`."""
        parts = (self._registers.save(), self._descriptors.save(), self._tlb.save())
        return self._choices.moment, self._entries, parts

    def restore(self, state: Any) -> None:
        """Back to a saved state; None: nothing is known."""
        self._choices.moment, self._entries, parts = state or (0, 0, (None, None, None))
        registers, descriptors, tlb = parts
        self._registers.restore(registers)
        self._descriptors.restore(descriptors)
        self._tlb.restore(tlb)
        self._known.clear()
        self._written.clear()
