# SPDX-License-Identifier: BSD-3-Clause
"""`pytest --kernel-cov`, tried from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.pytest_plugin.options import settings_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
_SOURCE = """
    import pytest

    @pytest.mark.parametrize("status", range(-3, 0))
    def test_kernel(kernel, status):
        assert kernel.status_name(status)

    def test_space(kernel):
        assert kernel.vmm_address_space_create()

    def test_looks(kernel):
        assert kernel.machine.sysreg["VBAR_EL1"]

    def test_nothing():
        pass
"""


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Path:
    """One image; that there may be several is not the subject here."""
    return settings_of(request.config).targets[0].path


def run(pytester: pytest.Pytester, *arguments: object) -> pytest.RunResult:
    pytester.makepyfile(_SOURCE)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "--timeout=120", *map(str, arguments))


def measured(pytester: pytest.Pytester, elf: Path, *arguments: object) -> dict[str, object]:
    """What the JSON file of a run says."""
    result = run(pytester, "--kernel-elf", elf, "--kernel-cov=json:out.json", *arguments)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["*kernel coverage*", "lines *", "json: *out.json"])
    data: dict[str, object] = json.loads(Path("out.json").read_text())
    return data


def test_workers_add_up_to_what_one_process_sees(pytester: pytest.Pytester, elf: Path) -> None:
    """The same lines, branches and instructions, however the tests are spread."""
    alone, spread = measured(pytester, elf), measured(pytester, elf, "-n2")
    assert {k: v for k, v in alone.items() if spread[k] != v} == {}
    assert alone["lines"]["reached"] > 500  # type: ignore[index]


def test_a_worker_alone_writes_nothing(pytester: pytest.Pytester, elf: Path) -> None:
    """It has seen a part, which somebody would take for the whole while others still run."""
    pytester.makeconftest("""
        from pathlib import Path

        def pytest_unconfigure(config):
            if hasattr(config, "workerinput"):
                Path(f"worker-{Path('out.json').exists()}").touch()
    """)
    measured(pytester, elf, "-n1")
    assert [file.name for file in pytester.path.glob("worker-*")] == ["worker-False"]


def test_what_each_test_executes_is_told_apart(pytester: pytest.Pytester, elf: Path) -> None:
    """By its name, also one that only looks at what another has booted; none that has no kernel."""
    run(pytester, "--kernel-elf", elf, "--kernel-cov=tests:out.json").assert_outcomes(passed=6)
    data = json.loads((pytester.path / "out.json").read_text())
    names = {name.partition("::")[2] for name in data}
    assert names == {"test_kernel[-3]", "test_kernel[-2]", "test_kernel[-1]", "test_space", "test_looks"}
    assert all(each["seconds"] > 0 for each in data.values())
    idle = {
        name.partition("::")[2] for name, each in data.items() if not each["steps"].get(str(elf.resolve()))
    }
    assert idle == {"test_looks"}


def test_the_folder_of_the_run_does_not_matter(
    pytester: pytest.Pytester, elf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources are found from the root folder of the tests."""
    pytester.makeini("[pytest]\n")
    (pytester.path / "kernel_c").symlink_to(ROOT / "kernel_c")
    above = measured(pytester, elf)
    monkeypatch.chdir(pytester.mkdir("below"))
    assert measured(pytester, elf, "..") == above
    assert above["assertions"]


@pytest.mark.parametrize(
    ("named", "booted"),
    [
        ("{here}/image/kernel.elf", "image/kernel.elf"),
        ("other/../image/kernel.elf", "{here}/image/kernel.elf"),
    ],
)
def test_an_image_is_known_however_it_is_spelled(
    pytester: pytest.Pytester, elf: Path, named: str, booted: str
) -> None:
    """Relative, absolute, by way of another folder; given to pytest or to `Kernel`."""
    for name in ("image", "other"):
        pytester.mkdir(name)
    (pytester.path / "image/kernel.elf").write_bytes(elf.read_bytes())
    booted = booted.format(here=pytester.path)
    pytester.makepyfile(f"""
        from harness import Kernel

        def test_own():
            Kernel({booted!r}, ram_size=64 << 20).close()
    """)
    options = ("-p", "no:cacheprovider", "--kernel-cov=tests:out.json")
    pytester.runpytest_subprocess(*options, "--kernel-elf", named.format(here=pytester.path))
    (own,) = json.loads(Path("out.json").read_text()).values()
    assert list(own["steps"]) == [str((pytester.path / "image/kernel.elf").resolve())]


@pytest.mark.parametrize("value", ["tests", "pdf:out", "lcov:", "lcov"])
def test_a_format_that_is_none_is_a_usage_error(pytester: pytest.Pytester, value: str) -> None:
    """So is the path of tests, which stands where a value may."""
    result = run(pytester, "--kernel-cov", value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --kernel-cov={value}: write --kernel-cov=lcov|*:FILE*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "kernel_cov_reasons=nope.toml", "--kernel-cov"), "*nope.toml: *an entry is*"),
        (("--kernel-cov=json:taken/out.json",), "*taken/out.json: cannot be written: *"),
        (("--kernel-cov=json:.",), "*: cannot be written: *"),
        (("--kernel-states=taken/states.json",), "*taken/states.json: cannot be written: *"),
    ],
    ids=["reasons", "in a file", "folder", "states"],
)
def test_what_cannot_be_read_or_written_is_said_before_any_test(
    pytester: pytest.Pytester, arguments: tuple[str, ...], said: str
) -> None:
    """Not when the run is over and its results are lost."""
    (pytester.path / "taken").write_text("")
    result = run(pytester, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --kernel-*: {said}"])
    result.stdout.no_fnmatch_line("*passed*")


def test_runs_without_it_are_not_recorded(pytester: pytest.Pytester, elf: Path) -> None:
    """No section, no cost."""
    result = run(pytester, "--kernel-elf", elf)
    result.assert_outcomes(passed=6)
    result.stdout.no_fnmatch_line("*kernel coverage*")
