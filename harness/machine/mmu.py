# SPDX-License-Identifier: BSD-3-Clause
"""A translator in the place of the CPU's own TLB and table walk.

Unicorn asks for what its TLB does not hold and keeps the answer until it is flushed. So an answer that may be
another one after the next instruction must not get there: such an instruction is refused, and then executed
alone, between two flushes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from harness.arch.permissions import Access, Rights
from harness.machine.engine import Engine
from harness.machine.exceptions import PAN, current_el

_ALL = 7
_KIB = 1 << 10


class Request(NamedTuple):
    """An access that is to be translated: the first address of its KiB, and who makes it."""

    va: int
    access: Access
    el: int
    pan: bool


class Granted(NamedTuple):
    """Where the KiB is, and what may be done there; `once`: by this instruction."""

    pa: int
    rights: Rights
    once: bool = False


class Translator(Protocol):
    """Who translates for EL1 and EL0, with the MMU on or off."""

    def translate(self, request: Request) -> Granted | int:
        """A translation that allows the access, or the status code of its fault (as ESR_EL1.DFSC)."""

    def stepping(self, va: int, access: Access) -> None:
        """An instruction is about to execute alone, because of its access to this address, to the byte."""

    def stepped(self) -> None:
        """It has executed, or was aborted."""

    def forget(self) -> None:
        """All cached translations are to be forgotten."""


class Mmu:
    """Carries questions of the engine to a translator, and remembers what was refused."""

    def __init__(self, engine: Engine, settle: Callable[[], None], translator: Translator) -> None:
        """`settle` tells of all events before this one."""
        self._engine, self._settle, self.translator = engine, settle, translator
        self._stepping = self._spoilt = False
        self.access: Access = "r"
        self.status = 0
        self.clear()
        engine.translate_by(self._fill)

    def clear(self) -> None:
        """Before a run: nothing is refused."""
        if self._spoilt:
            self._engine.flush_tlb()
        self.refused = self.wants_step = self._spoilt = False

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Within, one instruction is executed, which gets what is granted once."""
        self.translator.stepping(self._engine.refused, self.access)
        self._stepping = True
        self._engine.flush_tlb()
        try:
            yield
        finally:
            self._stepping = False
            self.translator.stepped()
            self._engine.flush_tlb()

    def _fill(self, va: int, access: Access) -> tuple[int, int] | None:
        """What unicorn is told. When a run has ended it looks for the code at its exits, wherever these are;
        a refusal then would end the run another time."""
        pstate = self._engine.read("pstate")
        level = current_el(pstate)
        if level > 1:
            return va, _ALL
        self._settle()
        answer = self.translator.translate(Request(va, access, level, bool(pstate & PAN)))
        if isinstance(answer, Granted) and (self._stepping or not answer.once):
            rights = answer.rights
            return answer.pa, rights.read | rights.write << 1 | rights.execute << 2
        if access == "x" and (self.refused or self.wants_step or va != self._engine.pc & -_KIB):
            self._spoilt = True
            return va, _ALL
        self.access = access
        if isinstance(answer, Granted):
            self.wants_step = True
        else:
            self.refused, self.status = True, answer
        return None
