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


@pytest.mark.parametrize(
    ("call", "status", "checks"),
    [
        ("move_block(0x42000000, 0x42200000)", 0, []),
        ("move_block_at_once(0x42000000, 0x42200000)", 1, ["replaced"]),
    ],
)
def test_a_defect_in_the_prepared_tables_is_found(check, call, status, checks):
    """A function that changes the tables it finds, rightly and wrongly."""
    found_status, found = check(call, options=("--bare",))
    assert (found_status, [each["check"] for each in found]) == (status, checks)
    assert all(f"{call.split('(')[0]}" in each["where"]["backtrace"][-1] for each in found)


def test_functions_are_called_by_their_symbols_alone(capfd, stripped_elf):
    """Without DWARF numbers go into registers, and the defect is found where it is."""
    calls = ("--call", GOOD[0], "--call", "remap(4295032832, peek(0x100010000) + 0x40410000)")
    assert main(["check", str(stripped_elf), "--ram", "64M", "--format", "json", *calls]) == 1
    (finding,) = json.loads(capfd.readouterr().out)
    assert (finding["check"], finding["where"]["source"].split("+")[0]) == ("replaced", "remap")
    assert "PA 0x40410000" in finding["entry"]["new"]


@pytest.mark.parametrize(
    ("call", "error"),
    [("unmapp(1)", "no symbol named 'unmapp'"), ("end(1)", "end is not code")],
    ids=["unknown", "data"],
)
def test_what_is_no_function_by_its_symbol_is_refused(capfd, stripped_elf, call, error):
    """The message is about the name, not about DWARF."""
    assert main(["check", str(stripped_elf), "--ram", "64M", "--call", call]) == 1
    said = capfd.readouterr().err
    assert error in said
    assert "DWARF" not in said


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


def test_trace_writes_every_event(capfd, foreign_elf):
    """Store, barrier, TLBI and register writes of boot and calls, with their sources."""
    words = ["trace", str(foreign_elf), "--ram", "64M"]
    assert main([*words, "--call", GOOD[0], "--call", GOOD[1]]) == 0
    events = [json.loads(each) for each in capfd.readouterr().out.splitlines()]
    assert {each["event"] for each in events} == {"store", "barrier", "system", "msr"}
    assert "TLBI VAAE1IS" in {each.get("name") for each in events}
    assert any("foreign.c" in each["source"] for each in events)
