# SPDX-License-Identifier: BSD-3-Clause
"""Translation tables, address spaces, and what happens to them."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from rich.console import Group, RenderableType
from rich.text import Text

from harness.arch.permissions import Permissions
from harness.debugger import hindsight
from harness.debugger.commands.table import Arguments, UsageError, command
from harness.debugger.commands.time import moment_of
from harness.debugger.expressions.values import UNSIGNED_LONG, from_number, promoted
from harness.debugger.result import Result
from harness.debugger.views import tables as tables_view
from harness.errors import HarnessError
from harness.kernel import Leaf, Tables
from harness.kernel.tables import merge
from harness.report.data import regime_data, runs_data, space_data, walk_data
from harness.report.listing import Listing, facts, grid
from harness.report.space import regions as regions_report
from harness.report.space import summary
from harness.report.spaces import SpaceView, has_spaces, live_spaces, view_space
from harness.report.words import faults

if TYPE_CHECKING:
    from harness.debugger.session import Debugger

Half = Literal["ttbr0", "ttbr1"]
_EVENTS = 20


@dataclass(frozen=True, slots=True)
class Target:
    """Which tables are meant: a live half, or those of an address space by its TTBR0 value."""

    half: Half
    ttbr0: int | None
    name: str


class _Parser(argparse.ArgumentParser):
    """Options of a command; errors are raised, not printed."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def parse(debugger: Debugger, prog: str, arguments: Arguments, *options: str) -> argparse.Namespace:
    """Words and options of a command. Raises UsageError."""
    parser = _Parser(prog, add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    for option in options:
        parser.add_argument(option)
    return parser.parse_intermixed_args(arguments.words)


def number(debugger: Debugger, text: str) -> int:
    """An address given as an expression."""
    return promoted(debugger.evaluator.evaluate(text)).number


def target_of(debugger: Debugger, words: list[str], default: Half = "ttbr1") -> Target:
    """`ttbr0`, `ttbr1`, `as N` (an identifier) or `as EXPR` (an address_space_t *)."""
    if not words:
        return Target(default, None, _NAMES[default])
    if words[0] in ("ttbr0", "ttbr1") and len(words) == 1:
        half: Half = "ttbr0" if words[0] == "ttbr0" else "ttbr1"
        return Target(half, None, _NAMES[half])
    if words[0] == "as" and len(words) > 1:
        return _space(debugger, " ".join(words[1:]))
    raise UsageError(f"no tables are called {' '.join(words)!r}: write ttbr0, ttbr1 or as N")


_NAMES: dict[Half, str] = {"ttbr0": "user (TTBR0)", "ttbr1": "kernel (TTBR1)"}


def _space(debugger: Debugger, text: str) -> Target:
    kernel = debugger.kernel
    if not has_spaces(kernel):
        raise UsageError("this kernel's address spaces are not known by name: write ttbr0 or ttbr1")
    value = debugger.evaluator.evaluate(text)
    wanted = promoted(value).number
    if value.is_pointer:  # no need to ask the kernel, which may be in the middle of something
        space = kernel.cast(wanted, "address_space_t *")
        return Target("ttbr0", kernel.ttbr0(space), f"address space {space.id}")
    with asking(debugger):
        for each in live_spaces(kernel):
            if wanted in (int(each.id), int(each)):
                return Target("ttbr0", kernel.ttbr0(each), f"address space {each.id}")
    raise UsageError(f"no address space {text} is alive now; see: spaces")


class asking:  # noqa: N801 - a context manager in the manner of contextlib's
    """Within, the kernel may be called; what that raises says that it cannot answer now."""

    def __init__(self, debugger: Debugger) -> None:
        self._aside = debugger.aside()

    def __enter__(self) -> None:
        self._aside.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._aside.__exit__(kind, error, trace) if error is None else self._leave(error)

    def _leave(self, error: BaseException) -> None:
        try:
            self._aside.__exit__(None, None, None)
        finally:
            if isinstance(error, HarnessError) and not isinstance(error, UsageError):
                first = str(error).splitlines()[0]
                raise UsageError(f"the kernel cannot be asked at this moment: {first}") from None


def tables_of(debugger: Debugger, target: Target) -> Tables:
    """The tables as they are now."""
    if not debugger.machine.virtual.enabled:
        raise UsageError("the MMU is off at this moment: there are no tables yet")
    return Tables(debugger.machine.walker(target.half, target.ttbr0), target.name)


@command("walk", group="mmu", example="walk 0x200000 as 1", completes="expression", view=True)
def walk(debugger: Debugger, arguments: Arguments) -> Result:
    """Translate an address level by level: each entry's place, its bits decoded, the verdict for EL0 and EL1,
    and what the MMU's own AT instruction says. `as N` takes the tables of another address space, by its
    identifier or a pointer to it. $entry is the address of the last entry afterwards, as for watch phys."""
    words = parse(debugger, "walk", arguments).words
    at = words.index("as") if "as" in words else len(words)
    if not at:
        raise UsageError("an address is missing, as in: walk 0x200000")
    va = number(debugger, " ".join(words[:at]))
    half: Half = "ttbr1" if va >> 55 & 1 else "ttbr0"
    target = target_of(debugger, words[at:] if half == "ttbr0" else [], half)
    found = tables_of(debugger, target).walk(va)
    answers = tables_view.ask(debugger, va, target.ttbr0)
    if found.steps:
        debugger.scope.variables["entry"] = from_number(found.steps[-1].entry_address, UNSIGNED_LONG)
    data = {**walk_data(found), "at": answers, "tables": target.name}
    return Result(tables_view.walk(found, answers), data)


@command("ptdump", group="mmu", example="ptdump ttbr1 --has wx", view=True)
def ptdump(debugger: Debugger, arguments: Arguments) -> Result:
    """List what is mapped, a line for each run of like mappings: ptdump [ttbr0|ttbr1|as N] [--has RIGHTS]
    [--range START-END] [--level N] [--search PA]. RIGHTS are letters of rwx that EL0 or EL1 must have."""
    options = parse(debugger, "ptdump", arguments, "--has", "--range", "--level", "--search")
    tables = tables_of(debugger, target_of(debugger, options.words))
    runs = merge(
        each for each in tables.leaves(*_range(debugger, options.range)) if _wanted(debugger, each, options)
    )
    heading = Text.assemble((tables.name, "bold"), "\n", facts(tables.regime), "\n")
    shown: RenderableType = Listing(runs, tables.regime) if runs else Text("nothing is mapped so")
    return Result(Group(heading, shown), {**regime_data(tables.regime), "runs": runs_data(runs)})


def _range(debugger: Debugger, text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    start, separator, end = text.partition("-")
    if not separator:
        raise UsageError("a range is START-END, as in: --range 0x200000-0x400000")
    return number(debugger, start), number(debugger, end)


def _wanted(debugger: Debugger, leaf: Leaf, options: argparse.Namespace) -> bool:
    if options.has is not None and not _has(leaf.permissions, options.has):
        return False
    if options.level is not None and leaf.level != number(debugger, options.level):
        return False
    return options.search is None or leaf.pa <= number(debugger, options.search) < leaf.pa + leaf.size


def _has(permissions: Permissions, letters: str) -> bool:
    if not letters or set(letters) - set("rwx"):
        raise UsageError(f"rights are letters of rwx, not {letters!r}")
    return any(set(letters) <= set(str(rights)) for rights in (permissions.el0, permissions.el1))


@command("ptdiff", group="mmu", example="ptdiff before-map as 1", completes="mark", view=True)
def ptdiff(debugger: Debugger, arguments: Arguments) -> Result:
    """Show what changed in the tables since a mark or a time: ptdiff MARK [ttbr0|ttbr1|as N]."""
    words = arguments.words
    if not words:
        raise UsageError("a mark is missing; make one with: mark NAME")
    target = target_of(debugger, words[1:])
    moment = moment_of(debugger, words[0])
    now = tables_of(debugger, target)
    after, pages = now.freeze(), {page.pa: page.level for page in now.pages()}
    with debugger.aside():
        debugger.timeline.goto(moment)
        then = tables_of(debugger, target)
        before, old_pages = then.freeze(), {page.pa: page.level for page in then.pages()}
    found = after.since(before)
    return Result(
        tables_view.differences(target.name, words[0], found, old_pages, pages, now.regime),
        tables_view.differences_data(found, old_pages, pages),
    )


def _views(debugger: Debugger) -> list[SpaceView]:
    if not has_spaces(debugger.kernel):
        raise UsageError(
            "this kernel's address spaces are not known by name; its tables are: see ptdump ttbr0"
        )
    with asking(debugger):
        return [view_space(debugger.kernel, each) for each in live_spaces(debugger.kernel)]


@command("spaces", group="mmu", example="spaces", view=True)
def spaces(debugger: Debugger, _arguments: Arguments) -> Result:
    """List the address spaces that are alive, and which one TTBR0 has now."""
    views = _views(debugger)
    if not views:
        return Result("No address space is alive.", [])
    ttbr0 = debugger.machine.sysreg["TTBR0_EL1"] & ~(0xFFFF << 48 | 1)
    table = grid("", "id", "ASID", "root", ">regions", ">tables", "mapped", ">VMAs", ">resident", "faults")
    for view in views:
        live = "*" if view.regime.table_base == ttbr0 else ""
        table.add_row(
            *(live, str(view.id), str(view.regime.asid), f"{view.regime.table_base:#x}"),
            *(str(len(view.regions)), str(view.tree.count), tables_view.size_of(view.mapped)),
            *(str(view.counts.get(name, "-")) for name in ("vmas", "resident")),
            faults(view.counts),
        )
    return Result(table, [space_data(view) for view in views])


@command("regions", "vmas", group="mmu", example="regions 1", view=True)
def regions(debugger: Debugger, arguments: Arguments) -> Result:
    """List the regions of an address space, or of all."""
    views = _views(debugger)
    if arguments.text:
        wanted = number(debugger, arguments.text)
        views = [view for view in views if view.id == wanted]
        if not views:
            raise UsageError(f"no address space {wanted} is alive now; see: spaces")
    parts: list[RenderableType] = []
    for view in views:
        table: RenderableType = regions_report(view) if view.regions else Text("no regions")
        parts += [Text(f"address space {view.id}", "bold"), summary(view), table]
    return Result(
        Group(*parts) if parts else "No address space is alive.", [space_data(view) for view in views]
    )


@command("tlb", group="mmu", example="tlb", view=True)
def tlb(debugger: Debugger, _arguments: Arguments) -> Result:
    """Show what a TLB may still hold although the tables say otherwise, and what a barrier is waited for,
    by the sanitizer's model. What has been owed for millions of instructions may be missing."""
    found = hindsight.debts(debugger)
    if not found:
        return Result("Nothing that the tables no longer say can be cached.", [])
    table = grid("VA", "level", "~was", "~is", "waits for", "~changed at")
    for each in found:
        where = f"time {each.time}, {debugger.image.describe(each.pc)}"
        table.add_row(f"{each.va:#x}", f"L{each.level}", each.old, each.new, each.waits_for, where)
    data = [{**asdict(each), "va": hex(each.va), "entry": hex(each.entry)} for each in found]
    return Result(table, data)


@command("events", group="mmu", example="events 20 store tlbi barrier", view=True)
def events(debugger: Debugger, arguments: Arguments) -> Result:
    """List the last events of translation before now, in order: events [COUNT] [KIND...], where KIND is
    store (to a table), tlbi, barrier, msr, exception, eret, system (DC, IC, AT)."""
    words = arguments.words
    count = number(debugger, words.pop(0)) if words and words[0].isdigit() else _EVENTS
    if not 0 < count <= 100_000:
        raise UsageError(f"{count} is not a count of events to show")
    found = hindsight.events(debugger, count, hindsight.kinds_of(words))
    table = grid(">time", "kind", "~what", "~where")
    for each in found:
        table.add_row(str(each.time), each.kind, each.text, debugger.image.describe(each.pc))
    return Result(
        table if found else "No such event.", [{**asdict(each), "pc": hex(each.pc)} for each in found]
    )
