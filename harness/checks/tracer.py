# SPDX-License-Identifier: BSD-3-Clause
"""All events of a machine, written down: as JSON lines, or in the language of casemate.

Casemate (https://github.com/rems-project/casemate) checks traces of EL2 and stage 2. EL1 is relabelled as EL2
for it, and what its language has no word for is left out: ASIDs, exceptions, cache maintenance.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.arch.maintenance import invalidation, system_operation_name, tlbi_operation
from harness.machine import ExceptionTaken, Machine
from harness.machine.events import BarrierDone, RegisterWrite, Returned, Store, SystemOperation

if TYPE_CHECKING:
    from harness.image import ElfImage

Sink = Callable[[str], None]
_ROOTS = ("TTBR0_EL1", "TTBR1_EL1")
_BADDR = 0x0000_FFFF_FFFF_FFFE


class _Tracer:
    """A listener that only writes."""

    def __init__(self, image: ElfImage | None, sink: Sink) -> None:
        self._image, self._sink = image, sink

    def _source(self, pc: int) -> str:
        return "" if self._image is None else self._image.describe(pc)

    def cache_flood(self) -> None:
        """Nothing to write."""

    def paused(self) -> None:
        """Nothing to write."""

    def save(self) -> None:
        """A trace has no state."""

    def restore(self, state: Any) -> None:
        """A trace has no state."""


class JsonTracer(_Tracer):
    """A line of JSON for each event."""

    def _write(self, kind: str, time: int, pc: int, **fields: object) -> None:
        line = {"event": kind, "time": time, "pc": pc, "source": self._source(pc), **fields}
        self._sink(json.dumps(line))

    def store(self, event: Store) -> None:
        """A store to a table."""
        self._write("store", event.time, event.pc, pa=event.pa, size=event.size, value=event.value)

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI, DC, IC."""
        name = system_operation_name(event.encoding)
        self._write("system", event.time, event.pc, name=name, operand=event.operand)

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
        self._write("exception", event.time, event.elr, esr=event.esr, far=event.far, vector=event.vector)


class CasemateTracer(_Tracer):
    """S-expressions as casemate-check reads them."""

    def __init__(self, image: ElfImage | None, sink: Sink) -> None:
        super().__init__(image, sink)
        self._count = 0

    def _write(self, kind: str, pc: int, fields: str) -> None:
        source = self._source(pc).replace('"', "'")
        self._sink(f'({kind} (id {self._count}) (tid 0) {fields} (src "{source}"))')
        self._count += 1

    def store(self, event: Store) -> None:
        """Descriptors only: its memory is made of 64-bit words."""
        if event.size == 8:
            fields = f"(mem-order plain) (address {event.pa:#x}) (value {event.value:#x})"
            self._write("mem-write", event.pc, fields)

    def system_operation(self, event: SystemOperation) -> None:
        """TLBI by address and of everything; the level of an address is any."""
        operation = tlbi_operation(event.encoding)
        if operation is None:
            return
        name = operation.name.lower()
        if operation.target == "va":
            start = invalidation(operation, event.operand).start
            name = name.replace("vaa", "va").replace("e1", "e2")
            self._write("tlbi", event.pc, f"{name} (addr {start >> 12:#x}) (level 0)")
        else:
            self._write("tlbi", event.pc, "alle1is" if operation.broadcast else "vmalle1")

    def register_write(self, event: RegisterWrite) -> None:
        """Roots."""
        if event.register in _ROOTS:
            fields = f"(sysreg ttbr0_el2) (value {event.value & _BADDR:#x})"
            self._write("sysreg-write", event.pc, fields)

    def barrier(self, event: BarrierDone) -> None:
        """It has no DMB."""
        kind = event.barrier.kind
        if kind == "isb":
            self._write("barrier", event.pc, "isb")
        elif kind == "dsb":
            self._write("barrier", event.pc, f"dsb (kind {str(event.barrier).split()[-1].lower()})")

    def returned(self, event: Returned) -> None:
        """No word for it."""

    def exception(self, event: ExceptionTaken) -> None:
        """No word for it."""


TRACERS: dict[str, type[JsonTracer] | type[CasemateTracer]] = {"json": JsonTracer, "casemate": CasemateTracer}
"""By name of the format. A sanitizer on the same machine decides which stores are told of."""


def attach(machine: Machine, image: ElfImage | None, form: str, sink: Sink) -> None:
    """Write all events of a machine from now on."""
    machine.events.listen(TRACERS[form](image, sink))
