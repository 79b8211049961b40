# SPDX-License-Identifier: BSD-3-Clause
"""A kernel of other hands under `python -m harness check`: 64K pages, three planted defects."""

from __future__ import annotations

import json

import pytest

from harness.cli import main

GOOD = ("map(0x100010000, 0x40400000)", "unmap(0x100010000)", "release()")
DEFECTS = {
    "remap(0x100010000, 0x40410000)": ("break-before-make", "replaced"),
    "unmap_unshifted(0x100010000)": ("tlbi-scope", "scope"),
    "release_early()": ("incomplete-tlbi", "no-dsb"),
}


@pytest.fixture
def check(capfd, foreign_elf):
    """Runs the command: exit status and findings."""

    def run(*calls, options=()):
        words = [word for call in calls for word in ("--call", call)]
        status = main(["check", str(foreign_elf), "--ram", "64M", "--format", "json", *words, *options])
        return status, json.loads(capfd.readouterr().out)

    return run


def test_correct_functions_are_not_complained_of(check):
    """Boot, map, unmap, give a table back."""
    assert check(*GOOD) == (0, [])


@pytest.mark.parametrize("call", DEFECTS)
def test_each_defect_is_found_where_it_is(check, call):
    """By name of its rule, with the source line of the store or TLBI."""
    status, (finding,) = check(GOOD[0], call)
    assert (status, finding["rule"], finding["check"]) == (1, *DEFECTS[call])
    assert f"{call.split('(')[0]}+" in finding["where"]["source"]
    assert "foreign.c" in finding["where"]["source"]


def test_all_defects_are_told_of_together(check):
    """One finding does not hide another."""
    _, found = check(GOOD[0], *DEFECTS)
    assert {(each["rule"], each["check"]) for each in found} == set(DEFECTS.values())


def test_a_suppressed_check_is_left_out(check):
    """By rule, or by one check of it; the exit status says that nothing was found."""
    call = next(iter(DEFECTS))
    for name in ("break-before-make", "break-before-make/replaced"):
        assert check(GOOD[0], call, options=("--suppress", name)) == (0, [])


def test_functions_of_an_image_that_is_not_booted_can_be_checked(check):
    """With a prepared stack and MMU: its tables are not walked, so nothing can be wrong."""
    assert check(GOOD[0], options=("--bare",)) == (0, [])


def test_its_tables_can_be_audited(capfd, foreign_elf):
    """Pages of 64K, a root that is smaller than one, and no kernel half: nothing is wrong with them."""
    assert main(["audit", str(foreign_elf), "--ram", "64M", "--call", GOOD[0]]) == 0
    assert capfd.readouterr().out.startswith("nothing wrong with ")


def test_before_the_mmu_is_on_there_is_nothing_to_audit(capfd, foreign_elf):
    """One line says so, and how to get further."""
    assert main(["audit", str(foreign_elf), "--ram", "64M", "--boot-until", "start"]) == 1
    assert "the MMU is off" in capfd.readouterr().err


def test_sarif_names_rule_file_and_line(capfd, foreign_elf):
    """What code review tools want to know."""
    call = next(iter(DEFECTS))
    words = [
        "check",
        str(foreign_elf),
        "--ram",
        "64M",
        "--format",
        "sarif",
        "--call",
        GOOD[0],
        "--call",
        call,
    ]
    assert main(words) == 1
    (run,) = json.loads(capfd.readouterr().out)["runs"]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert place["artifactLocation"]["uri"].endswith("foreign.c")
    assert place["region"]["startLine"] > 0


def test_text_report_says_what_was_missing(capfd, foreign_elf):
    """Rule, instruction, entry before and after, and what to do."""
    words = [
        "check",
        str(foreign_elf),
        "--ram",
        "64M",
        "--call",
        GOOD[0],
        "--call",
        "unmap_unshifted(0x100010000)",
    ]
    assert main(words) == 1
    text = capfd.readouterr().out
    for part in ("tlbi-scope/scope", "Arm DDI 0487", "L3 entry at PA", "missing:", "shifted", "foreign.c"):
        assert part in text


@pytest.mark.parametrize(("form", "line"), [("json", '"name": "TLBI VAAE1IS"'), ("casemate", "(tlbi (id ")])
def test_trace_writes_every_event(capfd, foreign_elf, form, line):
    """Store, barrier, TLBI and register writes of boot and calls, in either language."""
    words = ["trace", str(foreign_elf), "--ram", "64M", "--format", form]
    assert main([*words, "--call", GOOD[0], "--call", GOOD[1]]) == 0
    text = capfd.readouterr().out
    assert line in text
    assert "foreign.c" in text
    if form == "json":
        kinds = {json.loads(each)["event"] for each in text.splitlines()}
        assert kinds == {"store", "barrier", "system", "msr"}
