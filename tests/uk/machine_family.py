# SPDX-License-Identifier: BSD-3-Clause
"""Copies of address spaces against the model: what one writes no other sees, and nothing is lost.

A family of address spaces, up to four on the emulated CPU, each with a model that is copied when the address
space is. After each step every word that the models know is where they say, every page has the rights of its
VMA (or may not be written yet), and there are as many frames as different pages.
"""

from __future__ import annotations

from contextlib import nullcontext

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    RW,
    RX,
    SIZE_2M,
    WILLNEED,
    R,
)
from tests.uk.machine import PHASES, rights
from tests.uk.model import Model

SETTINGS = settings(
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
COW = 2  # the flag of VMAs that may share pages, of which the model knows nothing
PROMOTE = 1 << 32
SHARED_PAGES = 16
PRIVATE = ("anon", "stack")

which = st.integers(0, 3)
pages = st.sampled_from([*range(6), 509, 510, 511, 512, 513, 514])
lengths = st.sampled_from([1, 1, 2, 3, 5])
failures = st.sampled_from([0, 0, 0, 1, 2, 3, 5])


class FamilyMachine(RuleBasedStateMachine):
    """The same in kernel and models."""

    guest = None  # set by the test
    steps = 0

    @initialize()
    def start(self):
        """One address space, with nothing in it, and shared memory that all can map."""
        self.guest.reset()
        vas = self.guest.vases["user"]
        self.family = [(vas, Model(vas.base, vas.low, vas.end))]
        self.memory = self.guest.shared_memory(SHARED_PAGES * PAGE)
        self.books = vas.frames()
        self.value = 0

    def member(self, number):
        """One of those that live, made the active one."""
        vas, model = self.family[number % len(self.family)]
        vas.run()
        return vas, model

    def failing(self, n):
        """The n-th allocation fails; 0: none."""
        return self.family[0][0].failing(n) if n else nullcontext()

    # -- calls ------------------------------------------------------------------------------------------

    @rule(
        number=which,
        kind=st.sampled_from(["anon", "anon", "shared", "dma", "rsvd"]),
        page=pages,
        length=lengths,
        attr=st.sampled_from([RW, RW, RW, R, RX, NONE]),
        flags=st.sampled_from([0, POPULATE]),
    )
    def map(self, number, kind, page, length, attr, flags):
        vas, model = self.member(number)
        at, size = vas.base + page * PAGE, length * PAGE
        if kind == "shared":
            offset = page % 8 * PAGE
            status = vas.do_shared(self.memory, size, attr, at=at, flags=flags, offset=offset)
            expected = model.map(kind, size, attr, at, flags | 12 << 5, offset=offset)
        else:
            pa = self.guest.memory + page * PAGE if kind == "dma" else None
            status = vas.do_map(kind, size, attr, at=at, flags=flags, pa=pa)
            expected = model.map(kind, size, attr, at, flags, pa=pa)
        assert status == expected

    @rule(
        number=which, block=st.integers(0, 1), flags=st.sampled_from([POPULATE, SIZE_2M, SIZE_2M | POPULATE])
    )
    def map_block(self, number, block, flags):
        vas, model = self.member(number)
        at = vas.base + block * LARGE
        if vas.free_frames() < 6 * 512:
            return
        assert vas.do_map("anon", LARGE, RW, at=at, flags=flags) == model.map("anon", LARGE, RW, at, flags)

    @rule(number=which, page=pages, prop=st.integers(0, 3))
    def region(self, number, page, prop):
        vas, model = self.member(number)
        at = vas.base + page * PAGE
        status = vas.do_region(at, 2 * PAGE, prop)
        assert status == model.map("region", 2 * PAGE, (NONE, R, RW, RX)[prop], at)[0]
        if status == "OK":
            model.present.update((at, at + PAGE))

    @rule(number=which, page=pages, length=st.sampled_from([1, 2, 5, 512, 1024]))
    def unmap(self, number, page, length):
        vas, model = self.member(number)
        at, size = vas.base + page * PAGE, length * PAGE
        assert vas.do_unmap(at, size) == model.unmap(at, size)

    @rule(number=which, page=pages, length=lengths, attr=st.sampled_from([RW, RW, R, RX, NONE]))
    def set_attr(self, number, page, length, attr):
        vas, model = self.member(number)
        at, size = vas.base + page * PAGE, length * PAGE
        assert vas.do_set_attr(at, size, attr) == model.set_attr(at, size, attr)

    @rule(
        number=which,
        page=pages,
        length=lengths,
        advice=st.sampled_from([DONTNEED, WILLNEED]),
    )
    def advise(self, number, page, length, advice):
        vas, model = self.member(number)
        at, size = vas.base + page * PAGE, length * PAGE
        assert vas.do_advise(at, size, advice) == model.advise(at, size, advice)

    @rule(number=which)
    def promote(self, number):
        """Nothing that the model could see."""
        vas, _ = self.member(number)
        assert vas.do_advise(vas.base, 2 * LARGE, PROMOTE) in ("OK", "ENOMEM")

    @rule(number=which, failure=failures)
    def clone(self, number, failure):
        vas, model = self.member(number)
        if len(self.family) == self.guest.family:
            return
        with self.failing(failure) as injection:
            made = vas.do_clone()
        if not isinstance(made, str):
            self.family.append((made, model.clone()))
        else:
            assert (made, injection.struck is not None) == ("ENOMEM", True)

    @rule(number=which)
    def destroy(self, number):
        if len(self.family) > 1:
            vas, _ = self.family.pop(number % len(self.family))
            self.family[0][0].run()
            vas.destroy()

    # -- accesses ---------------------------------------------------------------------------------------

    @rule(number=which, page=pages, who=st.sampled_from(["user", "kernel", "copy_in"]), failure=failures)
    def write(self, number, page, who, failure):
        vas, model = self.member(number)
        va = vas.base + page * PAGE
        area = model.find(va)
        if who == "copy_in" and (area is None or area.kind in ("rsvd", "dma") or not area.attr & 15):
            return
        self.value += 1
        with self.failing(failure) as injection:
            worked = vas.write(va, self.value, who)
        if not worked and injection is not None and injection.struck is not None:
            return
        access = "r" if who == "copy_in" else "w"
        assert worked == (model.access(access, va) == "ok")
        if worked:
            model.write(va, self.value)

    @rule(number=which, page=pages)
    def read(self, number, page):
        vas, model = self.member(number)
        va = vas.base + page * PAGE
        found = vas.load(va)
        assert found == (model.word(va) if model.access("r", va) == "ok" else None)

    # -- what is always so ------------------------------------------------------------------------------

    @invariant()
    def each_is_as_its_model_says(self):
        """VMAs, pages with their rights, and every word."""
        for vas, model in self.__dict__.get("family", ()):
            assert [vma._replace(flags=vma.flags & ~COW) for vma in vas.vmas()] == model.vmas()
            there = {}
            for leaf in vas.pages():
                area = model.find(leaf.va)
                allowed = rights[area.attr & 15]
                later = area.kind in PRIVATE and leaf.prot == allowed.replace("w", "-")
                assert later or leaf.prot == allowed
                there |= {leaf.va + at: leaf.pa + at for at in range(0, leaf.size, PAGE)}
            assert there.keys() == model.present
            for va in model.words.keys() & there.keys():
                assert self.guest.word_at(there[va]) == model.word(va)
            type(self).steps += 1

    @invariant()
    def frames_are_those_of_different_pages(self):
        """Of private pages, however many have them; of regions each its own. Counts agree with that."""
        if "family" not in self.__dict__:
            return
        private, regions = set(), 0
        for vas, model in self.family:
            mine = 0
            for leaf in vas.pages():
                kind = model.find(leaf.va).kind
                frames = range(leaf.pa, leaf.pa + leaf.size, PAGE)
                private.update(frames if kind in PRIVATE else ())
                regions += len(frames) if kind == "region" else 0
                mine += len(frames) if kind in (*PRIVATE, "region") else 0
            assert vas.stats()["resident"] == mine + vas.program_frames
            assert vas.stats()["vmas"] == len(model.areas) + vas.program_frames
        vas = self.family[0][0]
        assert vas.frames()[3] == len(private)
        assert vas.frames()[2] == self.books[2] + regions + (len(self.family) - 1) * vas.program_frames
        assert vas.is_sound()

    def teardown(self):
        """All of it unmapped and closed: every frame is back."""
        if "family" not in self.__dict__:
            return
        self.family[0][0].run()
        for vas, _ in self.family[1:]:
            vas.destroy()
        vas = self.family[0][0]
        vas.empty()
        self.guest.close_shared(self.memory)
        assert vas.frames()[2:] == (self.books[2] - vas.program_frames, 0)
        assert self.guest.files.held() == 0
        assert vas.frames()[0] <= self.books[0]
        assert vas.is_sound()
