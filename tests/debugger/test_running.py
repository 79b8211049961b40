# SPDX-License-Identifier: BSD-3-Clause
"""Breakpoints, watchpoints, catchpoints, steps: forwards and back again."""

from __future__ import annotations

import re

import pytest


def place(say):
    """Where the innermost frame stands, as GDB would say."""
    return say("frame 0")


def test_a_breakpoint_stops_where_the_prologue_has_ended(say, debugger):
    """In the function, at a line of its body, with its arguments at hand."""
    assert "Breakpoint 1 at 0x" in say("b kernel_main")
    assert "Breakpoint 1, kernel_main (fdt=0x" in say("run")
    assert debugger.scope.lookup("fdt_pa").number == debugger.machine.memory.base


def test_a_star_names_the_first_instruction(say, debugger):
    """Before the prologue."""
    say("b *kernel_main")
    say("c")
    assert debugger.machine.registers["pc"] == debugger.image.symbols["kernel_main"].address


def test_a_line_can_be_stopped_at(say, debugger):
    """By the end of the file's path."""
    line = debugger.image.functions["vmm_init"].line
    say(f"b address_space.c:{line}")
    say("c")
    assert "vmm_init" in [each.function for each in debugger.scope.frames]


def test_a_condition_decides_and_hits_are_counted(say, debugger):
    """Only the hit at which it holds stops, and counts."""
    say("b object_cache_init")
    say("c")
    sizes = [int(say("output size"))]
    while "Breakpoint 1" in say("c"):
        sizes.append(int(say("output size")))
    say("b object_cache_init if size == " + str(sizes[-1]))
    say("delete 1")
    say("run")
    assert int(say("output size")) == sizes[-1]
    assert debugger.stoppoints[2].hits == 1
    assert "already hit 1 time" in say("info b")


def test_a_false_condition_never_stops(say, debugger):
    """The kernel gets to its idle loop."""
    say("b vmm_init if 1 == 2")
    assert "idle (WFI)" in say("c")
    assert debugger.stoppoints[1].hits == 0


def test_a_temporary_breakpoint_goes_after_its_hit(say, debugger):
    """And is in the list until then."""
    say("tbreak vmm_init")
    assert "del" in say("info breakpoints")
    assert "Temporary breakpoint 1, vmm_init" in say("c")
    assert len(debugger.stoppoints) == 0


def test_ignored_hits_do_not_stop(say, debugger):
    """The next one after them does."""
    say("b object_cache_init")
    moments = []
    for _ in range(3):
        say("c")
        moments.append(debugger.timeline.now)
    say("ignore 1 2")
    say("run")
    assert debugger.timeline.now == moments[2]
    say("rc")
    assert debugger.timeline.now == moments[1]


def test_disabled_breakpoints_do_not_stop(say):
    """Until they are enabled again."""
    say("b vmm_init")
    say("disable 1")
    assert "idle" in say("c")
    say("enable 1")
    assert "Breakpoint 1, vmm_init" in say("run")


def test_a_watchpoint_stops_after_the_store(say, debugger):
    """With the old and the new value; gone back to, it stands before the store and the change is undone."""
    say("tbreak arch_idle")
    say("run")
    say("watch spaces.last_id")
    say("call vmm_address_space_create()")
    assert say("output spaces.last_id") == "1"
    assert "Old value = 1\nNew value = 0" in say("rc")
    assert say("output spaces.last_id") == "0"
    assert "Old value = 0\nNew value = 1" in say("c")
    assert say("output spaces.last_id") == "1"


def test_a_read_watchpoint_sees_loads(say, debugger):
    """And not the stores."""
    say("tbreak arch_idle")
    say("run")
    say("call vmm_address_space_create()")
    say("rwatch spaces.last_id")
    assert "Hardware read watchpoint 2: spaces.last_id\nValue = 0" in say("rc")
    assert re.search(r"\tld(r|ur|p)\t", say("x/i $pc"))


def test_a_fault_is_caught_at_the_vector(say, debugger):
    """With its syndrome; before it, the CPU stands at the instruction."""
    say("tbreak arch_idle")
    say("run")
    say("catch fault")
    say("set var $pc = 0x10")
    text = say("c")
    assert "Catchpoint 2 (fault)" in text
    assert "instruction abort from the same level" in text
    assert debugger.machine.sysreg["ELR_EL1"] == 0x10
    say("rsi")
    assert debugger.machine.registers["pc"] == 0x10


@pytest.mark.parametrize(("event", "mnemonic"), [("tlbi", "tlbi"), ("ttbr", "ttbr")])
def test_system_instructions_are_caught_before_they_execute(say, debugger, event, mnemonic):
    """At each address the instruction can run at."""
    say(f"catch {event}")
    say("c")
    assert debugger.stoppoints[1].hits == 1
    assert mnemonic in say("x/i $pc")


def test_finish_shows_the_value(say, debugger):
    """Of the function's type, in the caller."""
    say("tbreak arch_idle")
    say("run")
    say("call vmm_address_space_create()")
    say("b vmm_arch_context_create")
    assert "vmm_arch_context_create" in say("rc")
    text = say("finish")
    assert "Run till exit from #0" in text
    assert "Value returned is $2 = (void *) 0x" in text
    assert debugger.scope.frames[0].function != "object_alloc"


def test_next_does_not_enter_functions(say, debugger):
    """Each lands on another line, later, on the same stack; back goes to one in between."""
    say("tbreak kernel_main")
    say("run")
    say("next")
    first, sp = debugger.timeline.now, debugger.machine.registers["sp"]
    say("next")
    assert debugger.machine.registers["sp"] == sp
    second = debugger.timeline.now
    assert first < second
    say("reverse-next")
    assert first <= debugger.timeline.now < second
    assert debugger.machine.registers["sp"] == sp


def test_step_enters_and_reverse_finish_comes_out(say, debugger):
    """A call is entered where its prologue ends; back at the call the caller stands."""
    say("tbreak kernel_main")
    say("run")
    depth = len(debugger.scope.frames)
    while len(debugger.scope.frames) <= depth:
        say("step")
    inner = debugger.scope.frames[0].function
    assert inner != "kernel_main"
    say("reverse-finish")
    assert len({each.frame.pc for each in debugger.scope.frames}) == 3
    assert "\tbl\t" in say("x/i $pc")


def test_stepi_and_reverse_stepi_cancel_out(say, debugger):
    """For any count."""
    say("stepi 1000")
    before = dict(debugger.machine.registers)
    say("stepi 37")
    say("reverse-stepi 37")
    assert dict(debugger.machine.registers) == before
    assert "Current time: 1000 " in say("when")


def test_goto_and_marks(say, debugger):
    """By time, relative, by name; start is reset."""
    say("goto 5000")
    say("mark here")
    say("goto +10")
    assert debugger.timeline.now.time == 5010
    say("goto here")
    assert debugger.timeline.now.time == 5000
    say("goto start")
    assert debugger.timeline.now.time == 0


def test_reverse_continue_without_anything_to_stop_at_ends_at_the_start(say, debugger):
    """And says so."""
    say("goto 5000")
    assert "No more reverse-execution history." in say("reverse-continue")
    assert debugger.timeline.now.time == 0


def test_last_write_stands_at_the_store(say, debugger):
    """Executing it makes the value what it was."""
    say("tbreak arch_idle")
    say("run")
    value = say("output/x spaces.live.next")
    text = say("last-write spaces.live.next")
    assert f"New value = {value}" in text
    assert say("output/x spaces.live.next") != value
    say("stepi")
    assert say("output/x spaces.live.next") == value


def test_last_write_of_what_nobody_wrote_says_so(say):
    """Instead of showing the start as if it were the store."""
    say("stepi 10")
    assert "was not changed" in say("last-write spaces.last_id")


def test_a_failed_call_leaves_no_trace(refuse, say, debugger):
    """Neither in time nor in memory."""
    say("tbreak arch_idle")
    say("run")
    before = debugger.machine.memory.digest(), dict(debugger.machine.registers)
    assert "panic" in refuse("call frames_free(0x1000, 1)")
    assert (debugger.machine.memory.digest(), dict(debugger.machine.registers)) == before


def test_a_call_disturbs_no_register(say, debugger):
    """Not even those that a callee may use: what was interrupted for it goes on as it would have."""
    say("tbreak vmm_init")
    say("run")
    say("stepi 5")
    before = dict(debugger.machine.registers)
    say("call vmm_last_error()")
    assert dict(debugger.machine.registers) == before


def test_a_call_can_be_walked_through_backwards(say, debugger):
    """What the debugger's own call did is in the past like everything else."""
    say("tbreak arch_idle")
    say("run")
    say("call vmm_address_space_create()")
    say("b vmm_address_space_create")
    assert "vmm_address_space_create" in say("rc")


def test_displays_and_commands_of_breakpoints(say):
    """Both are shown at each stop."""
    say("b vmm_init")
    say("commands 1 output 6 * 7")
    say("display/x $pc")
    text = say("run")
    assert "1: $pc = 0x" in text
    assert text.rstrip().endswith("42")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nosuch", "Undefined command"),
        ("p 1 +", "not a C expression"),
        ("p nosuch", 'No symbol "nosuch"'),
        ("p *0", "not a pointer"),
        ("x/4gx 0x123400000000", "Cannot access memory"),
        ("b nosuch", "no function named"),
        ("b main.c:999999", "No line 999999"),
        ("delete 7", "No breakpoint number 7"),
        ("goto nowhere", "no mark"),
        ("catch everything", "catch one of"),
        ("print/q 1", "meaningless"),
        ("frame 99", "No frame at level 99"),
        ("walk", "address is missing"),
        ("source /nonexistent", "No such file"),
        ("info nosuch", "Undefined command"),
        ("set nosuch on", "no such setting"),
        ("watch 1", "not in memory"),
        ("re", "Ambiguous command"),
    ],
)
def test_a_wrong_command_says_why_and_loses_nothing(refuse, line, why):
    """The session goes on where it was."""
    assert why in refuse(line)
