# SPDX-License-Identifier: BSD-3-Clause
"""Source, instructions, symbols."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from rich.text import Text

from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.expressions.values import ExpressionError, promoted
from harness.debugger.result import Result
from harness.debugger.views.values import symbolic
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

_LINES = 10
_LISTED = 500  # names of functions, variables or types that one command shows


@command("list", "l", group="code", example="list vmm_init", completes="place", view=True, repeats=True)
def list_(debugger: Debugger, arguments: Arguments) -> Result:
    """Show ten source lines: around a place, after those shown last, before them (-), or FIRST,LAST."""
    file, first, last = _range(debugger, arguments.text)
    lines = debugger.sources.lines(file)
    if lines is None:
        raise ExpressionError(f"{file}: no such file below here or beside the image")
    first = max(1, first)
    if first > len(lines):
        raise UsageError(f"Line number {first} out of range; {file} has {len(lines)} lines.")
    shown = list(enumerate(lines[first - 1 : last], first))
    debugger.next_line = (file, first + len(shown))
    text = Text("\n").join(Text.assemble((str(number), "green"), f"\t{line}") for number, line in shown)
    return Result(text, {"file": file, "lines": dict(shown)})


def _range(debugger: Debugger, text: str) -> tuple[str, int, int]:
    """File, first and last line of what is to be listed."""
    if not text and debugger.next_line is not None:
        file, first = debugger.next_line
        return file, first, first + _LINES - 1
    if text == "-" and debugger.next_line is not None:
        file, after = debugger.next_line
        return file, after - 2 * _LINES, after - _LINES - 1
    found = re.fullmatch(r"(\d+),\s*(\d*)", text)
    if found:
        first = int(found[1])
        return debugger.places.current_file(), first, int(found[2]) if found[2] else first + _LINES - 1
    if text in ("", "-"):
        location = debugger.scope.frame.location
    else:
        location = debugger.places.find(text, code=False).location
    if location is None:
        raise ExpressionError("no source lines are known here: the image has no DWARF for this code")
    first = max(1, location.line - _LINES // 2)
    return location.file, first, first + _LINES - 1


@command(
    "disassemble", "disas", group="code", example="disassemble /s vmm_init", completes="place", view=True
)
def disassemble(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the instructions of a function (the selected frame's without one), of START,END or START,+LENGTH.
    /s puts source lines between them, /r shows their encodings."""
    flags, text = arguments.format, arguments.text
    start, end, name = _span(debugger, text)
    if not 0 < end - start <= 1 << 20:
        raise UsageError(f"{start:#x} to {end:#x} is no range to disassemble")
    pc = debugger.machine.registers["pc"]
    lines, place = [f"Dump of assembler code for {name}:"], None
    found = debugger.disassembler.at(start, (end - start + 3) // 4)
    for each in found:
        location = debugger.image.location(each.address)
        if "s" in flags and location is not None and (location.file, location.line) != place:
            if place is None or place[0] != location.file:
                lines.append(f"{location.file}:")
            place = (location.file, location.line)
            lines.append(f"{location.line}\t{debugger.sources.line(*place) or ''}")
        code = f"{each.word:08x}\t" if "r" in flags else ""
        where = symbolic(debugger.image, each.address).strip().removeprefix("<").removesuffix(">")
        offset = f" <+{each.address - start}>" if not text.count(",") else f" <{where}>" if where else ""
        lines.append(
            f"{'=>' if each.address == pc else '  '} {each.address:#018x}{offset}:\t{code}{each.text}"
        )
    data = [{"address": hex(each.address), "word": hex(each.word), "text": each.text} for each in found]
    return Result("\n".join([*lines, "End of assembler dump."]), data)


def _span(debugger: Debugger, text: str) -> tuple[int, int, str]:
    """First address, the one after the last, and the name of what is to be disassembled."""
    if "," in text:
        one, two = (part.strip() for part in text.split(",", 1))
        start = promoted(debugger.evaluator.evaluate(one)).number
        length = two.removeprefix("+")
        end = promoted(debugger.evaluator.evaluate(length)).number + (start if two.startswith("+") else 0)
        return start, end, f"range {start:#x} to {end:#x}"
    address = debugger.scope.frame.frame.pc if not text else None
    if address is None:
        try:
            address = debugger.places.find(text, code=False).addresses[0]
        except HarnessError:
            address = promoted(debugger.evaluator.evaluate(text)).number
    found = debugger.image.symbol_at(address)
    if found is None:
        raise UsageError(f"No function contains {address:#x}: give a range, as in: disassemble $pc,+32")
    symbol, _ = found
    size = symbol.size or 4 * 16  # a label: its first instructions
    return symbol.address, symbol.address + size, f"function {symbol.name}"


@command("info line", group="code", example="info line vmm_init", completes="place", view=True)
def info_line(debugger: Debugger, arguments: Arguments) -> Result:
    """Say which line an address belongs to, and which addresses a line."""
    place = debugger.places.find(arguments.text, code=False)
    address = place.addresses[0]
    span = debugger.image.lines.span(address)
    if span is None:
        return Result(f"No line number information available for address {address:#x}.", None)
    start, end, location = span
    first, after = symbolic(debugger.image, start), symbolic(debugger.image, end)
    where = f'Line {location.line} of "{location.file}"'
    text = f"{where} starts at address {start:#x}{first} and ends at {end:#x}{after}."
    return Result(text, {"file": location.file, "line": location.line, "start": hex(start), "end": hex(end)})


@command("info symbol", group="code", example="info symbol $pc", completes="expression", view=True)
def info_symbol(debugger: Debugger, arguments: Arguments) -> Result:
    """Say which symbol an address belongs to."""
    address = promoted(debugger.evaluator.evaluate(arguments.text)).number
    found = debugger.image.symbol_at(address)
    if found is None:
        return Result(f"No symbol matches {arguments.text}.", None)
    symbol, offset = found
    text = f"{symbol.name}{f' + {offset}' if offset else ''}"
    return Result(text, {"symbol": symbol.name, "offset": offset, "address": hex(symbol.address)})


@command("info address", group="code", example="info address spaces", completes="expression", view=True)
def info_address(debugger: Debugger, arguments: Arguments) -> Result:
    """Say where a symbol is."""
    value = debugger.scope.lookup(arguments.text)
    if value is None:
        raise ExpressionError(f'No symbol "{arguments.text}" in current context.')
    if value.address is None:
        where = f"a variable in ${value.register}" if value.register else "a variable that is optimized out"
        return Result(f'Symbol "{arguments.text}" is {where}.', {"register": value.register})
    text = f'Symbol "{arguments.text}" is at address {value.address:#x}.'
    return Result(text, {"address": hex(value.address)})


def _matching(pattern: str, names: list[str]) -> list[str]:
    """Names with a part, or like a pattern with * and ?, as elsewhere; GDB's anchors ^ and $ work too."""
    if any(letter in pattern for letter in "*?["):
        found = [name for name in names if fnmatchcase(name, pattern)]
    else:
        inner = pattern.removeprefix("^").removesuffix("$")
        found = [
            name
            for name in names
            if inner in name
            and (not pattern.startswith("^") or name.startswith(inner))
            and (not pattern.endswith("$") or name.endswith(inner))
        ]
    return sorted(set(found))


def _listing(title: str, pattern: str, lines: list[str], data: list[str]) -> Result:
    head = f'All {title} matching "{pattern}":' if pattern else f"All {title}:"
    more = [f"... and {len(lines) - _LISTED} more; name a part of the name"] if len(lines) > _LISTED else []
    return Result(Text("\n".join([head, *lines[:_LISTED], *more])), data)


@command("info functions", group="code", example="info functions vmm_arch", completes="place", view=True)
def info_functions(debugger: Debugger, arguments: Arguments) -> Result:
    """List functions whose names have a part or are like a pattern."""
    image = debugger.image
    if not image.has_dwarf:
        symbols = [each for each in image.symbols.all() if image.is_code(each.address)]
        names = _matching(arguments.text, [each.name for each in symbols])
        lines = [f"{image.symbols[name].address:#018x}  {name}" for name in names]
        return _listing("functions (no debug info)", arguments.text, lines, names)
    names = _matching(arguments.text, list(image.functions))
    found = [each for name in names for each in image.functions.all_of(name)]
    lines = [f"{each.file}:{each.line}:\t{each};" for each in found]
    return _listing("defined functions", arguments.text, lines, [str(each) for each in found])


@command("info variables", group="code", example="info variables pool", completes="expression", view=True)
def info_variables(debugger: Debugger, arguments: Arguments) -> Result:
    """List variables of file scope whose names have a part or are like a pattern."""
    image = debugger.image
    if not image.has_dwarf:
        symbols = [each.name for each in image.symbols.all() if each.kind == "object"]
        names = _matching(arguments.text, symbols)
        lines = [f"{image.symbols[name].address:#018x}  {name}" for name in names]
        return _listing("variables (no debug info)", arguments.text, lines, names)
    names = _matching(arguments.text, list(image.variables))
    lines = [f"{image.variables[name].type.declare(name)};" for name in names]
    return _listing("defined variables", arguments.text, lines, names)


@command("info types", group="code", example="info types region", completes="type", view=True)
def info_types(debugger: Debugger, arguments: Arguments) -> Result:
    """List types whose names have a part or are like a pattern."""
    if not debugger.image.has_dwarf:
        raise ExpressionError("No types are known: the image has no DWARF (build it with -g3).")
    names = _matching(arguments.text, list(debugger.image.types))
    return _listing("defined types", arguments.text, names, names)


@command("info source", "info files", group="code", example="info source", view=True)
def info_source(debugger: Debugger, _arguments: Arguments) -> Result:
    """Say what image is debugged, where its segments are, and what it does not tell."""
    image = debugger.image
    lines = [f'Symbols from "{image.path}".', f"Entry point: {image.entry:#x}"]
    for each in image.segments:
        end = each.vaddr + each.memory_size
        lines.append(f"{each.vaddr:#018x} - {end:#018x} {each.permissions} at PA {each.paddr:#x}")
    lines += missing(debugger)
    return Result("\n".join(lines), {"image": str(image.path), "dwarf": image.has_dwarf})


def missing(debugger: Debugger) -> list[str]:
    """What an image lacks, and what does not work for it."""
    image, lines = debugger.image, []
    if not image.has_dwarf:
        lines.append("No DWARF: no source lines, C types, variables or locals; build with -g3 to have them.")
    elif not len(image.macros):
        lines.append("No macros: build with -g3 (clang: also -fdebug-macro) to have them.")
    if not len(image.symbols):
        lines.append("No symbols: the image is stripped; addresses have no names.")
    return lines
