# SPDX-License-Identifier: BSD-3-Clause
"""Random sequences of all calls against a model in Python: regions, placement, contents, tables, frames."""

from __future__ import annotations

import random

import pytest

from tests.support.vmm import BLOCK_2M, PAGE, PROPS, Region, boundary_of, page_round

LOWEST = 0x10000
PROT = {"RO": "r--", "RW": "rw-", "RX": "r-x"}
STEPS = 500


class ModelSpace:
    """One address space: regions by VA, as (length, property name), and what was written to them."""

    def __init__(self, handle, number):
        self.handle, self.id = handle, number
        self.regions, self.bytes = {}, {}

    def fits(self, va, size):
        """Whether [va, va + size) touches no region."""
        return all(end <= va or va + size <= start for start, end in self.ranges())

    def ranges(self):
        return [(va, va + size) for va, (size, _) in sorted(self.regions.items())]

    def lowest(self, size):
        """Where a region of this size must be placed."""
        boundary = boundary_of(size)
        candidates = [LOWEST, *(end for _, end in self.ranges())]
        aligned = sorted(-(-each // boundary) * boundary for each in candidates if each >= LOWEST)
        return next(va for va in aligned if self.fits(va, size))

    def covered(self, va, size):
        """Whether regions cover [va, va + size) without a hole."""
        for start, end in self.ranges():
            if start <= va < end:
                size -= end - va
                va = end
        return size <= 0

    def forget(self, va):
        size, _ = self.regions.pop(va)
        self.bytes = {at: byte for at, byte in self.bytes.items() if not va <= at < va + size}


class Sequence:
    """The kernel and the model beside it."""

    def __init__(self, vmm, seed):
        self.vmm, self.kernel, self.draw = vmm, vmm.kernel, random.Random(seed)
        self.spaces, self.active, self.ids = [], None, 0
        self.empty = vmm.stats()
        self.data = vmm.kernel.buffer(3 * PAGE)

    def space(self):
        return self.draw.choice(self.spaces) if self.spaces else self.create_space()

    def some_region(self, space):
        """A VA where a region starts, mostly."""
        known = sorted(space.regions)
        return self.draw.choice(known) if known and self.draw.random() < 0.9 else self.some_va()

    def some_va(self):
        near = LOWEST + self.draw.randrange(0, 80) * PAGE
        return self.draw.choice([near, self.draw.randrange(1, 20) * BLOCK_2M, self.vmm.user_end - PAGE])

    def some_size(self):
        few = self.draw.randrange(1, 12 * PAGE)
        return self.draw.choice(
            [few, few, few, PAGE, 40 * PAGE, BLOCK_2M, BLOCK_2M + self.draw.randrange(PAGE)]
        )

    # -- calls ------------------------------------------------------------------------------------------

    def create_space(self):
        self.ids += 1
        made = ModelSpace(self.vmm.space(), self.ids)
        assert made.handle.id == made.id
        self.spaces.append(made)
        return made

    def destroy_space(self):
        space = self.space()
        status = self.kernel.vmm_address_space_destroy(space.handle)
        if space is self.active:
            assert status == -self.kernel.EBUSY
        else:
            assert status == 0
            self.spaces.remove(space)

    def create(self):
        space, size, prop = self.space(), self.some_size(), self.draw.choice(PROPS)
        expected = space.lowest(page_round(size))
        va = int(self.kernel.vmm_address_space_region_create(space.handle, size, self.vmm.props[prop]))
        if va == 0:
            assert self.vmm.error == "ENOMEM"
            return
        assert va == expected
        space.regions[va] = page_round(size), prop

    def create_at(self):
        space, size, prop, va = self.space(), self.some_size(), self.draw.choice(PROPS), self.some_va()
        rounded = page_round(size)
        self.kernel.vmm_address_space_region_create_at(space.handle, va, size, self.vmm.props[prop])
        if va % boundary_of(rounded):
            assert self.vmm.error == "EINVAL"
        elif va + rounded > self.vmm.user_end:
            assert self.vmm.error == "ERANGE"
        elif not space.fits(va, rounded):
            assert self.vmm.error == "EEXIST"
        elif self.vmm.error != "ENOMEM":
            assert self.vmm.error == "OK"
            space.regions[va] = rounded, prop

    def destroy(self):
        space = self.space()
        va = self.some_region(space)
        status = self.kernel.vmm_address_space_region_destroy(space.handle, va)
        assert status == (0 if va in space.regions else -self.kernel.ENOENT)
        if va in space.regions:
            space.forget(va)

    def set_prop(self):
        space, prop = self.space(), self.draw.choice(PROPS)
        va = self.some_region(space)
        status = self.kernel.vmm_address_space_region_set_prop(space.handle, va, self.vmm.props[prop])
        assert status == (0 if va in space.regions else -self.kernel.ENOENT)
        if va in space.regions:
            space.regions[va] = space.regions[va][0], prop

    def copy_in(self):
        space = self.space()
        at, size = self.some_region(space) + self.draw.randrange(2 * PAGE), self.draw.randrange(1, 3 * PAGE)
        content = self.draw.randbytes(size)
        self.kernel.write(None, self.data, content)
        self.kernel.vmm_address_space_copy_in(space.handle, self.data, at, size)
        if space.covered(at, size):
            assert self.vmm.error == "OK"
            for place in (0, size // 2, size - 1):
                space.bytes[at + place] = content[place]
            for other in [each for each in space.bytes if at <= each < at + size]:
                space.bytes[other] = content[other - at]
        else:
            assert self.vmm.error == "EFAULT"

    def copy_out(self):
        space = self.space()
        at, size = self.some_region(space) + self.draw.randrange(2 * PAGE), self.draw.randrange(1, 3 * PAGE)
        status = self.kernel.vmm_address_space_copy_out(space.handle, self.data, at, size)
        assert status == (0 if space.covered(at, size) else -self.kernel.EFAULT)
        if status == 0:
            found = self.kernel.read(None, self.data, size)
            assert all(found[va - at] == byte for va, byte in space.bytes.items() if at <= va < at + size)

    def activate(self):
        self.active = self.draw.choice([None, self.space(), self.space()])
        self.vmm.activate(self.active.handle if self.active else None)

    # -- what must hold ---------------------------------------------------------------------------------

    def step(self):
        calls = [self.create] * 4 + [self.create_at] * 3 + [self.destroy] * 5 + [self.set_prop] * 4
        calls += [self.copy_in] * 3 + [self.copy_out, self.activate]
        calls += [self.create_space] if len(self.spaces) < 4 else []
        calls += [self.destroy_space] if self.draw.random() < 0.3 else []
        self.draw.choice(calls)()

    def check(self):
        """Lists, contents, tables and frames."""
        assert self.vmm.spaces() == [space.handle for space in self.spaces]
        tables, frames = 0, 0
        for space in self.spaces:
            self.check_regions(space)
            self.check_leaves(space)
            tables += len(self.kernel.tables(space.handle).pages())
            frames += sum(size for size, _ in space.regions.values()) // PAGE
        now = self.vmm.stats()
        assert (now.frames_table, now.frames_region) == (tables, frames)
        assert now.regions == sum(len(space.regions) for space in self.spaces)
        used = now.frames_table + now.frames_region + now.frames_object
        assert (now.frames_page, now.frames_file) == (0, 0)
        assert now.frames_free == self.empty.frames_free - used
        assert self.kernel.frames_check()
        assert all(self.kernel.vma_tree_check(space.handle.vas.vmas) for space in self.spaces)

    def check_regions(self, space):
        found = self.vmm.regions(space.handle)
        expected = [(va, *space.regions[va]) for va in sorted(space.regions)]
        assert [(r.va, r.len, PROPS[r.prop]) for r in found] == expected
        for at, byte in space.bytes.items():
            home = next(region for region in found if region.va <= at < region.end)
            assert self.vmm.ram(home.pa + at - home.va, 1)[0] == byte

    def check_leaves(self, space):
        """The leaves are the regions that can be accessed, page for page, and nothing else."""
        mapped = []
        for run in self.kernel.tables(space.handle).leaves():
            owner = max(va for va in space.regions if va <= run.va)
            assert run.va + run.size <= owner + space.regions[owner][0]
            assert run.prot == PROT[space.regions[owner][1]]
            mapped.append(run.size)
        accessible = [size for size, prop in space.regions.values() if prop != "NO_ACCESS"]
        assert sum(mapped) == sum(accessible)

    def finish(self):
        """Everything goes, and nothing is left."""
        self.vmm.activate(None)
        for space in self.spaces:
            assert self.kernel.vmm_address_space_destroy(space.handle) == 0
        assert self.vmm.stats() == self.empty
        assert self.kernel.frames_check()


@pytest.mark.parametrize("seed", range(6))
def test_kernel_agrees_with_the_model(small_vmm, seed):
    """Some thousand random calls in all; frames are scarce enough that some run out of memory."""
    sequence = Sequence(small_vmm, seed)
    for number in range(STEPS):
        sequence.step()
        if number % 10 == 0:
            sequence.check()
    sequence.check()
    sequence.finish()


def test_model_places_regions_as_the_specification_says():
    """The model itself: lowest hole, by boundary."""
    space = ModelSpace(None, 1)
    space.regions = {LOWEST: (2 * PAGE, "RW"), LOWEST + 4 * PAGE: (PAGE, "RW")}
    assert space.lowest(2 * PAGE) == LOWEST + 2 * PAGE
    assert space.lowest(3 * PAGE) == LOWEST + 5 * PAGE
    assert space.lowest(BLOCK_2M) == BLOCK_2M
    assert space.covered(LOWEST, 2 * PAGE)
    assert not space.covered(LOWEST, 2 * PAGE + 1)
    assert Region(1, 2, 3, 4).end == 4
