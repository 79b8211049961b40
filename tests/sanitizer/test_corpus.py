# SPDX-License-Identifier: BSD-3-Clause
"""Defects of real kernels: each is caught by a test that exists, and each planted one is in the list."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.sanitizer.test_rules import BAD

HERE = Path(__file__).parent
DEFECTS = tomllib.loads((HERE / "corpus.toml").read_text())["defect"]
CAUGHT = sorted({name for defect in DEFECTS for name in defect["caught"]})
PLANTED = {name for name, _ in BAD if name.startswith("known_")}


def test_every_planted_defect_is_in_the_list():
    """And the list names no case that is not there."""
    assert {name for name in CAUGHT if "::" not in name} == PLANTED


@pytest.mark.parametrize("test", [name for name in CAUGHT if "::" in name])
def test_every_other_test_of_the_list_is_there(test):
    """By its file and name."""
    path, _, name = test.partition("::")
    tree = ast.parse((HERE.parents[1] / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect["what"])
def test_every_defect_says_what_it_was_and_what_catches_it(defect):
    """None is only listed."""
    assert defect.keys() == {"what", "seen", "caught"}
    assert all(defect.values())
