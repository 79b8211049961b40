# SPDX-License-Identifier: BSD-3-Clause
"""The list of what is not reached, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import HarnessError
from harness.checks.coverage import Coverage, FileCoverage, Outcome
from harness.checks.coverage.reasons import Missing, Reasons, missing

ROOT = Path(__file__).parents[2]
LISTS = ("unreached", "survivors")
SOURCE = "kernel_c/core/panic.c"
TEXT = tuple((ROOT / SOURCE).read_text().splitlines())


def coverage() -> Coverage:
    """A file with a line reached, one not, and one with half of a branch."""
    each = FileCoverage(
        lines={6: True, 10: False, 11: True},
        outcomes={Outcome(11, 0, "zero", 0, truth): truth for truth in (True, False)},
        owners=dict.fromkeys((6, 10, 11), "panic"),
        source=TEXT,
    )
    return Coverage(files={SOURCE: each})


def test_lines_and_branches_that_miss_something_are_told() -> None:
    """In the order of the file."""
    line, branch = missing(coverage())
    assert line == Missing(SOURCE, 10, "panic", "line", TEXT[9].strip())
    assert branch == Missing(SOURCE, 11, "panic", "1 of its branch outcomes", TEXT[10].strip())


@pytest.mark.parametrize(("code", "said"), [("the line", 1), ("", 2), ("another line", 0)])
def test_a_reason_is_about_a_line_or_a_function(tmp_path: Path, code: str, said: int) -> None:
    """By the text of the line, whatever its number; without a text, all of the function."""
    found = list(missing(coverage()))
    text = found[0].code if code == "the line" else code
    file = tmp_path / "list.toml"
    file.write_text(f"""[["{SOURCE}"]]\nfunction = "panic"\ncode = '''{text}'''\nreason = "because"\n""")
    reasons = Reasons.load(file)
    assert [reasons.of(each) for each in found].count("because") == said
    assert len(reasons.stale(found)) == (said == 0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "No such file"),
        ('[["a.c"', "not a list of reasons: .*Expected"),
        (b"\xff", "not a list of reasons: .*decode"),
        ('["a.c"]\nfunction = "f"\nreason = "r"\n', r"a\.c: not a list: .*'f'"),
        ('"a.c" = ["f"]\n', r"a\.c: not an entry: f"),
        ('[["a.c"]]\nfunction = "f"\n', r"a\.c: not an entry: .*'f'"),
        ('[["a.c"]]\nreason = "r"\n', r"a\.c: not an entry: .*'r'"),
        ('[["a.c"]]\nfunction = "f"\nreason = "r"\ntext = "t"\n', r"a\.c: not an entry: .*'t'"),
        ('[["a.c"]]\nfunction = "f"\nreason = 1\n', r"a\.c: not an entry: .*1"),
    ],
    ids=["nowhere", "no TOML", "no text", "table", "no table", "reason", "function", "unknown", "type"],
)
def test_what_is_no_list_of_reasons_is_refused(tmp_path: Path, text: str | bytes | None, what: str) -> None:
    """The error names the file and what is wrong in it, and says how an entry is written."""
    file = tmp_path / "list.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(HarnessError, match=rf"list\.toml: .*{what}.*; an entry is \[\[") as caught:
        Reasons.load(file)
    assert str(caught.value).startswith(str(file))


def test_lists_add_up() -> None:
    """What is in one is no less true for the other."""
    one, other = (ROOT / f"tests/coverage/{name}.toml" for name in LISTS)
    assert Reasons.load(one, other).entries == Reasons.load(one).entries + Reasons.load(other).entries


@pytest.mark.parametrize("name", LISTS)
def test_the_projects_lists_are_about_code_that_is_there(name: str) -> None:
    """Each entry names a file and a line of it by its text; nothing is said twice."""
    entries = Reasons.load(ROOT / f"tests/coverage/{name}.toml").entries
    for each in entries:
        text = (ROOT / each.file).read_text()
        assert each.function in text, each
        assert each.code in [line.strip() for line in text.splitlines()] or not each.code, each
    assert len({(each.file, each.function, each.code) for each in entries}) == len(entries)
