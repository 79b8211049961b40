# SPDX-License-Identifier: BSD-3-Clause
"""The kernel behind an adversarial TLB: a correct one does not notice, and a missing step is read at EL0."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from harness import Kernel
from harness.checks.sanitizer import Options
from harness.checks.tlb import AdversarialTlb
from harness.errors import GuestViolation
from harness.image import ElfImage
from harness.kernel.faults import DelayTlbi, FillAsids, SkipInstruction
from tests.support.vmm import PAGE
from tests.uk.driver import LARGE, POPULATE, RW, R, kernel_vas, user_vas

SEEDS = (1, 2, 3)
TRIED = range(16)


def maps_and_unmaps(kernel):
    """Pages come by faults, go, and others come in their place."""
    vas = user_vas(kernel)
    va = vas.map("anon", 4 * PAGE)
    seen = [vas.user("w", va + page * PAGE, page + 1) for page in range(4)]
    vas.unmap(va + PAGE, PAGE)
    seen += [vas.user("r", va + page * PAGE) for page in range(4)]
    vas.map("anon", PAGE, at=va + PAGE)
    return [*seen, *(vas.user("r", va + page * PAGE) for page in range(4))]


def changes_attributes(kernel):
    """A block is split and joined, and rights come and go."""
    vas = user_vas(kernel)
    va = vas.map("anon", LARGE, flags=POPULATE)
    seen = [vas.user("w", va + PAGE, 7)]
    for attr in (R, RW):
        vas.set_attr(va + PAGE, PAGE, attr)
        seen += [vas.user(access, va + page * PAGE, 8) for page in (0, 1) for access in "rw"]
    return seen


def clones(kernel):
    """What is shared until it is written is copied for both."""
    vas = user_vas(kernel)
    va = vas.map("anon", 2 * PAGE)
    vas.user("w", va, 1)
    copy = vas.clone()
    seen = [vas.user("w", va, 2), *vas.words(va, va + PAGE), *copy.words(va, va + PAGE)]
    seen.append(copy.user("w", va, 3))
    return [*seen, *vas.words(va), *copy.words(va)]


def reuses_asids(kernel):
    """More address spaces than ASIDs are left, with the same addresses."""
    with FillAsids(left=1).inject(kernel):
        pass
    seen, spaces = [], [user_vas(kernel) for _ in range(3)]
    for number, vas in enumerate(spaces):
        vas.run()
        seen.append(vas.user("w", vas.map("anon", PAGE, at=LARGE), number))
    seen += [vas.words(LARGE) for vas in spaces]
    kernel.vmm_address_space_activate(None)
    spaces.pop().destroy()
    last = user_vas(kernel)
    return [*seen, last.user("r", LARGE), *(vas.words(LARGE) for vas in spaces)]


def works_in_its_own_half(kernel):
    """The same at EL1."""
    vas = kernel_vas(kernel)
    va = vas.map("anon", 2 * PAGE)
    seen = [vas.store(va, 1), vas.load(va), vas.load(va + PAGE)]
    vas.unmap(va, PAGE)
    seen.append(vas.load(va))
    vas.map("anon", PAGE, at=va)
    return [*seen, vas.load(va)]


SCENARIOS = [maps_and_unmaps, changes_attributes, clones, reuses_asids, works_in_its_own_half]


class Booted:
    """A kernel, and what it does from just after boot."""

    def __init__(self, image, tlb) -> None:
        self.kernel = Kernel(image, ram_size=64 << 20, tlb=tlb, sanitize=None)
        self.moment = self.kernel.snapshot()

    def run(self, scenario):
        """What it saw, the exceptions it took, the instructions of all that, and its memory."""
        self.kernel.restore(self.moment)
        seen, machine = scenario(self.kernel), self.kernel.machine
        return seen, list(machine.exceptions), machine.instructions, machine.memory.digest()


@pytest.fixture(scope="module")
def image(kernel_elf):
    """Read once."""
    return ElfImage.load(kernel_elf)


@pytest.fixture(scope="module")
def boot(image):
    """Kernels by seed, None: behind the emulator's own TLB; booted once."""
    booted = {}

    def get(seed):
        if seed not in booted:
            booted[seed] = Booted(image, None if seed is None else AdversarialTlb(seed))
        return booted[seed]

    yield get
    for each in booted.values():
        each.kernel.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_correct_kernel_does_not_notice(boot, scenario, seed):
    """Results, exceptions with all their fields, instruction counts and memory are those of any other TLB."""
    assert boot(seed).run(scenario) == boot(None).run(scenario)


def user_page_goes(kernel):
    """A page that is in use is unmapped: what EL0 reads then."""
    vas = user_vas(kernel)
    va = vas.map("anon", PAGE)
    vas.user("w", va, 1)
    yield
    vas.unmap(va, PAGE)
    yield vas.user("r", va).outcome


def kernel_page_goes(kernel):
    """The same of a page of the kernel's half: what EL1 reads then."""
    vas = kernel_vas(kernel)
    va = vas.map("anon", PAGE)
    vas.store(va, 1)
    yield
    vas.unmap(va, PAGE)
    yield "fault" if vas.load(va) is None else "ok"


FAULTS = [SkipInstruction("TLBI"), SkipInstruction("DSB"), DelayTlbi()]
GOING = pytest.mark.parametrize("going", [user_page_goes, kernel_page_goes], ids=["user", "kernel"])


@GOING
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_step_left_out_by_the_kernel_is_read_by_a_program(boot, fault, going):
    """Or by the kernel. For some of the seeds the page is there still; without a fault it never is."""
    outcomes = {True: set(), False: set()}
    for seed in TRIED:
        for faulty in outcomes:
            booted = boot(seed)
            booted.kernel.restore(booted.moment)
            steps = going(booted.kernel)
            next(steps)
            with fault.inject(booted.kernel) if faulty else nullcontext() as injection:
                outcomes[faulty].add(next(steps))
            assert not faulty or injection.struck
    assert outcomes == {True: {"ok", "fault"}, False: {"fault"}}


@GOING
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_sanitizer_says_so_of_the_same_step(image, fault, going):
    """In the call that leaves it out; without a fault it has nothing to say."""
    with Kernel(image, ram_size=64 << 20, sanitize=Options()) as kernel:
        moment = kernel.snapshot()
        assert list(going(kernel)) == [None, "fault"]
        kernel.restore(moment)
        steps = going(kernel)
        next(steps)
        with fault.inject(kernel) as injection, pytest.raises(GuestViolation):
            next(steps)
    assert injection.struck


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_runs_with_one_seed_are_the_same(boot, image, scenario):
    """On a machine that has done something else before, and on a new one: what the TLB holds, too."""
    seed = SEEDS[0]
    used, new = boot(seed), Booted(image, AdversarialTlb(seed))
    for other in SCENARIOS:
        used.run(other)
    assert used.run(scenario) == new.run(scenario)
    assert contents(used) == contents(new)
    new.kernel.close()


def contents(booted):
    """What the adversarial TLB of a kernel holds."""
    return [(each.va, each.shift, each.asid, each.last.raw) for each in booted.kernel.tlb.entries]
