# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of calls whose cost in instructions is known exactly: what a short cut saves shows nowhere else.

After a change that is meant: python -m tests.uk.costs
"""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from random import Random

from harness import Kernel
from harness.report.producer import producer
from tests.support.vmm import PAGE, Vmm
from tests.uk.driver import (
    DONTNEED,
    LARGE,
    POPULATE,
    PROBE,
    REPLACE,
    RW,
    RX,
    SIZE_4K,
    STRICT,
    USER_BASE,
    WILLNEED,
    R,
    user_vas,
)
from tests.uk.test_falloc import TOP, Falloc
from tests.uk.test_pagetable import AT, CLONE_NEW

FILE = Path(__file__).with_name("costs.json")
SMALL = 64 << 20
WINDOW = 96  # pages


def areas(kernel):
    """VMAs of any size at any place: mapped, replaced, cut, changed, advised and unmapped."""
    vas, random = user_vas(kernel), Random(1)
    for _ in range(300):
        start, pages = random.randrange(WINDOW), random.randint(1, 8)
        at, size = USER_BASE + start * PAGE, pages * PAGE
        kind, flags = random.choice(["anon", "rsvd", "anon"]), random.choice([0, REPLACE, REPLACE])
        what = random.randrange(6)
        if what < 3:
            vas.do_map(kind, size, random.choice([R, RW]), at=at, flags=flags)
        elif what == 3:
            vas.do_unmap(at, size, random.choice([0, STRICT]))
        elif what == 4:
            vas.do_set_attr(at, size, random.choice([R, RW]), random.choice([0, STRICT]))
        else:
            vas.do_advise(at, size, random.choice([DONTNEED, WILLNEED]))
        vas.call("uk_vma_find", vas.vas, at)


def holes(kernel):
    """VMAs wherever they fit, of some sizes and alignments, between others that come and go."""
    vas, random, there = user_vas(kernel), Random(2), []
    for number in range(150):
        if there and random.randrange(3) == 0:
            vas.unmap(*there.pop(random.randrange(len(there))))
        else:
            size = random.choice([1, 1, 2, 3, 512]) * PAGE
            there.append((vas.map("rsvd", size, name=number % 2), size))


def tree(kernel):
    """Nodes by themselves with holes of a few sizes, inserted both ways, looked for and removed."""
    random, size = Random(6), kernel.sizeof("struct vma_node")
    root, nodes = kernel.new("struct vma_tree"), int(kernel.buffer(bytes(128 * size), 64))
    kernel.vma_tree_init(root)
    places = [*random.sample(range(1, 300), 112), *range(303, 335, 2)]
    for number, place in enumerate(places):
        node = nodes + number * size
        kernel.write(None, node, struct.pack("<QQ", place, place + 1))
        if number % 2:
            kernel.vma_tree_insert(root, node)
        else:
            kernel.vma_tree_insert_before(root, node, kernel.vma_tree_lower_bound(root, place))
        for end in (place, place + 1, max(places[: number + 1]) + 1):
            kernel.vma_tree_lower_bound(root, end)
    for number in random.sample(range(128), 64):
        kernel.vma_tree_remove(root, nodes + number * size)


def planted(kernel, places):
    """A tree with nodes of one address each, inserted in this order; where they are."""
    size = kernel.sizeof("struct vma_node")
    root, first = kernel.new("struct vma_tree"), int(kernel.buffer(bytes(len(places) * size), 64))
    nodes = range(first, first + len(places) * size, size)
    kernel.vma_tree_init(root)
    for node, place in zip(nodes, places, strict=True):
        kernel.write(None, node, struct.pack("<QQ", place, place + 1))
        kernel.vma_tree_insert(root, node)
    return root, nodes


def small_trees(kernel):
    """A few nodes with holes that are alike, inserted in any order, and lengths that just fit looked for."""
    orders = [
        range(10, 90, 10),
        range(80, 0, -10),
        (10, 110, 60),
        *permutations((10, 20, 30, 110, 120)),
    ]
    for turn, order in enumerate(orders):
        root, nodes = planted(kernel, order)
        ends = sorted({place + each for place in order for each in (0, 1)})[:: len(order) // 2]
        for length in (1, 9, 10, 49, 79, 89) if turn % 6 < 2 else ():
            for low, high in ((ends[0], ends[-1]), (ends[1], ends[-2]), (ends[1], 1 << 40), (1, ends[1])):
                kernel.vma_tree_find_hole(root, length, 1, low, high)
        for node in nodes:
            kernel.vma_tree_remove(root, node)


def searches(kernel):
    """Bounds at the very end of a node; as much as the widest hole of all where another one is as wide."""
    root, _ = planted(kernel, (100, 110, 130, 140, 170))
    for high in (111, 1 << 40):
        kernel.vma_tree_find_hole(root, 10, 1, 101, high)
    root, _ = planted(kernel, (120, 140, 100))
    kernel.vma_tree_find_hole(root, 19, 1, 102, 1 << 40)


def grid(kernel):
    """VMAs at equal distances, in any order: looked for at their ends, the holes filled, and unmapped."""
    vas, random = user_vas(kernel), Random(5)
    places = list(range(0, 3 * WINDOW, 3))
    vas.map("rsvd", PAGE, at=USER_BASE - PAGE)
    for number in random.sample(places, len(places)):
        vas.map("rsvd", PAGE, at=USER_BASE + number * PAGE)
        for end in (number, number + 1, number + 3):
            vas.call("uk_vma_find", vas.vas, USER_BASE + end * PAGE)
    for pages in (2, 2, 1, 1, 3, 2):
        vas.map("rsvd", pages * PAGE, name=pages % 2)
    vas.stack(PAGE, at=USER_BASE + (3 * WINDOW + 10) * PAGE)
    for number, flags in ((16, 0), (28, 0), (22, REPLACE)):
        vas.stack(PAGE, at=USER_BASE + (3 * WINDOW + number) * PAGE, flags=flags)
    for number in random.sample(places, len(places) // 2):
        vas.do_unmap(USER_BASE + number * PAGE, PAGE)
        vas.do_advise(USER_BASE + number * PAGE, 2 * PAGE, DONTNEED)
    vas.do_set_attr(PROBE - 2 * PAGE, 2 * PAGE, R)  # nothing, up to the first VMA


def faults(kernel):
    """Pages that come one by one, with neighbours, in blocks, and all at once."""
    vas = user_vas(kernel)
    at = vas.map("anon", 8 * LARGE, at=USER_BASE)
    for around in (1, 2, 16):
        vas.call("vas_set_fault_around", vas.vas, around)
        for page in (0, 1, 15, 16, 31, 511):
            vas.store(at + page * PAGE, page)
        vas.advise(at, LARGE, DONTNEED)
    for first, pages in ((0, 1), (1, 2), (511, 2), (1024, 512), (2040, 520)):
        vas.advise(at + first * PAGE, pages * PAGE, WILLNEED)
    vas.map("anon", LARGE, at=at + 9 * LARGE, flags=POPULATE | SIZE_4K)
    vas.map("anon", LARGE, at=at + 9 * LARGE, flags=POPULATE | SIZE_4K | REPLACE)


def copies(kernel):
    """Address spaces copied, their pages written, given up and taken over."""
    vas = user_vas(kernel)
    at = vas.map("anon", 2 * LARGE, at=USER_BASE, flags=POPULATE)
    vas.map("stack", 16 * PAGE, at=at + 4 * LARGE)
    copy = vas.clone()
    for page in (0, 1, 511, 512):
        vas.store(at + page * PAGE, page)
    copy.unmap(at + PAGE, 3 * PAGE)
    copy.destroy()
    vas.store(at + 700 * PAGE, 1)
    vas.set_attr(at, PAGE, RX)
    vas.set_attr(at, 2 * LARGE, RX)


def frames(kernel):
    """Frames of every number and alignment, some of them at an address, and back."""
    random, there, end = Random(3), [], kernel.machine.memory.end
    records = kernel.variable("frame_records").count
    for count, order in ((records, 0), (records + 1, 0), (1 << 18, 18)):
        kernel.frames_alloc(count, order, kernel.FRAME_REGION)
    Falloc(kernel).in_range(records, 0, TOP)
    for number in range(200):
        at, count = end - random.randint(64, 4096) * PAGE, random.choice([1, 2, 3, 8, 64])
        if number % 4 == 0 and kernel.frames_run(at, count, True) >= count and kernel.frames_claim(at, count):
            there += [(at + page * PAGE, 1) for page in range(count)]
        if there and random.randrange(2):
            kernel.frames_free(*there.pop(random.randrange(len(there))))
            continue
        count = random.choice([1, 1, 2, 3, 4, 5, 7, 8, 16, 33, 512, 1024, 1025, 2048])
        pa = kernel.frames_alloc(count, random.choice([0, 0, 1, 3, 9, 10]), kernel.FRAME_REGION)
        if pa:
            there.append((pa, count))


def objects(kernel):
    """kmalloc() of sizes about each of its classes."""
    there = []
    for size in (1, 31, 32, 33, 64, 65, 128, 1000, 1024, 1025, 4096, 4097, 1 << 20, 1 << 22):
        there += [kernel.function("kmalloc")(None, size) for _ in range(3)]
    for each in (*there[::2], *there[1::2]):
        kernel.function("kfree")(None, each)


def strings(kernel):
    """Blocks of each size up to four lines, at some alignments."""
    data = int(kernel.buffer(bytes(512)))
    for to in (0, 1, 7):
        for size in (*range(34), 40, 64, 65, 96, 128):
            for name, source in (("memcpy", data + 256), ("memmove", data + to - 8), ("memmove", data + 8)):
                kernel.function(name)(data + to, source + to, size)
            kernel.memset(data + to, 5, size)
            kernel.memcmp(data + to, data + 256 + to, size)


def by_hand(kernel):
    """Pages mapped, changed and unmapped by the calls of uk/plat/paging.h."""
    made, other = kernel.new("struct uk_pagetable"), kernel.new("struct uk_pagetable")
    kernel.ukplat_pt_clone(made, kernel.ukplat_pt_get_active(), CLONE_NEW)
    pa = kernel.frames_alloc(1024, 9, kernel.FRAME_REGION)
    for pages in (1, 2, 511, 512, 513, 1024):
        kernel.ukplat_page_map(made, AT, pa, pages, RW, 0)
        kernel.ukplat_page_set_attr(made, AT, pages, R, 0)
        kernel.ukplat_pt_clone(other, made, 0)
        kernel.ukplat_pt_free(other, 0)
        kernel.ukplat_page_unmap(made, AT, pages, 0)


def regions(kernel):
    """Regions of the first specification, with what is copied into and out of them."""
    vmm, random = Vmm(kernel), Random(4)
    space, there = vmm.space(), []
    data = kernel.buffer(bytes(3 * PAGE))
    for _ in range(60):
        if there and random.randrange(3) == 0:
            vmm.destroy(space, there.pop(random.randrange(len(there))))
        else:
            size = random.choice([1, 2, 3, 33, 512]) * PAGE
            va = vmm.create(space, size)
            kernel.vmm_address_space_copy_in(space, data, va + 1, min(size, 3 * PAGE) - 1)
            vmm.set_prop(space, va, random.choice(["RO", "RX", "NO_ACCESS"]))
            there.append(va)


def files(kernel):
    """Files written and read in pieces that end before, at and behind the end of a page."""
    data = kernel.buffer(bytes(3 * PAGE))
    for number, size in enumerate((0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE)):
        fd = kernel.file_open(f"/{number}", kernel.FILE_READ | kernel.FILE_WRITE | kernel.FILE_CREATE)
        for piece in (size, 1, size):
            kernel.file_write(fd, data, piece)
        for position in (0, size, 2 * size + 1):
            kernel.file_seek(fd, position)
            kernel.file_read(fd, data, size)
        kernel.file_close(fd)


def reservations(kernel):
    """Memory without those that begin alike, and with one up to its end."""
    platform, each = kernel.new("struct platform"), kernel.function("frames_metadata_size").address
    platform.memory[0].end, platform.memory_count = 9 * PAGE, 1
    for start, end in ((1, 2), (1, 3), (5, 9)):
        kernel.platform_reserve(platform, {"start": start * PAGE, "end": end * PAGE}, False)
    kernel.platform_each(platform, 1 << 38, False, each)


SEQUENCES = {
    each.__name__: each
    for each in (
        areas,
        holes,
        tree,
        small_trees,
        searches,
        grid,
        faults,
        copies,
        frames,
        objects,
        strings,
        by_hand,
        regions,
        reservations,
        files,
    )
}


def cost(kernel, name):
    """The instructions that the guest retires in a sequence."""
    before = kernel.machine.instructions
    SEQUENCES[name](kernel)
    return kernel.machine.instructions - before


def key(kernel):
    """What the costs depend on."""
    return f"{producer(kernel.image)}, {kernel.tables(half='ttbr0').regime.va_bits} bits"


def committed(kernel):
    """The costs by sequence, if they are known of such an image."""
    return json.loads(FILE.read_text()).get(key(kernel))


def main():
    """Put the costs of what `make kernel` has built into the file."""
    known = {}
    with suppress(OSError, ValueError):
        known = json.loads(FILE.read_text())
    for image in ("va39", "va48"):
        with Kernel(f".build/{image}/kernel.elf", ram_size=SMALL) as kernel:
            moment = kernel.snapshot()
            found = known[key(kernel)] = {}
            for name in SEQUENCES:
                kernel.restore(moment)
                found[name] = cost(kernel, name)
    FILE.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
