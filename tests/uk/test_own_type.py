# SPDX-License-Identifier: BSD-3-Clause
"""A type of VMA of one's own: each operation of struct uk_vma_ops is called when and with what it should be.

The type is the kernel's example of one: pages that hold their numbers, in kernel_c/examples/numbers.c.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from harness.kernel.inject import fail_nth
from tests.support.vmm import KERNEL_BASE, PAGE
from tests.uk.driver import (
    ANY,
    DONTNEED,
    LARGE,
    NONPRESENT,
    POPULATE,
    READ,
    REPLACE,
    RW,
    RX,
    SIZE_2M,
    SOFT,
    UNINITIALIZED,
    USER_BASE,
    WILLNEED,
    WRITE,
    R,
    exhaust,
    status_name,
)

BASE = 0x30_0000_0000
# Arguments of each operation. What *flags is at new() is read too; a fault is taken apart.
ARGUMENTS = {
    "get_base": 3,
    "new": 5,
    "destroy": 1,
    "fault": 1,
    "unmap": 3,
    "split": 2,
    "merge": 2,
    "set_attr": 2,
    "advise": 4,
}
FIRST = 100


class Book:
    """A book of numbers, and the calls of its type's operations."""

    def __init__(self, vas):
        self.vas, self.kernel = vas, vas.kernel
        self.book = self.kernel.new("struct numbers_book")
        self.args = {}
        self.calls = []

    def arguments(self, first, base):
        """The args of uk_vma_map() for pages from number `first` on."""
        key = first, base
        if key not in self.args:
            value = {"book": self.book.address, "first": first, "base": base}
            self.args[key] = self.kernel.new("struct numbers_args", value)
        return self.args[key]

    def do_map(self, pages, *, at=ANY, attr=RW, flags=0, first=FIRST, base=0, args=True):
        """uk_vma_map(); (status, where)."""
        where = self.kernel.new("__vaddr_t", at)
        data = self.arguments(first, base) if args else None
        ops = self.vas.ops["numbers"]
        status = self.kernel.uk_vma_map(self.vas.vas, where, pages * PAGE, attr, flags, None, ops, data)
        return status_name(status), where.target

    def map(self, pages, **options):
        """The same where it has to work."""
        status, where = self.do_map(pages, **options)
        assert status == "OK"
        return where

    def numbers(self, va, pages):
        """What the pages say."""
        return [self.vas.load(va + page * PAGE) for page in range(pages)]

    @contextmanager
    def recorded(self):
        """The calls made inside: (operation, arguments), with the VMAs by their start."""
        self.calls = []
        watches = [
            self.kernel.machine.on_address(
                self.kernel.function(f"numbers_{name}").address, lambda _, name=name: self._note(name)
            )
            for name in ARGUMENTS
        ]
        try:
            yield self.calls
        finally:
            for watch in watches:
                watch.remove()

    def _note(self, name):
        values = [self.kernel.machine.registers[f"x{n}"] for n in range(7)]
        if name == "fault":
            fault = self.kernel.cast(values[1], "struct uk_vm_fault *").target
            extra = fault.vaddr, fault.vbase, fault.len, fault.type, fault.level
        elif name == "new":
            extra = (self.kernel.cast(values[5], "unsigned long *").target,)
        else:
            extra = ()
        vmas = {"get_base": 0, "new": 0, "merge": 2}.get(name, 1)
        starts = [int(self.kernel.cast(each, "struct uk_vma *").target.start) for each in values[:vmas]]
        self.calls.append((name, *starts, *values[vmas : ARGUMENTS[name]], *extra))


@pytest.fixture
def book(vas):
    """A book, and the VAS to map it in."""
    return Book(vas)


def refusing(book, operation, n=1, status=-1):
    """The n-th call of an operation gives an error (EPERM unless told)."""
    return fail_nth(book.kernel, (f"numbers_{operation}",), n, result=status % (1 << 64))


def test_new_is_asked_after_the_place_is_found(book):
    """get_base() says where to look, new() where it will be, with the flags and attributes of the call."""
    args = int(book.arguments(FIRST, BASE).address)
    with book.recorded() as calls:
        assert book.map(2, base=BASE, attr=R, flags=UNINITIALIZED) == BASE
    vas = int(book.vas.address)
    assert calls == [
        ("get_base", vas, args, UNINITIALIZED),
        ("new", vas, BASE, 2 * PAGE, args, R, UNINITIALIZED),
    ]
    assert book.map(2, first=7) == USER_BASE


def test_a_place_that_is_given_is_not_looked_for(book):
    """get_base() is for those who take any address."""
    with book.recorded() as calls:
        assert book.map(2, at=BASE) == BASE
    assert [call[0] for call in calls] == ["new"]


def test_new_changes_flags(book):
    """It drops UNINITIALIZED, and wants a single page present at once."""
    with book.recorded() as calls:
        va = book.map(1, flags=UNINITIALIZED)
    assert [call[0] for call in calls] == ["get_base", "new", "fault"]
    [vma] = book.vas.vmas()
    assert vma.flags == 0
    assert book.vas.present(va, PAGE) == [va]


def test_new_names_the_vma_unless_the_caller_does(book):
    """The type's name is a default."""
    book.map(2, at=BASE)
    name = book.kernel.buffer(b"mine\0")
    where = book.kernel.new("__vaddr_t", BASE + LARGE)
    ops = book.vas.ops["numbers"]
    args = book.arguments(FIRST, 0)
    assert book.kernel.uk_vma_map(book.vas.vas, where, PAGE, RW, 0, name, ops, args) == 0
    names = [book.kernel.cast(vma.name, "char *").string() for vma in book.vas.vmas()]
    assert names == ["numbers", "mine"]


@pytest.mark.parametrize("flags", [0, REPLACE])
@pytest.mark.parametrize(("attr", "args"), [(RW, False), (RX, True)])
def test_new_refuses_and_nothing_has_changed(book, attr, args, flags):
    """Its error is the call's, and what was to be replaced stays."""
    if flags:
        book.vas.map("anon", 4 * PAGE, at=BASE, flags=POPULATE)
    before = book.vas.books()
    assert book.do_map(2, at=BASE, attr=attr, args=args, flags=flags)[0] == "EINVAL"
    assert book.vas.books() == before


@pytest.mark.parametrize(("access", "kind"), [("r", READ), ("w", WRITE)])
def test_a_fault_says_what_was_accessed(book, access, kind):
    """The address, the page, its size, and whether somebody wrote; once for each page."""
    va = book.map(4, at=BASE)
    with book.recorded() as calls:
        for _ in range(2):
            assert book.vas.user(access, va + PAGE + 24).outcome == "ok"
    assert calls == [("fault", va, va + PAGE + 24, va + PAGE, PAGE, kind | NONPRESENT, 0)]


def test_pages_that_are_wanted_present_are_soft_faults(book):
    """UK_VMA_MAP_POPULATE asks for each page of the size wished for."""
    with book.recorded() as calls:
        book.map(2 * LARGE // PAGE, at=BASE, flags=POPULATE | SIZE_2M)
    faults = [call for call in calls if call[0] == "fault"]
    assert faults == [("fault", BASE, at, at, LARGE, SOFT | NONPRESENT, 1) for at in (BASE, BASE + LARGE)]
    assert book.numbers(BASE + LARGE, 2) == [FIRST + 512, FIRST + 513]


def test_a_fault_that_is_refused_is_the_user_s(book):
    """The access ends as if nothing were there; the next may work."""
    va = book.map(4, at=BASE)
    before = book.vas.books()
    with refusing(book, "fault", status=-12):
        assert book.vas.user("r", va) == ("fault", False, va, "r", 0)
    assert book.vas.books() == before
    assert book.vas.user("r", va).value == FIRST


@pytest.mark.parametrize("pages", [1, 3])
def test_memory_that_runs_out_is_nobody_s_loss(book, pages):
    """At each allocation of a map that populates, and of a split: nothing has changed."""
    book.vas.map("anon", PAGE, at=BASE - PAGE, flags=POPULATE)
    populate = lambda: book.do_map(pages, at=BASE, flags=POPULATE)[0]  # noqa: E731
    assert exhaust(populate, book.vas, book.vas.books) >= pages
    assert book.book.readers == 1
    if pages > 1:
        assert exhaust(lambda: book.vas.do_set_attr(BASE, PAGE, R), book.vas, book.vas.books) >= 1
    assert book.numbers(BASE, pages) == [FIRST + n for n in range(pages)]


def test_memory_that_cannot_be_written_is_given_back(book):
    """The kernel has no place to see it at: the fault is refused."""
    va = book.map(4, at=BASE)
    before = book.vas.books()
    with fail_nth(book.kernel, ("ukplat_page_kmap",), 1, result=ANY) as injection:
        assert book.vas.user("r", va).outcome == "fault"
    assert injection.struck
    assert book.vas.books() == before
    assert book.numbers(va, 1) == [FIRST]


def test_pages_of_nothing_have_no_place(book):
    """Without a book it is refused, wherever it might be."""
    before = book.vas.books()
    assert book.do_map(1, args=False) == ("EINVAL", ANY)
    assert book.vas.books() == before


def test_other_books_are_not_merged(book):
    """Though the numbers would go on."""
    other = Book(book.vas)
    book.map(2, at=BASE)
    other.map(2, at=BASE + 2 * PAGE, first=FIRST + 2)
    assert len(book.vas.vmas()) == 2
    assert book.numbers(BASE, 4) == [FIRST + n for n in range(4)]


def test_books_that_become_alike_are_asked_and_stay_apart(book):
    """What set_attr makes alike is merged only where the type agrees; what comes above is looked at, too."""
    other = Book(book.vas)
    book.map(2, at=BASE)
    other.map(2, at=BASE + 2 * PAGE, attr=R)
    with book.recorded() as calls:
        book.vas.set_attr(BASE + 2 * PAGE, 2 * PAGE, RW)
    assert calls == [("set_attr", BASE + 2 * PAGE, RW), ("merge", BASE, BASE + 2 * PAGE)]
    assert [vma.attr for vma in book.vas.vmas()] == [RW, RW]


def test_advice_that_is_no_numbers_business(book):
    """What will be needed comes when it is."""
    va = book.map(4, at=BASE)
    assert book.vas.do_advise(va, 4 * PAGE, WILLNEED) == "OK"
    assert book.vas.present(va, 4 * PAGE) == []


def test_numbers_that_are_not_needed_go_and_come_again(book):
    """Only those, and only for this advice."""
    va = book.map(4, at=BASE, flags=POPULATE)
    assert book.vas.do_advise(va, 4 * PAGE, WILLNEED) == "OK"
    assert len(book.vas.present(va, 4 * PAGE)) == 4
    assert book.vas.do_advise(va + PAGE, 2 * PAGE, DONTNEED) == "OK"
    assert book.vas.present(va, 4 * PAGE) == [va, va + 3 * PAGE]
    assert book.numbers(BASE, 4) == [FIRST + n for n in range(4)]


def test_populating_that_is_refused_undoes_the_map(book):
    """The VMA is unmapped and destroyed again."""
    before = book.vas.books()
    with book.recorded() as calls, refusing(book, "fault", 3, status=-5):
        assert book.do_map(4, at=BASE, flags=POPULATE)[0] == "EIO"
    assert [call[0] for call in calls[-2:]] == ["unmap", "destroy"]
    assert book.vas.books() == before
    assert book.book.readers == 0


def test_a_whole_vma_is_unmapped_then_destroyed(book):
    """In this order, and nothing is cut."""
    va = book.map(4, at=BASE)
    with book.recorded() as calls:
        book.vas.unmap(va - PAGE, 6 * PAGE)
    assert calls == [("unmap", va, va, 4 * PAGE), ("destroy", va)]
    assert book.book.readers == 0


def test_a_part_is_cut_out_before_it_is_unmapped(book):
    """Two splits at the ends of the range; what is left knows its numbers."""
    va = book.map(6, at=BASE, flags=POPULATE)
    low, high = va + 2 * PAGE, va + 4 * PAGE
    with book.recorded() as calls:
        book.vas.unmap(low, high - low)
    assert calls == [
        ("split", va, low),
        ("split", low, high),
        ("unmap", low, low, high - low),
        ("destroy", low),
    ]
    assert book.book.readers == 2
    book.vas.advise(va, 6 * PAGE, DONTNEED)
    assert (book.numbers(va, 2), book.numbers(high, 2)) == ([100, 101], [104, 105])


def test_attributes_are_set_on_what_is_cut_out_and_joined_again(book):
    """Split, set_attr; then set_attr, merge with both neighbours, and destroy what was taken over."""
    va = book.map(6, at=BASE, flags=POPULATE)
    low, high = va + 2 * PAGE, va + 4 * PAGE
    with book.recorded() as calls:
        book.vas.set_attr(low, high - low, R)
        assert calls == [("split", va, low), ("split", low, high), ("set_attr", low, R)]
        calls.clear()
        book.vas.set_attr(low, high - low, RW)
    assert calls == [
        ("set_attr", low, RW),
        ("merge", va, low),
        ("destroy", low),
        ("merge", va, high),
        ("destroy", high),
    ]
    assert book.vas.layout() == [(va, va + 6 * PAGE, "numbers", RW)]
    assert book.numbers(va, 6) == list(range(100, 106))


CHANGES = {
    "unmap": lambda book, va, size: book.vas.do_unmap(va, size),
    "set_attr": lambda book, va, size: book.vas.do_set_attr(va, size, R),
    "replace": lambda book, va, size: book.vas.do_map("anon", size, at=va, flags=REPLACE)[0],
}


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_a_split_that_is_refused_changes_nothing(book, change, n):
    """At either end of the range: the error is the call's, and the VMA is one."""
    va = book.map(6, at=BASE, flags=POPULATE)
    before = book.vas.books()
    with refusing(book, "split", n):
        assert CHANGES[change](book, va + 2 * PAGE, 2 * PAGE) == "EPERM"
    assert book.vas.books() == before
    assert book.book.readers == 1
    assert book.numbers(va, 6) == list(range(100, 106))


@pytest.mark.parametrize(("first", "vmas"), [(102, 1), (103, 2), (100, 2)])
def test_neighbours_merge_when_the_type_says_so(book, first, vmas):
    """Only pages that go on where the others end become one VMA."""
    book.map(2, at=BASE)
    with book.recorded() as calls:
        book.map(2, at=BASE + 2 * PAGE, first=first)
    assert calls[1] == ("merge", BASE, BASE + 2 * PAGE)
    assert len(book.vas.vmas()) == book.book.readers == vmas
    assert book.numbers(BASE, 4) == [100, 101, first, first + 1]


def test_those_who_differ_are_not_asked_to_merge(book):
    """Other attributes, and it is not the type's to say."""
    book.map(2, at=BASE)
    with book.recorded() as calls:
        book.map(2, at=BASE + 2 * PAGE, first=102, attr=R)
    assert [call[0] for call in calls] == ["new"]


def test_attributes_that_are_refused_change_nothing(book):
    """What was cut for it is one VMA again."""
    va = book.map(6, at=BASE, flags=POPULATE)
    before = book.vas.books()
    assert book.vas.do_set_attr(va + PAGE, 2 * PAGE, RX) == "EINVAL"
    assert book.vas.books() == before
    assert book.book.readers == 1
    assert book.numbers(va, 6) == list(range(100, 106))


def test_an_unmap_that_is_refused_leaves_the_vma(book):
    """The error is the call's, and the memory is still there."""
    va = book.map(4, at=BASE, flags=POPULATE)
    before = book.vas.books()
    with refusing(book, "unmap", status=-5):
        assert book.vas.do_unmap(va, 4 * PAGE) == "EIO"
    assert book.vas.books() == before


def test_advice_is_given_to_each_vma_for_its_part(book):
    """The range is clipped to the VMA, and the advice is handed on as it is."""
    book.map(4, at=BASE)
    book.map(4, at=BASE + 8 * PAGE)
    advice = DONTNEED | 1 << 40
    with book.recorded() as calls:
        book.vas.advise(BASE + PAGE, 9 * PAGE, advice)
    assert calls == [
        ("advise", BASE, BASE + PAGE, 3 * PAGE, advice),
        ("advise", BASE + 8 * PAGE, BASE + 8 * PAGE, 2 * PAGE, advice),
    ]


def test_the_end_of_the_address_space_destroys_every_vma(book):
    """Each is unmapped and destroyed, and no frame is lost."""
    for first in (100, 200, 300):
        book.map(4, first=first, flags=POPULATE)
    assert book.book.readers == 3
    pages = book.kernel.frames_count(book.kernel.FRAME_PAGE)
    book.kernel.vmm_address_space_activate(None)
    with book.recorded() as calls:
        assert book.kernel.vmm_address_space_destroy(book.vas.space) == 0
    assert [call[0] for call in calls] == ["unmap", "destroy"] * 3
    assert book.book.readers == 0
    assert pages - book.kernel.frames_count(book.kernel.FRAME_PAGE) == 12


def test_the_type_counts_its_calls(book):
    """What the tour shows is what was called."""
    va = book.map(4)
    with book.recorded() as calls:
        book.vas.user("r", va)
        book.vas.set_attr(va, PAGE, R)
    counted = {name: book.book.calls[getattr(book.kernel, f"NUMBERS_{name.upper()}")] for name in ARGUMENTS}
    assert counted == {
        name: sum(call[0] == name for call in calls) + (name in ("get_base", "new")) for name in ARGUMENTS
    }


def test_a_type_that_takes_no_advice_gets_no_neighbours(book):
    """advise() may be missing: a fault brings its page alone."""
    va, vas = book.map(8), book.vas
    assert vas.call("vas_set_fault_around", vas.vas, 8) == 0
    member = book.kernel.type("struct uk_vma_ops").member("advise").offset
    book.kernel.machine.memory.write(vas.ops["numbers"].address + member - KERNEL_BASE, bytes(8))
    assert vas.load(va + 2 * PAGE) is not None
    assert vas.present(va, 8 * PAGE) == [va + 2 * PAGE]
