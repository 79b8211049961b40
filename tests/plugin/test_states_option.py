# SPDX-License-Identifier: BSD-3-Clause
"""`pytest --kernel-states` and `--kernel-same-as`, tried from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.pytest_plugin.options import settings_of

pytest_plugins = ["pytester"]

_SOURCE = """
    import os

    import pytest

    @pytest.fixture
    def mine(kernel):
        return kernel

    class Has:
        def __init__(self, kernel):
            self.kernel = kernel

    @pytest.fixture(scope="session")
    def booted_once(kernel_elf):
        from harness import Kernel

        with Kernel(kernel_elf, ram_size=64 << 20) as kernel:
            yield kernel

    @pytest.fixture
    def has(booted_once):
        return Has(booted_once)

    def test_by_way_of_what_has_one(has):
        pass

    @pytest.mark.parametrize("times", range(3))
    def test_by_way_of_a_fixture(mine, times):
        for _ in range(times):
            assert mine.vmm_address_space_create()

    def test_that_depends_on_the_day(kernel, boot_kernel):
        booted = boot_kernel(ram_size=64 << 20)
        if os.environ.get("DAY") == "tuesday":
            {what}

    def test_that_closes(boot_kernel):
        boot_kernel(ram_size=64 << 20).close()

    def test_nothing():
        pass
"""

_COUNT = 40
_MANY = f"""
    import pytest

    @pytest.mark.parametrize("number", range({_COUNT}))
    def test_with(kernel, number):
        pass
"""


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Path:
    """One image; that there may be several is not the subject here."""
    return settings_of(request.config).targets[0].path


def run(pytester: pytest.Pytester, elf: Path, *arguments: str, what: str = "pass") -> pytest.RunResult:
    pytester.makepyfile(_SOURCE.format(what=what))
    options = ("-p", "no:cacheprovider", "--timeout=120", "--kernel-elf", str(elf))
    return pytester.runpytest_subprocess(*options, *arguments)


@pytest.mark.parametrize("spread", [(), ("-n2",)], ids=["alone", "xdist"])
def test_two_runs_of_the_same_are_the_same(
    pytester: pytest.Pytester, elf: Path, spread: tuple[str, ...]
) -> None:
    """Each test with a kernel has a state; how tests are spread does not matter."""
    run(pytester, elf, "--kernel-states=new/states.json").assert_outcomes(passed=7)
    found = json.loads((pytester.path / "new/states.json").read_text())
    assert len(found) == 5
    assert (
        len({str(state[0]) for state in found.values()}) == 4
    )  # another RAM; without a space, with one, with two
    result = run(pytester, elf, "--kernel-same-as=new/states.json", *spread)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*kernel states*", "5 tests, 0 differ*"])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("kernel.vmm_last_error()", r"*::test_that_depends_on_the_day: instructions \[*\] and \[*\]"),
        ("kernel.machine.memory.write(0x48000000, b'x')", "*::test_that_depends_on_the_day: memory"),
        ("booted.vmm_last_error()", r"*::test_that_depends_on_the_day: instructions \[*\] and \[*\]"),
        ("booted.machine.memory.write(0x42000000, b'x')", "*::test_that_depends_on_the_day: memory"),
    ],
    ids=["instructions", "memory", "booted-instructions", "booted-memory"],
)
def test_a_test_that_differs_fails_the_run(
    pytester: pytest.Pytester, elf: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    """It is named, with what differs."""
    run(pytester, elf, "--kernel-states=states.json", what=what)
    monkeypatch.setenv("DAY", "tuesday")
    result = run(pytester, elf, "--kernel-same-as=states.json", what=what)
    result.assert_outcomes(passed=7)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["5 tests, 1 differ*", f"  {said.replace(chr(92), '')}".replace("[", "[[]")])


def test_a_test_of_one_run_only_fails_it(pytester: pytest.Pytester, elf: Path) -> None:
    """Otherwise an empty run would be like any other."""
    run(pytester, elf, "--kernel-states=states.json")
    result = run(pytester, elf, "--kernel-same-as=states.json", "-k", "fixture")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*::test_that_depends_on_the_day: in one run only"])


def test_a_file_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester, elf: Path) -> None:
    """It says how to make one."""
    result = run(pytester, elf, "--kernel-same-as=nonesuch.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kernel-same-as=nonesuch.json: *--kernel-states*"])


def test_a_sample_has_always_the_same_tests(pytester: pytest.Pytester, elf: Path) -> None:
    """About one in N, chosen by name. The states of two runs are compared; another sample is another run."""
    pytester.makepyfile(_MANY)
    options = ("-p", "no:cacheprovider", "--timeout=120", "--kernel-elf", str(elf))
    counts = pytester.runpytest_subprocess(
        *options, "--kernel-sample=4", "--kernel-states=states.json"
    ).parseoutcomes()
    assert counts["passed"] + counts["deselected"] == _COUNT
    assert _COUNT / 8 < counts["passed"] < _COUNT / 2
    assert len(json.loads((pytester.path / "states.json").read_text())) == counts["passed"]
    again = pytester.runpytest_subprocess(*options, "--kernel-sample=4", "--kernel-same-as=states.json")
    again.stdout.fnmatch_lines([f"{counts['passed']} tests, 0 differ*"])
    other = pytester.runpytest_subprocess(*options, "--kernel-sample=5", "--kernel-same-as=states.json")
    assert other.ret == pytest.ExitCode.TESTS_FAILED
