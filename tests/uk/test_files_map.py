# SPDX-License-Identifier: BSD-3-Clause
"""Private mappings of files, in the kernel's VAS and in an address space, accessed from EL1 and from EL0."""

from __future__ import annotations

import itertools
import struct

import pytest

from harness.kernel.inject import fail_nth
from harness.machine.initrd import pack
from tests.support.files import Files, padded, pattern
from tests.support.vmm import ALLOCATORS, BLOCK_2M, PAGE

SHARED = 1 << 32
CONTENT = pattern(3 * PAGE + 100)
SIZE = 4 * PAGE


@pytest.fixture
def files(kernel):
    return Files(kernel)


@pytest.fixture
def fd(files):
    """An open file of three pages and a bit."""
    return files.make("/etc/data", CONTENT)


@pytest.fixture(params=["kernel", "user"])
def vas(request, files, vmm):
    """The kernel's VAS, and that of the active address space."""
    if request.param == "kernel":
        return files.kernel_vas
    space = vmm.space()
    vmm.activate(space)
    return files.vas_of(space)


class User:
    """An active address space with code that reads and writes for us at EL0."""

    def __init__(self, kernel, vmm, files):
        self.kernel, self.vmm = kernel, vmm
        self.space = vmm.space()
        self.code = vmm.create(self.space, PAGE, "RX")
        probe = kernel.image.symbols["arch_user_probe"].address
        kernel.vmm_address_space_copy_in(self.space, probe, self.code, 24)
        vmm.activate(self.space)
        self.vas = files.vas_of(self.space)

    def read(self, va):
        """8 bytes, or None for a fault."""
        exit, registers = self.vmm.run_user(self.code + self.kernel.USER_PROBE_READ, va)
        if exit.stop == self.kernel.USER_CALL:
            return struct.pack("<Q", registers.x[0])
        assert (exit.stop, exit.address) == (self.kernel.USER_FAULT, va)
        return None

    def write(self, va, data):
        """Write 8 bytes; whether that worked."""
        value = int.from_bytes(data, "little")
        exit, _ = self.vmm.run_user(self.code + self.kernel.USER_PROBE_WRITE, va, value)
        return exit.stop == self.kernel.USER_CALL


@pytest.fixture
def user(kernel, vmm, files):
    return User(kernel, vmm, files)


def test_mapping_shows_the_file(files, vas, fd):
    """All of it, zeros behind its end, and the name of the VMA is that of the file."""
    va = files.map(vas, fd, SIZE)
    assert (va, va + SIZE, "/etc/data") in files.vmas(vas)
    assert files.peek(va, SIZE) == padded(CONTENT)


@pytest.mark.parametrize("offset", [PAGE, 3 * PAGE])
def test_mapping_may_start_within_the_file(files, vas, fd, offset):
    """At any page of it."""
    va = files.map(vas, fd, SIZE - offset, offset=offset)
    assert files.peek(va, SIZE - offset) == padded(CONTENT[offset:])


def test_pages_are_made_when_they_are_used(kernel, files, vas, fd):
    """None by the mapping itself, then one for each page that is touched."""
    va = files.map(vas, fd, SIZE)
    used = kernel.frames_count(kernel.FRAME_PAGE)
    for count, page in enumerate((2, 0, 3), start=1):
        assert files.peek(va + page * PAGE, 8) == CONTENT[page * PAGE : page * PAGE + 8]
        assert kernel.frames_count(kernel.FRAME_PAGE) == used + count


def test_populated_mapping_is_all_there(kernel, files, vas, fd):
    """UK_VMA_MAP_POPULATE, and UK_VMA_ADV_WILLNEED, leave nothing to fault for."""
    used = kernel.frames_count(kernel.FRAME_PAGE)
    va = files.map(vas, fd, SIZE, flags=kernel.UK_VMA_MAP_POPULATE)
    assert kernel.frames_count(kernel.FRAME_PAGE) == used + 4
    other = files.map(vas, fd, SIZE)
    assert kernel.uk_vma_advise(vas, other, SIZE, kernel.UK_VMA_ADV_WILLNEED, 0) == 0
    assert kernel.frames_count(kernel.FRAME_PAGE) == used + 8
    for each in (va, other):
        assert files.peek(each, SIZE) == padded(CONTENT)
    assert kernel.frames_count(kernel.FRAME_PAGE) == used + 8


def test_writing_to_the_mapping_leaves_the_file_alone(files, vas, fd):
    """It is private: neither the file nor another mapping sees it."""
    va, other = files.map(vas, fd, SIZE), files.map(vas, fd, SIZE)
    assert files.poke(va + 10, b"changed") == 7
    assert files.peek(va, 20) == CONTENT[:10] + b"changed" + CONTENT[17:20]
    assert files.content("/etc/data") == CONTENT
    assert files.peek(other, SIZE) == padded(CONTENT)


def test_pages_not_used_yet_see_what_is_written_to_the_file(kernel, files, vas, fd):
    """And those that are do not; dropped by DONTNEED they come from the file again."""
    va = files.map(vas, fd, SIZE)
    assert files.poke(va, b"mine") == 4
    kernel.file_seek(fd, 0)
    new = pattern(len(CONTENT), seed=7)
    assert files.write(fd, new) == len(new)
    assert files.peek(va, PAGE) == b"mine" + CONTENT[4:PAGE]
    assert files.peek(va + PAGE, SIZE - PAGE) == padded(new)[PAGE:]
    assert kernel.uk_vma_advise(vas, va, SIZE, kernel.UK_VMA_ADV_DONTNEED, 0) == 0
    assert files.peek(va, SIZE) == padded(new)


def test_pages_beyond_the_end_fault(kernel, files, vas, fd):
    """Those without a byte of the file, until it has grown; the rest of the mapping is good."""
    va = files.map(vas, fd, SIZE + 2 * PAGE)
    assert files.peek(va + SIZE, 1) == b""
    assert files.peek(va, SIZE + PAGE) == padded(CONTENT)
    assert kernel.uk_nofault_probe_r(va, SIZE + 2 * PAGE, 0) == SIZE
    kernel.file_seek(fd, SIZE)
    assert files.write(fd, b"!") == 1
    assert files.peek(va + SIZE, 2 * PAGE) == padded(b"!")


def test_empty_file_can_be_mapped(files, vas):
    """Nothing of it can be read before something is written to it."""
    fd = files.make("/empty")
    va = files.map(vas, fd, PAGE)
    assert files.peek(va, 1) == b""
    assert files.write(fd, b"now") == 3
    assert files.peek(va, PAGE) == padded(b"now")


def test_populating_beyond_the_end_fails_as_a_whole(kernel, files, vas, fd):
    """EFAULT, and nothing of the mapping stays."""
    before, listed = files.frames(), files.vmas(vas)
    status = files.map(vas, fd, SIZE + PAGE, flags=kernel.UK_VMA_MAP_POPULATE)
    assert status == -kernel.EFAULT
    assert files.vmas(vas) == listed
    assert files.frames() == before


def test_populating_never_covers_up_the_end_with_a_large_page(kernel, files, vas, fd):
    """An aligned 2M of a file of four pages: EFAULT, not a block of zeros."""
    before = files.frames()
    at = vas.vma_base + BLOCK_2M
    assert files.map(vas, fd, BLOCK_2M, at=at, flags=kernel.UK_VMA_MAP_POPULATE) == -kernel.EFAULT
    assert files.frames() == before
    assert files.map(vas, fd, BLOCK_2M, at=at) == at
    assert kernel.uk_vma_advise(vas, at, BLOCK_2M, kernel.UK_VMA_ADV_WILLNEED, 0) == -kernel.EFAULT
    assert kernel.uk_nofault_probe_r(at, BLOCK_2M, 0) == SIZE


def test_holes_in_a_file_are_zeros_in_a_mapping(kernel, files, vas):
    """In pages of their own."""
    fd = files.make("/sparse", b"a")
    kernel.file_seek(fd, 2 * PAGE)
    assert files.write(fd, b"b") == 1
    va = files.map(vas, fd, 3 * PAGE)
    assert files.poke(va + PAGE, b"x") == 1
    assert files.peek(va, 3 * PAGE) == padded(b"a") + padded(b"x") + padded(b"b")
    assert files.content("/sparse") == padded(b"a") + bytes(PAGE) + b"b"


@pytest.mark.parametrize("order", list(itertools.permutations(["close", "unlink", "unmap"])))
def test_file_lives_as_long_as_anyone_refers_to_it(kernel, files, vas, order):
    """Closed and unlinked in any order, a mapping goes on; then every frame is back."""
    warm = files.make("/warm", b"x")  # so that tables and caches are there already
    files.unmap(vas, files.map(vas, warm, PAGE), PAGE)
    before = files.frames()
    fd = files.make("/f", CONTENT)
    va = files.map(vas, fd, SIZE)
    assert files.peek(va, 8) == CONTENT[:8]
    undo = {
        "close": lambda: kernel.file_close(fd),
        "unlink": lambda: kernel.file_unlink("/f"),
        "unmap": lambda: kernel.uk_vma_unmap(vas, va, SIZE, 0),
    }
    for step in order:
        if "unmap" in order[order.index(step) :]:
            assert (va, va + SIZE, "/f") in files.vmas(vas)
            assert files.peek(va + PAGE, SIZE - PAGE) == padded(CONTENT)[PAGE:]
        assert undo[step]() == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == 1  # /warm
    assert files.frames() == before


def test_destroying_the_address_space_lets_go_of_the_file(kernel, vmm, files, fd):
    """Without unmapping first."""
    before = kernel.frames_count(kernel.FRAME_FILE)
    space = vmm.space()
    va = files.map(files.vas_of(space), fd, SIZE)
    assert va > 0
    assert kernel.file_close(fd) == 0
    assert kernel.file_unlink("/etc/data") == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == before
    assert kernel.vmm_address_space_destroy(space) == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == 0


def test_cut_mapping_keeps_its_offsets(kernel, files, vas, fd):
    """Each part shows its own pages of the file and holds it; what is cut out is gone."""
    va = files.map(vas, fd, SIZE)
    files.unmap(vas, va + PAGE, PAGE)
    assert [vma for vma in files.vmas(vas) if vma[2]] == [
        (va, va + PAGE, "/etc/data"),
        (va + 2 * PAGE, va + SIZE, "/etc/data"),
    ]
    assert files.peek(va, SIZE) == CONTENT[:PAGE]
    assert kernel.file_close(fd) == 0
    assert kernel.file_unlink("/etc/data") == 0
    files.unmap(vas, va, PAGE)
    assert files.peek(va + 2 * PAGE, SIZE) == padded(CONTENT)[2 * PAGE :]
    files.unmap(vas, va + 2 * PAGE, 2 * PAGE)
    assert kernel.frames_count(kernel.FRAME_FILE) == 0


def test_attributes_cut_and_join_a_mapping(kernel, files, vas, fd):
    """Changed and changed back it is one VMA again, with the same contents."""
    va = files.map(vas, fd, SIZE)
    for prot, parts in ((kernel.PAGE_ATTR_PROT_READ, 3), (kernel.PAGE_ATTR_PROT_RW, 1)):
        assert kernel.uk_vma_set_attr(vas, va + PAGE, PAGE, prot, 0) == 0
        assert len([vma for vma in files.vmas(vas) if vma[2]]) == parts
        assert files.peek(va + PAGE, 8) == CONTENT[PAGE : PAGE + 8]
        assert files.poke(va + PAGE, CONTENT[PAGE : PAGE + 8]) == (0 if parts == 3 else 8)
    assert files.peek(va, SIZE) == padded(CONTENT)


@pytest.mark.parametrize(
    ("second", "offset", "joined"),
    [
        ("/etc/data", 2 * PAGE, True),
        ("/etc/data", 0, False),
        ("/etc/data", 3 * PAGE, False),
        ("/other", 2 * PAGE, False),
    ],
)
def test_neighbours_join_only_where_the_file_goes_on(kernel, files, vas, fd, second, offset, joined):
    """The same file, and the offset that follows; each keeps its contents, and no memory is lost."""
    files.make("/other", CONTENT[::-1])
    other = files.open(second)
    contents = {"/etc/data": CONTENT, "/other": CONTENT[::-1]}
    va = files.map(vas, fd, 2 * PAGE)
    assert files.map(vas, other, PAGE, offset=offset, at=va + 2 * PAGE) == va + 2 * PAGE
    assert len([vma for vma in files.vmas(vas) if vma[2]]) == (1 if joined else 2)
    expected = CONTENT[: 2 * PAGE] + padded(contents[second])[offset : offset + PAGE]
    assert files.peek(va, 3 * PAGE) == expected
    files.unmap(vas, va, 3 * PAGE)
    for each in (fd, 4, other):
        assert kernel.file_close(each) == 0
    assert kernel.file_unlink("/etc/data") == 0
    assert kernel.file_unlink("/other") == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == 0


def test_two_files_of_one_name_never_join(kernel, files, vas, fd):
    """One unlinked, the other made after it."""
    assert kernel.file_unlink("/etc/data") == 0
    new = files.make("/etc/data", pattern(SIZE, seed=5))
    va = files.map(vas, fd, PAGE)
    assert files.map(vas, new, PAGE, offset=PAGE, at=va + PAGE) == va + PAGE
    assert len([vma for vma in files.vmas(vas) if vma[2]]) == 2
    assert files.peek(va, 2 * PAGE) == CONTENT[:PAGE] + pattern(SIZE, seed=5)[PAGE : 2 * PAGE]


def test_two_files_under_one_name_never_join(kernel, files, vas, fd):
    """Whoever maps them may have given their VMAs a name of his own."""
    other, name = files.make("/other", CONTENT[::-1]), kernel.buffer(b"mine\0")
    va = files.map(vas, fd, PAGE, name=name)
    assert files.map(vas, other, PAGE, offset=PAGE, at=va + PAGE, name=name) == va + PAGE
    assert [vma for vma in files.vmas(vas) if vma[2]] == [
        (va, va + PAGE, "mine"),
        (va + PAGE, va + 2 * PAGE, "mine"),
    ]
    assert files.peek(va, 2 * PAGE) == CONTENT[:PAGE] + CONTENT[::-1][PAGE : 2 * PAGE]


def test_bad_arguments(kernel, files, vas, fd):
    """Each refused by its reason, and nothing has changed."""
    writing = kernel.file_open("/etc/data", kernel.FILE_WRITE)
    before, listed, address = files.frames(), files.vmas(vas), files.kernel_vas.vma_base
    refused = {
        "EBADF": [{"fd": bad} for bad in (-1, 0, 2, 5, 67, 1 << 30)],
        "EACCES": [{"fd": writing}],
        "ENOTSUP": [{"flags": SHARED}],
        "EINVAL": [{"offset": bad} for bad in (-1, -PAGE, 1, PAGE - 8, (1 << 63) - PAGE, -(1 << 63))]
        + [{"size": 0}, {"size": 100}, {"at": 1 << 36 | 8}],
    }
    for reason, cases in refused.items():
        for case in cases:
            options = {"fd": fd, "size": PAGE} | case
            status = files.map(vas, options.pop("fd"), options.pop("size"), **options)
            assert (case, status) == (case, -getattr(kernel, reason))
    kernel.file_close(fd)
    assert files.map(vas, fd, PAGE) == -kernel.EBADF
    va = kernel.new("__vaddr_t", address)
    assert (
        kernel.uk_vma_map(vas, va, PAGE, kernel.PAGE_ATTR_PROT_RW, 0, None, files.ops, None) == -kernel.EINVAL
    )
    assert (files.frames(), files.vmas(vas)) == (before, listed)
    assert kernel.file_close(writing) == 0
    assert kernel.file_unlink("/etc/data") == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == 0


def test_file_opened_for_reading_can_be_written_in_its_mapping(kernel, files, vas, fd):
    """The mapping is private, so what it is opened for does not matter."""
    reading = kernel.file_open("/etc/data", kernel.FILE_READ)
    va = files.map(vas, reading, PAGE)
    assert files.poke(va, b"mine") == 4
    assert files.peek(va, 6) == b"mine" + CONTENT[4:6]


def test_mapping_is_always_initialised(kernel, files, vas, fd):
    """UK_VMA_MAP_UNINITIALIZED is ignored: old contents of memory are not shown, and such mappings join."""
    va = files.map(vas, fd, 2 * PAGE)
    more = files.map(
        vas, fd, 2 * PAGE, offset=2 * PAGE, at=va + 2 * PAGE, flags=kernel.UK_VMA_MAP_UNINITIALIZED
    )
    assert more == va + 2 * PAGE
    assert (va, va + SIZE, "/etc/data") in files.vmas(vas)
    assert files.peek(va, SIZE) == padded(CONTENT)


def test_replacing_a_mapping_by_one_of_the_same_file(kernel, files, vas, fd):
    """The old one's reference goes, its pages too, and the new one shows other pages of the file."""
    va = files.map(vas, fd, SIZE, flags=kernel.UK_VMA_MAP_POPULATE)
    assert files.map(vas, fd, PAGE, at=va) == -kernel.EEXIST
    assert files.map(vas, fd, PAGE, offset=2 * PAGE, at=va, flags=kernel.UK_VMA_MAP_REPLACE) == va
    assert files.peek(va, SIZE) == CONTENT[2 * PAGE : 3 * PAGE] + padded(CONTENT)[PAGE:]
    assert len([vma for vma in files.vmas(vas) if vma[2]]) == 2


def test_large_pages(kernel, files, vas):
    """2M asked for: one block, with zeros behind the end of the file; populated without a wish: what fits."""
    content = pattern(BLOCK_2M + 5 * PAGE + 7)
    fd = files.make("/large", content)
    used = kernel.frames_count(kernel.FRAME_PAGE)
    va = files.map(vas, fd, 2 * BLOCK_2M, flags=kernel.UK_VMA_MAP_SIZE_2MB)
    assert va % BLOCK_2M == 0
    assert files.peek(va + BLOCK_2M, 6 * PAGE) == padded(content[BLOCK_2M:])
    assert kernel.frames_count(kernel.FRAME_PAGE) == used + 512
    assert files.peek(va + 2 * BLOCK_2M - PAGE, PAGE) == bytes(PAGE)
    at = va + 2 * BLOCK_2M
    populated = files.map(vas, fd, BLOCK_2M + 6 * PAGE, at=at, flags=kernel.UK_VMA_MAP_POPULATE)
    assert populated == at
    assert kernel.frames_count(kernel.FRAME_PAGE) == used + 1024 + 6
    assert files.peek(at + BLOCK_2M - PAGE, 7 * PAGE) == padded(content)[BLOCK_2M - PAGE :]


def test_out_of_memory_at_every_allocation(kernel, files, vas, fd):
    """Mapping, populating, cutting: each fails as a whole with ENOMEM and leaves what was there."""
    populate = kernel.UK_VMA_MAP_POPULATE
    assert files.map(vas, fd, SIZE, at=vas.vma_base) == vas.vma_base  # tables and caches are there now
    base = vas.vma_base + BLOCK_2M
    failures = 0
    for nth in itertools.count(1):
        before, listed = files.frames(), files.vmas(vas)
        with fail_nth(kernel, ALLOCATORS, nth) as injection:
            va = files.map(vas, fd, SIZE, at=base, flags=populate)
        if not injection.struck:
            break
        failures += 1
        if va == base:  # all pages at once were refused, fewer at a time were not
            assert kernel.uk_vma_unmap(vas, va, SIZE, 0) == 0
            continue
        assert va == -kernel.ENOMEM
        assert (files.frames(), files.vmas(vas)) == (before, listed)
    assert va == base
    assert failures >= 3  # the VMA, a table, and pages
    before, listed = files.frames(), files.vmas(vas)
    for nth in itertools.count(1):
        with fail_nth(kernel, ALLOCATORS, nth) as injection:
            status = kernel.uk_vma_unmap(vas, va + PAGE, PAGE, 0)
        if not injection.struck:
            break
        assert status == -kernel.ENOMEM
        assert (files.frames(), files.vmas(vas)) == (before, listed)
    assert (status, nth) == (0, 3)
    assert files.peek(va + 2 * PAGE, SIZE) == padded(CONTENT)[2 * PAGE :]
    files.unmap(vas, va + 2 * PAGE, 2 * PAGE)
    files.unmap(vas, va, PAGE)
    files.unmap(vas, vas.vma_base, SIZE)
    assert kernel.file_close(fd) == 0
    assert kernel.file_unlink("/etc/data") == 0
    assert kernel.frames_count(kernel.FRAME_FILE) == 0


def test_fault_without_memory_can_be_tried_again(kernel, files, vas, fd):
    """The access fails, nothing is lost, and the next one works."""
    va = files.map(vas, fd, SIZE)
    before = files.frames()
    for nth in itertools.count(1):
        with fail_nth(kernel, ALLOCATORS, nth) as injection:
            found = files.peek(va + 1, 3)  # byte by byte: words would be tried again as bytes
        if not injection.struck:
            break
        assert found == b""
        assert files.frames() == before
    assert nth > 1
    assert found == CONTENT[1:4]


def test_user_reads_and_writes_a_mapping(files, user, fd):
    """Demand-paged by the aborts of EL0, tail and end included."""
    va = files.map(user.vas, fd, SIZE + PAGE)
    for offset in (0, PAGE + 8, 3 * PAGE + 96, SIZE - 8):
        assert user.read(va + offset) == padded(CONTENT)[offset : offset + 8]
    assert user.read(va + SIZE) is None
    assert user.write(va + 2 * PAGE, b"8 bytes!")
    assert user.read(va + 2 * PAGE) == b"8 bytes!"
    assert not user.write(va + SIZE, b"8 bytes!")
    assert files.content("/etc/data") == CONTENT


def test_user_cannot_write_what_is_mapped_for_reading(kernel, files, user, fd):
    """Present or not."""
    va = files.map(user.vas, fd, SIZE, attr=kernel.PAGE_ATTR_PROT_READ)
    assert not user.write(va, b"8 bytes!")
    assert user.read(va) == CONTENT[:8]
    assert not user.write(va, b"8 bytes!")
    assert user.read(va) == CONTENT[:8]


def test_user_runs_a_program_from_a_file(kernel, vmm, files):
    """Code is fetched from pages that the instruction aborts of EL0 bring in."""
    space = vmm.space()
    probe = kernel.read(None, kernel.image.symbols["arch_user_probe"].address, 24)
    fd = files.make("/bin/probe", bytes(PAGE) + probe)
    vas = files.vas_of(space)
    code = files.map(vas, fd, 2 * PAGE, attr=kernel.PAGE_ATTR_PROT_RX)
    data = files.map(vas, fd, 2 * PAGE, attr=kernel.PAGE_ATTR_PROT_READ)
    vmm.activate(space)
    synchronised = []
    kernel.machine.on_address(
        kernel.vmm_arch_sync_code.address, lambda machine: synchronised.append(machine.registers["x0"])
    )
    exit, registers = vmm.run_user(code + PAGE + kernel.USER_PROBE_READ, data + PAGE)
    assert exit.stop == kernel.USER_CALL
    assert struct.pack("<Q", registers.x[0]) == probe[:8]
    assert synchronised == [kernel.tables(space).lookup(code + PAGE).pa]


def test_file_of_the_initrd_is_mapped(boot_kernel):
    """The whole way: archive, device tree, file, mapping, access."""
    kernel = boot_kernel(initrd=pack({"lib/data": CONTENT}))
    files = Files(kernel)
    va = files.map(files.kernel_vas, kernel.file_open("lib/data", kernel.FILE_READ), SIZE)
    assert files.peek(va, SIZE) == padded(CONTENT)
    assert files.vmas(files.kernel_vas)[0][2] == "/lib/data"


def test_statistics_tell_files_from_their_mappings(kernel, files, vmm):
    """Content and its tables apart from the pages of a mapping; all purposes make the total."""
    fd = files.make("/f", CONTENT)
    va = files.map(files.kernel_vas, fd, SIZE)
    files.peek(va, 2 * PAGE)
    now = vmm.stats()
    assert (now.frames_file, now.frames_page) == (4 + 1, 2)
    assert now.frames_total == sum(now[1:7])
