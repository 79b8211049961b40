# SPDX-License-Identifier: BSD-3-Clause
"""What the README shows is what happens."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.checks.export import rules_table
from harness.checks.mutation.mutants import KINDS
from harness.cli import cli
from harness.pytest_plugin.options import settings_of
from tests.coverage import cost
from tests.readme.figures import summary, with_figures

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFAULT_IMAGE = ".build/va39/kernel.elf"

# What depends on the compiler and on the size of the image: physical addresses and instruction counts.
VARYING = re.compile(r"0x0040[0-9a-f]{6}|[0-9,]+(?= instructions)")


def blocks(language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return [body for name, body in BLOCK.findall(README) if name == language]


def commands() -> list[tuple[str, str]]:
    """Each shell command with the output shown below it."""
    parts = [part for body in blocks("console") for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def settled(text: str) -> str:
    """The text with what varies made equal, and no blanks at line ends."""
    return "\n".join(line.rstrip() for line in VARYING.sub("*", text).strip().splitlines())


@pytest.fixture
def image(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the images under test the 39-bit one, which the README speaks of; in the project's folder."""
    monkeypatch.chdir(ROOT)
    paths = [target.path for target in settings_of(request.config).targets]
    return str(next(path for path in paths if path.parent.name == "va39"))


def test_the_session_is_as_shown(image: str) -> None:
    """Every line of the Python session gives what the README says it gives."""
    session = "\n".join(blocks("pycon")).replace(DEFAULT_IMAGE, image)
    parsed = doctest.DocTestParser().get_doctest(session, {}, "README.md", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(parsed, out=said.append)
    assert len(parsed.examples) > 10
    assert "".join(said) == ""


@pytest.mark.parametrize(("command", "output"), commands(), ids=lambda text: text.split("\n")[0][:40])
def test_a_command_prints_what_is_shown(image: str, command: str, output: str) -> None:
    """Every shell command gives what the README says it gives."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "harness"]
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *words[1:], "--elf", image],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stderr == ""
    assert settled(done.stdout) == settled(output)


def test_the_list_of_commands_is_that_of_the_command_line() -> None:
    """All but `debug` have an option that gives JSON."""
    (listed,) = re.findall(r"`python -m harness --help` lists the commands: (.*?)\.\s", README, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == cli.commands.keys()
    gives_json = {
        name
        for name, command in cli.commands.items()
        if any(
            option.name == "as_json" or "json" in getattr(option.type, "choices", ())
            for option in command.params
        )
    }
    assert cli.commands.keys() - gives_json == {"debug"}


def test_the_figures_are_those_of_the_committed_summaries() -> None:
    """`python -m tests.readme.figures` writes them."""
    assert with_figures(README) == README


def test_the_last_run_reached_what_is_asked() -> None:
    """95 % of the branch outcomes, and every line and outcome but those with a reason."""
    found = summary("coverage")
    assert found["without_reason"] == {"lines": 0, "branches": 0}
    assert found["lines"]["total"] > 4000
    assert found["branches"]["percent"] >= 95


def test_looking_on_costs_no_more_than_is_allowed() -> None:
    """The ratios of the last `make cost`, for each way of looking on."""
    found = summary("cost")
    assert found.keys() == cost.LIMITS.keys()
    assert all(0 < ratio <= cost.LIMITS[name] for name, ratio in found.items())


def test_each_way_of_looking_on_is_compared_with_what_one_has_without() -> None:
    """The sanitizer is on unless one says otherwise."""
    assert cost.ratios({"neither": 100, "sanitizer": 120, "coverage": 180}) == {
        "sanitizer": 1.2,
        "coverage": 1.5,
    }


@pytest.mark.parametrize("passes", [True, False])
def test_a_run_in_which_tests_fail_is_no_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: bool
) -> None:
    """It ends early, perhaps; the committed ratios stay as they were."""
    monkeypatch.setattr(cost, "SUMMARY", tmp_path / "cost.json")
    monkeypatch.setattr(cost, "_WAYS", dict.fromkeys(cost._WAYS, ()))
    file = tmp_path / "test_it.py"
    file.write_text(f"def test_it():\n    assert {passes}\n")
    result = CliRunner().invoke(cost.cost, ["--write", "--", str(file)])
    assert (result.exit_code == 0) == passes == cost.SUMMARY.is_file()
    assert ("| sanitizer |" if passes else "is no measure") in result.output


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_campaign_killed_what_is_asked(kind: str) -> None:
    """Every mutant of a barrier, 95 % of any other kind: of all. Those that live have a reason each."""
    found, least = summary("mutants")[kind], 100 if kind == "barrier" else 95
    assert 100 * found["killed"] >= least * found["mutants"] > 0
    assert found["without reason"] == 0


def test_no_other_kind_is_shown() -> None:
    """The table is made of the summary as it is."""
    assert summary("mutants").keys() <= {*KINDS}


def test_the_readme_shows_sessions() -> None:
    """There is something to compare."""
    assert len(commands()) >= 2
    assert len(blocks("pycon")) >= 2


def test_the_table_of_rules_is_made_from_the_rules() -> None:
    """`harness.checks.export.rules_table()` prints it."""
    assert rules_table() in README
