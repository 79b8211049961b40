# SPDX-License-Identifier: BSD-3-Clause
"""Coverage is exact: it says what a trace of every single instruction says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from harness import Kernel
from harness.checks.coverage import (
    Coverage,
    FileCoverage,
    Outcome,
    Program,
    Reached,
    Recorder,
    measure,
    reach,
)
from harness.checks.coverage.fatal import Assertions, source_lines
from harness.image import ElfImage
from harness.kernel.kernel import attachments
from harness.machine import Machine
from harness.machine.blocks import EXCEPTION, PAUSE
from tests.uk.driver import RW, user_vas

ROOT = Path(__file__).parents[2]
START = 0x1000
ADD, RET, MSR = 0x91000400, 0xD65F03C0, 0xD5182000


def cbz(words: int) -> int:
    """CBZ w0 over so many words."""
    return 0x34000000 | (words & 0x7FFFF) << 5


class Words(Program):
    """A program made of words at one address."""

    def __init__(self, *words: int, start: int = START) -> None:
        super().__init__(_Nothing())  # type: ignore[arg-type]
        self._words = {start + 4 * at: word for at, word in enumerate(words)}


class _Nothing:
    """An image without code."""

    segments = ()

    class lines:  # noqa: N801 - stands for an attribute
        @staticmethod
        def code() -> list[tuple[int, int]]:
            return []


@pytest.mark.parametrize(
    ("following", "executed", "outcomes"),
    [
        (START + 24, 4, {True}),
        (START + 16, 4, {False}),
        (START + 8 | EXCEPTION, 3, set()),
        (START + 8 | PAUSE, 2, set()),
        (START | PAUSE, 0, set()),
        (START + 8, 2, set()),
        (START + 16 | PAUSE, 4, {False}),
        (0x9000 | EXCEPTION, 4, set()),
    ],
    ids=["taken", "not taken", "fault", "pause", "pause at once", "cut", "pause behind", "vector"],
)
def test_what_follows_a_block_says_how_far_it_got(following: int, executed: int, outcomes: set[bool]) -> None:
    """Three instructions and a branch over one word."""
    program = Words(ADD, ADD, ADD, cbz(3), ADD, ADD, RET)
    found = reach(program, [(START, following)])
    assert found.instructions == {START + 4 * at for at in range(executed)}
    assert found.outcomes == {(START + 12, taken) for taken in outcomes}


def test_a_loop_into_its_own_block_is_not_a_cut() -> None:
    """The branch leads back to the second instruction; behind an MSR the emulator may have cut there."""
    for middle, whole in ((ADD, True), (MSR, False)):
        found = reach(Words(middle, ADD, ADD, cbz(-2), RET), [(START, START + 4)])
        assert (START + 12 in found.instructions) == whole
        assert found.outcomes == ({(START + 12, True)} if whole else set())


def test_where_1k_begins_a_cut_is_no_loop() -> None:
    """The emulator cuts blocks there, whatever follows: too little rather than too much was reached."""
    start = 0x1400 - 4
    found = reach(Words(ADD, ADD, ADD, cbz(-2), RET, start=start), [(start, start + 4)])
    assert found == Reached({start}, set())


def test_marks_and_foreign_code_add_nothing() -> None:
    """What follows a mark is a new run; code that is not of the image does not count."""
    program = Words(ADD, RET)
    assert reach(program, [(START | PAUSE, START), (START | EXCEPTION, START), (0x9000, START)]) == Reached()


def work(kernel: Kernel) -> None:
    """Calls with loops, faults of EL0 and EL1 that are resolved and others that are not, the tour."""
    space = kernel.vmm_address_space_create()
    va = kernel.vmm_address_space_region_create(space, 0x3000, kernel.AS_REGION_RW)
    kernel.vmm_address_space_copy_in(space, kernel.buffer(5000), int(va), 5000)
    vas = user_vas(kernel)
    lazy = vas.map("anon", 0x4000, RW)
    assert vas.store(lazy, 1)
    assert vas.load(lazy + 0x8000) is None
    assert vas.user("w", lazy + 0x1000).outcome == "ok"
    vas.user("r", 0x5000_0000)
    kernel.vmm_address_space_region_destroy(space, va)
    kernel.vmm_address_space_activate(None)
    kernel.vmm_address_space_destroy(space)


@pytest.fixture
def watched(kernel_elf: Path) -> Iterator[tuple[Kernel, Recorder, list[int]]]:
    """A kernel under a recorder, with the address of every instruction it starts."""
    recorder, addresses = Recorder(), []

    def attach(machine: Machine, _image: ElfImage) -> None:
        recorder.attach(machine)
        machine._engine.on_every_instruction(addresses.append)

    attachments.append(attach)
    try:
        kernel = Kernel(kernel_elf, ram_size=64 << 20)
    finally:
        attachments.remove(attach)
    with kernel:
        yield kernel, recorder, addresses


def test_coverage_is_what_single_instructions_say(watched: tuple[Kernel, Recorder, list[int]]) -> None:
    """Boot, calls and faults: the same instructions and the same outcomes as by a hook on each of them."""
    kernel, recorder, addresses = watched
    work(kernel)
    program = Program(kernel.image)
    found = reach(program, recorder.take())
    assert found.instructions == {address for address in addresses if address in program}
    outcomes = set()
    for address, following in pairwise(addresses):
        branch = program.branch(address) if address in program else None
        if branch and branch.flow == "conditional" and branch.target != address + 4:
            outcomes |= {(address, following == branch.target)} & {(address, True), (address, False)}
    assert found.outcomes == outcomes


def test_blocks_are_cut_where_that_is_foreseen(watched: tuple[Kernel, Recorder, list[int]]) -> None:
    """Short of the end of a block the next one begins only where may_split() says so, or as a loop."""
    kernel, recorder, _ = watched
    work(kernel)
    program = Program(kernel.image)
    cuts = {
        following
        for start, following in recorder.take()
        if start in program and start < following <= program.end(start) and following % 4 == 0
    }
    assert len(cuts) > 10
    assert {hex(each) for each in cuts - program.targets if not program.may_split(each)} == set()


def test_a_second_take_has_only_what_is_new(watched: tuple[Kernel, Recorder, list[int]]) -> None:
    """So that what one test executes can be told from what the one before did."""
    kernel, recorder, addresses = watched
    recorder.take()
    addresses.clear()
    kernel.vmm_last_error()
    program = Program(kernel.image)
    assert reach(program, recorder.take()).instructions == {each for each in addresses if each in program}
    assert recorder.take() == set()


@pytest.fixture(scope="module")
def booted(kernel_elf: Path) -> tuple[ElfImage, Coverage]:
    """An image, and the coverage of its boot and of a function that boot does not use."""
    recorder = Recorder()
    attach = lambda machine, _image: recorder.attach(machine)  # noqa: E731
    attachments.append(attach)
    with Kernel(kernel_elf, ram_size=64 << 20) as kernel:
        attachments.remove(attach)
        kernel.status_name(-12)
        return kernel.image, measure(kernel.image, recorder.take(), "kernel_c/")


def test_only_the_sources_asked_for_count(booted: tuple[ElfImage, Coverage]) -> None:
    """Headers among them; a root that is nowhere leaves nothing."""
    image, coverage = booted
    assert {
        "kernel_c/core/status.c",
        "kernel_c/arch/aarch64/boot.S",
        "kernel_c/lib/lock.h",
    } <= coverage.files.keys()
    assert all(path.startswith("kernel_c/") for path in coverage.files)
    assert measure(image, [], "nonesuch/").files == {}


def test_nothing_run_is_nothing_reached(booted: tuple[ElfImage, Coverage]) -> None:
    """The totals are those of any other run."""
    image, coverage = booted
    empty = measure(image, [], "kernel_c/")
    assert (empty.lines().reached, empty.branches().reached, empty.instructions.reached) == (0, 0, 0)
    assert empty.lines().total == coverage.lines().total > 1000
    assert empty.branches().total == coverage.branches().total > 1000


def test_lines_of_what_ran_are_reached(booted: tuple[ElfImage, Coverage]) -> None:
    """status_name() was called: it is reached, but not in its failing case; panic() is not at all."""
    coverage = booted[1]
    status, panic = coverage.files["kernel_c/core/status.c"], coverage.files["kernel_c/core/panic.c"]
    assert status.functions["status_name"][1]
    assert set(panic.lines.values()) == {False}
    assert set(panic.owners.values()) == {"panic"}


def test_failing_assertions_are_no_outcomes(booted: tuple[ElfImage, Coverage]) -> None:
    """lock_release() asserts: the assertion holds, and that is all there is to reach, in every copy."""
    lock = booted[1].files["kernel_c/lib/lock.h"]
    line = next(n for n, text in enumerate(source_lines("kernel_c/lib/lock.h", ROOT), 1) if "ASSERT(" in text)
    found = [outcome for outcome in lock.outcomes if outcome.line == line]
    assert {outcome.truth for outcome in found} == {found[0].truth}
    assert booted[1].assertions >= len(found)


def test_sources_are_found_from_the_folder_that_is_named(
    booted: tuple[ElfImage, Coverage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the run is made; without sources an assertion is a condition like any other."""
    image, coverage = booted
    monkeypatch.chdir(tmp_path)
    found, blind = (measure(image, [], "kernel_c/", folder=folder) for folder in (ROOT, tmp_path))
    assert (found.assertions, found.branches().total) == (coverage.assertions, coverage.branches().total)
    assert all(each.source for each in found.files.values())
    assert blind.assertions == 0
    assert blind.branches().total > found.branches().total


def test_what_says_that_an_assertion_failed_is_no_line(booted: tuple[ElfImage, Coverage]) -> None:
    """Its code is at nobody's line but the assertion's, wherever the compiler counts it to."""
    image, program = booted[0], Program(booted[0])
    failing = Assertions(program, ROOT).code()
    panics = [each for each in failing if (found := program.branch(each)) and found.flow == "call"]
    assert len(panics) > 10
    lines = {(each.file, each.line) for address in failing if (each := image.lines.location(address))}
    elsewhere = {(p.file, p.line) for a, p in image.lines.statements() if a not in failing}
    for path, line in lines - elsewhere:
        assert line not in booted[1].files[path].lines


def test_copies_of_a_loops_condition_are_one_branch(booted: tuple[ElfImage, Coverage]) -> None:
    """However often the compiler has written it; the conditions of a switch stay apart."""
    places = Counter(
        (path, outcome.line, outcome.column)
        for path, each in booted[1].files.items()
        for outcome in each.outcomes
    )
    texts = {place: source_lines(place[0], ROOT)[place[1] - 1].strip() for place in places}
    loops = [n for place, n in places.items() if re.fullmatch(r"(for|while) \([^&|?A-Z]*", texts[place])]
    assert len(loops) > 20
    assert set(loops) == {2}
    assert max(n for place, n in places.items() if "switch" in texts[place]) > 2


LOOP = "kernel_c/core/nofault.c"


def loop(tests: dict[str, tuple[int, int]]) -> FileCoverage:
    """A file with one loop, its condition tested in these ways; a pair says: was it false, was it true."""
    source = source_lines(LOOP, ROOT)
    line = next(n for n, text in enumerate(source, 1) if "while (len > 0)" in text)
    outcomes = {
        Outcome(line, 16, test, 0, truth): bool(hit)
        for test, pair in tests.items()
        for truth, hit in zip((False, True), pair, strict=True)
    }
    return FileCoverage(lines={line: True}, outcomes=outcomes, source=source)


@pytest.mark.parametrize(
    ("hits", "reached"),
    [([(0, 0), (0, 0)], 0), ([(1, 0), (0, 0)], 1), ([(1, 0), (0, 1)], 1), ([(0, 0), (1, 1)], 2)],
)
def test_one_copy_has_to_go_both_ways(hits: list[tuple[int, int]], reached: int) -> None:
    """Of a loop's condition, before the loop and behind it: what each tests tells nothing of the other."""
    each = loop(dict(zip(("zero", "b4"), hits, strict=True)))
    each.join_copies()
    assert (sum(each.outcomes.values()), len(each.outcomes)) == (reached, 2)


@pytest.mark.parametrize(
    ("one", "other", "reached"),
    [
        ({"": (1, 1)}, {"zero": (0, 0)}, 2),
        ({"": (0, 0)}, {"zero": (1, 1)}, 2),
        ({"": (1, 0)}, {"zero": (0, 1)}, 1),
        ({"b4": (0, 1)}, {"zero": (1, 0)}, 1),
        ({"b4": (0, 0)}, {"zero": (0, 0)}, 0),
        ({"zero": (1, 0)}, {"zero": (0, 1)}, 2),
    ],
)
@pytest.mark.parametrize("swap", [False, True], ids=["", "swapped"])
def test_a_condition_that_two_images_test_in_unlike_ways_is_one_branch(
    one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]], reached: int, swap: bool
) -> None:
    """Whether either image has joined copies of it already or not, and whichever comes first."""
    total = Coverage()
    for tests in (other, one) if swap else (one, other):
        total.add(Coverage(files={LOOP: loop(tests)}))
    assert (total.branches().reached, total.branches().total) == (reached, 2)


def test_images_add_up(booted: tuple[ElfImage, Coverage]) -> None:
    """What one of two images reaches is reached; the totals of lines and branches stay."""
    image, coverage = booted
    total = measure(image, [], "kernel_c/")
    total.add(coverage)
    assert (total.lines(), total.branches()) == (coverage.lines(), coverage.branches())
    assert total.instructions.total == 2 * coverage.instructions.total
