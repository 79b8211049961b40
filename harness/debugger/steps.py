# SPDX-License-Identifier: BSD-3-Clause
"""Steps by source line and by frame, forwards and backwards."""

from __future__ import annotations

from harness.debugger.motion import Halt, Motion
from harness.debugger.places import body_of
from harness.debugger.scope import DebugScope
from harness.errors import HarnessError
from harness.image import ElfImage

LIMIT = 1_000_000  # single steps on one source line
_BL, _BL_MASK = 0x9400_0000, 0xFC00_0000  # BL
_BLR, _BLR_MASK = 0xD63F_0000, 0xFFFF_FC1F  # BLR
_RET, _RET_MASK = 0xD65F_0000, 0xFFFF_FC1F

Line = tuple[str, int] | None


class Stepper:
    """Steps of one machine."""

    def __init__(self, motion: Motion, image: ElfImage, scope: DebugScope) -> None:
        self._motion, self._image, self._scope = motion, image, scope
        self._lines: dict[int, tuple[Line, bool]] = {}

    # -- where ------------------------------------------------------------------------------------------

    def _here(self) -> tuple[int, int]:
        registers = self._motion.machine.registers
        return registers["pc"], registers["sp"]

    def _line(self, pc: int) -> tuple[Line, bool]:
        """The source line of an address, and whether a statement starts there."""
        if pc not in self._lines:
            span = self._image.lines.span(pc)
            if span is None or not span[2].line:
                self._lines[pc] = (None, False)
            else:
                self._lines[pc] = ((span[2].file, span[2].line), span[0] == pc and span[2].is_stmt)
        return self._lines[pc]

    def _word(self, pc: int) -> int:
        try:
            return int.from_bytes(self._scope.memory.read(pc, 4), "little")
        except HarnessError:
            return 0

    # -- forwards ---------------------------------------------------------------------------------------

    def instruction(self, *, over: bool) -> Halt:
        """One instruction; `over` a call, the whole of it."""
        pc, sp = self._here()
        if over and _is_call(self._word(pc)):
            return self._return_to(pc + 4, sp)
        return self._motion.step()

    def _return_to(self, address: int, sp: int) -> Halt:
        """Until the call that is about to be made, or is being made, has come back."""
        halt = self._motion.forward({address}, lambda: self._here()[1] >= sp)
        return Halt("step") if halt.reason == "finished" else halt

    def line(self, *, into: bool) -> Halt:
        """To the next source line; `into` functions that have lines."""
        line, stoppoints = self._line(self._here()[0])[0], self._motion.stoppoints.addresses()
        for _ in range(LIMIT):
            pc, sp = self._here()
            word = self._word(pc)
            halt = self._motion.step()
            if halt.reason != "step":
                return halt
            now = self._here()[0]
            if now in stoppoints and (reached := self._motion.stopped_here()):
                return reached
            if _is_call(word) and now != pc + 4:
                if into and self._line(now)[0] is not None:
                    return self._enter(now)
                halt = self._return_to(pc + 4, sp)
                if halt.reason != "step":
                    return halt
                now = self._here()[0]
            if self._arrived(line, now, returned=_is_return(word)):
                return Halt("step")
            if self._motion.timeline.interrupted():
                return Halt("interrupt")
        return Halt("step", detail=f"no other line within {LIMIT} instructions")

    def _arrived(self, start: Line, pc: int, *, returned: bool) -> bool:
        line, is_start = self._line(pc)
        if line is None:
            return start is None
        return line != start and (is_start or returned or start is None)

    def _enter(self, entry: int) -> Halt:
        """A function was called: go to where its prologue has ended."""
        body = body_of(self._image, entry)
        if body == entry:
            return Halt("step")
        halt = self._motion.forward({body})
        return Halt("step") if halt.reason == "finished" else halt

    def finish(self, return_to: int, cfa: int) -> Halt:
        """Until the frame whose caller goes on at `return_to` has returned."""
        return self._motion.forward({return_to}, lambda: self._here()[1] >= cfa)

    # -- backwards --------------------------------------------------------------------------------------

    def line_back(self, *, into: bool) -> Halt:
        """To the first instruction of the line before, or of this one if we are within it."""
        target: Line = None
        for _ in range(LIMIT):
            pc, sp = self._here()
            caller = self._returned_from(pc, into=into)
            halt = self._back_to(caller, sp) if caller else self._motion.step_back()
            if halt.reason != "step":
                return halt
            target = target or self._line(self._here()[0])[0]
            if target is not None and self._is_first(target):
                return Halt("step")
            if self._motion.timeline.interrupted():
                return Halt("interrupt")
        return Halt("step")

    def _is_first(self, line: Line) -> bool:
        """Whether what was executed just before belongs to another line."""
        before = self._motion.timeline.now
        if self._motion.step_back().reason != "step":
            return True
        other = self._line(self._here()[0])[0] != line
        self._motion.timeline.goto(before)
        return other

    def instruction_back(self, *, over: bool) -> Halt:
        """One instruction back; `over` a call that has just returned, the whole of it."""
        pc, sp = self._here()
        caller = self._returned_from(pc, into=not over)
        return self._back_to(caller, sp) if caller else self._motion.step_back()

    def _returned_from(self, pc: int, *, into: bool) -> int | None:
        """The address of the call that has just returned to `pc`, if it did and is to be passed over."""
        if into or not _is_call(self._word(pc - 4)):
            return None
        now = self._motion.timeline.now
        if self._motion.step_back().reason != "step":
            return None
        came_by_return = _is_return(self._word(self._here()[0]))
        self._motion.timeline.goto(now)
        return pc - 4 if came_by_return else None

    def _back_to(self, call: int, sp: int) -> Halt:
        halt = self._motion.backward({call}, lambda: self._here()[1] == sp)
        return Halt("step") if halt.reason == "finished" else halt

    def finish_back(self, call: int, cfa: int) -> Halt:
        """To the call at `call` that entered the frame."""
        return self._motion.backward({call}, lambda: self._here()[1] == cfa)


def _is_call(word: int) -> bool:
    return word & _BL_MASK == _BL or word & _BLR_MASK == _BLR


def _is_return(word: int) -> bool:
    return word & _RET_MASK == _RET
