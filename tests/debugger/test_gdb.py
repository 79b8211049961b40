# SPDX-License-Identifier: BSD-3-Clause
"""The real gdb-multiarch against the stub, in batch mode."""

from __future__ import annotations

import re
import subprocess
import threading

import pytest

from harness.debugger.gdb.server import Server
from harness.report.spaces import live_spaces

GDB = "gdb-multiarch"
pytestmark = pytest.mark.needs_tool(GDB)


@pytest.fixture
def gdb(debugger, kernel_elf):
    """Runs GDB commands after it has connected; its output."""
    server = Server(debugger, ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve)
    thread.start()

    def run(*commands):
        first = ("set pagination off", "set confirm off", f"target remote 127.0.0.1:{server.address[1]}")
        options = [word for each in (*first, *commands) for word in ("-ex", each)]
        done = subprocess.run(
            [GDB, "-nx", "-batch", *options, str(kernel_elf)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Remote connection closed" not in done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run
    server.close()
    thread.join(10)


def test_break_step_backtrace_watch_an_entry_reverse_detach(gdb, debugger):
    """The walk that the issue asks for: to the last write of a page-table entry, backwards."""
    debugger.execute("tbreak arch_idle")
    debugger.execute("run")
    debugger.execute("call vmm_address_space_create()")
    debugger.execute("set var $space = $1")
    debugger.execute("call vmm_address_space_region_create($space, 1 << 12, AS_REGION_RW)")
    [leaf] = _leaves(debugger)
    linear = _linear(debugger, leaf.entry_address)
    out = gdb(
        "break vmm_arch_map", "reverse-continue", "backtrace", "stepi", "stepi", "x/i $pc", "delete",
        f"watch *(unsigned long *){linear:#x}", "continue", "reverse-continue", "backtrace 1", "detach",
    )  # fmt: skip
    assert re.search(r"Breakpoint 1, .*vmm_arch_map", out)
    assert re.search(r"#0 .*vmm_arch_map.*\.c:\d+", out)
    assert "=> 0x" in out
    assert f"New value = {leaf.descriptor.raw}" in out
    assert f"Old value = {leaf.descriptor.raw}" in out
    assert "detached" in out


def _leaves(debugger):
    with debugger.aside():
        [space] = live_spaces(debugger.kernel)
        return list(debugger.kernel.tables(space).leaves())


def _linear(debugger, pa):
    """Where the kernel sees a physical address."""
    for leaf in debugger.kernel.tables().leaves():
        if leaf.pa <= pa < leaf.pa + leaf.size:
            return leaf.va + pa - leaf.pa
    raise AssertionError(f"{pa:#x} is not mapped")


def test_registers_memory_and_monitor(gdb, debugger):
    """General and system registers by name, and the debugger's own commands."""
    out = gdb(
        "info registers pc cpsr TCR_EL1",
        "set $x7 = 77",
        "p $x7",
        "monitor when",
        "monitor nosuch",
        "x/2i $pc",
    )
    assert re.search(r"pc +0x40200000", out)
    assert "TCR_EL1" in out
    assert "$1 = 77" in out
    assert "Current time: 0" in out
    assert 'Undefined command: "nosuch"' in out
    assert debugger.machine.registers["x7"] == 77


def test_reverse_step_returns_to_the_same_registers(gdb):
    """Forwards and back again."""
    out = gdb("stepi 20", "p/x $pc", "p $x0", "stepi 5", "reverse-stepi 5", "p/x $pc", "p $x0")
    values = re.findall(r"\$\d = (\S+)", out)
    assert values[:2] == values[2:]


def test_the_start_of_history_and_kill(gdb, debugger):
    """Backwards it ends; killed, the machine is reset and waits for the next client."""
    assert "No more reverse-execution history" in gdb("stepi 10", "reverse-continue", "detach")
    gdb("stepi 10", "kill")
    assert debugger.timeline.now.time == 0
    assert "0x40200000" in gdb("p/x $pc", "detach")
