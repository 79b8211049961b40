# SPDX-License-Identifier: BSD-3-Clause
"""The mutants of an image: which instructions are changed, and into what."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import pytest

from harness import HarnessError, ImageError
from harness.arch.a64 import NOP, branch
from harness.checks.coverage import Program
from harness.checks.coverage.fatal import Assertions, source_lines
from harness.checks.coverage.reasons import Reason, Reasons
from harness.checks.mutation.journal import Status, Verdict
from harness.checks.mutation.mutants import (
    _CHANGES,
    DESCRIPTOR_CODE,
    KINDS,
    Mutant,
    barrier_name,
    compares,
    is_extremum,
    mutants,
)
from harness.cli.mutants import choose
from harness.image import ElfImage
from harness.report.mutation import mutation_data
from tests.support.trace import system_instructions

# Words of GNU as.
BARRIERS = {
    "dsb ish": (0xD5033B9F, "DSB"),
    "dsb ishst": (0xD5033A9F, "DSB"),
    "isb": (0xD5033FDF, "ISB"),
    "tlbi vmalle1is": (0xD508831F, "TLBI"),
    "tlbi vale1is, x3": (0xD50883A3, "TLBI"),
    "dc cvau, x0": (0xD50B7B20, "DC"),
    "dc zva, x0": (0xD50B7420, "DC"),
    "ic ivau, x0": (0xD50B7520, "IC"),
    "ic ialluis": (0xD508711F, "IC"),
    "dmb ish": (0xD5033BBF, None),
    "at s1e1r, x0": (0xD5087800, None),
    "msr ttbr0_el1, x0": (0xD5182000, None),
    "mrs x0, ctr_el0": (0xD53B0020, None),
    "clrex": (0xD503305F, None),
    "nop": (NOP, None),
}


@pytest.mark.parametrize(("word", "name"), BARRIERS.values(), ids=BARRIERS)
def test_barriers_and_maintenance_become_nop(word: int, name: str | None) -> None:
    """DMB orders nothing that a table walk waits for, and AT changes nothing: they stay."""
    assert barrier_name(word) == name
    found = [(change.word, change.what) for change in _CHANGES["barrier"](word)]
    assert found == ([(NOP, f"{name} -> NOP")] if name else [])


@pytest.mark.parametrize(
    ("word", "inverted", "what"),
    [
        (0x54000040, 0x54000041, "B.EQ -> B.NE"),
        (0x5400004B, 0x5400004A, "B.LT -> B.GE"),
        (0x34000060, 0x35000060, "CBZ -> CBNZ"),
        (0xB7180005, 0xB6180005, "TBNZ -> TBZ"),
    ],
)
def test_conditional_branches_are_inverted(word: int, inverted: int, what: str) -> None:
    """With the same target and register."""
    assert [(each.word, each.what) for each in _CHANGES["branch"](word)] == [(inverted, what)]
    before, after = branch(word, 0), branch(inverted, 0)
    assert before == after


@pytest.mark.parametrize("word", [0x5400004E, 0x14000002, 0xD65F03C0, NOP])
def test_what_always_branches_or_never_does_is_not_inverted(word: int) -> None:
    """B.AL, B, RET, NOP."""
    assert list(_CHANGES["branch"](word)) == []


# Condition -> what it holds for, of first operand less than, equal to, greater than the second.
RELATIONS = {2: "eg", 3: "l", 8: "g", 9: "le", 10: "eg", 11: "l", 12: "g", 13: "le"}


@pytest.mark.parametrize("condition", range(16))
@pytest.mark.parametrize(("word", "shift"), [(0x54000040, 0), (0x9A811000 & ~0xF000, 12), (0x7A410000, 12)])
def test_bounds_are_off_by_one(condition: int, word: int, shift: int) -> None:
    """B.cond, CSEL, CCMP: the new condition differs from the old for equal operands, and only there."""
    found = [each.word for each in _CHANGES["bound"](word | condition << shift)]
    if condition not in RELATIONS:
        assert found == []
        return
    (changed,) = found
    other = changed >> shift & 15
    assert changed == word | other << shift
    assert set(RELATIONS[condition]) ^ set(RELATIONS[other]) == {"e"}
    assert (condition < 10) == (other < 10), "signed and unsigned must not mix"


CMP_X1_X2, CSEL_X3_X1_X2_LO, ADD_X4, ADD_X1 = 0xEB02003F, 0x9A823023, 0x91000484, 0x91000421


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ([CMP_X1_X2, CSEL_X3_X1_X2_LO], True),
        ([0xEB01005F, CSEL_X3_X1_X2_LO], True),  # cmp x2, x1
        ([CMP_X1_X2, ADD_X4, CSEL_X3_X1_X2_LO], True),
        ([CMP_X1_X2, ADD_X1, CSEL_X3_X1_X2_LO], False),
        ([CMP_X1_X2, 0xA94007E4, CSEL_X3_X1_X2_LO], False),  # ldp x4, x1, [sp]
        ([CMP_X1_X2, 0xA90007E4, CSEL_X3_X1_X2_LO], True),  # stp x4, x1, [sp]
        ([0x6B02003F, CSEL_X3_X1_X2_LO], False),  # cmp w1, w2
        ([0xEB03003F, CSEL_X3_X1_X2_LO], False),  # cmp x1, x3
        ([0xF100003F, CSEL_X3_X1_X2_LO], False),  # cmp x1, #0
        ([CMP_X1_X2, 0x9A823423], False),  # csinc
        ([CMP_X1_X2, 0x54000043], False),  # b.lo
        ([CSEL_X3_X1_X2_LO], False),
    ],
)
def test_of_equals_any_is_the_least(words: list[int], holds: bool) -> None:
    """CSEL between what was compared: its condition may be off by one. Nothing else's may."""
    assert is_extremum(words) == holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("while (va < end) {", True),
        ("return at <= to;", True),
        ("if (vma->start >= va)", True),
        ("1:  b.hs 2f", True),
        ("", True),
        ("if (node->next != NULL)", False),
        ("} while (value >> 4 != 0);", False),
        ("mask <<= 1;", False),
        ("switch (letter) {", False),
    ],
)
def test_bounds_are_those_of_the_source(text: str, holds: bool) -> None:
    """The compiler compares more than that: how far a table of a switch goes, a pointer with its low bits."""
    assert compares(text) == holds


def test_bounds_of_the_compiler_are_left_out(found: list[Mutant]) -> None:
    """Arrows and shifts taken away, each line that has such a mutant still compares."""
    places = {(each.file, each.line) for each in found if each.kind == "bound"}
    lines = {source_lines(file, Path())[line - 1] for file, line in places}
    assert len(lines) > 100
    for text in lines:
        assert re.search(r"[<>]|\bb\.\w\w", re.sub(r"->|<<|>>", "", text)), text


def test_an_assertion_may_only_become_stricter(program: Program, found: list[Mutant]) -> None:
    """Both operands equal: where that would fail an assertion, no test comes, so nobody could tell."""
    assertions = Assertions(program, Path())
    kept = 0
    for each in (mutant for mutant in found if mutant.kind == "bound"):
        way, place = program.branch(each.address), program.image.lines.location(each.address)
        if way is None or place is None:
            continue
        taken_if_equal = program.word(each.address) & 0xF in (2, 9, 10, 13)
        assert not assertions.fails(each.address, taken_if_equal, place)
        kept += assertions.fails(each.address, not taken_if_equal, place)
    assert kept > 10


def test_constants_lose_one_bit_at_a_time() -> None:
    """MOVZ x0, #0x705: three mutants. MOVK in the upper half names the bit of the register."""
    found = [change.word >> 5 & 0xFFFF for change in _CHANGES["descriptor"](0xD2800000 | 0x705 << 5)]
    assert found == [0x704, 0x701, 0x605, 0x505, 0x305]
    (high,) = _CHANGES["descriptor"](0xF2E00000 | 0x40 << 5)
    assert "bit 54" in high.what


def test_masks_move_by_a_bit() -> None:
    """ORR x0, x1, #1 has N = 1 and immr = 0; rotated by one it is the top bit. ADD has no mask."""
    (change,) = _CHANGES["descriptor"](0xB2400020)
    assert change.word == 0xB2410020
    assert list(_CHANGES["descriptor"](0x91000400)) == []


@pytest.mark.parametrize(
    ("word", "counts"),
    [(0x12001C00, 0), (0x12003C00, 0), (0x72001C1F, 0), (0x12001800, 1), (0x92401C00, 1), (0x12181C00, 1)],
    ids=["and w, 0xff", "and w, 0xffff", "tst w, 0xff", "and w, 0x7f", "and x, 0xff", "and w, 0xff00"],
)
def test_extending_a_small_type_is_no_mask(word: int, counts: int) -> None:
    """What the compiler makes of `bool` and `uint16_t` is not in the source."""
    assert len(list(_CHANGES["descriptor"](word))) == counts


@pytest.fixture(scope="module")
def program(kernel_elf: Path) -> Program:
    """The image under test."""
    return Program(ElfImage.load(kernel_elf))


@pytest.fixture(scope="module")
def found(program: Program) -> list[Mutant]:
    """Its mutants."""
    return list(mutants(program, "kernel_c/"))


def test_every_mutant_changes_one_instruction_of_its_source(program: Program, found: list[Mutant]) -> None:
    """Ids are unique, kinds are all there, constants only where descriptors are made."""
    assert len({each.id for each in found}) == len(found)
    assert set(KINDS) == {each.kind for each in found}
    for each in found:
        assert each.word != program.word(each.address)
        assert each.file.startswith("kernel_c/")
        assert each.function in Path(each.file).read_text()
        assert each.kind != "descriptor" or DESCRIPTOR_CODE.search(each.file)


def test_what_no_test_may_reach_has_no_mutants(program: Program, found: list[Mutant]) -> None:
    """Where an assertion fails, its line is a constant too, though nothing of a descriptor."""
    panic = program.image.symbols["panic"].address
    calls = {each for each in program.instructions if (way := program.branch(each)) and way.target == panic}
    last = {each.address + 4 for each in found if each.kind == "descriptor"}
    assert calls
    assert not calls & last


def test_only_mutants_that_are_killed_count(found: list[Mutant]) -> None:
    """What no test executes lives as well, and needs a reason as well."""
    fates: tuple[Status, ...] = ("killed", "survived", "not reached", "not reached")
    chosen = [each for each in found if each.kind == "branch"][: len(fates)]
    results = [(mutant, Verdict(fate)) for mutant, fate in zip(chosen, fates, strict=True)]
    data = mutation_data(results, Reasons(()))
    row = {"mutants": 4, "killed": 1, "survived": 1, "not reached": 2, "score": 25.0}
    assert data["totals"] == {"branch": row | {"without reason": 3}}
    assert data["unexplained"] == 3
    known = Reasons(tuple(Reason(each.file, each.function, "", "so it is") for each in chosen))
    data = mutation_data(results, known)
    assert [each["reason"] for each in data["mutants"]] == [None, *["so it is"] * 3]
    assert data["totals"] == {"branch": row | {"without reason": 0}}
    assert data["unexplained"] == 0


def test_no_barrier_of_the_kernel_is_forgotten(kernel, found: list[Mutant]) -> None:
    """Those that the tests of barriers watch, and those of boot and DC ZVA besides."""
    mutated = {each.address for each in found if each.kind == "barrier"}
    watched = {each.va for each in system_instructions(kernel) if each.name != "msr ttbr0"}
    assert watched <= mutated
    assert Counter(each.kind for each in found)["barrier"] == len(mutated)


def test_a_patched_image_differs_in_these_bytes_only(program: Program, found: list[Mutant]) -> None:
    """And shares the rest; the original stays as it is."""
    mutant, image = found[0], program.image
    word = struct.pack("<I", mutant.word)
    patched = image.patched(mutant.address, word)
    assert patched.read(mutant.address, 4) == word != image.read(mutant.address, 4)
    assert patched.patched(mutant.address, image.read(mutant.address, 4)).segments == image.segments
    assert patched.lines is image.lines
    with pytest.raises(ImageError, match="no segment has"):
        image.patched(0x1000, word)


def test_mutants_are_chosen_by_kind_function_and_chance(found: list[Mutant]) -> None:
    """The same seed gives the same sample, in the order of addresses."""
    barriers = choose(found, ["barrier"], [], None, 0)
    assert {each.kind for each in barriers} == {"barrier"}
    function = found[0].function
    assert {each.function for each in choose(found, [], [function], None, 0)} == {function}
    sample = choose(found, [], [], 20, 5)
    assert sample == choose(found, [], [], 20, 5) == sorted(sample, key=lambda each: each.address)
    assert sample != choose(found, [], [], 20, 6)
    assert len(sample) == 20
    with pytest.raises(HarnessError, match="nonesuch"):
        choose(found, [], ["nonesuch"], None, 0)
