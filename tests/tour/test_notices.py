# SPDX-License-Identifier: BSD-3-Clause
"""The tour is no picture book: where the kernel does not do what the tour shows, it says so."""

from __future__ import annotations

import itertools
import re
import struct
from contextlib import contextmanager

import pytest

from harness import GuestError, Kernel
from harness.kernel.inject import Injection, address_of, fail_nth


@pytest.fixture(scope="module")
def booted(kernel_elf):
    """Small, so that it is quick; without the sanitizer: where calls do nothing, tables are not right."""
    with Kernel(kernel_elf, ram_size=64 << 20, sanitize=None) as kernel:
        yield kernel, kernel.snapshot()


def told(kernel, part):
    """What a part of the tour says; a kernel that stops in the middle has said that much."""
    before = len(kernel.console)
    try:
        kernel.function(part)()
    except GuestError as error:
        return f"{kernel.console[before:]}{type(error).__name__}"
    return kernel.console[before:]


@pytest.fixture
def sweep(booted):
    """For each call that is struck: what a part of the tour says then, after what it says otherwise."""
    kernel, moment = booted

    def texts(part, striking):
        kernel.restore(moment)
        honest = told(kernel, part)
        for n in itertools.count(1):
            kernel.restore(moment)
            with striking(kernel, n) as injection:
                text = told(kernel, part)
            if injection.struck is None:
                assert text == honest
                assert n > 1, "it is never called"
                return
            yield honest, text

    return texts


def test_what_works_is_no_surprise(booted):
    """All of the tour: a mark at the region that so little memory cannot have, and at nothing else."""
    kernel, moment = booted
    kernel.restore(moment)
    text = told(kernel, "tour")
    marked = [line for line in text.splitlines() if "!" in line]
    assert all("1G " in line and "ENOMEM" in line for line in marked)
    assert f"frames missing: 0\nsurprises: {len(marked)}\n" in text


PICTURES = """
  Reserve 1GB             ┌────────┐0MB
                          │        │
                          │  RSVD  │
                          │        │
                          │        │
                          └ ─ ─ ─ ─┘
  Initial 1MB mapping     ┌────────┐0MB
                          │  HEAP  │
                          ├────────┤1MB
                          │  RSVD  │
                          │        │
                          └ ─ ─ ─ ─┘
  Grow mapping by 2MB     ┌────────┐0MB
                          │/  /  / │
                          │  HEAP  │
                          │ /  /  /│
                          ├────────┤3MB
                          └ ─ ─ ─ ─┘
  Shrink mapping by 1MB   ┌────────┐0MB
                          │/  /  / │
                          │  HEAP  │
                          ├────────┤2MB
                          │  RSVD  │
                          └ ─ ─ ─ ─┘
"""


CALLS = "get_base 1 new 1 destroy 3 fault 3 unmap 1 split 3 merge 2 set_attr 2 advise 1"


def test_the_calls_of_a_type_of_ones_own_are_counted(booted):
    """Every call that there is, by its name."""
    kernel, moment = booted
    kernel.restore(moment)
    assert f" {CALLS}\n" in told(kernel, "tour_examples")


def test_pictures_show_the_heap_as_it_grows_and_shrinks(booted):
    """A line for a megabyte, as many as there is room for, each VMA by its name."""
    kernel, moment = booted
    kernel.restore(moment)
    assert PICTURES in told(kernel, "tour_examples")


TRANSLATION, PERMISSION = "translation fault", "permission fault"
OUTCOMES = {
    "NO_ACCESS": (TRANSLATION, TRANSLATION, TRANSLATION),
    "RO": ("done", PERMISSION, PERMISSION),
    "RW": ("done", "done", PERMISSION),
    "RX": ("done", PERMISSION, "done"),
}


@pytest.mark.parametrize("prop", OUTCOMES)
def test_accesses_end_as_the_property_says(booted, prop):
    """In both address spaces and for each size: reading, writing and executing at EL0."""
    kernel, moment = booted
    kernel.restore(moment)
    row = re.compile(rf"^  (.+?) +{prop} +0x\w+ +zeros +copied +(.+?)  +(.+?)  +(.+?) *$", re.MULTILINE)
    found = row.findall(told(kernel, "tour_spaces"))
    assert found == [(size, *OUTCOMES[prop]) for size in ("4K", "3 pages", "2M")] * 2


# The part of the tour, what the function gives instead of working, and how often that is what it would have
# given, or nobody asks: writes that have to be refused; pages that come by faults as well; the end of a list.
FAILS = [
    ("tour_examples", "uk_nofault_memcpy", 0, 2),
    ("tour_examples", "uk_nofault_memcpy", 8, 5),
    ("tour_examples", "uk_nofault_probe_r", 0, 0),
    ("tour_examples", "uk_nofault_probe_rw", 0, 0),
    ("tour_examples", "uk_vma_map", -12, 0),
    ("tour_examples", "vma_prefault", 0, 2),
    ("tour_examples", "uk_vma_find", 0, 0),
    ("tour_examples", "uk_vma_set_attr", -12, 0),
    ("tour_examples", "uk_vma_set_attr", 0, 0),
    ("tour_examples", "uk_vma_advise", -12, 0),
    ("tour_examples", "uk_vma_unmap", -12, 0),
    ("tour_examples", "numbers_get_base", 0x1000, 0),
    ("tour_examples", "ukplat_page_map", -12, 0),
    ("tour_examples", "vmm_address_space_destroy", -16, 0),
    ("tour_spaces", "vmm_address_space_destroy", -16, 0),
    ("tour_spaces", "vmm_address_space_region_next", -2, 0),
    ("tour_spaces", "vmm_address_space_copy_out", -14, 0),
    ("tour", "frames_check", 0, 0),
]


@pytest.mark.parametrize(("part", "function", "result", "same"), FAILS)
def test_a_call_that_does_nothing_is_noticed(sweep, part, function, result, same):
    """Whichever of the first calls: there is a mark, or the picture is another one."""
    striking = lambda kernel, n: fail_nth(kernel, (function,), n, result % (1 << 64))  # noqa: E731
    noticed = [text != honest for honest, text in itertools.islice(sweep(part, striking), 20)]
    assert noticed.count(False) <= same


@contextmanager
def another_vma(kernel, field, n):
    """The n-th uk_vma_find() answers with a copy of the VMA of which a field is not what it was."""
    injection = Injection()
    kind = kernel.type("struct uk_vma")
    size, copy = kernel.sizeof(kind), kernel.new(kind)

    def found(vas, address):
        at = int(kernel.cast(vas, "struct uk_vas *").target.vmas.first)
        while at:
            node = kernel.cast(at, "struct vma_node *").target
            if node.start <= address < node.end:
                return at
            at = int(node.next)
        raise AssertionError(f"no VMA at {address:#x}")

    def entered(machine):
        registers = machine.registers
        if not kernel.image.lines.location(registers["x30"] - 4).file.endswith("examples.c"):
            return  # a picture, which shows whatever it finds
        injection.calls.append("uk_vma_find")
        if len(injection.calls) == n:
            kernel.memory.write(
                copy.address, kernel.memory.read(found(registers["x0"], registers["x1"]), size)
            )
            setattr(copy, field, int(getattr(copy, field)) + 4096)
            registers["x0"], registers["pc"] = copy.address, registers["x30"]
            injection.struck = "uk_vma_find"

    watch = kernel.machine.on_address(address_of(kernel, "uk_vma_find"), entered)
    try:
        yield injection
    finally:
        watch.remove()


@pytest.mark.parametrize("field", ["start", "end", "ops"])
def test_a_vma_that_is_not_the_one_expected_is_noticed(sweep, field):
    """Another range, or another type, at any of the looks."""
    striking = lambda kernel, n: another_vma(kernel, field, n)  # noqa: E731
    assert all(text != honest for honest, text in sweep("tour_examples", striking))


def test_frames_that_are_missing_are_noticed(booted):
    """There were fewer at first: one mark, and it is counted."""
    kernel, moment = booted
    kernel.restore(moment)
    with fail_nth(kernel, ("frames_count",), 1, 0) as injection:
        text = told(kernel, "tour")
    assert injection.struck
    assert "frames missing:!" in text


def test_memory_that_cannot_be_read_is_noticed(booted):
    """Neither zeros nor what was copied: two marks for each region, and one for each address space."""
    kernel, moment = booted
    kernel.restore(moment)
    honest = told(kernel, "tour_spaces")
    kernel.restore(moment)

    def refuse(machine):
        machine.registers["x0"], machine.registers["pc"] = (1 << 64) - 14, machine.registers["x30"]

    watch = kernel.machine.on_address(address_of(kernel, "vmm_address_space_copy_out"), refuse)
    text = told(kernel, "tour_spaces")
    watch.remove()
    regions = honest.count("copied")
    assert (text.count("!dirty"), text.count("!lost")) == (regions, regions)
    assert text.count("!") - honest.count("!") == 2 * regions + 2


# How the 72 accesses are said to end that the tour has programs at EL0 try, in two address spaces, each in
# three regions of each property, and of how many of them that is not true.
EXITS = [
    ("USER_OTHER", "USER_READ", 0, False, 72),
    ("USER_CALL", "USER_READ", 0, False, 72 - 6 * (1 + 2 + 2)),  # what RO, RW and RX allow
    ("USER_FAULT", "USER_READ", 0, True, 72),
    ("USER_FAULT", "USER_WRITE", 0, True, 72 - 6 * 2),  # RO and RX
    ("USER_FAULT", "USER_WRITE", 0, False, 72 - 6),  # NO_ACCESS
    ("USER_FAULT", "USER_WRITE", 8, True, 72),
]


@pytest.mark.parametrize(("stop", "access", "beside", "permission", "wrong"), EXITS)
def test_accesses_that_end_otherwise_are_noticed(booted, stop, access, beside, permission, wrong):
    """Each has its mark, and each address space one because nothing was written."""
    kernel, moment = booted
    kernel.restore(moment)
    honest = told(kernel, "tour_spaces")
    kernel.restore(moment)
    kinds = getattr(kernel, stop), getattr(kernel, access)

    def leave(machine):
        registers = machine.registers
        [va] = struct.unpack("<Q", kernel.memory.read(registers["x0"], 8))
        found = struct.pack("<IIB7xQQ", *map(int, kinds), permission, va + beside, 0)
        kernel.memory.write(registers["x8"], found)  # where the result goes (AAPCS64)
        registers["pc"] = registers["x30"]

    watch = kernel.machine.on_address(address_of(kernel, "arch_user_run"), leave)
    text = told(kernel, "tour_spaces")
    watch.remove()
    assert text.count("!") - honest.count("!") == wrong + 2


def test_marks_are_counted(booted):
    """What is as it should be has none."""
    kernel, moment = booted
    kernel.restore(moment)
    assert [kernel.tour_mark(right).string() for right in (True, False, True, False)] == [" ", "!", " ", "!"]
    assert kernel.variable("surprises") == 2
