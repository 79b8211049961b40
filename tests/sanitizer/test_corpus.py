# SPDX-License-Identifier: BSD-3-Clause
"""Defects of real kernels: each is caught by a test that exists, and each planted one is in the list."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.sanitizer.test_rules import BAD
from tests.uk import test_planted

HERE = Path(__file__).parent
DEFECTS = tomllib.loads((HERE / "corpus.toml").read_text())["defect"]
CAUGHT = sorted({name for defect in DEFECTS for name in defect["caught"]})
PLANTED = {name for name, _ in BAD if name.startswith("known_")}


def test_every_planted_defect_is_in_the_list():
    """And the list names no case that is not there."""
    assert {name for name in CAUGHT if "::" not in name} == PLANTED


def function_of(test):
    """The function that a name of the list means, or None."""
    path, _, name = test.partition("::")
    tree = ast.parse((HERE.parents[1] / path).read_text())
    return next((each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == name), None)


@pytest.mark.parametrize("test", [name for name in CAUGHT if "::" in name])
def test_every_other_test_of_the_list_is_there(test):
    """By its file and name."""
    assert function_of(test) is not None


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect["what"])
def test_every_defect_says_what_it_was_and_what_catches_it(defect):
    """In words."""
    assert defect.keys() == {"what", "seen", "caught"}
    assert all(defect.values())


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect["what"])
def test_every_defect_is_planted(defect):
    """As a case in assembly, or by a test that says so: that our kernel does not have it is not enough."""
    assert any(is_planted(name) for name in defect["caught"])


def is_planted(name):
    """Whether a case or test has the defect in it."""
    return name in PLANTED or "planted" in (ast.get_docstring(function_of(name)) or "").lower()


def test_what_is_planted_into_the_kernel_has_the_names_of_the_list():
    """Each of those, and no other."""
    test = "tests/uk/test_planted.py::test_a_planted_defect_is_caught_by_what_guards_the_kernel"
    assert {defect["what"] for defect in DEFECTS if test in defect["caught"]} == test_planted.DEFECTS.keys()
