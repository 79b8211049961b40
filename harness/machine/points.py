# SPDX-License-Identifier: BSD-3-Clause
"""Addresses at which the engine stops, before the instruction there.

Most are exits of the engine, which cost nothing elsewhere. Where those cannot be used (`Engine.set_exits`), a
hook does the same; each of them makes every instruction slower.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.errors import MachineError
from harness.machine.engine import Engine
from harness.machine.hooks import Hook
from harness.machine.ram import PAGE

WFI = 0xD503207F
_WIDTH = 4  # bytes of an instruction
_TOP = 48  # bits 55:48 are alike in every address that can be translated; tags may be above them


class Points:
    """The addresses, and how to get past one."""

    def __init__(
        self,
        engine: Engine,
        on_hook: Callable[[int], None],
        read_instruction: Callable[[int], int | None],
        physical: Callable[[int], int | None],
    ) -> None:
        self._engine, self._on_hook = engine, on_hook
        self._read_instruction, self._physical = read_instruction, physical
        self._exits: set[int] = set()
        self._hooks: dict[int, Hook] = {}
        self.armed: dict[int, None] = {}  # in the order of arming

    def ends(self, pc: int) -> bool:
        """Whether a run that ended by itself may have done so because of an exit."""
        return pc in self._exits

    def change(self, *, add: Collection[int] = (), remove: Collection[int] = ()) -> None:
        """Arm and disarm addresses; what is translated already is translated again."""
        before = frozenset(self._exits)
        for va in remove:
            self._disarm(va)
        for va in add:
            self._arm(va)
        if self._exits != before:
            self._engine.set_exits(self._exits)
            self._engine.flush_code()

    def _arm(self, va: int) -> None:
        if va in self.armed:
            return
        self.armed[va] = None
        if va >> _TOP & 0xFF not in (0, 0xFF):
            return  # no table can map it: it is reached by the abort of its fetch
        if va % PAGE == 0 or self._read_instruction(va - _WIDTH) in (WFI, None):
            self._hooks[va] = self._engine.on_address(va, self._on_hook)
        else:
            self._exits.add(va)

    def _disarm(self, va: int) -> None:
        del self.armed[va]
        self._exits.discard(va)
        if va in self._hooks:
            self._hooks.pop(va).remove()

    def run(self, pc: int, limit: int) -> str | None:
        """`Engine.run`; from an exit only the one instruction there."""
        if pc not in self._exits:
            return self._engine.run(pc, limit)
        self._engine.set_exits(self._exits - {pc})
        place = self._place(pc)
        try:
            self._forget(place)
            return self._engine.run(pc, 1)
        finally:
            self._engine.set_exits(self._exits)
            self._forget(place)

    def _place(self, pc: int) -> int | None:
        try:
            return self._physical(pc)
        except MachineError:
            return None

    def _forget(self, place: int | None) -> None:
        """Drop the translation of the instruction at a physical address; not known: of everything."""
        if place is None:
            self._engine.flush_code()
        else:
            self._engine.forget_code([(place, place + _WIDTH)])
