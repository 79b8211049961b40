# SPDX-License-Identifier: BSD-3-Clause
"""Boot on every machine: entry levels, CPUs, sizes of memory, and what the device tree says of it."""

from __future__ import annotations

import struct

import fdt
import pytest

from harness import GuestPanic, Kernel, Machine
from harness.machine import devicetree
from tests.support.frames import blocks, drain, free_blocks, without_filling
from tests.support.vmm import KERNEL_BASE, PAGE, Vmm

M = 1 << 20
RAM = 0x4000_0000


def works(kernel):
    """A region in an active address space, reached from EL0, and everything back."""
    vmm = Vmm(kernel)
    before = vmm.books()
    space = vmm.space()
    va = vmm.create(space, 3 * PAGE)
    vmm.activate(space)
    assert kernel.machine.translate(va, 0, "w").pa == vmm.translate(space, va)
    vmm.activate(None)
    assert kernel.vmm_address_space_destroy(space) == 0
    assert vmm.books() == before
    return before.sound


@pytest.mark.parametrize("dtb_in_x0", [False, True])
@pytest.mark.parametrize("cpu", ["a72", "max"])
@pytest.mark.parametrize("entry_el", [1, 2])
def test_every_way_in_ends_at_el1(boot_kernel, entry_el, cpu, dtb_in_x0):
    """From EL1 or EL2, on either CPU, with the device tree in x0 or found at the start of RAM."""
    kernel = boot_kernel(entry_el=entry_el, cpu=cpu, dtb_in_x0=dtb_in_x0, ram_size=128 * M)
    assert kernel.machine.registers.el == 1
    assert kernel.console == "LuKOS VMM: 128 MiB of RAM\n"
    assert works(kernel)


def test_memory_may_hold_anything_at_reset(kernel_elf):
    """What the kernel takes for zero it has cleared."""
    with Kernel(kernel_elf, ram_size=64 * M, boot=False) as kernel:
        memory = kernel.machine.memory
        for segment in kernel.image.segments:
            filled = len(segment.data)
            memory.write(segment.paddr + filled, b"\xa5" * (segment.memory_size - filled))
        end = max(segment.paddr + segment.memory_size for segment in kernel.image.segments)
        memory.write(end, b"\xa5" * (RAM + 64 * M - end))
        assert kernel.machine.run(budget=100_000_000).kind == "wfi"
        assert kernel.console == "LuKOS VMM: 64 MiB of RAM\n"
        assert works(kernel)


@pytest.mark.parametrize(
    ("features", "has_counters"), [(0x1030_5106, True), (0x1030_5006, False), (0x1030_5F06, False)]
)
def test_counters_are_left_to_el1_if_there_are_any(boot_kernel, features, has_counters):
    """MDCR_EL2.HPMN is their number; PMUVer is 0 or 0xF where no architected PMU is (D24.2.59)."""
    kernel = boot_kernel(entry_el=2, ram_size=64 * M, id_registers={"ID_AA64DFR0_EL1": features})
    assert (kernel.machine.sysreg["MDCR_EL2"] & 31 != 0) == has_counters
    assert works(kernel)


@pytest.mark.parametrize(
    "size", [16 * M, 64 * M, 100 * M, 101 * M + 5 * PAGE, 256 * M, 1023 * M, 3 << 30, 5 << 30]
)
def test_any_size_of_memory_is_used(boot_kernel, size):
    """All of it is mapped and free, but for image, metadata, device tree and the harness's own megabyte."""
    kernel = boot_kernel(ram_size=size)
    assert kernel.console == f"LuKOS VMM: {size // M} MiB of RAM\n"
    mapped = sum(leaf.size for leaf in kernel.tables().leaves() if leaf.pa >= RAM)
    guards = 2 * PAGE
    assert mapped == size - guards
    stats = Vmm(kernel).stats()
    taken = kernel.frames_metadata_size(RAM, RAM + size) + M
    assert size - stats.frames_total * PAGE - taken < 512 * 1024
    assert works(kernel)


def test_odd_bytes_at_the_end_of_memory_are_left_alone(boot_kernel, monkeypatch):
    """A page that is not whole is no page."""
    change_tree(monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", [(RAM, 64 * M - 100)]))
    kernel = boot_kernel(ram_size=64 * M)
    assert max(block.end for block in blocks(kernel)) == RAM + 64 * M - PAGE
    assert not kernel.tables().lookup(KERNEL_BASE + RAM + 64 * M - PAGE)


# -- what must never be handed out --------------------------------------------------------------------------


def change_tree(monkeypatch, change, entries=()):
    """Let `change` edit the device tree of the next machines; `entries` go to its header's list."""
    build = devicetree.build

    def changed(**options):
        tree = fdt.parse_dtb(build(**options))
        tree.entries = []  # the library's default list, which every parsed tree has added to
        change(tree)
        return with_reserve_entries(tree.to_dtb(version=17), entries)

    monkeypatch.setattr(devicetree, "build", changed)


def with_reserve_entries(blob, entries):
    """Insert (start, size) into the memory reservation block (Devicetree Specification, 5.3)."""
    total, at_struct, at_strings, at_reserve = struct.unpack_from(">4I", blob, 4)
    added = b"".join(struct.pack(">QQ", *entry) for entry in entries)
    moved = (total + len(added), at_struct + len(added), at_strings + len(added))
    assert moved[0] < M
    return blob[:4] + struct.pack(">3I", *moved) + blob[16:at_reserve] + added + blob[at_reserve:]


def cells(*numbers):
    """64-bit numbers as pairs of cells."""
    return [half for number in numbers for half in (number >> 32, number & 0xFFFF_FFFF)]


def set_reg(tree, path, ranges):
    """The reg property of a node: [(start, size)]."""
    tree.set_property("reg", cells(*(number for each in ranges for number in each)), path)


def reserve(tree, start, size, *, no_map=False):
    """A child of /reserved-memory."""
    parent = "/reserved-memory"
    tree.set_property("#address-cells", 2, parent)
    tree.set_property("#size-cells", 2, parent)
    path = f"{parent}/kept@{start:x}"
    set_reg(tree, path, [(start, size)])
    if no_map:
        tree.set_property("no-map", None, path)


def everything(kernel):
    """Every frame the allocator can ever hand out, as a set of PAs."""
    with without_filling(kernel):
        return {start + at * PAGE for start, count in drain(kernel) for at in range(count)}


def pages(start, end):
    """The pages that [start, end) touches."""
    return set(range(start & -PAGE, end, PAGE))


def test_kernel_device_tree_and_metadata_are_never_handed_out(small_kernel):
    """Nor a frame outside RAM; and all of it is as many as the statistics say."""
    kernel = small_kernel
    symbols = kernel.image.symbols
    total = Vmm(kernel).stats().frames_total
    given = everything(kernel)
    image = pages(symbols["text_start"].address - KERNEL_BASE, symbols["image_end"].address - KERNEL_BASE)
    tree = kernel.machine.memory.read(RAM, 8)
    metadata = int(kernel.variable("frame_records").at) - KERNEL_BASE
    assert len(given) == total
    assert not given & image
    assert not given & pages(RAM, RAM + int.from_bytes(tree[4:], "big"))
    assert not given & pages(metadata, metadata + kernel.variable("frame_records").count * 12)
    assert given <= pages(RAM, RAM + 64 * M)


def test_memory_of_the_boot_is_handed_out(small_kernel):
    """Its code and tables are needed no more."""
    start = small_kernel.image.symbols["phys_boot_start"].address
    assert pages(start, start + PAGE) <= everything(small_kernel)


def test_reserved_memory_is_mapped_and_never_handed_out(boot_kernel, monkeypatch):
    """Children of /reserved-memory, the header's list; overlapping, unaligned, nested."""
    kept = [
        (RAM + 20 * M, 3 * M),
        (RAM + 22 * M, 5 * M),
        (RAM + 21 * M, PAGE),
        (RAM + 40 * M + 100, 50),
        (RAM + 50 * M - 1, 2),
        (RAM + 64 * M - PAGE, PAGE),
    ]

    def change(tree):
        for start, size in kept[:4]:
            reserve(tree, start, size)

    change_tree(monkeypatch, change, entries=kept[4:])
    kernel = boot_kernel(ram_size=64 * M)
    given = everything(kernel)
    for start, size in kept:
        assert not given & pages(start, start + size)
        assert kernel.tables().lookup(KERNEL_BASE + start)
    assert (RAM + 20 * M - PAGE in given, RAM + 27 * M in given) == (True, True)


def test_no_map_memory_is_not_even_mapped(boot_kernel, monkeypatch):
    """no-map means that not even speculation may reach it (Devicetree Specification, 3.5)."""
    hidden = [(RAM + 16 * M, 2 * M), (RAM + 30 * M + PAGE, 3 * PAGE), (RAM + 63 * M, M)]
    change_tree(monkeypatch, lambda tree: [reserve(tree, *each, no_map=True) for each in hidden])
    kernel = boot_kernel(ram_size=64 * M)
    for start, size in hidden:
        for pa in pages(start, start + size):
            assert kernel.tables().lookup(KERNEL_BASE + pa) is None
            assert kernel.machine.translate(KERNEL_BASE + pa, 1).pa is None
        assert kernel.tables().lookup(KERNEL_BASE + start - PAGE)
        assert not kernel.vmm_arch_kernel_access(KERNEL_BASE + start, 8, False)
    mapped = sum(leaf.size for leaf in kernel.tables().leaves() if leaf.pa >= RAM)
    assert mapped == 64 * M - 2 * PAGE - sum(size for _, size in hidden)
    assert not everything(kernel) & set().union(*(pages(start, start + size) for start, size in hidden))


def test_memory_in_several_banks(boot_kernel, monkeypatch):
    """One node with two ranges and a second node: the hole between them is neither mapped nor handed out."""

    def change(tree):
        set_reg(tree, f"/memory@{RAM:x}", [(RAM, 20 * M), (RAM + 24 * M, 8 * M + 3 * PAGE)])
        path = f"/memory@{RAM + 48 * M:x}"
        tree.set_property("device_type", "memory", path)
        set_reg(tree, path, [(RAM + 48 * M, 16 * M)])

    change_tree(monkeypatch, change)
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.console == "LuKOS VMM: 44 MiB of RAM\n"
    holes = pages(RAM + 20 * M, RAM + 24 * M) | pages(RAM + 32 * M + 3 * PAGE, RAM + 48 * M)
    assert all(kernel.tables().lookup(KERNEL_BASE + pa) is None for pa in holes)
    assert works(kernel)
    given = everything(kernel)
    assert not given & holes
    assert RAM + 32 * M + 2 * PAGE in given
    assert RAM + 64 * M - PAGE in given


@pytest.mark.parametrize("what", ["none", "wraps", "too many", "all reserved"])
def test_memory_that_makes_no_sense_is_a_clear_panic(boot_kernel, monkeypatch, what):
    """Rather that than handing out what is not there."""
    memory = f"/memory@{RAM:x}"
    changes = {
        "none": (lambda tree: tree.remove_node(memory[1:]), "no memory node"),
        "wraps": (lambda tree: set_reg(tree, memory, [(RAM, (1 << 64) - M)]), "wraps"),
        "too many": (
            lambda tree: [reserve(tree, RAM + (n + 10) * M, PAGE) for n in range(40)],
            "one of more than 32",
        ),
        "all reserved": (lambda tree: reserve(tree, RAM, 64 * M), "no room for the frames' metadata"),
    }
    change, message = changes[what]
    change_tree(monkeypatch, change)
    with pytest.raises(GuestPanic, match=message):
        boot_kernel(ram_size=64 * M)


def test_no_device_tree_is_a_clear_panic(kernel_elf):
    """Nothing is known of the console then: the message is in the panic's arguments."""
    from harness.image import ElfImage

    image = ElfImage.load(kernel_elf)
    with Machine(ram_size=64 * M) as machine:
        machine.memory.write(RAM, bytes(4096))
        machine.load(image.segments, image.entry)
        stop = machine.run(until=[image.symbols["panic"].address], budget=10_000_000)
        assert stop.kind == "address"
        assert b"no device tree" in machine.read_virtual(machine.registers["x0"], 40)


# -- what the boot leaves behind ----------------------------------------------------------------------------


def test_boot_is_deterministic(boot_kernel):
    """The same machine boots in the same number of instructions, with the same memory."""
    first, second = (boot_kernel(ram_size=64 * M) for _ in range(2))
    assert first.machine.instructions == second.machine.instructions
    assert first.machine.memory.digest() == second.machine.memory.digest()
    assert free_blocks(first) == free_blocks(second)


def test_power_off_ends_the_machine(boot_kernel):
    """By HVC where the kernel was entered at EL1, by SMC at EL2, as the device tree says."""
    for entry_el, conduit in ((1, "hvc"), (2, "smc")):
        kernel = boot_kernel(ram_size=64 * M, entry_el=entry_el)
        kernel.machine.registers["pc"] = kernel.function("arch_power_off").address
        stop = kernel.machine.run(budget=10_000)
        assert (stop.kind, stop.detail) == ("poweroff", f"PSCI by {conduit}")


@pytest.mark.parametrize(
    ("words", "tours"),
    [
        ("", False),
        ("quiet", False),
        ("tours", False),
        ("detour", False),
        ("tour", True),
        (" a  tour b", True),
    ],
)
def test_the_word_tour_starts_the_tour(boot_kernel, words, tours):
    """As one of the words of bootargs."""
    kernel = boot_kernel(ram_size=64 * M, bootargs=words, boot_until="tour" if tours else None)
    assert (kernel.machine.registers["pc"] == kernel.function("tour").address) == tours
