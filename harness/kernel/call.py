# SPDX-License-Identifier: BSD-3-Clause
"""Calling C functions on a stopped machine."""

from __future__ import annotations

from typing import Any

from harness.errors import CallError
from harness.image import Prototype
from harness.kernel.aapcs64 import Placement, place_arguments, take_result
from harness.kernel.scratch import Scratch
from harness.kernel.session import RETURN_ADDRESS, Session

_STACK_ALIGNMENT = 16
_KEPT = ("sp", "pc", "x29", "x30")


class CFunction:
    """`kernel.name`: call it, or look at its `prototype` and `address`."""

    def __init__(self, session: Session, scratch: Scratch, prototype: Prototype) -> None:
        self._session, self._scratch = session, scratch
        self.prototype = prototype
        self.__name__ = prototype.name
        self.__doc__ = f"{prototype}\n\n{prototype.file}:{prototype.line}"

    @property
    def address(self) -> int | None:
        """Where its code is; None when the compiler left none."""
        return self.prototype.address

    def __call__(self, *arguments: Any, budget: int | None = None) -> Any:
        """Call it and return the result as a Python value.

        Arguments are converted by the prototype, and nothing runs unless all of them fit. Raises CallError
        for those that do not, and GuestError with an `autopsy` when the call does not come back.
        """
        return self.counted(*arguments, budget=budget)[0]

    def counted(self, *arguments: Any, budget: int | None = None) -> tuple[Any, int]:
        """The result, and the instructions that the call retired."""
        if self.prototype.address is None or not self.prototype.is_callable:
            raise CallError(f"{self.prototype}: the compiler left no code to call (inlined, or changed)")
        registers = self._session.machine.registers
        mark, kept = self._scratch.used, {name: registers[name] for name in _KEPT}
        try:
            placement = place_arguments(self.prototype.type, arguments, self._scratch, self.prototype.name)
            self._enter(self.prototype.address, placement)
            retired = self._session.run_function(self.prototype.name, budget)
            return self._leave(placement), retired
        finally:
            self._scratch.used = mark
            for name, value in kept.items():
                registers[name] = value

    def _enter(self, address: int, placement: Placement) -> None:
        registers = self._session.machine.registers
        stack = b"".join(word.to_bytes(8, "little") for word in placement.stack)
        sp = registers["sp"] - len(stack)
        sp -= sp % _STACK_ALIGNMENT
        if stack:
            self._session.memory.write(sp, stack)
        for name, value in placement.registers.items():
            registers[name] = value
        registers["sp"], registers["x29"], registers["x30"] = sp, 0, RETURN_ADDRESS
        registers["pc"] = address

    def _leave(self, placement: Placement) -> Any:
        memory, registers = self._session.memory, self._session.machine.registers
        for address, lent in placement.writable:
            lent[:] = memory.read(address, len(lent))
        return take_result(self.prototype.type, placement, registers["x0"], registers["x1"], memory)

    def __repr__(self) -> str:
        return f"<{self.prototype}>"
