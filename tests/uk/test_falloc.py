# SPDX-License-Identifier: BSD-3-Clause
"""The frame allocator by the interface of uk/falloc.h: anywhere, at an address, in a range, and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.vmm import PAGE
from tests.uk.driver import ANY, status_name

ALIGNED = 1
TOP = (1 << 64) - 1
RAM, RAM_END = 0x4000_0000, 0x4400_0000


class Falloc:
    """The operations of a struct uk_falloc, called through its pointers."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.fa = kernel.frames_uk_falloc()
        self.where = kernel.new("__paddr_t")
        symbols = kernel.image.symbols
        self.operations = {
            name: symbols.at(int(getattr(self.fa.target, name)))[0].name
            for name in ("falloc", "falloc_from_range", "ffree", "addmem")
        }

    def _call(self, name, *arguments):
        return status_name(self.kernel.function(self.operations[name])(self.fa, *arguments))

    def _put(self, value):
        self.kernel.memory.write(int(self.where), value.to_bytes(8, "little"))

    def falloc(self, frames, *, at=ANY, flags=0):
        """(status, *paddr)."""
        self._put(at)
        return self._call("falloc", self.where, frames, flags), self.where.target

    def in_range(self, frames, low, high, flags=0):
        """falloc_from_range(): (status, *paddr), which was 7 before."""
        self._put(7)
        return self._call("falloc_from_range", self.where, frames, flags, low, high), self.where.target

    def ffree(self, paddr, frames):
        """The status."""
        return self._call("ffree", paddr, frames)

    def addmem(self, paddr, frames):
        """The status."""
        return self._call("addmem", None, paddr, frames, 0)

    def free(self):
        """Frames that nobody has."""
        return self.kernel.frames_count(self.kernel.FRAME_FREE)


@pytest.fixture
def fa(small_kernel):
    """The allocator of a kernel with 64M."""
    return Falloc(small_kernel)


@pytest.mark.parametrize("flags", [0, ALIGNED])
def test_memory_from_anywhere(fa, flags):
    """Frames in a row, aligned to their size where asked; what the struct counts goes down and up."""
    free, bytes_free = fa.free(), int(fa.fa.target.free_memory)
    status, paddr = fa.falloc(6, flags=flags)
    assert (status, paddr % (8 * PAGE if flags else PAGE)) == ("OK", 0)
    assert (free - fa.free(), bytes_free - int(fa.fa.target.free_memory)) == (6, 6 * PAGE)
    assert fa.ffree(paddr + 4 * PAGE, 2) == fa.ffree(paddr, 4) == "OK"
    assert (fa.free(), int(fa.fa.target.free_memory)) == (free, bytes_free)
    assert fa.kernel.frames_check()


def test_an_address_is_given_when_it_is_free(fa):
    """All of it or nothing: what is taken is taken, and the rest of its block stays free."""
    free = fa.free()
    _, paddr = fa.falloc(16, flags=ALIGNED)
    assert fa.ffree(paddr, 16) == "OK"
    assert fa.falloc(3, at=paddr + 5 * PAGE) == ("OK", paddr + 5 * PAGE)
    assert free - fa.free() == 3
    assert fa.kernel.frames_check()
    for first, frames in [(5, 1), (7, 1), (0, 16), (4, 2), (7, 2)]:
        assert fa.falloc(frames, at=paddr + first * PAGE)[0] == "ENOMEM"
    assert fa.falloc(5, at=paddr) == ("OK", paddr)
    assert fa.ffree(paddr, 8) == "OK"
    assert fa.free() == free


@pytest.mark.parametrize("at", [0, RAM, RAM_END - PAGE, RAM_END, 0x4200_0008, 0x0900_0000, TOP - 0xFFF])
def test_an_address_that_is_no_memory_of_ours_is_refused(fa, at):
    """The device tree's page, half of what is beyond the end, no alignment, a device."""
    free = fa.free()
    assert fa.falloc(2, at=at)[0] == "EINVAL"
    assert fa.free() == free


def test_a_range_is_kept_to(fa):
    """The first place in it; when it is full there is none, and *paddr is as it was."""
    low, high = RAM + 0x200_0000, RAM + 0x200_0000 + 16 * PAGE
    got = [fa.in_range(3, low, high) for _ in range(6)]
    assert got == [("OK", low + 3 * PAGE * n) for n in range(5)] + [("ENOMEM", 7)]
    assert fa.in_range(1, low, high) == ("OK", high - PAGE)
    assert fa.in_range(1, low, high) == ("ENOMEM", 7)
    assert fa.in_range(1, low, high + PAGE) == ("OK", high)


def test_a_range_is_searched_for_aligned_memory(fa):
    """Aligned to its size, whatever lies before."""
    low = RAM + 0x200_0000
    assert fa.in_range(1, low, TOP) == ("OK", low)
    assert fa.in_range(3, low, TOP, ALIGNED) == ("OK", low + 4 * PAGE)
    assert fa.in_range(1, low, TOP) == ("OK", low + PAGE)


def test_a_range_may_be_all_there_is(fa):
    """From 0 to the top is anywhere; more than there is is nowhere."""
    status, paddr = fa.in_range(1, 0, TOP)
    assert status == "OK"
    assert RAM < paddr < RAM_END
    assert fa.in_range(1 << 20, 0, TOP) == ("ENOMEM", 7)
    assert fa.in_range(1, 0, RAM) == ("ENOMEM", 7)
    assert fa.in_range(1, RAM_END, TOP) == ("ENOMEM", 7)


def test_what_makes_no_sense_is_refused(fa):
    """No frames, an empty range, and frames that nobody allocated."""
    assert fa.falloc(0)[0] == fa.in_range(0, 0, TOP)[0] == fa.in_range(1, TOP, 0)[0] == "EINVAL"
    assert fa.in_range(1 << 20, TOP, 0)[0] == fa.in_range(1 << 20, RAM, RAM)[0] == "EINVAL"
    assert fa.ffree(RAM_END, 1) == fa.ffree(8, 1) == fa.ffree(RAM + 0x200_0000, 0) == "EINVAL"
    assert fa.ffree(0x0900_0000, 1) == fa.ffree(RAM, 1) == "EINVAL"


def test_only_what_is_handed_out_can_be_given_back(fa):
    """All of it: not with free frames, with the kernel's own, or with what is behind the end of RAM."""
    _, paddr = fa.falloc(4, flags=ALIGNED)
    free = fa.free()
    for first, frames in [(paddr, 5), (paddr - PAGE, 2), (paddr, (RAM_END - paddr) // PAGE + 1)]:
        assert fa.ffree(first, frames) == "EINVAL"
    own = fa.kernel.frames_alloc(1, 0, fa.kernel.FRAME_TABLE)
    assert fa.ffree(own, 1) == "EINVAL"
    fa.kernel.frames_free(own, 1)
    assert fa.free() == free
    assert fa.ffree(paddr, 4) == "OK"


def test_more_than_there_is_cannot_be_had(fa):
    """In a row, from anywhere: ENOMEM, and no address."""
    free = fa.free()
    assert fa.falloc(free) == ("ENOMEM", ANY)  # which is __PADDR_INV, too
    assert fa.free() == free


def test_memory_cannot_be_added(fa):
    """All of RAM is the allocator's, in use or not; the device tree's page and devices never are."""
    assert fa.addmem(RAM + 0x200_0000, 512) == "OK"
    _, paddr = fa.falloc(4)
    assert fa.addmem(paddr, 4) == "OK"
    for other, frames in [(RAM, 1), (RAM_END - PAGE, 2), (0x0900_0000, 1)]:
        assert fa.addmem(other, frames) == "ENOTSUP"
    assert fa.addmem(RAM + 8, 1) == "EINVAL"


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_claims_agree_with_a_set(booted_small_kernel, data):
    """Any sequence of claims and releases: a claim works exactly when all of its frames are free."""
    kernel, moment = booted_small_kernel
    kernel.restore(moment)
    fa = Falloc(kernel)
    base, mine, free = RAM + 0x200_0000, set(), fa.free()
    for _ in range(12):
        first, frames = data.draw(st.tuples(st.integers(0, 40), st.integers(1, 24)))
        wanted = set(range(first, first + frames))
        if data.draw(st.booleans()):
            status, _ = fa.falloc(frames, at=base + first * PAGE)
            assert status == ("ENOMEM" if wanted & mine else "OK")
            mine |= wanted if status == "OK" else set()
        else:
            for frame in sorted(wanted & mine):
                assert fa.ffree(base + frame * PAGE, 1) == "OK"
            mine -= wanted
        assert free - fa.free() == len(mine)
        assert kernel.frames_check()
