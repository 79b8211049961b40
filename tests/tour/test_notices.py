# SPDX-License-Identifier: BSD-3-Clause
"""The tour is no picture book: where the kernel does not do what the tour shows, it says so."""

from __future__ import annotations

import itertools
import struct

import pytest

from harness import GuestError, Kernel
from harness.kernel.inject import address_of, fail_nth


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


# The part of the tour, what the function gives instead of working, and how often that is what it would have
# given, or nobody asks: writes that have to be refused; the end of a list of regions.
FAILS = [
    ("tour_examples", "uk_nofault_memcpy", 0, 2),
    ("tour_examples", "uk_nofault_memcpy", 8, 5),
    ("tour_examples", "uk_nofault_probe_r", 0, 0),
    ("tour_examples", "uk_nofault_probe_rw", 0, 0),
    ("tour_examples", "uk_vma_find", 0, 0),
    ("tour_examples", "uk_vma_set_attr", -12, 0),
    ("tour_examples", "uk_vma_advise", -12, 0),
    ("tour_examples", "uk_vma_unmap", -12, 0),
    ("tour_examples", "ukplat_page_map", -12, 0),
    ("tour_examples", "vmm_address_space_destroy", -16, 0),
    ("tour_spaces", "vmm_address_space_destroy", -16, 0),
    ("tour_spaces", "vmm_address_space_region_next", -2, 0),
    ("tour_spaces", "vmm_address_space_copy_out", -14, 0),
]


@pytest.mark.parametrize(("part", "function", "result", "same"), FAILS)
def test_a_call_that_does_nothing_is_noticed(sweep, part, function, result, same):
    """Whichever of the first calls: there is a mark, or the picture is another one."""
    striking = lambda kernel, n: fail_nth(kernel, (function,), n, result % (1 << 64))  # noqa: E731
    noticed = [text != honest for honest, text in itertools.islice(sweep(part, striking), 20)]
    assert noticed.count(False) <= same


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
