# SPDX-License-Identifier: BSD-3-Clause
"""Breakpoints, watchpoints, catchpoints."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from rich.text import Text

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.result import Result
from harness.debugger.stops import CATCHES, Access, Breakpoint, Catchpoint, Stoppoint, Watchpoint
from harness.image import ElfImage
from harness.report.listing import grid

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_CONDITION = re.compile(r"(?:^|\s)if(?=[\s(])")
_ERET = 0xD69F_03E0
_TLBI, _TLBI_MASK = 0xD508_8000, 0xFFF8_F000  # SYS with op0 = 1, CRn = 8 (Arm DDI 0487, C5.5)
_RT = 0x1F
_INSTRUCTIONS = ("eret", "tlbi", "ttbr")


def split_condition(text: str) -> tuple[str, str]:
    """`PLACE if CONDITION` in two."""
    found = _CONDITION.search(text)
    return (text[: found.start()].strip(), text[found.end() :].strip()) if found else (text.strip(), "")


def _add(debugger: Debugger, text: str, *, temporary: bool = False) -> Result:
    where, condition = split_condition(text)
    place = debugger.places.find(where)
    if condition:
        _check(debugger, condition)
    point = Breakpoint(
        where or hex(place.addresses[0]), temporary=temporary, condition=condition, addresses=place.addresses
    )
    debugger.stoppoints.add(point)
    file = f": file {place.location.file}, line {place.location.line}." if place.location else ""
    more = f" ({len(place.addresses)} locations)" if len(place.addresses) > 1 else ""
    name = "Temporary breakpoint" if temporary else "Breakpoint"
    return Result(f"{name} {point.number} at {place.addresses[0]:#x}{file}{more}")


def _check(debugger: Debugger, condition: str) -> None:
    """Refuse a condition that is no C; names it does not know may be known where it will be asked."""
    from harness.debugger.expressions.parse import parse

    parse(condition, debugger.image, debugger.scope.is_variable)


@command(
    "break",
    "b",
    "br",
    "brea",
    group="stops",
    example="break vmm_arch_map if va == 0x200000",
    completes="place",
)
def break_(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop at a place: a function, FILE:LINE, LINE or *ADDRESS; with `if`, only where a condition holds.
    A function is stopped at where its prologue has ended; write *NAME for its first instruction."""
    return _add(debugger, arguments.text)


@command("tbreak", "tb", group="stops", example="tbreak kernel_main", completes="place")
def tbreak(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop at a place once."""
    return _add(debugger, arguments.text, temporary=True)


@command("hbreak", "hb", group="stops", example="hbreak *0x40200000", completes="place")
def hbreak(debugger: Debugger, arguments: Arguments) -> Result:
    """The same as break: no breakpoint changes memory here, and there can be any number."""
    return _add(debugger, arguments.text)


def watch_target(debugger: Debugger, text: str, access: Access) -> Watchpoint:
    """What is to be watched: an lvalue, or `phys ADDRESS [SIZE]`. Raises HarnessError."""
    where, condition = split_condition(text)
    if not where:
        raise UsageError("what to watch is missing: an lvalue, *ADDRESS, or phys ADDRESS [SIZE]")
    if where.startswith("phys "):
        pa, size = _physical(debugger, where)
        ctype = None
    else:
        value = debugger.evaluator.evaluate(where.removeprefix("-l ").removeprefix("-location "))
        if value.address is None:
            raise UsageError(f"{where} is not in memory: what is kept in a register cannot be watched")
        found = debugger.scope.memory.physical(value.address)
        if found is None:
            raise UsageError(f"{where} is at {value.address:#x}, which no memory is behind now")
        if value.type.size is None:
            raise UsageError(f"{where} has no size: watch what is in it, as *(char *)&{where}")
        pa, size, ctype = found, value.type.size, value.type
    if not debugger.machine.memory.contains(pa, size) or not size:
        raise UsageError(f"[{pa:#x}, {pa + size:#x}) is not RAM")
    if condition:
        _check(debugger, condition)
    return Watchpoint(where, condition=condition, pa=pa, size=size, access=access, type=ctype)


def _physical(debugger: Debugger, text: str) -> tuple[int, int]:
    address, _, size = text.removeprefix("phys ").strip().partition(" ")
    return debugger.evaluator.evaluate(address).number, debugger.evaluator.evaluate(size or "8").number


def _watch(debugger: Debugger, text: str, access: Access) -> Result:
    point = debugger.stoppoints.add(watch_target(debugger, text, access))
    assert isinstance(point, Watchpoint)
    name = {"w": "Hardware watchpoint", "r": "Hardware read watchpoint"}.get(
        access, "Hardware access (read/write) watchpoint"
    )
    return Result(f"{name} {point.number}: {point.what} (PA {point.pa:#x}, {point.size} bytes)")


@command("watch", "wa", group="stops", example="watch frames.free", completes="expression")
def watch(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop when an lvalue changes; `phys ADDRESS [SIZE]` watches physical memory, as a page-table entry.
    It is the memory behind the expression now that is watched, whatever maps it later."""
    return _watch(debugger, arguments.text, "w")


@command("rwatch", "rw", group="stops", example="rwatch phys 0x40001000 8", completes="expression")
def rwatch(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop when an lvalue is read."""
    return _watch(debugger, arguments.text, "r")


@command("awatch", "aw", group="stops", example="awatch spaces", completes="expression")
def awatch(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop when an lvalue is read or written."""
    return _watch(debugger, arguments.text, "rw")


@command("catch", group="stops", example="catch fault", completes="catch")
def catch(debugger: Debugger, arguments: Arguments) -> Result:
    """Stop at an event: exception (any), fault (aborts and the like), svc, eret, tlbi, ttbr (a write of
    TTBR0_EL1 or TTBR1_EL1), sanitizer (a finding of the MMU sanitizer).
    At exceptions the CPU stands at the vector, at findings after the instruction, else before it."""
    event, condition = split_condition(arguments.text)
    if event not in CATCHES:
        raise UsageError(f"nothing is called {event!r}; catch one of {', '.join(CATCHES)}")
    if event == "sanitizer":
        debugger.sanitize()
    addresses = instructions(debugger.image, event)
    if event in _INSTRUCTIONS and not addresses:
        raise UsageError(f"the image has no instruction for {event}")
    point = debugger.stoppoints.add(Catchpoint(event, condition=condition, event=event, addresses=addresses))
    return Result(f"Catchpoint {point.number} ({event})")


def instructions(image: ElfImage, event: str) -> tuple[int, ...]:
    """Where the executable segments have the instructions of an event, at each address they may run at."""
    found = []
    for segment in image.segments:
        if "x" not in segment.permissions:
            continue
        words = struct.unpack(f"<{len(segment.data) // 4}I", segment.data[: len(segment.data) // 4 * 4])
        offsets = [4 * at for at, word in enumerate(words) if _is(word, event)]
        found += [base + offset for base in {segment.vaddr, segment.paddr} for offset in offsets]
    return tuple(sorted(found))


def _is(word: int, event: str) -> bool:
    if event == "eret":
        return word == _ERET
    if event == "tlbi":
        return word & _TLBI_MASK == _TLBI
    writes = {SYSTEM_REGISTERS[name].mrs & ~(1 << 21) for name in ("TTBR0_EL1", "TTBR1_EL1")}
    return event == "ttbr" and word & ~_RT in writes


@command(
    "info breakpoints", "info watchpoints", "info b", group="stops", example="info breakpoints", view=True
)
def info_breakpoints(debugger: Debugger, _arguments: Arguments) -> Result:
    """List breakpoints, watchpoints and catchpoints."""
    if not len(debugger.stoppoints):
        return Result("No breakpoints or watchpoints.", [])
    table = grid("Num", "Type", "Disp", "Enb", "Address", "~What")
    for each in debugger.stoppoints:
        disposition, enabled = "del" if each.temporary else "keep", "y" if each.enabled else "n"
        table.add_row(
            str(each.number), each.kind, disposition, enabled, _address(each), _what(debugger, each)
        )
    return Result(table, [_data(each) for each in debugger.stoppoints])


def _address(point: Stoppoint) -> str:
    if isinstance(point, Watchpoint):
        return f"PA {point.pa:#x}"
    return f"{point.addresses[0]:#018x}" if isinstance(point, Breakpoint) else ""


def _what(debugger: Debugger, point: Stoppoint) -> Text:
    text = Text(point.what)
    if isinstance(point, Breakpoint):
        text = Text("\n").join(Text("in " + debugger.image.describe(each)) for each in point.addresses)
    if point.condition:
        text.append(f"\nstop only if {point.condition}")
    if point.hits:
        text.append(f"\nbreakpoint already hit {point.hits} time{'s' if point.hits > 1 else ''}")
    if point.ignore:
        text.append(f"\nignore next {point.ignore} hits")
    for line in point.commands:
        text.append(f"\n    {line}")
    return text


def _data(point: Stoppoint) -> dict[str, object]:
    found: dict[str, object] = {"number": point.number, "kind": point.kind, "what": point.what}
    found |= {"enabled": point.enabled, "hits": point.hits, "condition": point.condition or None}
    if isinstance(point, Watchpoint):
        return found | {"pa": hex(point.pa), "size": point.size}
    addresses = point.addresses if isinstance(point, Breakpoint | Catchpoint) else ()
    return found | {"addresses": [hex(each) for each in addresses]}


def _chosen(debugger: Debugger, text: str) -> list[Stoppoint]:
    """The ones that numbers and ranges (2-5) name; all without. Raises HarnessError."""
    if not text:
        return list(debugger.stoppoints)
    numbers: list[int] = []
    for word in text.replace(",", " ").split():
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if found is None:
            raise UsageError(f"Bad breakpoint number {word!r}")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return [debugger.stoppoints[number] for number in numbers]


def _one(debugger: Debugger, text: str) -> Stoppoint:
    """The one that a number names. Raises HarnessError."""
    if not text.isdecimal():
        raise UsageError(f"a breakpoint's number comes first, not {text!r}; see: info breakpoints")
    return debugger.stoppoints[int(text)]


@command("delete", "d", "del", group="stops", example="delete 2")
def delete(debugger: Debugger, arguments: Arguments) -> Result:
    """Delete breakpoints by their numbers, all without; `delete display N` deletes a display."""
    text = arguments.text.removeprefix("breakpoints").strip()
    if text.split(" ")[0] == "display":
        from harness.debugger.commands.data import undisplay

        return undisplay(debugger, Arguments(text.removeprefix("display").strip()))
    for each in _chosen(debugger, text):
        debugger.stoppoints.remove(each.number)
    return Result()


@command("clear", group="stops", example="clear vmm_arch_map", completes="place")
def clear(debugger: Debugger, arguments: Arguments) -> Result:
    """Delete the breakpoints at a place."""
    place = debugger.places.find(arguments.text)
    gone = [
        each
        for each in debugger.stoppoints
        if isinstance(each, Breakpoint) and set(each.addresses) & set(place.addresses)
    ]
    if not gone:
        raise UsageError(f"No breakpoint at {arguments.text}.")
    for each in gone:
        debugger.stoppoints.remove(each.number)
    return Result(
        f"Deleted breakpoint{'s' if len(gone) > 1 else ''} {' '.join(str(each.number) for each in gone)}"
    )


@command("enable", "en", group="stops", example="enable 1-3")
def enable(debugger: Debugger, arguments: Arguments) -> Result:
    """Enable breakpoints by their numbers, all without."""
    for each in _chosen(debugger, arguments.text):
        each.enabled = True
    return Result()


@command("disable", "dis", "disa", group="stops", example="disable 2")
def disable(debugger: Debugger, arguments: Arguments) -> Result:
    """Disable breakpoints by their numbers, all without."""
    for each in _chosen(debugger, arguments.text):
        each.enabled = False
    return Result()


@command("condition", group="stops", example="condition 1 va == 0x200000", completes="expression")
def condition(debugger: Debugger, arguments: Arguments) -> Result:
    """Give a breakpoint a condition, or without one take it away."""
    number, _, text = arguments.text.partition(" ")
    point = _one(debugger, number)
    if text.strip():
        _check(debugger, text)
    point.condition = text.strip()
    return Result("" if text.strip() else f"Breakpoint {point.number} now unconditional.")


@command("ignore", group="stops", example="ignore 1 10")
def ignore(debugger: Debugger, arguments: Arguments) -> Result:
    """Let a breakpoint be passed so many times."""
    words = arguments.words
    if len(words) != 2:
        raise UsageError("a number and a count are needed, as in: ignore 1 10")
    point = _one(debugger, words[0])
    point.ignore = debugger.evaluator.evaluate(words[1]).number
    return Result(f"Will ignore next {point.ignore} crossings of breakpoint {point.number}.")


@command("commands", group="stops", example="commands 1 print *as; backtrace")
def commands(debugger: Debugger, arguments: Arguments) -> Result:
    """Give a breakpoint commands to run when it is hit, separated by semicolons; none takes them away."""
    number, _, text = arguments.text.partition(" ")
    point = _one(debugger, number)
    point.commands = [line.strip() for line in text.split(";") if line.strip()]
    return Result()
