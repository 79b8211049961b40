# SPDX-License-Identifier: BSD-3-Clause
"""Values, memory, types, registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from harness.arch.sysreg import SYSTEM_REGISTERS
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.expressions.values import UNSIGNED_LONG, CValue, ExpressionError, from_number, promoted
from harness.debugger.result import Result
from harness.debugger.views import registers as registers_view
from harness.debugger.views import types as types_view
from harness.debugger.views import values as values_view
from harness.debugger.views.memory import Format, MemoryView, parse_format
from harness.debugger.views.values import FORMATS, ValueFormat
from harness.image.types import Void, strip

if TYPE_CHECKING:
    from harness.debugger.session import Debugger


def show_value(debugger: Debugger, value: CValue, format_: str) -> Result:
    """`$N = value`, kept in the history."""
    letter = _letter(format_)
    text = ValueFormat(debugger.scope, letter).top(value)
    if not isinstance(strip(value.type), Void):
        debugger.scope.history.append(value)
    number = len(debugger.scope.history)
    shown = f"${number} = {text}"
    data = {"number": number, "type": str(value.type), "value": values_view.data_of(debugger.scope, value)}
    return Result(shown, {**data, "text": text})


def _letter(format_: str) -> str:
    letter = format_.lstrip("0123456789")
    if len(letter) > 1 or (letter and letter not in FORMATS):
        raise UsageError(
            f'Format letter "{letter}" is meaningless in "print" command; there are {" ".join(FORMATS)}'
        )
    return letter


@command(
    "print", "p", "inspect", group="data", example="print/x vma->start", completes="expression", view=True
)
def print_(debugger: Debugger, arguments: Arguments) -> Result:
    """Print the value of a C expression: members, arrays, casts, pointers, macros, enumerators, $registers.
    ARRAY@N shows N elements. Formats: x d u o t(binary) a(ddress) c(har) s(tring) z(ero-padded)."""
    if not arguments.text:
        if not debugger.scope.history:
            raise UsageError("an expression is missing, as in: print *as")
        return show_value(debugger, debugger.scope.history[-1], arguments.format)
    return show_value(debugger, debugger.evaluator.evaluate(arguments.text), arguments.format)


@command("output", group="data", example="output frames.free", completes="expression")
def output(debugger: Debugger, arguments: Arguments) -> Result:
    """Print a value without a number and without keeping it."""
    value = debugger.evaluator.evaluate(arguments.text)
    return Result(ValueFormat(debugger.scope, _letter(arguments.format)).text(value))


@command("set variable", "set var", group="data", example="set var frames.free = 0", completes="expression")
def set_variable(debugger: Debugger, arguments: Arguments) -> Result:
    """Evaluate an assignment to a variable, a register, or a convenience variable of the debugger.
    What changes in the machine becomes part of history from here on."""
    debugger.evaluator.evaluate(arguments.text)
    return Result()


@command("x", group="data", example="x/8gx $sp", completes="expression", view=True, repeats=True)
def examine(debugger: Debugger, arguments: Arguments) -> Result:
    """Show memory at a virtual address: x/COUNT FORMAT SIZE, as x/4i $pc, x/s name, x/16xb &spaces.
    Formats as for print, and i(nstructions), s(trings); sizes b, h, w, g for 1, 2, 4, 8 bytes."""
    view = MemoryView(debugger.image, debugger.scope.memory.read)
    return _examine(debugger, arguments, view)


@command("xp", group="data", example="xp/8gx 0x40000000", completes="expression", view=True, repeats=True)
def examine_physical(debugger: Debugger, arguments: Arguments) -> Result:
    """Show memory at a physical address; formats as for x."""
    view = MemoryView(debugger.image, debugger.machine.memory.read, symbols=False)
    return _examine(debugger, arguments, view)


def _examine(debugger: Debugger, arguments: Arguments, view: MemoryView) -> Result:
    how = parse_format(arguments.format, debugger.format)
    if arguments.text:
        address = promoted(debugger.evaluator.evaluate(arguments.text)).number
    elif debugger.next_memory is not None:
        address = debugger.next_memory
    else:
        raise UsageError("an address is missing, as in: x/8gx $sp")
    if not 0 < how.count <= 100_000:
        raise UsageError(f"{how.count} is not a count of things to show")
    lines, end = view.show(address, how, debugger.machine.registers["pc"])
    debugger.format, debugger.next_memory = Format(1, how.letter, how.size), end
    debugger.scope.variables["_"] = from_number(address, UNSIGNED_LONG)
    data = {"address": hex(address), "lines": [line.split("\t") for line in lines]}
    return Result("\n".join(lines), data)


@command("ptype", group="data", example="ptype struct frame", completes="type", view=True)
def ptype(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the definition of a type, or of an expression's type."""
    if not arguments.text:
        raise UsageError("a type or an expression is missing, as in: ptype struct frame")
    ctype = debugger.evaluator.type_name(arguments.text)
    ctype = ctype or debugger.evaluator.evaluate(arguments.text).type
    return Result(Text(f"type = {types_view.describe(ctype)}"), types_view.data_of(ctype))


@command("whatis", group="data", example="whatis spaces.live", completes="expression", view=True)
def whatis(debugger: Debugger, arguments: Arguments) -> Result:
    """Show the name of an expression's type."""
    ctype = debugger.evaluator.type_name(arguments.text)
    ctype = ctype or debugger.evaluator.evaluate(arguments.text).type
    return Result(f"type = {ctype}", {"type": str(ctype)})


@command("display", group="data", example="display/x $x0", completes="expression")
def display(debugger: Debugger, arguments: Arguments) -> Result:
    """Print an expression at each stop; without one, print all displays now."""
    from harness.debugger.session import Display

    if not arguments.text:
        return Result(Group(*(debugger.show_display(each) for each in debugger.displays)))
    _letter(arguments.format)
    number = max((each.number for each in debugger.displays), default=0) + 1
    debugger.displays.append(Display(number, arguments.text, arguments.format))
    return Result(debugger.show_display(debugger.displays[-1]))


@command("undisplay", group="data", example="undisplay 1")
def undisplay(debugger: Debugger, arguments: Arguments) -> Result:
    """Delete displays by their numbers, all without."""
    numbers = [int(word) for word in arguments.words if word.isdigit()]
    unknown = set(numbers) - {each.number for each in debugger.displays}
    if unknown:
        raise UsageError(f"no display has the number {min(unknown)}")
    debugger.displays[:] = [each for each in debugger.displays if numbers and each.number not in numbers]
    return Result()


@command("info display", group="data", example="info display", view=True)
def info_display(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the displays."""
    lines = [f"{each.number}:   {each.expression}" for each in debugger.displays]
    data = [{"number": each.number, "expression": each.expression} for each in debugger.displays]
    return Result("\n".join(lines) or "There are no auto-display expressions now.", data)


@command(
    "info registers", "info r", group="data", example="info registers x0 sp", completes="register", view=True
)
def info_registers(debugger: Debugger, arguments: Arguments) -> Result:
    """List the general registers of the selected frame, or the named ones."""
    names = [word.lstrip("$") for word in arguments.words] or list(debugger.machine.registers)
    values: dict[str, int | None] = {}
    for name in names:
        found = debugger.scope.register(name)
        if found is None:
            raise ExpressionError(f"Invalid register `{name}'")
        values[name] = None if found.data is None else int.from_bytes(found.data, "little")
    data = {name: None if value is None else hex(value) for name, value in values.items()}
    return Result(registers_view.general(values, debugger.image), data)


@command("info sysregs", group="data", example="info sysregs TCR_EL1", completes="register", view=True)
def info_sysregs(debugger: Debugger, arguments: Arguments) -> Result:
    """Show system registers field by field: those of translation and exceptions, or the named ones."""
    names = [word.upper().lstrip("$") for word in arguments.words] or list(registers_view.MMU_REGISTERS)
    if names == ["ALL"]:
        names = list(SYSTEM_REGISTERS)
    values = {name: debugger.machine.sysreg[name] for name in names}
    return Result(registers_view.system(values), registers_view.system_data(values))
