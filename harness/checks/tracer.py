# SPDX-License-Identifier: BSD-3-Clause
"""All events of a machine, written down: as JSON lines, or in the language of casemate."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.arch.bits import bit, get
from harness.arch.maintenance import system_operation_name, tlbi_operation
from harness.machine import ExceptionTaken, Machine
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation

if TYPE_CHECKING:
    from harness.image import ElfImage

Sink = Callable[[str], None]


class _Tracer:
    """A listener that only writes."""

    def __init__(self, machine: Machine, image: ElfImage | None, sink: Sink) -> None:
        self._machine, self._image, self._sink = machine, image, sink

    def cache_flood(self) -> None:
        """Nothing to write."""

    def paused(self) -> None:
        """Nothing to write."""

    def save(self) -> None:
        """A trace has no state."""

    def restore(self, state: Any) -> None:
        """A trace has no state."""


class JsonTracer(_Tracer):
    """A line of JSON for each event. The fields are those of `harness.machine.events`."""

    def _write(self, kind: str, time: int, pc: int, **fields: object) -> None:
        source = "" if self._image is None else self._image.describe(pc)
        self._sink(json.dumps({"event": kind, "time": time, "pc": pc, "source": source, **fields}))

    def store(self, event: Store) -> None:
        """A store to a table."""
        self._write("store", event.time, event.pc, pa=event.pa, size=event.size, value=event.value)

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI, DC, IC: `rounds` of them in a loop, whose operands are `step` apart."""
        name, loop = system_operation_name(event.encoding), {"rounds": event.rounds, "step": event.step}
        self._write("system", event.time, event.pc, name=name, operand=event.operand, **loop)

    def cache_flood(self) -> None:
        """DC and IC are not told of any more, from this one on until the CPU stops."""
        self._write("cache-flood", self._machine.instructions - 1, self._machine.registers["pc"])

    def register_write(self, event: RegisterWrite) -> None:
        """MSR."""
        self._write("msr", event.time, event.pc, register=event.register, value=event.value)

    def barrier(self, event: BarrierDone) -> None:
        """DSB, DMB, ISB."""
        self._write("barrier", event.time, event.pc, name=str(event.barrier))

    def returned(self, event: Returned) -> None:
        """ERET."""
        self._write("eret", event.time, event.pc)

    def exception(self, event: ExceptionTaken) -> None:
        """An exception."""
        levels = {"from_el": event.from_el, "target_el": event.target_el}
        fields = {"esr": event.esr, "far": event.far, "vector": event.vector, **levels}
        self._write("exception", event.time, event.elr, **fields)


class CasemateTracer(_Tracer):
    """S-expressions as casemate-check reads them (https://github.com/rems-project/casemate: the parser of
    src/casemate-check-c, which is ahead of the trace format's documentation).

    Casemate knows stage 1 of EL2, with one half and no ASIDs, and stage 2. EL1 is relabelled as EL2:

        TTBR0_EL1, TCR_EL1, MAIR_EL1, SCTLR_EL1     ttbr0_el2, tcr_el2, mair_el2, sctlr_el2
        TLBI by VA, whatever ASID, IS or OS         vae2is, or vale2is for the last level only
        TLBI by ASID, or of all                     alle2is, or alle2 without IS and OS
        DSB SY, OSH, ISH; their ST forms; NSH       dsb ish; ishst; nsh

    Left out is what its language has no word for. The kernel's half: TTBR1 has no counterpart at EL2
    without VHE, so MSR of it and TLBI of its addresses are missing, and stores to its tables are to memory
    that no root leads to. TLBI by VA for this CPU alone, by range, or for EL2 and EL3; DSB NSHST and those
    for loads; DMB, exceptions, cache maintenance; stores of other than 64 bits. Nor are there its hints and
    locks, with which a kernel says which table belongs to whom.
    """

    def __init__(self, machine: Machine, image: ElfImage | None, sink: Sink) -> None:
        super().__init__(machine, image, sink)
        self._count = 0

    def _write(self, kind: str, pc: int, fields: str) -> None:
        self._sink(f'({kind} (id {self._count}) (tid 0) {fields} (src "{self._source(pc)}"))')
        self._count += 1

    def _source(self, pc: int) -> str:
        """File and line, with the one colon that there must be; 0 is the line of what has none."""
        image = self._image
        where = None if image is None else image.lines.location(pc)
        if where is not None:
            place, line = where.file, where.line
        else:
            place, line = f"{pc:#x}" if image is None else image.describe(pc), 0
        return f"{place[-_SOURCE_LIMIT:].translate(_PLAIN)}:{line}"

    def store(self, event: Store) -> None:
        """Descriptors only: its memory is made of 64-bit words."""
        if event.size == 8 and not event.pa & 7:
            fields = f"(mem-order plain) (address {event.pa:#x}) (value {event.value:#x})"
            self._write("mem-write", event.pc, fields)

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI."""
        operation = tlbi_operation(event.encoding)
        if operation is None or operation.regime != 1:
            return
        if operation.target != "va":
            self._write("tlbi", event.pc, "alle2is" if operation.broadcast else "alle2")
        elif operation.broadcast and not operation.by_range and not bit(event.operand, _UPPER_HALF):
            name = "vale2is" if operation.last_level else "vae2is"
            self._write("tlbi", event.pc, f"{name} (value {event.operand & _TTL_AND_VA:#x})")

    def register_write(self, event: RegisterWrite) -> None:
        """What EL2 has of its own."""
        if event.register in _EL2:
            name, convert = _EL2[event.register]
            self._write("sysreg-write", event.pc, f"(sysreg {name}) (value {convert(event.value):#x})")

    def barrier(self, event: BarrierDone) -> None:
        """ISB and DSB."""
        name = str(event.barrier)
        if name in _BARRIERS:
            self._write("barrier", event.pc, _BARRIERS[name])

    def returned(self, event: Returned) -> None:
        """No word for it."""

    def exception(self, event: ExceptionTaken) -> None:
        """No word for it."""


_SOURCE_LIMIT = 400  # characters; the parser has room for 511
_PLAIN = str.maketrans({'"': "'", ":": "_"})
_UPPER_HALF = 43  # VA[55] in the operand of a TLBI by VA
_TTL_AND_VA = (1 << 48) - 1
_BADDR = 0x0000_FFFF_FFFF_FFFE
_BARRIERS = {
    "ISB": "isb",
    **dict.fromkeys(("DSB SY", "DSB OSH", "DSB ISH"), "dsb (kind ish)"),
    **dict.fromkeys(("DSB ST", "DSB OSHST", "DSB ISHST"), "dsb (kind ishst)"),
    "DSB NSH": "dsb (kind nsh)",
}


def _tcr_el2(value: int) -> int:
    """TCR_EL1 as TCR_EL2 has it (Arm DDI 0487, D24.2): of TTBR0 alone, with PS, TBI, HA, HD elsewhere."""
    moved = get(value, 34, 32) << 16 | get(value, 37, 37) << 20 | get(value, 40, 39) << 21
    return 1 << 31 | 1 << 23 | moved | value & 0xFF3F


_EL2: dict[str, tuple[str, Callable[[int], int]]] = {
    "TTBR0_EL1": ("ttbr0_el2", lambda value: value & _BADDR),
    "TCR_EL1": ("tcr_el2", _tcr_el2),
    "MAIR_EL1": ("mair_el2", lambda value: value),
    "SCTLR_EL1": ("sctlr_el2", lambda value: value),
}

TRACERS: dict[str, type[JsonTracer] | type[CasemateTracer]] = {"json": JsonTracer, "casemate": CasemateTracer}
"""By name of the format. A sanitizer on the same machine decides which stores are told of."""


def attach(machine: Machine, image: ElfImage | None, form: str, sink: Sink) -> None:
    """Write all events of a machine from now on."""
    machine.events.listen(TRACERS[form](machine, image, sink))
