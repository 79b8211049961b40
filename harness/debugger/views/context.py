# SPDX-License-Identifier: BSD-3-Clause
"""What is shown at a stop: why, the source, the instructions, what changed, the callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from harness.debugger.expressions.values import CValue
from harness.debugger.frames import FrameView, local_value
from harness.debugger.motion import Halt
from harness.debugger.scope import DebugScope
from harness.debugger.stops import Watchpoint
from harness.debugger.views.values import ValueFormat, symbolic
from harness.errors import HarnessError
from harness.image.types import Array, Int
from harness.kernel.failure import describe_exception
from harness.report.listing import grid
from harness.report.space import Heading

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_SOURCE, _INSTRUCTIONS, _REGISTERS, _FRAMES = 3, 4, 6, 5  # lines on either side, and how many of the others
_BYTE = Int("unsigned char", 1, signed=False)
_WORDS = {
    "wfi": "The kernel is idle (WFI); nothing can wake it.",
    "poweroff": "The machine was powered off",
    "reset": "The machine was reset",
    "abort": "The CPU cannot go on",
    "interrupt": "Interrupted.",
    "history": "No more reverse-execution history.",
    "time": "",
    "finished": "",
    "step": "",
}


def stop(
    debugger: Debugger, halt: Halt | None, *, whole_frame: bool, before: Mapping[str, int]
) -> list[RenderableType]:
    """The parts of the stop display."""
    parts: list[RenderableType] = [Text(line, "bold") for line in reason(debugger, halt)]
    hit = Text(f"{parts.pop()}, ", "bold") if halt and halt.reason == "breakpoint" else Text()
    frames = debugger.scope.frames
    if not frames:
        return [*parts, hit + Text(f"{debugger.machine.registers['pc']:#x} in ?? ()")]
    view = debugger.scope.frame
    if whole_frame or view.location is None:
        parts.append(hit + frame_line(debugger, view, number=False))
    parts += source_line(debugger, view)
    if debugger.settings["context"] == "on":
        parts += _context(debugger, view, before)
    return parts


def entered(before: FrameView, scope: DebugScope) -> bool:
    """Whether the innermost frame is another function's than before."""
    now = scope.frames[0] if scope.frames else None
    return now is None or (now.function, now.frame.cfa) != (before.function, before.frame.cfa)


def reason(debugger: Debugger, halt: Halt | None) -> list[str]:
    """Why it stopped, in GDB's words where it has them."""
    if halt is None:
        return []
    point = halt.stoppoint
    if halt.reason == "breakpoint" and point is not None:
        return [f"{'Temporary breakpoint' if point.temporary else 'Breakpoint'} {point.number}"]
    if halt.reason == "watchpoint" and isinstance(point, Watchpoint):
        return _watch_lines(debugger, halt, point)
    if halt.reason == "catch" and point is not None:
        taken = describe_exception(halt.taken).splitlines() if halt.taken is not None else []
        return [f"Catchpoint {point.number} ({point.what})", *taken, *halt.detail.splitlines()]
    words = _WORDS.get(halt.reason, "")
    detail = f": {halt.detail}" if halt.detail else ""
    return [words + detail] if words or detail else []


def _watch_lines(debugger: Debugger, halt: Halt, point: Watchpoint) -> list[str]:
    assert halt.hit is not None
    kind = {
        "w": "Hardware watchpoint",
        "r": "Hardware read watchpoint",
        "rw": "Hardware access (read/write) watchpoint",
    }
    lines = [f"{kind[point.access]} {point.number}: {point.what}"]
    hit = halt.hit
    whole = Int("word", point.size, signed=False) if point.size in (1, 2, 4, 8) else Array(_BYTE, point.size)
    ctype = point.type or whole
    format_ = ValueFormat(debugger.scope, "" if point.type is not None else "z")
    old = format_.text(CValue(ctype, hit.old))
    if not hit.access.write:
        return [*lines, f"Value = {old}"]
    from harness.debugger.probes import stored

    new = format_.text(CValue(ctype, stored(hit.old, point.pa, hit.access)))
    if debugger.timeline.now <= hit.before and point.changes:  # gone back: the change is undone
        return [*lines, f"Old value = {new}", f"New value = {old}"]
    return [*lines, f"Old value = {old}", f"New value = {new}"]


def frame_line(debugger: Debugger, view: FrameView, *, number: bool = True) -> Text:
    """`#0  vmm_init (memory=0x...) at core/vmm.c:12`, with the address where GDB has it."""
    text = Text(f"#{view.index:<3}" if number else "")
    span = debugger.image.lines.span(view.frame.pc) if view.location else None
    if not view.is_inlined and (
        view.location is None or not view.frame.is_exact or not span or span[0] != view.frame.pc
    ):
        text.append(f"{view.frame.pc:#018x}", "blue").append(" in ")
    text.append(view.function or "??", "yellow").append(f" ({arguments(debugger, view)})")
    if view.location is not None:
        text.append(" at ").append(f"{view.location.file}:{view.location.line}", "green")
    elif view.function is None and not debugger.image.has_dwarf:
        text.append(" (no symbol)")
    return text


def arguments(debugger: Debugger, view: FrameView) -> str:
    """`name=value, ...`; structs are cut short."""
    if not debugger.image.has_dwarf:
        return ""
    shown = []
    for each in reversed(debugger.image.scopes.locals(view.lookup, view.depth)):
        if each.is_parameter:
            value = local_value(debugger.image, view, debugger.scope.memory, each)
            text = ValueFormat(debugger.scope).text(value)
            shown.append(f"{each.name}={'...' if text.startswith('{') else text}")
    return ", ".join(shown)


def source_line(debugger: Debugger, view: FrameView) -> list[RenderableType]:
    """The line's number and text, as GDB shows it; the file where the text cannot be found."""
    if view.location is None:
        return []
    text = debugger.sources.line(view.location.file, view.location.line)
    if text is None:
        return [Text(f"{view.location.line}\tin {view.location.file}")]
    return [Text.assemble((str(view.location.line), "green"), f"\t{text}")]


def _context(debugger: Debugger, view: FrameView, before: Mapping[str, int]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    location = view.location
    lines = debugger.sources.lines(location.file) if location else None
    if location and lines:
        parts.append(Heading(f"source: {location.file}"))
        first = max(1, location.line - _SOURCE)
        for number in range(first, min(len(lines), location.line + _SOURCE) + 1):
            here = number == location.line
            parts.append(
                Text(f"{'->' if here else '  '} {number:>4}  {lines[number - 1]}", "bold" if here else "")
            )
    parts += _instructions(debugger)
    parts += _registers(debugger, before)
    if len(debugger.scope.frames) > 1:
        parts.append(Heading("backtrace"))
        parts += [frame_line(debugger, each) for each in debugger.scope.frames[:_FRAMES]]
    return parts


def _instructions(debugger: Debugger) -> list[RenderableType]:
    pc = debugger.machine.registers["pc"]
    try:
        found = debugger.disassembler.at(pc, _INSTRUCTIONS)
    except HarnessError:
        return [Text(f"   {pc:#x}: cannot be read")]
    lines: list[RenderableType] = [Heading("instructions")]
    for each in found:
        arrow, label = ("=>", "bold") if each.address == pc else ("  ", "")
        where = f"{each.address:#x}{symbolic(debugger.image, each.address)}"
        lines.append(Text(f"{arrow} {where}:  {each.text.replace(chr(9), ' ')}", label))
    return lines


def _registers(debugger: Debugger, before: Mapping[str, int]) -> list[RenderableType]:
    """General registers that are not as they were when the command began."""
    if not before:
        return []
    now = {name: value for name, value in debugger.machine.registers.items() if name != "pc"}
    changed = [name for name, value in now.items() if before.get(name) != value]
    table = grid("", "", "", "")
    table.show_header = False
    for name in changed[:_REGISTERS]:
        table.add_row(
            name, f"{before[name]:#x}", "->", f"{now[name]:#x}{symbolic(debugger.image, now[name])}"
        )
    more = [Text(f"and {len(changed) - _REGISTERS} more")] if len(changed) > _REGISTERS else []
    return [Heading("registers that changed"), table, *more] if changed else []


def data(debugger: Debugger, halt: Halt | None) -> dict[str, Any]:
    """A stop for programs."""
    frame = debugger.scope.frames[0] if debugger.scope.frames else None
    location = frame.location if frame else None
    return {
        "reason": halt.reason if halt else None,
        "number": halt.stoppoint.number if halt and halt.stoppoint else None,
        "time": str(debugger.timeline.now),
        "pc": hex(debugger.machine.registers["pc"]),
        "function": frame.function if frame else None,
        "file": location.file if location else None,
        "line": location.line if location else None,
    }
