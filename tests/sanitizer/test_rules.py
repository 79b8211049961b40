# SPDX-License-Identifier: BSD-3-Clause
"""Every rule by cases in assembly: `good_<rule>__` is silent, `bad_` and `known_` break that rule alone."""

from __future__ import annotations

import re

import pytest

from harness.checks.model.code_book import CodeBook
from harness.checks.rules import RULES
from harness.checks.sanitizer import Options
from harness.errors import HarnessError
from tests.sanitizer.conftest import CASES, RETURN

_NAMES = re.compile(r"^(?:case |    \.global )((good|bad|known)_(\w+?)__\w+)", re.MULTILINE)
_ALL = sorted(match.groups() for path in CASES.glob("*.S") for match in _NAMES.finditer(path.read_text()))
GOOD = [name for name, kind, _ in _ALL if kind == "good"]
BAD = [(name, rule.replace("_", "-")) for name, kind, rule in _ALL if kind != "good"]


@pytest.mark.parametrize("name", GOOD)
def test_correct_code_is_silent(cases, name):
    """Near misses of each rule, and the sequences that the architecture asks for."""
    assert [str(finding) for finding in cases.run(name)] == []


@pytest.mark.parametrize(("name", "rule"), BAD, ids=[name for name, _ in BAD])
def test_violation_is_found_under_the_name_of_its_rule(cases, name, rule):
    """And under no other."""
    assert {finding.rule.name for finding in cases.run(name)} == {rule}


@pytest.mark.parametrize("name", [name for name, _ in BAD])
def test_a_snapshot_at_any_moment_loses_nothing(cases, name):
    """Restored before every instruction, the sanitizer finds what it finds in one run."""
    found = {(each.name, each.where.pc) for each in cases.run_restored(name)}
    assert found == {(each.name, each.where.pc) for each in cases.run(name)}


def test_each_check_of_each_rule_has_a_bad_case(cases):
    """And none has a name that its rule does not know: suppressions go by these."""
    found = {finding.name for name, _ in BAD for finding in cases.run(name)}
    assert found == {f"{rule.name}/{check}" for rule in RULES for check in rule.checks}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_has_cases_of_both_kinds(rule):
    """A rule without a good case may find fault with everything, one without a bad case with nothing."""
    stem = rule.name.replace("-", "_")
    assert [name for name in GOOD if name.startswith(f"good_{stem}__")]
    assert [name for name, of in BAD if of == rule.name and name.startswith("bad_")]


@pytest.mark.parametrize("name", ["polcy", "policy/writable", "policy/", "replaced"])
def test_what_is_no_rule_and_no_check_cannot_be_suppressed(name):
    """A misspelt name would suppress nothing, and nobody would notice."""
    with pytest.raises(HarnessError, match=f"no rule or check {name} to suppress"):
        Options(suppress=["policy", "break-before-make/replaced", name])


def test_checks_can_be_left_out_for_a_while(cases):
    """And only these: the case breaks another check of the same rule as well."""
    name, both = "bad_policy__device_is_code_and_memory", ["device-executable", "mismatched-attributes"]
    assert sorted(finding.check for finding in cases.run(name)) == both
    for check, other in zip(both, reversed(both), strict=True):
        cases.sanitizer.leave_out([f"policy/{check}"])
        assert [finding.check for finding in cases.run(name)] == [other]
    cases.sanitizer.leave_out([])
    assert len(cases.run(name)) == 2


def test_who_runs_loops_in_new_code_is_not_asked_for_ever(cases, monkeypatch):
    """Each block that is told of costs microseconds."""
    executed, blocks = CodeBook.executed, []
    monkeypatch.setattr(
        CodeBook, "executed", lambda book, machine, page: (blocks.append(page), executed(book, machine, page))
    )
    assert cases.run("good_instruction_memory__executed_again_and_again") == []
    assert len(blocks) == 1000


def test_execution_is_watched_again_after_a_restore(cases):
    """Of code that is translated already, too."""
    name = "bad_instruction_memory__executed_before_it_is_maintained"
    machine, start = cases.machine, cases.image.symbols[name].address
    cases.run(name)
    machine.restore(cases._moment)
    machine.registers["pc"], machine.registers["x30"] = start, RETURN
    machine.run(budget=10)  # up to the branch
    dirty = machine.snapshot()
    machine.run(budget=100, until={RETURN})
    assert len(cases.sanitizer.take()) == 1
    machine.restore(dirty)
    machine.run(budget=100, until={RETURN})
    assert [finding.name for finding in cases.sanitizer.take()] == ["instruction-memory/not-maintained"]
