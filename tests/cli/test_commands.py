# SPDX-License-Identifier: BSD-3-Clause
"""tables, symbols, call, info, bench: what they print, for people and for programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Kernel
from harness.bench import baseline, calls, figures, timing, watching
from harness.cli import cli
from harness.image import ElfImage
from harness.report.data import growth_data, tables_data
from harness.report.producer import producer

CREATE = "s = vmm_address_space_create()"
REGION = "vmm_address_space_region_create(s, 3 << 12, AS_REGION_RW)"


def test_every_command_shows_an_example(command: Callable) -> None:
    """Help is enough to begin with."""
    for name in cli.commands:
        result = command(name, "--help")
        assert result.status == 0
        assert "Example:\n    python -m harness " in result.out


def test_the_module_can_be_run() -> None:
    """`python -m harness` is the front door."""
    done = subprocess.run([sys.executable, "-m", "harness", "-h"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: python -m harness")


# -- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["tables", "nonesuch.elf"], ["symbols", "--elf", __file__], ["bench", "--elf", "nonesuch.elf"]],
    ids=["missing", "not an ELF", "bench"],
)
def test_bad_images_are_one_line(command: Callable, arguments: list[str]) -> None:
    """What is wrong with the file, without a traceback."""
    result = command(*arguments)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--reasons", "nonesuch.toml", "not a list of reasons"),
        ("--reasons", "taken", "not a list: "),
        ("--summary", "taken/summary.json", "cannot be written"),
    ],
)
def test_what_mutants_reads_and_writes_is_looked_at_first(
    command: Callable, elf: Path, tmp_path: Path, option: str, name: str, said: str
) -> None:
    """One line, before any mutant is judged."""
    (tmp_path / "taken").write_text('["a.c"]\n')
    result = command("mutants", "--elf", elf, option, tmp_path / name)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: {tmp_path / name}: ")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_the_image_that_was_never_built_has_a_recipe(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default image is missing on a fresh clone: the message is the command that makes it."""
    monkeypatch.chdir(tmp_path)
    result = command("info")
    assert result.status == 1
    assert "make kernel" in result.err


@pytest.mark.parametrize(
    "arguments",
    [["--nonesuch"], ["nonesuch"], ["run", "--ram", "lots"], ["tables", "--walk", "here"], ["call"]],
    ids=["option", "command", "size", "number", "argument"],
)
def test_wrong_use_is_status_2(command: Callable, arguments: list[str]) -> None:
    """As every command line tool does it."""
    result = command(*arguments)
    assert result.status == 2
    assert "Error: " in result.err


def test_a_guest_that_fails_is_reported_whole(command: Callable, elf: Path) -> None:
    """Backtrace, registers and console go to standard error."""
    result = command("call", "panic", "out of luck", "--elf", elf)
    assert (result.status, result.out) == (1, "")
    assert "backtrace:\n  #0 " in result.err
    assert "panic: out of luck" in result.err


# -- tables -------------------------------------------------------------------------------------------------


def test_tables_after_calls(command: Callable, kernel_elf: Path) -> None:
    """Calls made on the command line show in the listing, in order."""
    result = command("tables", kernel_elf, "--call", CREATE, "--call", REGION)
    assert result.status == 0
    assert "12K RW     rw- rw- " in result.out
    assert result.out.index("address space 1") < result.out.index("kernel (TTBR1)")


def test_tables_of_one_half(command: Callable, elf: Path) -> None:
    """The other half is left out."""
    lower = command("tables", elf, "--half", "ttbr0", "--call", CREATE).out
    upper = command("tables", elf, "--half", "ttbr1", "--call", CREATE).out
    assert ("address space 1" in lower, "TTBR1" in lower) == (True, False)
    assert ("address space 1" in upper, "TTBR1" in upper) == (False, True)


def test_tables_as_json_are_the_tables(command: Callable, kernel_elf: Path, kernel: Kernel) -> None:
    """The same numbers as from Python."""
    assert command("tables", kernel_elf, "--json").data["kernel"] == tables_data(kernel.tables())


def test_walks(command: Callable, elf: Path, kernel: Kernel) -> None:
    """One address, level by level, in the live tables or in those of an address space."""
    text = hex(kernel.image.symbols["vmm_init"].address)
    result = command("tables", elf, "--walk", text)
    assert "EL0 ---, EL1 r-x" in result.out
    user = command("tables", elf, "--call", CREATE, "--call", REGION, "--walk", "0x11000", "--json").data
    assert user[0]["el0"] == "rw-"


@pytest.mark.parametrize(
    ("call", "message"),
    [("f(", "cannot read"), ("nonesuch()", "no function named 'nonesuch'"), ("[1]", "cannot evaluate")],
)
def test_calls_that_make_no_sense(command: Callable, elf: Path, call: str, message: str) -> None:
    """The message quotes what it could not use."""
    result = command("tables", elf, "--call", call)
    assert result.status == 1
    assert message in result.err


# -- symbols, call, info ------------------------------------------------------------------------------------


def test_symbols_have_prototype_address_and_line(command: Callable, elf: Path, kernel: Kernel) -> None:
    """What a pattern finds is what the image says."""
    result = command("symbols", "vmm_in?t", "--elf", elf)
    prototype = kernel.vmm_init.prototype if elf == kernel.image.path else None
    assert result.status == 0
    assert result.out.startswith("void vmm_init(void)\n    0xffffff80")
    assert "kernel_c/core/" in result.out
    assert prototype is None or hex(prototype.address) in result.out


def test_symbols_by_a_part_of_the_name(command: Callable, elf: Path) -> None:
    """Without wildcards the pattern may be anywhere in the name."""
    names = {each["name"] for each in command("symbols", "copy_", "--elf", elf, "--json").data}
    assert {"vmm_address_space_copy_in", "vmm_address_space_copy_out"} <= names


def test_symbols_that_do_not_exist_are_a_failure(command: Callable, elf: Path) -> None:
    """Nothing found is not success."""
    assert command("symbols", "nonesuch", "--elf", elf).status == 1


def test_call_prints_a_typed_result(command: Callable, elf: Path) -> None:
    """Arguments may be calls themselves, enumerators and sums."""
    arguments = ("vmm_address_space_create()", "2 * 4096", "AS_REGION_RX")
    result = command("call", "vmm_address_space_region_create", *arguments, "--elf", elf)
    assert result.status == 0
    assert result.out.startswith("vmm_address_space_region_create = (void *) 0x")
    assert " instructions\n" in result.out


def test_call_says_why_a_call_failed(command: Callable, elf: Path) -> None:
    """NULL alone would leave one guessing."""
    found = command(
        "call", "vmm_address_space_region_create", "NULL", "1", "AS_REGION_RX", "--json", "--elf", elf
    )
    assert (found.data["result"], found.data["reason"]) == ("0x0", "EINVAL")
    assert command("call", "vmm_address_space_destroy", "NULL", "--elf", elf).out.count("(EINVAL)") == 1


def test_call_shows_what_was_printed(command: Callable, elf: Path) -> None:
    """The console of the call, not of the boot."""
    found = command("call", "console_printf", "%d-%s", "42", "'text'", "--json", "--elf", elf)
    assert found.data["console"] == "42-text"


def test_call_with_wrong_arguments_runs_nothing(command: Callable, elf: Path) -> None:
    """The prototype is in the message."""
    result = command("call", "vmm_stats", "--elf", elf)
    assert result.status == 1
    assert "int vmm_stats(vmm_stats_t *out) takes 1" in result.err


def test_info_states_what_is_emulated(command: Callable, kernel_elf: Path) -> None:
    """CPU, translation, compiler, and what differs from hardware."""
    data = command("info", "--elf", kernel_elf, "--json").data
    assert data["cpu"] == "Cortex-A72"
    assert data["user_half"]["va_bits"] in (39, 48)
    assert data["asid_bits"] == {"cpu": 16, "used": 16}
    assert data["compiler"]
    assert data["frames"]["total"] == sum(data["frames"].values()) - data["frames"]["total"] > 0
    text = command("info", "--elf", kernel_elf).out
    assert all(each[:30] in text for each in data["differences"])


# -- bench --------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small regions and few boots: the figures are not the subject."""
    small = figures.Scope((1, 10), {"4K": 0x1000, "2M": 2 << 20})
    monkeypatch.setattr(figures, "FULL", small)
    monkeypatch.setattr(figures, "COMMITTED", small)
    monkeypatch.setattr(figures, "DEBUG_COUNTS", (1,))
    monkeypatch.setattr(timing, "_BOOTS", 1)
    monkeypatch.setattr(timing, "_TESTS", 5)
    monkeypatch.setattr(timing, "_ROUNDS", 1)
    monkeypatch.setattr(watching, "_ROUNDS", 1)


@pytest.mark.usefixtures("quick")
def test_bench_counts_every_call(command: Callable, elf: Path) -> None:
    """Counts that are the same on two boots, and the time of a reset."""
    data = command("bench", "--elf", elf, "--json").data
    by_size = data["instructions"]["vmm_address_space_region_create"]
    assert 100 < by_size["4K"] < by_size["2M"]
    assert data["instructions"]["vmm_address_space_translate"][""] > 10
    assert data["seconds"]["boot_ratio"] > 1
    assert data["watching"]["sanitizer"]["populate"] > 1
    find = data["growth"]["operations"]["find"]
    assert (find["original"], find["instructions"].keys()) == ({"1": 19, "10000": 100_009}, {"1", "10"})


@pytest.mark.usefixtures("quick")
def test_bench_for_people(command: Callable, elf: Path, tmp_path: Path) -> None:
    """Tables, what assertions cost, and the picture, which goes into a file too."""
    drawing = tmp_path / "growth.svg"
    out = command("bench", "--elf", elf, "--debug-elf", elf, "--svg", drawing).out
    for text in ("map 1 page, address chosen", "vmm_address_space_region_destroy", "small tests a second"):
        assert text in out
    assert "with assertions and poison (Debug)" in out
    assert out.count("●") == 1 + len(figures.FULL.counts)  # in the legend, and at each point
    assert drawing.read_text().startswith("<svg ")


@pytest.mark.usefixtures("quick")
def test_bench_writes_the_baseline_that_the_suite_compares_with(
    command: Callable, elf: Path, tmp_path: Path
) -> None:
    """Every count by name, of this compiler; nothing is printed."""
    path = tmp_path / "baseline.json"
    result = command("bench", "--elf", elf, "--write-baseline", path)
    assert (result.status, result.out) == (0, "")
    image = ElfImage.load(elf)
    found = baseline.read(path)
    assert found == {producer(image): figures.measure(image, figures.COMMITTED)}
    shown = command("bench", "--committed", path)
    assert shown.out.startswith(f"{producer(image)}\n")
    assert "map 1 page, address chosen" in shown.out
    data = command("bench", "--committed", path, "--json").data
    assert data == {producer(image): growth_data(found[producer(image)].growth)}


@pytest.mark.usefixtures("quick")
def test_bench_fails_where_two_boots_differ(
    command: Callable, elf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that depends on anything but the call is an error and is named."""
    answers = iter([{"vmm_stats": {"": 1}}, {"vmm_stats": {"": 2}}])
    monkeypatch.setattr(calls, "measure", lambda *_: next(answers))
    result = command("bench", "--elf", elf)
    assert result.status == 1
    assert "two boots differ in instructions: vmm_stats" in result.err
