# SPDX-License-Identifier: BSD-3-Clause
"""kernel_c/core/vma_tree*.c against a sorted list of ranges."""

from __future__ import annotations

import bisect
import itertools
import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

PAGE = 0x1000
TREE_SIZE, NODE_SIZE = 64, 64
TOP = 2**64


def lowest_hole(ranges, length, align, low, high):
    """The specification of vma_tree_find_hole() in the simplest words: try below, between and above."""
    if length == 0:
        return 0
    floor = max(low, 1)
    for start, end in [*sorted(ranges), (TOP, TOP)]:
        at = -(-floor // align) * align
        if at + length <= min(start, high):
            return at
        floor = max(floor, end)
    return 0


class Ranges:
    """A tree in the guest beside its model, a dict of node address to (start, end)."""

    def __init__(self, guest):
        self.guest = guest
        self.tree = guest.place(b"\xaa" * TREE_SIZE)
        guest.call("vma_tree_init", self.tree)
        self.nodes = {}
        self.free = []

    def new_node(self, start, end):
        node = self.free.pop() if self.free else self.guest.alloc(NODE_SIZE, align=64)
        self.guest.write(node, struct.pack("<QQ", start, end) + b"\xaa" * (NODE_SIZE - 16))
        return node

    def insert(self, start, end):
        node = self.new_node(start, end)
        self.guest.call("vma_tree_insert", self.tree, node)
        self.nodes[node] = start, end
        return node

    def insert_before(self, start, end):
        node = self.new_node(start, end)
        place = self.guest.call("vma_tree_lower_bound", self.tree, start)
        self.guest.call("vma_tree_insert_before", self.tree, node, place)
        self.nodes[node] = start, end

    def split(self, node, at):
        start, end = self.nodes[node]
        above = self.new_node(at, end)
        self.guest.call("vma_tree_split", self.tree, node, above)
        self.nodes |= {node: (start, at), above: (at, end)}

    def join(self, node, above):
        self.guest.call("vma_tree_join", self.tree, node)
        self.nodes[node] = self.nodes[node][0], self.nodes[above][1]
        self._forget(above)

    def remove(self, node):
        self.guest.call("vma_tree_remove", self.tree, node)
        self._forget(node)

    def _forget(self, node):
        del self.nodes[node]
        self.free.append(node)
        # Whoever still looks at it takes it for the node above every other one.
        self.guest.write(node, struct.pack("<QQ", TOP - 1, TOP - 1) + bytes(NODE_SIZE - 16))

    def resize(self, node, start, end):
        self.guest.call("vma_tree_resize", self.tree, node, start, end)
        self.nodes[node] = start, end

    def find_hole(self, length, align, low, high):
        return self.guest.call("vma_tree_find_hole", self.tree, length, align, low, high)

    def check(self):
        return bool(self.guest.call("vma_tree_check", self.tree) & 0xFF)

    def listed(self, *, backwards=False):
        """The nodes as the list gives them. The tree holds root, first, last; a node prev and next at 32."""
        node = int.from_bytes(self.guest.read(self.tree + (16 if backwards else 8), 8), "little")
        found = []
        while node:
            found.append(node)
            node = int.from_bytes(self.guest.read(node + (32 if backwards else 40), 8), "little")
        return found

    def free_ranges(self):
        """The holes, those below the first and above the last included."""
        floor = PAGE
        for start, end in sorted(self.nodes.values()):
            if floor < start:
                yield floor, start
            floor = end
        if floor < TOP - PAGE:
            yield floor, TOP - PAGE

    def neighbours(self, node):
        start, end = self.nodes[node]
        below = max((e for _, e in self.nodes.values() if e <= start), default=0)
        above = min((s for s, _ in self.nodes.values() if s >= end), default=TOP - PAGE)
        return below, above


SHARED = [HealthCheck.function_scoped_fixture]  # the guest, which each example resets
shared_guest = settings(max_examples=150, deadline=None, suppress_health_check=SHARED)


class VmaTreeMachine(RuleBasedStateMachine):
    """Random calls; the same in tree and model after each of them."""

    guest = None

    @initialize(
        pages=st.sampled_from([24, 300, 2**36]), base=st.sampled_from([PAGE, 2**38, TOP - 400 * PAGE])
    )
    def start(self, pages, base):
        """A crowded, a loose and an almost empty range; low, in the middle and at the very end."""
        self.guest.reset()
        self.ranges = Ranges(self.guest)
        self.base = base
        self.end = min(base + pages * PAGE, TOP - PAGE)

    def page(self, draw):
        return self.base + draw % ((self.end - self.base) // PAGE) * PAGE

    @rule(number=st.integers(0, 2**36), pages=st.integers(1, 6), known=st.booleans())
    def insert(self, number, pages, known):
        start = self.page(number)
        end = start + pages * PAGE
        if end <= self.end and all(end <= s or e <= start for s, e in self.ranges.nodes.values()):
            (self.ranges.insert_before if known else self.ranges.insert)(start, end)

    @rule(
        pages=st.integers(1, 6),
        shift=st.integers(0, 3),
        low=st.integers(0, 2**36) | st.none(),
        full=st.booleans(),
    )
    def insert_where_it_fits(self, pages, shift, low, full):
        """As the VMM does: ask for a hole, then fill it."""
        low = self.base if low is None else self.page(low)
        wish = pages * PAGE, PAGE << shift, low, self.end if full else self.page(low // PAGE * 7)
        found = self.ranges.find_hole(*wish)
        assert found == lowest_hole(self.ranges.nodes.values(), *wish)
        if found:
            self.ranges.insert(found, found + pages * PAGE)

    @precondition(lambda self: self.ranges.nodes)
    @rule(number=st.integers(0, 2**16))
    def remove(self, number):
        self.ranges.remove(sorted(self.ranges.nodes)[number % len(self.ranges.nodes)])

    @precondition(lambda self: self.ranges.nodes)
    @rule(number=st.integers(0, 2**16), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
    def resize(self, number, ends):
        """Anywhere between the neighbours."""
        node = sorted(self.ranges.nodes)[number % len(self.ranges.nodes)]
        below, above = self.ranges.neighbours(node)
        first, last = sorted(below // PAGE + int(part * ((above - below) // PAGE - 1)) for part in ends)
        self.ranges.resize(node, first * PAGE, (last + 1) * PAGE)

    @precondition(lambda self: self.ranges.nodes)
    @rule(number=st.integers(0, 2**16), part=st.floats(0, 1))
    def split(self, number, part):
        """Anywhere inside; then there is no hole between the two."""
        node = sorted(self.ranges.nodes)[number % len(self.ranges.nodes)]
        start, end = self.ranges.nodes[node]
        pages = (end - start) // PAGE
        if pages > 1:
            self.ranges.split(node, start + (1 + int(part * (pages - 2))) * PAGE)

    @rule(number=st.integers(0, 2**16))
    def join(self, number):
        """Two that touch, whoever made them."""
        nodes = self.ranges.nodes
        starts = {start: node for node, (start, _) in nodes.items()}
        touching = sorted((node, starts[end]) for node, (_, end) in nodes.items() if end in starts)
        if touching:
            self.ranges.join(*touching[number % len(touching)])

    @rule(number=st.integers(0, 2**36), inside=st.integers(0, PAGE - 1))
    def look_up(self, number, inside):
        address = self.page(number) + inside
        nodes = sorted(self.ranges.nodes, key=self.ranges.nodes.__getitem__)
        above = bisect.bisect_right(nodes, address, key=lambda node: self.ranges.nodes[node][1])
        expected = nodes[above] if above < len(nodes) else 0
        for search in ("vma_tree_lower_bound", "vma_tree_seek"):
            assert self.guest.call(search, self.ranges.tree, address) == expected
        hit = expected if expected and self.ranges.nodes[expected][0] <= address else 0
        assert self.guest.call("vma_tree_find", self.ranges.tree, address) == hit

    @invariant()
    def holds(self):
        """Order, balance and hole widths inside; the list outside, in both directions."""
        if not hasattr(self, "ranges"):
            return
        nodes = sorted(self.ranges.nodes, key=self.ranges.nodes.__getitem__)
        assert self.ranges.check()
        assert self.ranges.listed() == nodes
        assert self.ranges.listed(backwards=True) == nodes[::-1]


def test_tree_agrees_with_a_sorted_list(guest):
    """Whatever is inserted, removed, resized, looked up and searched, in any order."""

    class Machine(VmaTreeMachine):
        pass

    Machine.guest = guest
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=60, deadline=None, print_blob=True)
    )


@shared_guest
@given(order=st.randoms(use_true_random=False), stride=st.integers(1, 3), count=st.integers(2, 70))
def test_nodes_leave_in_any_order(guest, order, stride, count):
    """Every shape of tree that a removal meets; each step is checked."""
    guest.reset()
    ranges = Ranges(guest)
    numbers = list(range(1, count))
    order.shuffle(numbers)
    for number in numbers:
        ranges.insert(number * stride * PAGE, number * stride * PAGE + PAGE)
    leaving = list(ranges.nodes)
    order.shuffle(leaving)
    for node in leaving:
        ranges.remove(node)
        assert ranges.check()


@shared_guest
@given(
    taken=st.lists(st.booleans(), min_size=1, max_size=60),
    wishes=st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 60)), min_size=1, max_size=6
    ),
)
def test_lowest_hole_is_found_in_crowded_ranges(guest, taken, wishes):
    """Many holes of the same few widths."""
    guest.reset()
    ranges = Ranges(guest)
    for number, used in enumerate(taken, start=1):
        if used:
            ranges.insert(number * PAGE, number * PAGE + PAGE)
    for pages, shift, low in wishes:
        wish = pages * PAGE, PAGE << shift, low * PAGE, TOP - 1
        assert ranges.find_hole(*wish) == lowest_hole(ranges.nodes.values(), *wish)


ADDRESS = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, PAGE, 2**63, TOP - PAGE, TOP - 1])


@shared_guest
@given(
    ends=st.lists(ADDRESS, max_size=12, unique=True),
    length=ADDRESS,
    align=st.integers(0, 63).map(lambda n: 1 << n),
    low=ADDRESS,
    high=ADDRESS,
)
def test_holes_are_exact_for_any_numbers(guest, ends, length, align, low, high):
    """Any length, alignment and bounds, up to 2^64 - 1: never 0 as an answer, never a wrapped one."""
    guest.reset()
    ranges = Ranges(guest)
    ends.sort()
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        ranges.insert(start, end)
    assert ranges.find_hole(length, align, low, high) == lowest_hole(
        ranges.nodes.values(), length, align, low, high
    )


def test_empty_tree_has_nothing(guest):
    """Every question has an answer."""
    ranges = Ranges(guest)
    assert ranges.check()
    assert ranges.listed() == []
    assert guest.call("vma_tree_find", ranges.tree, PAGE) == 0
    assert guest.call("vma_tree_lower_bound", ranges.tree, 0) == 0
    assert ranges.find_hole(PAGE, PAGE, 0, TOP - 1) == PAGE


def test_removed_node_still_tells_its_range(guest):
    """Its owner reads it after."""
    ranges = Ranges(guest)
    for number in range(9):
        node = ranges.insert(2 * number * PAGE + PAGE, 2 * number * PAGE + 2 * PAGE)
    before = guest.read(node, 16)
    guest.call("vma_tree_remove", ranges.tree, node)
    assert guest.read(node, 16) == before


@pytest.mark.parametrize("nodes", [(), (5,), (5, 8), (5, 8, 20), (5, 7, 9, 30)])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 11, 20])
def test_what_just_fits_is_found(guest, nodes, length):
    """Below all nodes, between them, above them, or where there are none: up to the last page allowed."""
    ranges = Ranges(guest)
    for number in nodes:
        ranges.insert(number * PAGE, (number + 1) * PAGE)
    for low, high in itertools.combinations(range(1, 33), 2):
        wish = length * PAGE, PAGE, low * PAGE, high * PAGE
        assert ranges.find_hole(*wish) == lowest_hole(ranges.nodes.values(), *wish), (low, high)


def test_hole_found_is_forgotten_with_the_node_above_it(guest):
    """The guess where the next node goes must not outlive what it points to."""
    ranges = Ranges(guest)
    nodes = [ranges.insert(number * PAGE, number * PAGE + PAGE) for number in (2, 5, 8, 11)]
    assert ranges.find_hole(PAGE, PAGE, 3 * PAGE, TOP - 1) == 3 * PAGE
    ranges.remove(nodes[1])
    ranges.free.clear()  # the next node is another one
    ranges.insert(6 * PAGE, 7 * PAGE)
    assert ranges.check()
    assert len(ranges.listed()) == 4


@pytest.mark.parametrize("others", [0, 1, 2, 6])
def test_the_widest_hole_is_forgotten_with_the_node_that_is_joined(guest, others):
    """It was filled before, and its node is known by name; with children or without."""
    ranges = Ranges(guest)
    for number in range(others):
        ranges.insert((50 + 2 * number) * PAGE, (51 + 2 * number) * PAGE)
    ranges.insert(PAGE, 2 * PAGE)
    above = ranges.insert(30 * PAGE, 49 * PAGE)
    ranges.join(ranges.insert(2 * PAGE, 30 * PAGE), above)
    assert ranges.check()
    assert ranges.find_hole(PAGE, PAGE, PAGE, TOP - 1) == 49 * PAGE


@pytest.mark.parametrize(("start", "end"), [(4, 6), (5, 7), (3, 8), (7, 9), (9, 11), (1, 20), (6, 6), (7, 6)])
def test_overlap_is_an_assertion(guest, start, end):
    """A bug of the caller, seen at once in debug builds."""
    ranges = Ranges(guest)
    ranges.insert(5 * PAGE, 6 * PAGE)
    ranges.insert(8 * PAGE, 10 * PAGE)
    with pytest.raises(guest.panic):
        ranges.insert(start * PAGE, end * PAGE)


@pytest.mark.parametrize("offset", range(0, 64, 8))
def test_check_sees_a_damaged_word(guest, offset):
    """In any of the node's words."""
    ranges = Ranges(guest)
    nodes = [ranges.insert(3 * n * PAGE + PAGE, 3 * n * PAGE + 2 * PAGE) for n in range(20)]
    assert ranges.check()
    for node in nodes:
        word = guest.read(node + offset, 8)
        value = int.from_bytes(word, "little")
        if offset in (0, 8):
            damaged = int.from_bytes(guest.read(node + (8 - offset), 8), "little")  # an empty range
        elif offset in (16, 24, 32, 40):
            damaged = 0 if value else nodes[3]
        else:
            damaged = value ^ 3  # the balance; the widest hole
        guest.write(node + offset, damaged.to_bytes(8, "little"))
        assert not ranges.check()
        guest.write(node + offset, word)
    assert ranges.check()


def test_check_sees_ranges_that_overlap(guest):
    """With the one above, and with the one below; to touch is right."""
    ranges = Ranges(guest)
    nodes = [ranges.insert(3 * n * PAGE + PAGE, 3 * n * PAGE + 2 * PAGE) for n in range(20)]
    for n, node in enumerate(nodes[1:-1], 1):
        below, start = (3 * n - 1) * PAGE, guest.read(node, 8)
        guest.write(node, struct.pack("<Q", below - 8))
        assert not ranges.check()
        guest.write(node, start)
        end = guest.read(node + 8, 8)
        guest.write(node + 8, struct.pack("<Q", (3 * n + 4) * PAGE + 8))
        assert not ranges.check()
        guest.write(node + 8, end)
    assert ranges.check()


@pytest.mark.parametrize("offset", [0, 8, 16])
def test_check_sees_a_damaged_end_of_the_list(guest, offset):
    """Root, first and last: another node, or none."""
    ranges = Ranges(guest)
    nodes = [ranges.insert(3 * n * PAGE + PAGE, 3 * n * PAGE + 2 * PAGE) for n in range(20)]
    word = guest.read(ranges.tree + offset, 8)
    for other in (0, nodes[4]):
        guest.write(ranges.tree + offset, struct.pack("<Q", other))
        assert not ranges.check()
    guest.write(ranges.tree + offset, word)
    assert ranges.check()


def fill(ranges, count, stride, *, seed=None):
    """One page in each `stride` pages from 64 GiB on, in order or shuffled."""
    numbers = list(range(count))
    if seed is not None:
        random.Random(seed).shuffle(numbers)
    for number in numbers:
        start = 2**36 + number * stride * PAGE
        ranges.insert(start, start + PAGE)
    return 2**36


def mean_count(guest, calls):
    counts = [guest.count(*call) for call in calls]
    return sum(counts) / len(counts), max(counts)


@pytest.fixture(scope="module", params=[1, 2, 5])
def large(release_guest, request):
    """10 000 nodes, without holes, with holes of one page and of four."""
    release_guest.reset()
    ranges = Ranges(release_guest)
    base = fill(ranges, 10_000, request.param, seed=request.param)
    assert ranges.check()
    return ranges, base, request.param


def test_search_is_logarithmic(large):
    """14 levels at best and 19 at worst, 6 instructions a level."""
    ranges, base, stride = large
    chosen = random.Random(1).sample(range(10_000), 50)
    mean, most = mean_count(
        ranges.guest, [("vma_tree_find", ranges.tree, base + n * stride * PAGE) for n in chosen]
    )
    assert mean <= 110
    assert most <= 130


def test_last_node_is_found_at_once(large):
    """The newest mapping is the one that faults."""
    ranges, base, stride = large
    assert ranges.guest.count("vma_tree_find", ranges.tree, base + 9_999 * stride * PAGE) <= 15


def test_hole_search_and_insertion_are_logarithmic(large):
    """A hole found is filled without another search."""
    ranges, base, _ = large
    guest = ranges.guest
    hole, place = [], []
    for _ in range(40):
        hole.append(guest.count("vma_tree_find_hole", ranges.tree, PAGE, PAGE, base, 2**39))
        start = ranges.find_hole(PAGE, PAGE, base, 2**39)
        node = ranges.new_node(start, start + PAGE)
        place.append(guest.count("vma_tree_insert", ranges.tree, node))
        ranges.nodes[node] = start, start + PAGE
    assert ranges.check()
    assert max(hole) <= 220
    assert sum(place) / len(place) <= 350


def test_one_node_costs_little(release_guest):
    """What the smallest address space pays for the largest: nothing."""
    release_guest.reset()
    ranges = Ranges(release_guest)
    ranges.insert(2**36, 2**36 + PAGE)
    assert release_guest.count("vma_tree_find_hole", ranges.tree, PAGE, PAGE, 2**36, 2**39) <= 45
    node = ranges.new_node(2**36 + PAGE, 2**36 + 2 * PAGE)
    assert release_guest.count("vma_tree_insert", ranges.tree, node) <= 75


def test_the_widest_hole_is_filled_and_emptied_without_a_look_at_the_path_to_the_root(release_guest):
    """10 000 pages below, one stack far above, and mappings that grow towards it and go again."""
    release_guest.reset()
    ranges = Ranges(release_guest)
    base = fill(ranges, 10_000, 1)
    ranges.insert(2**38, 2**38 + PAGE)
    nodes = []
    for number in range(10_000, 10_040):
        assert release_guest.count("vma_tree_find_hole", ranges.tree, PAGE, PAGE, base, 2**39) <= 50
        start = base + number * PAGE
        assert ranges.find_hole(PAGE, PAGE, base, 2**39) == start
        nodes.append(ranges.new_node(start, start + PAGE))
        assert release_guest.count("vma_tree_insert", ranges.tree, nodes[-1]) <= 300
    assert ranges.check()
    filled = [release_guest.count("vma_tree_remove", ranges.tree, node) for node in reversed(nodes)]
    assert ranges.check()
    assert max(filled) <= 230
