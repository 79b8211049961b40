# SPDX-License-Identifier: BSD-3-Clause
"""The debugger in a real pseudo-terminal, the README's transcript, and `pytest --kdb`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

from harness.pytest_plugin.options import settings_of

ROOT = Path(__file__).parents[2]
PROMPT = "(kdb) "
TRANSCRIPT = re.compile(r"^```text\n(\(kdb\).*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"0x[0-9a-f]+|\b\d+\b")
PLACE = r"\s+at\s+kernel_c/\S+:\d+"
FRAME = re.compile(rf"0x[0-9a-f]+ in\s+\w+ \(.*?\)(?:{PLACE})?|\w+ \(.*?\){PLACE}", re.DOTALL)


class Session:
    """A debugger at a terminal of its own."""

    def __init__(self, arguments, term="dumb"):
        environment = os.environ | {
            "TERM": term,
            "NO_COLOR": "1",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "HOME": "/nowhere",
            "COLUMNS": "100",
            "LINES": "50",
        }
        self.child = pexpect.spawn(
            sys.executable, arguments, env=environment, cwd=ROOT, dimensions=(200, 100), timeout=60,
            encoding="utf-8", echo=False,
        )  # fmt: skip

    def until_prompt(self):
        """What it says up to the next prompt."""
        self.child.expect_exact(PROMPT)
        return self.child.before.replace("\r", "")

    def say(self, line):
        """What it says to a command."""
        self.child.sendline(line)
        text = self.until_prompt()
        echo, _, answer = text.partition("\n")
        assert line in echo + answer
        return answer.removeprefix("\n")

    def close(self):
        """Leave; the exit status."""
        self.child.sendline("quit")
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus


@pytest.fixture
def terminal():
    """Starts sessions, and ends them."""
    made = []

    def start(*arguments, term="dumb"):
        made.append(Session([str(each) for each in arguments], term))
        return made[-1]

    yield start
    for each in made:
        each.child.close(force=True)


@pytest.fixture
def image_path(request):
    """The 39-bit image, which the README speaks of."""
    targets = settings_of(request.config).targets
    return next(target.path for target in targets if target.path.parent.name == "va39")


def settled(text):
    """What varies with the compiler made equal: numbers, and frames with their lines of source."""
    lines = []
    for line in FRAME.sub("FRAME", text).splitlines():
        if not re.match(r"\d+\s|Temporary breakpoint 1 at", line):
            lines.append(re.sub(r"\s+", " ", NUMBER.sub("N", line)).strip())
    return [line for line in lines if line]


def test_the_transcript_in_the_readme_is_what_happens(terminal, image_path):
    """The walk from an address space back to before the write of its entry, and what it changed."""
    [transcript] = TRANSCRIPT.findall((ROOT / "README.md").read_text())
    steps = re.split(r"^\(kdb\) ", transcript, flags=re.MULTILINE)[1:]
    assert len(steps) > 8
    session = terminal("-m", "harness", "debug", image_path, "-ex", "set context off")
    session.until_prompt()
    for step in steps:
        command, _, shown = step.partition("\n")
        assert settled(session.say(command)) == settled(shown), command
    assert session.close() == 0


def test_control_c_stops_the_guest_and_an_empty_line_repeats(terminal, image_path):
    """The session goes on after both."""
    session = terminal("-m", "harness", "debug", image_path, "-ex", "set context off")
    session.until_prompt()
    session.say("python machine.memory.write(0x40200000, bytes([0, 0, 0, 0x14]))")
    session.child.sendline("continue")
    session.child.expect("continue")
    session.child.expect(pexpect.TIMEOUT, timeout=0.5)
    session.child.sendintr()
    assert "Interrupted." in session.until_prompt()
    session.say("goto 0")
    session.say("stepi 5")
    session.child.sendline("")
    session.until_prompt()
    assert "Current time: 10 " in session.say("when")


def test_completion_and_history_at_a_terminal(terminal, image_path):
    """Tab completes a command and a symbol; the arrow brings the last line back."""
    session = terminal("-m", "harness", "debug", image_path, term="xterm")
    session.child.expect_exact("(kdb)")
    for keys in ("tbrea\t", " vmm_ini\t"):  # a key that comes too soon would end the completion
        session.child.send(keys)
        session.child.expect([pexpect.TIMEOUT], timeout=3)
    session.child.send("\r")
    session.child.expect("Temporary breakpoint 1 at")
    session.child.expect_exact("(kdb)")
    session.child.send("\x1b[A\r")
    session.child.expect("Temporary breakpoint 2 at")


def test_python_at_the_prompt_goes_there_and_back(terminal, image_path):
    """With the facade at hand."""
    session = terminal("-m", "harness", "debug", image_path)
    session.until_prompt()
    session.child.sendline("python")
    session.child.expect_exact(">>> ")
    session.child.sendline("print(kernel.image.path.name, 6 * 7)")
    session.child.expect_exact("kernel.elf 42")
    session.child.expect_exact(">>> ")
    session.child.sendeof()
    session.until_prompt()
    assert "Current time: 0 " in session.say("when")


FAILING = """
def test_fails(kernel):
    space = kernel.vmm_address_space_create()
    kernel.vmm_address_space_region_create(space, 4096, kernel.AS_REGION_RW)
    assert not space.id
"""


def test_a_failing_test_can_be_walked_back_through(terminal, image_path, tmp_path):
    """--kdb stops at the failure; back are the calls that the test made."""
    file = tmp_path / "test_sample.py"
    file.write_text(FAILING)
    session = terminal("-m", "pytest", "-p", "no:cacheprovider", "--kdb", f"--kernel-elf={image_path}", file)
    assert "test_fails failed" in session.until_prompt()
    session.say("set context off")
    session.say("break vmm_address_space_region_create")
    assert "Breakpoint 1, vmm_address_space_region_create" in session.say("reverse-continue")
    session.say("delete")
    session.say("break vmm_address_space_create")
    assert "Breakpoint 2, vmm_address_space_create" in session.say("reverse-continue")
    assert session.close() == 1
    assert "1 failed" in session.child.before


def test_kdb_is_refused_without_a_terminal(terminal, image_path, tmp_path):
    """In xdist's workers there is none."""
    session = terminal("-m", "pytest", "--kdb", "-n", "2", f"--kernel-elf={image_path}", tmp_path)
    session.child.expect("--kdb needs the terminal")


def test_the_script_is_the_same_debugger(terminal, image_path):
    """`python harness/debugger` takes the same options; its status tells of failed commands."""
    for line, status in (("print 6 * 7", 0), ("print nosuch", 1)):
        session = terminal(ROOT / "harness" / "debugger", "--batch", image_path, "-ex", line)
        session.child.expect(pexpect.EOF)
        session.child.close()
        assert session.child.exitstatus == status
