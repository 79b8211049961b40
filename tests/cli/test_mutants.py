# SPDX-License-Identifier: BSD-3-Clause
"""`python -m harness mutants`, on one small function and tests made for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness import HarnessError
from harness.cli.mutants import mutants_command
from harness.pytest_plugin.options import settings_of

Mutants = Callable[..., tuple[int, dict[str, Any]]]

STRICT = """
import errno, re
from pathlib import Path

def test_names(kernel):
    names = set(re.findall(r'return "(E[A-Z]+)"', Path("{STATUS}").read_text()))
    assert kernel.status_name(0).string() == "OK"
    for number in (*range(-3, 0), *range(1, 150)):
        name = errno.errorcode.get(number)
        assert kernel.status_name(-number).string() == (name if name in names else "unknown status")
""".replace("{STATUS}", str(Path("kernel_c/core/status.c").resolve()))
LAX = """
def test_names(kernel):
    kernel.status_name(-12)
"""
DEADLY = """
import os

def test_names(kernel):
    if kernel.status_name(-12).string() != "ENOMEM":
        os._exit(3)
"""
ENDLESS = """
def test_names(kernel):
    while kernel.status_name(-12).string() != "ENOMEM":
        pass
"""
STUBBORN = """
def test_names(kernel):
    while kernel.status_name(-12).string() != "ENOMEM":
        try:
            while True:
                pass
        except BaseException:
            while True:
                pass
"""
UNSOUND = """
def test_names(kernel, request):
    kernel.status_name(-12)
    assert request.config.getoption("kernel_mutants") is None
"""
LOOKING = """
def test_runs(kernel):
    kernel.status_name(-12)

def test_looks(kernel):
    assert kernel.machine.sysreg["TCR_EL1"] >> 8 & 0x3F == 0b11_01_01
"""


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Path:
    """One image; that there may be several is not the subject here."""
    return settings_of(request.config).targets[0].path.resolve()


@pytest.fixture
def campaign(elf: Path, tmp_path: Path) -> Mutants:
    """Runs a campaign on status_name() with the tests of a file; the status, and the JSON that it printed."""

    def run(
        *arguments: str, tests: str | None = None, only: tuple[str, str] = ("--function", "status_name")
    ) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "test_status.py"
        if tests is not None:
            file.write_text(tests)
        command = [
            *(sys.executable, "-m", "harness", "mutants", "--json", "--jobs", "1", "--elf", str(elf)),
            *("--folder", "work", *only, *arguments, file.name),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=dict(os.environ), cwd=tmp_path
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def statuses(data: dict[str, Any]) -> set[str]:
    """What became of the mutants."""
    return {each["status"] for each in data["mutants"]}


def verdicts(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What became of each mutant, and by which test; not how long that took."""
    return [(each["status"], each["by"]) for each in data["mutants"]]


@pytest.mark.parametrize("kernel", ["kernel", "boot_kernel(ram_size=64 << 20)"])
def test_a_test_that_looks_kills_and_says_why(campaign: Mutants, kernel: str) -> None:
    """Each branch of the function is checked by what it returns: all mutants are killed, by this test."""
    fixture = kernel.partition("(")[0]
    tests = STRICT.replace("(kernel):", f"({fixture}):\n    kernel = {kernel}")
    status, data = campaign(tests=tests)
    assert status == 0
    assert statuses(data) == {"killed"}
    assert {each["by"].partition("::")[2] for each in data["mutants"]} == {"test_names"}
    assert all(each["why"] for each in data["mutants"])
    assert all(row["score"] == 100 for row in data["totals"].values())


def test_what_was_done_at_boot_needs_no_step_to_be_seen(campaign: Mutants) -> None:
    """A test that executes nothing, but looks at what boot has left, kills a mutant as well."""
    _, data = campaign(only=("--function", "translation_control"), tests=LOOKING)
    killers = {each["by"].partition("::")[2] for each in data["mutants"] if each["status"] == "killed"}
    assert "test_looks" in killers


def test_a_test_that_does_not_look_kills_nothing(campaign: Mutants, tmp_path: Path) -> None:
    """The run fails, unless a reason is stated for each survivor."""
    status, data = campaign("--kind", "branch", tests=LAX)
    assert (status, "survived" in statuses(data)) == (1, True)
    assert data["totals"]["branch"]["score"] == 0
    reasons = tmp_path / "reasons.toml"
    survivor = next(each for each in data["mutants"] if each["status"] == "survived")
    reasons.write_text(f'[["{survivor["file"]}"]]\nfunction = "status_name"\nreason = "nobody looks"\n')
    status, data = campaign("--kind", "branch", "--reasons", str(reasons))
    assert (status, data["unexplained"]) == (0, 0)


def test_an_interrupted_run_goes_on_where_it_was(campaign: Mutants, tmp_path: Path) -> None:
    """A journal without its last line: only that mutant is judged again, and none when it is complete."""
    _, first = campaign(tests=STRICT)
    journal = tmp_path / "work/journal.jsonl"
    lines = journal.read_text().splitlines()
    assert len(lines) == 1 + len(first["mutants"])
    journal.write_text("\n".join(lines[:-1]) + "\n")
    assert verdicts(campaign()[1]) == verdicts(first)
    again = journal.read_text().splitlines()
    assert again[:-1] == lines[:-1]
    assert len(again) == len(lines)
    campaign()
    assert journal.read_text().splitlines() == again


def test_other_tests_judge_again_what_they_may_kill(campaign: Mutants, tmp_path: Path) -> None:
    """A new file of tests: what survived is judged again. What it kills stays so while it is the same."""
    journal, more = tmp_path / "work/journal.jsonl", tmp_path / "test_more.py"
    assert "killed" not in statuses(campaign("--kind", "branch", tests=LAX)[1])
    more.write_text(STRICT.replace("test_names", "test_all_names"))
    assert statuses(campaign("--kind", "branch", str(more))[1]) == {"killed"}
    before = journal.read_text()
    assert statuses(campaign("--kind", "branch", str(more), tests=LAX + "\n")[1]) == {"killed"}
    assert journal.read_text() == before


def test_a_survivor_is_asked_by_new_tests_alone(campaign: Mutants, tmp_path: Path) -> None:
    """What it has survived is not run again; that the tests of another file are others does not matter."""
    ran, more = tmp_path / "ran", tmp_path / "test_more.py"
    noting = LAX + f"    open({str(ran)!r}, 'a').write('x')\n"
    first = campaign("--kind", "branch", tests=noting)[1]
    more.write_text(LAX.replace("test_names", "test_no_names"))
    before = (tmp_path / "work/journal.jsonl").read_text()
    again = campaign("--kind", "branch", str(more))[1]
    assert statuses(first) == statuses(again) == {"survived"}
    added = (tmp_path / "work/journal.jsonl").read_text().removeprefix(before)
    assert {json.loads(line)["tests"] for line in added.splitlines()} == {2}
    size = ran.stat().st_size
    campaign("--kind", "branch", str(more))
    assert ran.stat().st_size == size
    more.write_text(STRICT)
    assert statuses(campaign("--kind", "branch", str(more))[1]) == {"killed"}


@pytest.mark.parametrize("change", ["its file", "a module beside it"])
def test_a_kill_is_forgotten_when_the_test_has_changed(
    campaign: Mutants, tmp_path: Path, change: str
) -> None:
    """What is weaker now, itself or by what it uses, is asked again."""
    (tmp_path / "looking.py").write_text(STRICT.replace("def test_names", "def look"))
    tests = "import looking\n\ndef test_names(kernel):\n    looking.look(kernel)\n"
    assert statuses(campaign("--kind", "branch", tests=tests)[1]) == {"killed"}
    if change == "its file":
        again = campaign("--kind", "branch", tests=LAX)[1]
    else:
        (tmp_path / "looking.py").write_text(LAX.replace("test_names", "look"))
        again = campaign("--kind", "branch")[1]
    assert "killed" not in statuses(again)


def test_a_journal_with_half_a_line_is_read_up_to_there(campaign: Mutants, tmp_path: Path) -> None:
    """The machine stopped while it was written: that mutant is judged again, and the journal is whole."""
    _, first = campaign(tests=STRICT)
    journal = tmp_path / "work/journal.jsonl"
    whole = journal.read_text()
    journal.write_text(whole[:-10])
    assert verdicts(campaign()[1]) == verdicts(first)
    assert len([json.loads(line) for line in journal.read_text().splitlines()]) == len(whole.splitlines())


def test_a_test_process_that_dies_counts_as_killed(campaign: Mutants) -> None:
    """And the campaign goes on with another process; what was killed so is judged again by other tests."""
    _, data = campaign("--kind", "branch", tests=DEADLY)
    dead = [each for each in data["mutants"] if each["by"] == "watchdog"]
    assert dead
    assert all(each["status"] == "killed" for each in dead)
    assert "killed" not in statuses(campaign("--kind", "branch", tests=LAX)[1])


@pytest.mark.parametrize(
    ("tests", "options", "limit"),
    [(ENDLESS, ["--limit", "1"], r"1"), (STUBBORN, ["--limit", "1"], r"1"), (ENDLESS, [], r"[2-9](\.\d+)?")],
    ids=["limit", "stubborn", "usual"],
)
def test_a_test_that_does_not_end_counts_as_killed(
    campaign: Mutants, tests: str, options: list[str], limit: str
) -> None:
    """By the CPU time that it takes, however much the mutant has: for a quick test it is little."""
    _, data = campaign("--kind", "branch", *options, tests=tests)
    taken = re.compile(f"more than {limit} seconds of CPU time")
    endless = [each for each in data["mutants"] if taken.search(each["why"])]
    assert endless
    assert all(each["status"] == "killed" for each in endless)


def test_a_test_that_fails_without_a_mutant_too_kills_none(campaign: Mutants) -> None:
    """It passes on its own, and fails wherever mutants are judged."""
    _, data = campaign("--kind", "branch", tests=UNSOUND)
    assert "survived" in statuses(data)
    assert "killed" not in statuses(data)


def test_a_summary_is_written_for_the_project(campaign: Mutants, tmp_path: Path) -> None:
    """The score by kind, of all mutants there are; a kind that is run alone leaves the others."""
    file = tmp_path / "summary.json"
    _, data = campaign("--summary", str(file), tests=LAX, only=("--source", "kernel_c/core/status.c"))
    whole = json.loads(file.read_text())
    assert whole == data["totals"]
    assert len(whole) > 1
    assert all(row["without reason"] == row["mutants"] - row["killed"] for row in whole.values())
    _, data = campaign(
        *("--summary", str(file), "--kind", "branch"),
        tests=STRICT,
        only=("--source", "kernel_c/core/status.c"),
    )
    assert data["totals"].keys() == {"branch"}
    assert json.loads(file.read_text()) == whole | data["totals"] != whole


@pytest.mark.parametrize("part", ["--sample=9", "--function=status_name"])
def test_a_part_of_the_mutants_makes_no_summary(elf: Path, tmp_path: Path, part: str) -> None:
    """It would pass for a score of the whole."""
    arguments = ["--elf", str(elf), "--summary", str(tmp_path / "summary.json"), part]
    result = CliRunner().invoke(mutants_command, arguments)
    assert isinstance(result.exception, HarnessError)
    assert "all mutants" in str(result.exception)


def test_a_file_that_is_no_summary_is_not_overwritten(elf: Path, tmp_path: Path) -> None:
    """That is said before anything runs."""
    file = tmp_path / "summary.json"
    file.write_text("notes")
    result = CliRunner().invoke(mutants_command, ["--elf", str(elf), "--summary", str(file)])
    assert isinstance(result.exception, HarnessError)
    assert file.read_text() == "notes"
