# SPDX-License-Identifier: BSD-3-Clause
"""Values, types, memory, source, registers, tables: what the debugger shows is what there is."""

from __future__ import annotations

import contextlib
import itertools
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.debugger.commands.table import commands
from harness.debugger.session import INTERNAL
from harness.errors import HarnessError


@pytest.fixture
def idle(debugger, say):
    """The debugger with the kernel idle, and one address space with a region."""
    say("tbreak arch_idle")
    say("run")
    say("call vmm_address_space_create()")
    say("set var $space = $1")
    say("call vmm_address_space_region_create($space, 3 << 12, AS_REGION_RW)")
    return debugger


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1 + 2 * 3", "7"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("1L << 40", "1099511627776"),
        ("0xffffffff + 1", "0"),
        ("-1 < 0u", "0"),
        ("sizeof(struct vma_node)", "64"),
        ("(unsigned char)0x1ff", "255 '\\377'"),
        ("'a'", "97 'a'"),
        ("1 ? 2 : 3", "2"),
        ("!5 || 0 && 1", "0"),
        ("AS_REGION_RW", "AS_REGION_RW"),
        ("(enum frame_purpose)2", "FRAME_TABLE"),
        ('"text"', '"text"'),
        ("FRAME_MAX_ORDER + 1", "19"),
        ("sizeof(prop_name) / sizeof(prop_name[0])", "4"),
        ("&spaces.last_id == (void *)&spaces.last_id", "1"),
        ("(char *)&spaces.last_id - (char *)&spaces > 0", "1"),
        ("*&spaces.last_id", "1"),
        ("spaces.live.next->prev == &spaces.live", "1"),
        ("((address_space_t *)$space)->id", "1"),
        ("$nothing", "void"),
    ],
)
def test_expressions_are_c(idle, say, expression, shown):
    """Arithmetic with C's types, members, casts, pointers, enumerators, macros."""
    assert say(f"output {expression}") == shown


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    left=st.integers(-(1 << 31), (1 << 31) - 1),
    right=st.integers(-(1 << 31), (1 << 31) - 1),
    operator=st.sampled_from("+-*&|^"),
)
def test_arithmetic_is_that_of_int(debugger, left, right, operator):
    """32 bits that wrap around."""
    value = debugger.evaluator.evaluate(f"(int)({left}L) {operator} (int)({right}L)")
    exact = eval(f"({left}) {operator} ({right})")
    assert value.number == (exact + (1 << 31)) % (1 << 32) - (1 << 31)


@given(text=st.text(max_size=40))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_too_strange_to_be_refused(debugger, text):
    """An expression is evaluated or refused, nothing else."""
    with contextlib.suppress(HarnessError):
        debugger.evaluator.evaluate(text)


def test_print_keeps_a_history(idle, say):
    """$ is the last value, $$ the one before, $N by number."""
    say("print 41")
    say("print 42")
    assert say("output $") == "42"
    assert say("output $$") == "41"
    assert say("print").endswith("= 42")


@pytest.mark.parametrize(
    ("letter", "shown"),
    [("x", "0xff"), ("d", "255"), ("u", "255"), ("o", "0377"), ("t", "11111111"), ("c", "-1")],
)
def test_formats(say, letter, shown):
    """As GDB writes them; c shows the byte."""
    text = say(f"output/{letter} 255")
    assert text == shown if letter != "c" else text.startswith("255 '")


def test_structs_print_as_c_initialisers(idle, say, debugger):
    """Members by name, nested; pointers into the image with their symbol."""
    text = say("print spaces.live")
    assert text.startswith("$")
    assert "{next = 0x" in text
    assert ", prev = 0x" in text
    assert "<spaces+" in say("print/a &spaces.live")


def test_variables_can_be_set_and_that_is_history(idle, say, debugger):
    """A variable, a register, a convenience variable."""
    say("set var spaces.last_id = 77")
    assert debugger.kernel.variable("spaces").last_id == 77
    say("set var $x5 = 0x1234")
    assert debugger.machine.registers["x5"] == 0x1234
    say("stepi")
    say("reverse-stepi")
    assert debugger.kernel.variable("spaces").last_id == 77


def test_memory_is_shown_as_by_gdb(idle, say, debugger):
    """Virtual and physical addresses show the same bytes."""
    address = debugger.image.symbols["spaces"].address
    pa = debugger.machine.walk(address).pa
    virtual, physical = say(f"x/2gx {address:#x}"), say(f"xp/2gx {pa:#x}")
    assert virtual.startswith(f"{address:#x} <spaces>:\t0x")
    assert virtual.split("\t")[1:] == physical.split("\t")[1:]
    assert say("x/s (char *)spaces.cache.name").endswith('"address space"')


def test_x_goes_on_where_it_ended(idle, say, debugger):
    """Without an address."""
    say("x/2gx $sp")
    assert say("x").startswith(f"{debugger.machine.registers['sp'] + 16:#x}")


def test_types_are_described(say):
    """With members; a pointer's target too."""
    assert "uint8_t purpose;" in say("ptype struct frame")
    assert "uint32_t poison;" in say("ptype struct frame")
    assert say("whatis frame_records.at") == "type = struct frame *"
    assert "FRAME_TABLE" in say("ptype enum frame_purpose")


def test_source_and_instructions_agree(say, debugger):
    """The line table's lines are between the instructions that they became."""
    assert "void vmm_init(void)" in say("list vmm_init")
    text = say("disassemble /s vmm_init")
    assert text.startswith("Dump of assembler code for function vmm_init:")
    assert "status_record" in text


def test_system_registers_field_by_field(idle, say):
    """With what the fields mean."""
    text = say("info sysregs TCR_EL1 SCTLR_EL1 MAIR_EL1")
    assert "bits of VA" in text
    assert "4K granule" in text
    assert "Normal WB" in text


def test_walk_says_what_the_mmu_says(idle, say, debugger):
    """Level by level, for each privilege and access, and by AT."""
    va = int(say("output/x $2"), 16)
    data = json.loads(say(f"walk {va:#x} as 1 --json"))
    assert data["el0"] == "rw-"
    assert data["pa"] == data["at"]["S1E0R"]
    assert "L3" in say(f"walk {va:#x} as 1")
    before = debugger.machine.sysreg["TTBR0_EL1"]
    assert debugger.machine.sysreg["TTBR0_EL1"] == before


def test_ptdump_filters(idle, say):
    """By rights, level, range and physical address."""
    runs = json.loads(say("ptdump ttbr1 --has x --json"))["runs"]
    assert runs
    assert all("x" in run["el1"] for run in runs)
    everything = json.loads(say("ptdump as 1 --json"))["runs"]
    assert [run["size"] for run in everything] == [0x3000]
    pa = everything[0]["pa"]
    assert json.loads(say(f"ptdump as 1 --search {pa} --json"))["runs"]
    assert not json.loads(say("ptdump as 1 --level 2 --json"))["runs"]
    assert not json.loads(say("ptdump as 1 --range 0x40000000-0x80000000 --json"))["runs"]


def test_ptdiff_shows_what_changed_since_a_mark(idle, say, debugger):
    """And leaves the machine where it was."""
    say("mark before")
    say("call vmm_address_space_region_create($space, 1 << 12, AS_REGION_RX)")
    now = debugger.timeline.now
    leaves = json.loads(say("ptdiff before as 1 --json"))["leaves"]
    assert [leaf["change"] for leaf in leaves] == ["added"]
    assert leaves[0]["after"]["el0"] == "r-x"
    assert debugger.timeline.now == now
    assert "nothing changed" in say(f"ptdiff {now} as 1")


def test_spaces_regions_and_frames(idle, say, debugger):
    """The kernel's own books; asking it leaves no trace."""
    before = debugger.timeline.now, debugger.machine.memory.digest(), dict(debugger.machine.registers)
    assert [space["id"] for space in json.loads(say("spaces --json"))] == [1]
    assert say("spaces").split()[6:10] == ["VMAs", "resident", "faults", "1"]
    [space] = json.loads(say("regions 1 --json"))
    assert space["counts"]["vmas"] == len(space["regions"])
    pa = space["regions"][0]["pa"]
    frame = json.loads(say(f"frames {pa} --json"))
    assert frame["purpose"] == "FRAME_REGION"
    assert {mapping["tables"] for mapping in frame["mappings"]} >= {"address space 1"}
    books = json.loads(say("frames --json"))["frames"]
    assert books["FRAME_TABLE"] > 0
    assert sum(books.values()) == int(say("p pool.by_purpose[FRAME_NONE]").split()[-1])
    single = "(pool.singles[FRAME_TABLE].next - frame_records.at + frame_records.first) * 4096"
    assert json.loads(say(f"frames {single} --json"))["purpose"] == "FRAME_FREE"
    assert (
        debugger.timeline.now,
        debugger.machine.memory.digest(),
        dict(debugger.machine.registers),
    ) == before


def test_the_kernel_is_not_asked_before_it_is_up(refuse, say, debugger):
    """With the MMU off there are no tables, and no address spaces."""
    assert "MMU is off" in refuse("ptdump")
    refuse("frames")


def test_backtrace_and_frames(say, debugger):
    """Callers with their arguments; up and down select them."""
    say("b object_cache_init")
    say("c")
    text = say("bt")
    assert text.startswith("#0")
    assert "kernel_main" in text
    say("up")
    assert debugger.scope.selected == 1
    say("down")
    assert "size = " in say("info args")
    data = json.loads(say("bt --json"))
    assert data[0]["function"] == "object_cache_init"


def test_overview_names_every_command_and_says_what_it_does(say):
    """In one sentence of its help, whatever brackets are in it."""
    overview = " ".join(say("help").split())
    for name, command in commands().items():
        assert name in overview
        assert " ".join(command.summary.split()) in overview, name


def test_every_command_has_help_with_an_example(say):
    """Its own, complete, with an example that names it."""
    for name, command in commands().items():
        assert command.help.endswith("."), name
        assert re.split(r"[ /]", command.example)[0] in {name.split()[0], *command.aliases}, name
        assert f"Example: {command.example}" in say(f"help {name}")


def test_views_have_json(idle, say):
    """Every view command that needs no argument, or one that is easy to give."""
    arguments = {
        "print": "1", "x": "$sp", "xp": "0x40000000", "ptype": "int", "whatis": "1", "walk": "$pc",
        "ptdiff": "start", "info line": "vmm_init", "info symbol": "$pc", "info address": "spaces",
    }  # fmt: skip
    for name, command in commands().items():
        if command.view and name not in ("tlb", "ptdiff", "help", "events"):
            json.loads(say(f"{name} {arguments.get(name, '')} --json"))


@pytest.mark.parametrize(
    ("line", "word"),
    [("br", "break"), ("info reg", "registers"), ("b vmm_in", "vmm_init"), ("p spaces.la", "last_id"),
     ("p spaces.live.next->pr", "prev"), ("ptype struct fr", "struct frame"), ("catch fa", "fault"),
     ("p FRAME_TA", "FRAME_TABLE"), ("help wal", "walk")],
)  # fmt: skip
def test_completion(debugger, line, word):
    """Commands, subcommands, functions, members, types, events."""
    assert any(word == each or word.endswith(each) for each in debugger.complete(line))


def test_aliases_files_and_python(say, refuse, debugger, tmp_path):
    """A file of commands ends at the first that fails; endless nesting is refused."""
    say("alias pv = output/x")
    assert say("pv 255") == "0xff"
    file = tmp_path / "commands.gdb"
    file.write_text("# a comment\npv 16\nnosuch\npv 17\n")
    text = refuse(f"source {file}")
    assert "0x10" in text
    assert f"{file}:3" in text
    assert "0x11" not in text
    say("alias loop = loop")
    assert "nested too deeply" in refuse("loop")
    assert say("python print(6 * 7)") == "42"
    assert "ZeroDivisionError" in refuse("python 1 / 0")


def test_looking_does_not_disturb(idle, say, debugger):
    """After every view there is, a step leads where it led without."""
    say("mark m")
    say("stepi 50")
    expected = dict(debugger.machine.registers), debugger.machine.memory.digest()
    say("goto m")
    for line in (
        "spaces",
        "walk $pc",
        "ptdump",
        "ptdiff start",
        "frames",
        "bt full",
        "info sysregs",
        "x/4i $pc",
    ):
        debugger.execute(line)
    say("stepi 50")
    assert (dict(debugger.machine.registers), debugger.machine.memory.digest()) == expected


WORDS = [
    "1",
    "0",
    "-1",
    "0x10",
    "$pc",
    "$sp",
    "$",
    "*$1",
    "spaces",
    "spaces.live",
    "&spaces",
    "frame_records.at[0]",
    "kernel_main",
    "main.c:80",
    "/x",
    "/4gx",
    "/i",
    "/s",
    "--json",
    "as",
    "ttbr0",
    "if",
    "==",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    "'",
    '"',
    "\\",
    "%",
    "@3",
    "3-1",
    "phys",
    "0x40200000",
    "start",
    "end",
    "+5",
    "-5",
    "tlbi",
    "full",
    "--has",
    "rwx",
    "--range",
    "0-100",
    "--level",
    "struct",
    "frame",
    "int",
    "enum",
    "*",
    "+",
    "99999999999999999999",
    "1/0",
    "é",
    "\x00",
    "on",
    "off",
    "=",
    "x",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_line_brings_the_debugger_down(debugger, data):
    """Every command with words that fit it, or do not: obeyed or refused, never an error of ours."""
    name = data.draw(st.sampled_from(sorted(set(commands()) - {"python"})))
    words = data.draw(st.lists(st.sampled_from(WORDS), max_size=4))
    asked = itertools.count()
    debugger.timeline.interrupted = lambda: next(asked) > 1_000
    result = debugger.execute(f"{name} {' '.join(words)}")
    assert not result.text.startswith(INTERNAL)
