# SPDX-License-Identifier: BSD-3-Clause
"""What the kernel takes from a device tree: kernel_c/core/platform.c on trees of all shapes."""

from __future__ import annotations

import fdt
import pytest

from harness import GuestPanic
from harness.kernel.inject import fail_nth
from tests.support.vmm import PAGE

M = 1 << 20
RANGES = 32  # PLATFORM_RANGES


def cells(*numbers):
    """64-bit numbers as pairs of cells."""
    return [half for number in numbers for half in (number >> 32, number & 0xFFFF_FFFF)]


class Tree:
    """A device tree in the making, and what the kernel reads in it."""

    def __init__(self, kernel, *entries):
        """`entries` are (start, size) of the header's list of reserved memory."""
        self.kernel = kernel
        self.fdt = fdt.FDT(entries=[{"address": start, "size": size} for start, size in entries])
        self.put("/", **{"#address-cells": 2, "#size-cells": 2})

    def put(self, path, **properties):
        """Set properties of a node; underscores stand for what Python has no names for."""
        for name, value in properties.items():
            self.fdt.set_property(name, value, path)
        return self

    def memory(self, *ranges, name="/memory@0"):
        """A memory node with (start, size) pairs."""
        return self.put(name, device_type="memory", reg=cells(*(each for pair in ranges for each in pair)))

    def reserved(self, name, reg, **more):
        """A child of /reserved-memory."""
        self.put("/reserved-memory", **{"#address-cells": 2, "#size-cells": 2})
        return self.put(f"/reserved-memory/{name}", **({"reg": cells(*reg)} if reg else {}), **more)

    def read(self, at=0x4000_0000):
        """struct platform, as platform_read() fills it in; the tree is at that PA."""
        platform = self.kernel.new("struct platform")
        self.kernel.platform_read(platform, self.kernel.buffer(self.fdt.to_dtb(version=17), 8), at)
        return platform


@pytest.fixture
def tree(small_kernel):
    """A tree without anything in it."""
    return Tree(small_kernel)


def ranges(platform, kind):
    """Ranges as (start, end), the tree's own left out."""
    count = getattr(platform, f"{kind}_count")
    found = [(each.start, each.end) for each in getattr(platform, kind)[:count]]
    return found[1:] if kind == "reserved" else found


def test_memory_is_taken_from_all_its_nodes(tree):
    """Several, with several ranges each; empty ones and nodes that only look like memory are none."""
    tree.put("/cpus", device_type="cpu")
    tree.memory((1 << 30, 64 * M), (2 << 30, 0)).put("/other", compatible="x")
    tree.memory((3 << 30, 2 * PAGE), name="/memory@c0000000")
    assert ranges(tree.read(), "memory") == [(1 << 30, (1 << 30) + 64 * M), (3 << 30, (3 << 30) + 2 * PAGE)]


def test_a_memory_node_without_reg_is_none(tree):
    """And with no other there is nothing to run in."""
    tree.put("/memory@0", device_type="memory")
    with pytest.raises(GuestPanic, match="no memory node"):
        tree.read()


def test_what_is_no_device_tree_is_a_panic(small_kernel):
    """With the place where it should be."""
    blob = small_kernel.buffer(bytes(64), 8)
    with pytest.raises(GuestPanic, match="no device tree at PA 0x40000000"):
        small_kernel.platform_read(small_kernel.new("struct platform"), blob, 0x4000_0000)


@pytest.mark.parametrize(("start", "size"), [((1 << 64) - PAGE, 2 * PAGE), (1 << 63, (1 << 63) + 1)])
def test_memory_that_wraps_is_a_panic(tree, start, size):
    """A range that is forgotten would be handed out."""
    tree.memory((start, size))
    with pytest.raises(GuestPanic, match="wraps, or is one of more than"):
        tree.read()


def test_a_tree_that_wraps_is_a_panic(tree):
    """It is reserved like everything else."""
    tree.memory((1 << 30, 64 * M))
    with pytest.raises(GuestPanic, match="wraps"):
        tree.read(at=(1 << 64) - 16)


def test_an_initrd_that_ends_before_it_starts_is_a_panic(tree):
    """Its memory would be handed out."""
    tree.memory((1 << 30, 64 * M))
    tree.put("/chosen", **{"linux,initrd-start": cells(1 << 30), "linux,initrd-end": cells((1 << 30) - 1)})
    with pytest.raises(GuestPanic, match="wraps"):
        tree.read()


@pytest.mark.parametrize(("count", "fits"), [(RANGES, True), (RANGES + 1, False)])
def test_more_ranges_than_fit_are_a_panic(tree, count, fits):
    """The last one that fits is taken."""
    tree.memory(*((index << 30, PAGE) for index in range(count)))
    if fits:
        assert len(ranges(tree.read(), "memory")) == count
    else:
        with pytest.raises(GuestPanic, match="one of more than"):
            tree.read()


def test_reserved_memory_is_both_lists(small_kernel):
    """The header's, and the children of /reserved-memory, with several ranges, no-map, or none at all."""
    at = 1 << 30
    tree = Tree(small_kernel, (at + 3 * M, PAGE), (at + 4 * M, PAGE)).memory((at, 64 * M))
    tree.reserved("one", (at, PAGE, at + M, PAGE)).reserved("two", (), compatible="shared-dma-pool")
    tree.reserved("three", (at + 2 * M, PAGE)).put("/reserved-memory/three", **{"no-map": b""})
    platform = tree.read()
    found = ranges(platform, "reserved")
    assert all(end - start == PAGE for start, end in found)
    assert [(start - at) // M for start, _ in found] == [3, 4, 0, 1, 2]
    assert [bool(each) for each in platform.unmapped[:6]] == [False] * 5 + [True]


@pytest.mark.parametrize("size", [PAGE, 2 * PAGE + 1])
def test_a_reservation_that_wraps_is_a_panic(small_kernel, size):
    """Up to the very end there is room for PAGE - 1 bytes."""
    kernel, start = small_kernel, (1 << 64) - PAGE
    kernel.platform_reserve(kernel.new("struct platform"), {"start": start, "end": start + PAGE - 1}, False)
    end = (start + size) % (1 << 64)
    with pytest.raises(GuestPanic, match="wraps"):
        kernel.platform_reserve(kernel.new("struct platform"), {"start": start, "end": end}, False)


def test_more_reservations_than_fit_are_a_panic(small_kernel):
    """Empty ones take no room."""
    kernel, platform = small_kernel, small_kernel.new("struct platform")
    for index in range(RANGES):
        kernel.platform_reserve(platform, {"start": index, "end": index}, False)
        kernel.platform_reserve(platform, {"start": 2 * index, "end": 2 * index + 1}, False)
    with pytest.raises(GuestPanic, match="one of more than"):
        kernel.platform_reserve(platform, {"start": 1000, "end": 1001}, False)


@pytest.mark.parametrize("missing", ["", "linux,initrd-start", "linux,initrd-end"])
def test_an_initrd_needs_both_ends(tree, missing):
    """It is reserved then; one end alone says nothing."""
    ends = {"linux,initrd-start": 0x4800_0000, "linux,initrd-end": 0x4800_5000}
    ends.pop(missing, None)
    tree.memory((1 << 30, 256 * M)).put("/chosen", bootargs="quiet", **ends)
    platform = tree.read()
    found = (platform.initrd.start, platform.initrd.end)
    assert found == ((0, 0) if missing else (0x4800_0000, 0x4800_5000))
    assert ranges(platform, "reserved") == ([] if missing else [found])


def test_what_a_tree_does_not_have_is_empty(tree):
    """No /chosen, no PSCI, no UART: no arguments, no initrd, no method, no console."""
    platform = tree.memory((1 << 30, 64 * M)).read()
    assert platform.arguments.string() == ""
    assert not platform.psci_method
    assert (platform.console.start, platform.console.end) == (0, 0)


@pytest.mark.parametrize("reg", [None, cells(0x900_0000, PAGE)])
def test_a_uart_without_reg_is_no_console(tree, reg):
    """With one it is."""
    tree.memory((1 << 30, 64 * M)).put("/uart", compatible="arm,pl011")
    if reg is not None:
        tree.put("/uart", reg=reg)
    console = tree.read().console
    assert (console.start, console.end) == ((0, 0) if reg is None else (0x900_0000, 0x900_1000))


@pytest.mark.parametrize(
    ("arguments", "word", "found"),
    [
        ("tour", "tour", True),
        ("a  tour b", "tour", True),
        ("toux", "tour", False),
        ("tours", "tour", False),
        ("tou", "tour", False),
        ("  ", "tour", False),
    ],
)
def test_an_argument_is_a_whole_word(tree, arguments, word, found):
    """Between blanks or ends."""
    tree.memory((1 << 30, 64 * M)).put("/chosen", bootargs=arguments)
    assert tree.kernel.platform_argument(tree.read(), word) == found


def test_the_span_holds_all_memory_below_the_limit(tree):
    """In whole pages, whatever the order of the ranges."""
    tree.memory((2 << 30, 64 * M), (1 << 30, PAGE + 5), (40 << 30, M))
    platform = tree.read()
    span = tree.kernel.platform_span(platform, 4 << 30)
    assert (span.start, span.end) == (1 << 30, 4 << 30)
    span = tree.kernel.platform_span(platform, 64 << 30)
    assert (span.start, span.end) == (1 << 30, (40 << 30) + M)
    span = tree.kernel.platform_span(platform, (2 << 30) + 5)
    assert (span.start, span.end) == (1 << 30, 2 << 30)


def test_a_reservation_can_be_taken_back_once(tree):
    """Exactly that range; the last one takes its place, with its own no-map."""
    tree.memory((1 << 30, 64 * M))
    platform, kernel = tree.read(), tree.kernel
    first, second = {"start": 0x1000, "end": 0x2000}, {"start": 0x3000, "end": 0x4000}
    kernel.platform_reserve(platform, first, False)
    kernel.platform_reserve(platform, second, True)
    for other in ({"start": 0x1000, "end": 0x3000}, {"start": 0x0, "end": 0x2000}):
        kernel.platform_release(platform, other)
    assert len(ranges(platform, "reserved")) == 2
    kernel.platform_release(platform, first)
    assert ranges(platform, "reserved") == [(0x3000, 0x4000)]
    assert platform.unmapped[1]
    kernel.platform_release(platform, second)
    assert ranges(platform, "reserved") == []


def test_a_machine_without_memory_spans_nothing(small_kernel):
    """Nothing is called for it, nothing is taken back from it, and it has no arguments."""
    platform = small_kernel.new("struct platform", {"arguments": small_kernel.buffer(b"\0")})
    span = small_kernel.platform_span(platform, 1 << 38)
    assert span.start >= span.end
    each = small_kernel.image.symbols["arch_map_ram"].address
    with fail_nth(small_kernel, ("arch_map_ram",), 1) as injection:
        small_kernel.platform_each(platform, 1 << 38, True, each)
        small_kernel.platform_each(platform, 1 << 38, False, each)
    assert injection.calls == []
    small_kernel.platform_release(platform, {"start": 0, "end": 1})
    assert platform.reserved_count == 0
    assert not small_kernel.platform_argument(platform, "tour")


def pieces(kernel, platform, *memory, count=None):
    """What is memory by these ranges, of which `count` count."""
    found, each = [], kernel.image.symbols["arch_map_ram"].address
    for place, (start, end) in zip(platform.memory, memory, strict=False):
        place.start, place.end = start, end
    platform.memory_count = len(memory) if count is None else count

    def entered(machine):
        registers = machine.registers
        found.append((registers["x0"], registers["x1"]))
        registers["pc"] = registers["x30"]

    watch = kernel.machine.on_address(each, entered)
    kernel.platform_each(platform, 1 << 38, False, each)
    watch.remove()
    return found


@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("start", [PAGE, PAGE + 8])
def test_a_part_of_a_page_is_no_piece_of_memory(small_kernel, start, reserved):
    """Whether or not anything is reserved elsewhere."""
    platform = small_kernel.new("struct platform")
    if reserved:
        small_kernel.platform_reserve(platform, {"start": 8 * PAGE, "end": 9 * PAGE}, False)
    memory = ((start, 2 * PAGE - 8), (2 * PAGE, 3 * PAGE))
    assert pieces(small_kernel, platform, *memory) == [(2 * PAGE, 3 * PAGE)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_so_much_memory_is_looked_at_as_there_is(small_kernel, count):
    """Whatever stands behind the last range."""
    memory = [(2 * number * PAGE, (2 * number + 1) * PAGE) for number in range(3)]
    platform = small_kernel.new("struct platform")
    assert pieces(small_kernel, platform, *memory, count=count) == memory[:count]
