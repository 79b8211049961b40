# SPDX-License-Identifier: BSD-3-Clause
"""What a VAS counts, and the limits that it may be given."""

from __future__ import annotations

import pytest

from tests.support.vmm import PAGE
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    NONE,
    POPULATE,
    REPLACE,
    RW,
    RX,
    SIZE_2M,
    USER_BASE,
    WILLNEED,
    R,
    kernel_vas,
    shared_memory,
    status_name,
    user_vas,
)

VA = USER_BASE
OWNED = ("anon", "stack", "file", "region")


def changes(vas, call):
    """Which counts a call changes, and by how much."""
    before = vas.stats()
    call()
    after = vas.stats()
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def resident(vas):
    """The frames of its own that are mapped, by the tables."""
    kinds = {(vma.start, vma.end): vma.kind for vma in vas.vmas()}
    return sum(
        page.size // PAGE
        for page in vas.pages()
        if any(start <= page.va < end and kind in OWNED for (start, end), kind in kinds.items())
    )


# -- counts -------------------------------------------------------------------------------------------------


def test_new_vas_has_nothing(small_kernel):
    """But its top table, and the region of the program that the test put there."""
    vas = user_vas(small_kernel)
    stats = vas.stats()
    assert (stats.pop("vmas"), stats.pop("resident")) == (1, 1)
    assert stats.pop("tables") == len(list(vas.tables().pages()))
    assert set(stats.values()) == {0}


@pytest.mark.parametrize(
    ("access", "attr", "kind"), [("r", RW, "read"), ("w", RW, "write"), ("x", RX, "exec")]
)
def test_faults_are_counted_by_access(vas, access, attr, kind):
    """From EL0: one fault, one frame; the next access needs neither."""
    vas.map("anon", 2 * PAGE, attr, at=VA)
    vas.advise(VA + PAGE, PAGE, WILLNEED)
    assert changes(vas, lambda: vas.user(access, VA)) == {
        f"faults_{kind}": 1,
        "frames_anonymous": 1,
        "resident": 1,
    }
    assert changes(vas, lambda: vas.user(access, VA + 64)) == {}


def test_kernel_faults_count_where_the_address_is(vas):
    """In the kernel's VAS and in that of the address space, each its own."""
    own = kernel_vas(vas.kernel)
    vas.map("anon", PAGE, at=VA)
    there = own.map("anon", PAGE)
    assert changes(vas, lambda: own.store(there, 1)) == {}
    assert changes(own, lambda: vas.store(VA, 1)) == {}
    assert own.stats()["faults_write"] == vas.stats()["faults_write"] == 1


def test_refused_faults_are_counted(vas):
    """No VMA, no right, paging off."""
    vas.map("anon", PAGE, R, at=VA)
    assert changes(vas, lambda: vas.user("w", VA)) == {"faults_refused": 1}
    assert changes(vas, lambda: vas.user("r", VA + PAGE)) == {"faults_refused": 1}
    vas.vas.flags = 1
    vas.user("r", VA)
    vas.vas.flags = 0
    assert vas.stats()["faults_refused"] >= 2


@pytest.mark.parametrize("flags", [0, SIZE_2M])
def test_population_is_no_fault(vas, flags):
    """Frames of blocks count one by one."""
    found = changes(vas, lambda: vas.map("anon", LARGE, at=VA, flags=POPULATE | flags))
    assert found.pop("tables", 0) <= 2
    assert found == {"vmas": 1, "resident": 512, "frames_anonymous": 512}


def test_frames_are_counted_by_where_they_come_from(vas):
    """A page of shared memory is not resident; it counts for each that maps it."""
    memory = shared_memory(vas.kernel, PAGE)
    vas.shared(memory, PAGE, at=VA)
    vas.shared(memory, PAGE, at=VA + 2 * PAGE)
    vas.map("dma", PAGE, at=VA + 4 * PAGE, pa=0x4000_0000)
    vas.map("anon", PAGE, at=VA + 6 * PAGE)
    vas.load(VA + 6 * PAGE)
    assert changes(vas, lambda: [vas.load(VA), vas.load(VA + 2 * PAGE)]) == {
        "faults_read": 2,
        "frames_shared": 2,
    }
    assert changes(vas, lambda: vas.load(VA + 4 * PAGE)) == {"faults_read": 1}


def test_copying_on_write(vas):
    """Copied and taken over; the frame that was resident stays one."""
    vas.map("anon", 2 * PAGE, at=VA, flags=POPULATE)
    copy = vas.clone()
    inherited = copy.stats()
    assert (inherited["resident"], inherited["vmas"]) == (vas.stats()["resident"], vas.stats()["vmas"])
    assert sum(inherited[name] for name in inherited if name.startswith(("faults", "frames"))) == 0
    copy.run()
    assert changes(copy, lambda: copy.user("w", VA)) == {"faults_write": 1, "frames_copied": 1}
    vas.run()
    assert changes(vas, lambda: vas.user("w", VA)) == {"faults_write": 1, "frames_taken_over": 1}
    assert changes(copy, lambda: copy.write(VA + PAGE, 1, "copy_in")) == {"frames_copied": 1}


def test_resident_is_what_the_tables_map(vas):
    """Through everything that maps and unmaps."""
    vas.map("anon", 8 * PAGE, at=VA, flags=POPULATE)
    vas.map("anon", LARGE, at=VA + LARGE, flags=POPULATE)
    vas.stack(4 * PAGE, 2 * PAGE, at=VA + 3 * LARGE)
    vas.region(VA + 4 * LARGE, 3 * PAGE)
    base = vas.stats()["resident"] - resident(vas)
    steps = [
        lambda: vas.unmap(VA + PAGE, PAGE),
        lambda: vas.advise(VA + 2 * PAGE, 3 * PAGE, DONTNEED),
        lambda: vas.unmap(VA + LARGE + 7 * PAGE, 100 * PAGE),
        lambda: vas.set_attr(VA, 8 * PAGE, R),
        lambda: vas.map("anon", 3 * PAGE, at=VA, flags=POPULATE | REPLACE),
        lambda: vas.map("rsvd", LARGE, NONE, at=VA + LARGE, flags=REPLACE),
        lambda: vas.advise(VA, 8 * PAGE, WILLNEED),
        lambda: vas.unmap(VA + 4 * LARGE, 3 * PAGE),
        lambda: vas.unmap(VA + 2 * LARGE, 8 * LARGE),
    ]
    for step in steps:
        step()
        assert vas.stats()["resident"] - base == resident(vas)
    vas.unmap(VA, 64 * LARGE)
    assert vas.stats()["resident"] == base


def test_vmas_are_counted(vas):
    """Through split, merge, replace and unmap."""
    for step in (
        lambda: vas.map("anon", 8 * PAGE, at=VA),
        lambda: vas.unmap(VA + PAGE, PAGE),
        lambda: vas.set_attr(VA + 4 * PAGE, PAGE, R),
        lambda: vas.set_attr(VA + 4 * PAGE, PAGE, RW),
        lambda: vas.map("anon", PAGE, at=VA + PAGE),
        lambda: vas.map("rsvd", 2 * PAGE, NONE, at=VA + 2 * PAGE, flags=REPLACE),
        lambda: vas.region(VA + LARGE, PAGE),
        lambda: vas.unmap(VA, 2 * LARGE),
    ):
        step()
        assert vas.stats()["vmas"] == len(vas.vmas()) + 1  # and the program's


def test_tables_are_counted_by_a_walk(either_vas):
    """The same as the harness finds."""
    vas = either_vas
    vas.map("anon", PAGE, at=vas.base + 5 * LARGE, flags=POPULATE)
    vas.map("anon", PAGE, at=vas.base + (3 << 30), flags=POPULATE)
    assert vas.stats()["tables"] == len(list(vas.tables().pages()))


def test_stats_need_somewhere_to_go(vas):
    """EINVAL without a VAS, EFAULT without memory for the answer."""
    out = vas.kernel.new("vas_stats_t")
    assert status_name(vas.kernel.vas_stats(None, out)) == "EINVAL"
    assert status_name(vas.kernel.vas_set_limits(None, 0, 0)) == "EINVAL"
    for where in (0, VA, vas.kernel.image.symbols["kernel_main"].address):
        assert status_name(vas.kernel.vas_stats(vas.vas, where)) == "EFAULT"


def test_vas_of_an_address_space(vas):
    """By its handle; NULL for what is none."""
    assert int(vas.kernel.vmm_address_space_vas(vas.space)) == vas.vas.address
    for pointer in (None, 8, vas.kernel.buffer(64)):
        assert not vas.kernel.vmm_address_space_vas(pointer)


# -- limits -------------------------------------------------------------------------------------------------


def now(vas, name):
    """A count."""
    return vas.stats()[name]


@pytest.mark.parametrize("who", ["user", "kernel", "copy_in"])
def test_fault_beyond_the_limit_is_refused(vas, who):
    """Exactly so many frames; unmapping makes room."""
    vas.map("anon", 8 * PAGE, at=VA)
    vas.limit(resident=now(vas, "resident") + 3)
    assert [vas.write(VA + page * PAGE, 1, who) for page in range(5)] == [True] * 3 + [False] * 2
    assert vas.fault(VA + 3 * PAGE) == "EDQUOT"
    vas.advise(VA, PAGE, DONTNEED)
    assert vas.write(VA + 4 * PAGE, 1, who)
    assert not vas.write(VA, 1, who)
    vas.limit()
    assert vas.write(VA, 1, who)


def test_pages_of_files_count_against_the_limit(vas):
    """Exactly so many; each is a copy of the VMA's own."""
    kernel, data = vas.kernel, vas.kernel.buffer(bytes(3 * PAGE))
    fd = kernel.file_open("/f", kernel.FILE_RW | kernel.FILE_CREATE)
    assert kernel.file_write(fd, data, 3 * PAGE) == 3 * PAGE
    vas.limit(resident=now(vas, "resident") + 2)
    assert vas.do_file(3 * PAGE, RW, fd, 0, at=VA) == ("OK", VA)
    assert [vas.load(VA + page * PAGE) for page in range(3)] == [0, 0, None]


@pytest.mark.parametrize("pages", [1, 4, 512])
@pytest.mark.parametrize("room", [0, 1, 3])
def test_population_beyond_the_limit_undoes_itself(vas, pages, room):
    """EDQUOT, and everything as before; room for all of it is enough."""
    before = vas.books()
    vas.limit(resident=now(vas, "resident") + min(room, pages - 1))
    assert vas.do_map("anon", pages * PAGE, at=VA, flags=POPULATE) == ("EDQUOT", VA)
    assert vas.do_stack(pages * PAGE, pages * PAGE)[0] == "EDQUOT"
    assert vas.books() == before
    vas.limit(resident=now(vas, "resident") + pages)
    vas.map("anon", pages * PAGE, at=VA, flags=POPULATE)


@pytest.mark.parametrize("room", [0, 1, 5, 7])
def test_advice_beyond_the_limit_gets_as_far_as_it_goes(vas, room):
    """EDQUOT, and what there was room for stays."""
    vas.map("anon", 8 * PAGE, at=VA)
    vas.limit(resident=now(vas, "resident") + room)
    assert vas.do_advise(VA, 8 * PAGE, WILLNEED) == "EDQUOT"
    assert vas.present(VA, 8 * PAGE) == list(range(VA, VA + room * PAGE, PAGE))


def test_regions_count_against_the_limit(vas):
    """EDQUOT by the last error; nothing is allocated."""
    before = vas.books()
    create = vas.kernel.vmm_address_space_region_create
    vas.limit(resident=now(vas, "resident") + 3)
    assert not create(vas.space, 4 * PAGE, vas.kernel.AS_REGION_RW)
    assert status_name(vas.kernel.vmm_last_error()) == "EDQUOT"
    assert vas.books() == before
    assert create(vas.space, 3 * PAGE, vas.kernel.AS_REGION_RW)


def test_memory_of_others_does_not_count(vas):
    """Shared and physical memory, under a limit of none."""
    vas.limit(resident=0)
    vas.shared(shared_memory(vas.kernel, PAGE), PAGE, at=VA, flags=POPULATE)
    vas.map("dma", PAGE, at=VA + 2 * PAGE, pa=0x4000_0000, flags=POPULATE)
    assert vas.load(VA) == 0


def test_a_copy_has_the_limits_and_may_write_what_it_has(vas):
    """Copying on write makes nothing more resident."""
    vas.map("anon", 4 * PAGE, at=VA)
    vas.store(VA, 1)
    vas.limit(resident=now(vas, "resident"))
    copy = vas.clone()
    assert copy.write(VA, 2, "user")
    assert not copy.write(VA + PAGE, 2, "user")


def vma_calls(vas):
    """Calls that need one VMA more, by name."""
    return {
        "map": lambda: vas.do_map("rsvd", PAGE, NONE)[0],
        "stack": lambda: vas.do_stack(PAGE)[0],
        "shared": lambda: vas.do_shared(shared_memory(vas.kernel, PAGE), PAGE)[0],
        "unmap": lambda: vas.do_unmap(VA + PAGE, PAGE),
        "set_attr": lambda: vas.do_set_attr(VA + PAGE, PAGE, R),
        "replace": lambda: vas.do_map("rsvd", PAGE, NONE, at=VA + PAGE, flags=REPLACE)[0],
    }


@pytest.mark.parametrize("name", ["map", "stack", "shared", "unmap", "set_attr", "replace"])
def test_vmas_beyond_the_limit_are_refused(vas, name):
    """Mapping, and what cuts a VMA in two: EDQUOT, all as before."""
    vas.map("anon", 4 * PAGE, at=VA, flags=POPULATE)
    call = vma_calls(vas)[name]
    for room in range(2 if name in ("set_attr", "replace") else 1):
        vas.limit(vmas=now(vas, "vmas") + room)
        before = vas.mapping()
        assert call() == "EDQUOT"
        assert vas.mapping()[1:] == before[1:]
    vas.limit(vmas=now(vas, "vmas") + 2)
    assert call() == "OK"


def test_regions_beyond_the_limit_of_vmas(vas):
    """They are VMAs."""
    vas.limit(vmas=now(vas, "vmas"))
    assert not vas.kernel.vmm_address_space_region_create(vas.space, PAGE, vas.kernel.AS_REGION_RW)
    assert status_name(vas.kernel.vmm_last_error()) == "EDQUOT"


def test_limit_below_what_there_is(vas):
    """What is there stays and works; nothing is added until there is less."""
    vas.map("anon", 4 * PAGE, at=VA)
    for page in range(3):
        vas.store(VA + page * PAGE, page)
    vas.limit(resident=1, vmas=1)
    assert vas.words(VA + PAGE, VA + 2 * PAGE) == [1, 2]
    assert not vas.store(VA + 3 * PAGE, 1)
    assert vas.do_unmap(VA + PAGE, PAGE) == "EDQUOT"
    assert vas.do_unmap(VA, 4 * PAGE) == "OK"
