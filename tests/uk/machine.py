# SPDX-License-Identifier: BSD-3-Clause
"""The VMA engine against its model: random calls, accesses from EL0 and EL1, and allocations that fail.

After each step the VMAs are those of the model, every page that is mapped is one the model has, with exactly
the rights of its VMA, all frames are accounted for, and tree and frame allocator are sound.

What runs the engine is behind a seam, `guest`: the emulated kernel (test_model.py), or the build host
(tests/host/test_model.py). It has `vases` ("user", "kernel"), `files`, `names` and `memory` for dma, `types`
(what a page says of Normal write-back and non-cacheable memory), and `reset()`, after which all is as it was.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.vmm import PAGE
from tests.uk import driver
from tests.uk.driver import (
    ANY,
    CONTINUE,
    DONTNEED,
    GROWS_UP,
    LARGE,
    NONE,
    NOPAGING,
    POPULATE,
    REPLACE,
    RW,
    RWX,
    RX,
    SIZE_2M,
    SIZE_4K,
    STRICT,
    UNINITIALIZED,
    WILLNEED,
    R,
    W,
)
from tests.uk.model import Model

# Shrinking takes minutes; a run that only wants to know whether there is a failure has a profile without it.
PHASES = [each for each in (Phase.generate, Phase.shrink) if each in settings.default.phases]
SETTINGS = settings(
    max_examples=22,
    stateful_step_count=50,
    deadline=None,
    database=None,
    phases=PHASES,
    suppress_health_check=list(HealthCheck),
)
DMA_PAGES = 2048
SIZE_MASK = 63 << 5
ENOUGH = 8000  # pages: no more is populated, so that memory runs out only where the test wants it
NORMAL_NC = 2 << 5
SVC = 0xD400_0001

rights = {NONE: "---", R: "r--", W: "rw-", RW: "rw-", RX: "r-x"}

# Around the boundaries of 2M, where things meet.
pages = st.sampled_from([block + page for block in (0, 512, 1024) for page in (*range(8), *range(506, 512))])
lengths = st.sampled_from([1, 1, 2, 2, 3, 4, 5, 8, 16, 512, 514, 1024])
attributes = st.sampled_from([RW, RW, RW, R, R, RX, NONE, W, RW | NORMAL_NC, RWX])
sizes = st.sampled_from([0, 0, 0, 0, SIZE_4K, SIZE_2M, SIZE_2M])
populated = st.sampled_from([0, POPULATE])
picks = st.integers(0, 1023)
vases = st.sampled_from(["user", "user", "kernel"])
checks = st.sampled_from([0, 0, 0, 0, STRICT])
names = st.sampled_from([0, 0, 0, 1, 2])
failures = st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3, 4, 6])


class EngineMachine(RuleBasedStateMachine):
    """The same in kernel and model after each of many calls."""

    guest = None  # set by the test
    steps = 0

    @initialize(which=vases)
    def start(self, which):
        """An empty VAS, of an address space or of the kernel."""
        self.guest.reset()
        self.vas = self.guest.vases[which]
        self.model = Model(self.vas.base, self.vas.low, self.vas.end)
        self.books = self.vas.frames()
        self.vas.pages()
        self.other_tables = self.books[0] - self.vas.table_pages
        self.value = 0
        self.injection = None
        self.looked = 0

    def va(self, page):
        """The address of a page of the window that fixed addresses are from."""
        return self.vas.base + page * PAGE

    def near(self, pick):
        """The address of a page around an end of one of the VMAs; where there are none, any."""
        areas = self.model.areas
        if not areas:
            return self.va(pick % 8)
        area = areas[pick % len(areas)]
        pick //= 16
        return (area.start if pick & 8 else area.end) + (pick % 8 - (1 if pick & 8 else 6)) * PAGE

    @contextmanager
    def failing(self, n):
        """The n-th allocation fails; 0: none."""
        with self.vas.failing(n) if n else nullcontext() as self.injection:
            yield

    @property
    def struck(self):
        """Whether an allocation of the latest call was made to fail."""
        return self.injection is not None and self.injection.struck is not None

    # -- calls ------------------------------------------------------------------------------------------

    def map_both(self, call, size, flags, arguments, failure):
        """A call that maps, in kernel and model."""
        if len(self.model.present) + size // PAGE > ENOUGH:
            flags &= ~POPULATE
        with self.failing(failure):
            result = getattr(self.vas, f"do_{call}")(flags=flags, **arguments)
        if result[0] == "ENOMEM" and (self.struck or flags & SIZE_MASK == SIZE_2M):
            return
        assert result == getattr(self.model, call)(flags=flags, **arguments)

    @rule(
        kind=st.sampled_from(["anon", "anon", "anon", "dma", "rsvd"]),
        length=lengths,
        attr=attributes,
        page=st.one_of(st.none(), pages, pages),
        flags=st.tuples(
            sizes, populated, st.sampled_from([0, 0, 0, UNINITIALIZED]), st.sampled_from([0, REPLACE])
        ),
        name=names,
        memory=st.integers(0, 7),
        failure=failures,
    )
    def map(self, kind, length, attr, page, flags, name, memory, failure):
        at, size, flags = ANY if page is None else self.va(page), length * PAGE, sum(flags)
        if flags & SIZE_MASK == SIZE_2M and kind == "dma":
            flags &= ~SIZE_MASK
        elif flags & SIZE_MASK == SIZE_2M and memory:  # mostly what can be
            size, at = (1 + length % 2) * LARGE, at & -LARGE
        elif length >= 512 and memory & 1:  # where the type may choose large pages
            at &= -LARGE
        arguments = {"kind": kind, "size": size, "attr": attr, "at": at, "name": self.guest.names[name]}
        if kind == "dma":
            arguments["pa"] = self.guest.memory + memory * PAGE
        self.map_both("map", size, flags, arguments, failure)

    @rule(
        length=st.integers(1, 6),
        premapped=st.integers(0, 7),
        page=st.one_of(st.none(), pages),
        flags=st.tuples(populated, st.sampled_from([0, GROWS_UP]), st.sampled_from([0, REPLACE])),
        failure=failures,
    )
    def stack(self, length, premapped, page, flags, failure):
        size = length * PAGE
        arguments = {
            "size": size,
            "premapped": premapped * PAGE,
            "at": ANY if page is None else self.va(page),
        }
        self.map_both("stack", size, sum(flags), arguments, failure)

    @precondition(lambda self: self.vas.is_user)
    @rule(length=st.integers(1, 3), page=pages, prop=st.integers(0, 3))
    def region(self, length, page, prop):
        at, size = self.va(page), length * PAGE
        status = self.vas.do_region(at, size, prop)
        expected = self.model.map("region", size, (NONE, R, RW, RX)[prop], at)[0]
        assert status == expected
        if status == "OK":
            self.model.present.update(range(at, at + size, PAGE))

    @rule(length=lengths, pick=picks, flags=checks, failure=failures)
    def unmap(self, length, pick, flags, failure):
        va, size = self.near(pick), length * PAGE
        with self.failing(failure):
            status = self.vas.do_unmap(va, size, flags)
        if not (self.struck and status == "ENOMEM"):
            assert status == self.model.unmap(va, size, flags)

    @rule(length=lengths, pick=picks, attr=attributes, flags=checks, failure=failures)
    def set_attr(self, length, pick, attr, flags, failure):
        va, size = self.near(pick), length * PAGE
        with self.failing(failure):
            status = self.vas.do_set_attr(va, size, attr, flags)
        if not (self.struck and status == "ENOMEM"):
            assert status == self.model.set_attr(va, size, attr, flags)

    @rule(length=lengths, pick=picks, advice=st.integers(0, 3), flags=checks, failure=failures)
    def advise(self, length, pick, advice, flags, failure):
        va, size = self.near(pick), length * PAGE
        if len(self.model.present) + length > ENOUGH:
            advice &= ~WILLNEED
        with self.failing(failure):
            status = self.vas.do_advise(va, size, advice, flags)
        before = copy.deepcopy(self.model) if status == "ENOMEM" else None
        expected = self.model.advise(va, size, advice, flags)
        if before is not None and (self.struck or any(a.level == 1 for a in before.between(va, va + size))):
            assert expected in ("OK", "EFAULT")
            self.take_part(before, advice)
        else:
            assert status == expected

    def take_part(self, before, advice):
        """Advice that ran out of memory was taken in part: the model becomes what there is."""
        there = {va for leaf in self.vas.pages() for va in range(leaf.va, leaf.va + leaf.size, PAGE)}
        assert there <= before.present | self.model.present
        if not advice & DONTNEED:
            assert before.present <= there
        words, tails = {}, {}
        for va in there & (before.words.keys() | self.model.words.keys()):
            words[va] = self.vas.word(va)
            fresh = before.fresh(va)
            assert fresh is None or words[va] in (before.words.get(va, fresh), fresh)
        for va in there & (before.tails.keys() | self.model.tails.keys()):
            tails[va] = self.vas.word(va + PAGE - 8)
        self.model.words, self.model.tails, self.model.present = words, tails, there

    @rule(on=st.sampled_from([True, True, False]))
    def paging(self, on):
        self.vas.set_paging(on)
        self.model.paging = on

    # -- accesses ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.vas.is_user)
    @rule(pick=picks, access=st.sampled_from("rrwwx"), failure=failures)
    def user_access(self, pick, access, failure):
        va = self.near(pick)
        if access == "x" and not self.is_code(va):
            return
        self.value += 1
        with self.failing(failure):
            result = self.vas.user(access, va, self.value << 32 | SVC)
        if self.struck and result.outcome == "fault":
            return
        expected = self.model.access(access, va)
        if expected != "ok":
            assert result == driver.Access("fault", expected == "permission", va, access)
            return
        assert result.outcome == "ok"
        self.compare_word(va, access, result.value)

    @rule(pick=picks, access=st.sampled_from("rw"), failure=failures)
    def kernel_access(self, pick, access, failure):
        va = self.near(pick)
        self.value += 1
        with self.failing(failure):
            result = self.vas.load(va) if access == "r" else self.vas.store(va, self.value << 32 | SVC)
        worked = result is not None and result is not False
        if self.struck and not worked:
            return
        assert worked == (self.model.access(access, va) == "ok")
        if worked:
            self.compare_word(va, access, result)

    def is_code(self, va):
        """Whether execution of what is there ends at once: zeros, or a system call."""
        if self.model.find(va) is None:
            return True
        word = self.model.word(va)
        return word is not None and (word == 0 or word & 0xFFFF_FFFF == SVC)

    def compare_word(self, va, access, value):
        """What an access that worked has read; or note what it wrote."""
        if access == "w":
            self.model.write(va, self.value << 32 | SVC)
        elif access == "r":
            known = self.model.word(va)
            if known is None:
                self.model.write(va, value)
            else:
                assert value == known

    @rule(
        pick=picks,
        offset=st.sampled_from([0, 8, 4000]),
        length=lengths,
        flags=st.integers(0, 3),
        write=st.booleans(),
    )
    def probe(self, pick, offset, length, flags, write):
        va, size = self.near(pick) + offset, min(length, 8) * PAGE
        reached = (self.vas.can_write if write else self.vas.can_read)(va, size, flags)
        paging = self.model.paging
        self.model.paging = paging and not flags & NOPAGING
        expected, at = 0, va
        while at < va + size:
            piece = min(va + size, (at & -PAGE) + PAGE) - at
            worked = self.model.access("r", at) == "ok" and (not write or self.model.access("w", at) == "ok")
            if not worked and not flags & CONTINUE:
                break
            expected += piece if worked else 0
            at += piece
        self.model.paging = paging
        assert reached == expected

    # -- what is always so ------------------------------------------------------------------------------

    @invariant()
    def vmas_are_those_of_the_model(self):
        """Sorted, apart, merged: the model's are."""
        if "vas" not in self.__dict__:
            return
        assert self.vas.vmas() == self.model.vmas()
        assert self.vas.is_sound()

    @invariant()
    def mapped_is_what_the_model_has(self):
        """No page outside a VMA, none missing, with the rights and memory of its VMA; each table in use."""
        if "vas" not in self.__dict__:
            return
        mapped = set()
        for leaf in self.vas.pages():
            area = self.model.find(leaf.va)
            assert area is not None
            assert leaf.va + leaf.size <= area.end
            assert leaf.prot == rights[area.attr & 15]
            assert leaf.attr == self.guest.types[bool(area.attr & NORMAL_NC)]
            assert area.kind != "dma" or leaf.pa == leaf.va + area.shift
            mapped.update(range(leaf.va, leaf.va + leaf.size, PAGE))
        assert mapped == self.model.present
        assert self.vas.frames()[0] == self.other_tables + self.vas.table_pages
        type(self).steps += 1

    @invariant()
    def frames_are_conserved(self):
        """A frame for each page that the VAS owns, and for each page of a region."""
        if "vas" not in self.__dict__:
            return
        _, _, regions, owned = self.vas.frames()
        assert owned == self.model.owned()
        assert (
            regions
            == self.books[2] + sum(a.end - a.start for a in self.model.areas if a.kind == "region") // PAGE
        )

    @invariant()
    def mmu_agrees(self):
        """What translates, and the tables as a walk in software reads them, about one address a step."""
        if "vas" not in self.__dict__ or not self.model.areas:
            return
        self.looked += 1
        area = self.model.areas[self.looked % len(self.model.areas)]
        va = area.start + self.looked * PAGE % (area.end - area.start)
        assert self.vas.mmu_agrees(va, "rw"[self.looked % 2])

    def teardown(self):
        """All of it unmapped: every frame is back."""
        if "vas" not in self.__dict__:
            return
        self.vas.empty()
        assert self.vas.vmas() == []
        assert self.vas.is_sound()
        tables, objects, regions, owned = self.vas.frames()
        assert (regions, owned) == (self.books[2] - self.vas.program_frames, 0)
        assert tables <= self.books[0]
        assert objects <= self.books[1]


def run_steps(guest, shard, shards, least, kind=EngineMachine, how=SETTINGS):
    """At least so many steps of sequences that no other of `shards` runs; how many."""
    steps, turn = 0, 0
    while steps < least:  # Hypothesis may stop before it has made all examples
        machine = seed(turn * shards + shard)(type("Machine", (kind,), {"guest": guest, "steps": 0}))
        run_state_machine_as_test(machine, settings=how)
        steps, turn = steps + machine.steps, turn + 1
    return steps
