# SPDX-License-Identifier: BSD-3-Clause
"""Boot with device trees that are unusual, or wrong: it works, or says what is wrong."""

from __future__ import annotations

import struct

import pytest

from harness import GuestPanic, Kernel
from harness.machine import devicetree
from tests.boot.test_machines import RAM, M, cells, change_tree, set_reg, works
from tests.support.vmm import KERNEL_BASE, PAGE

UART = "/pl011@9000000"
FDT_MAGIC = b"\xd0\x0d\xfe\xed"


def patched(blob, offset, word):
    """The blob with another word of its header."""
    return blob[:offset] + struct.pack(">I", word) + blob[offset + 4 :]


@pytest.mark.parametrize("size", [(64 << 20) + 1, 0xFFFF_FFFF])
def test_a_tree_of_no_size_is_refused(boot_kernel, monkeypatch, size):
    """Before so much is mapped; there is no console yet, but the panic has its message."""
    build = devicetree.build
    sized = lambda **options: patched(build(**options), 4, size)  # noqa: E731
    monkeypatch.setattr(devicetree, "build", sized)
    with pytest.raises(GuestPanic, match=f"no device tree at PA 0x40000000: a size of {size} bytes"):
        boot_kernel(ram_size=64 * M)


def test_a_tree_may_be_as_large_as_is_mapped(boot_kernel, monkeypatch):
    """64M, most of it nothing."""
    build = devicetree.build
    sized = lambda **options: patched(build(**options), 4, 64 * M)  # noqa: E731
    monkeypatch.setattr(devicetree, "build", sized)
    assert boot_kernel(ram_size=256 * M).console == "LuKOS VMM: 256 MiB of RAM\n"


@pytest.mark.parametrize("before", [40, 64, 1000])
def test_a_tree_may_lie_across_a_block(kernel_elf, before):
    """x0 says where; the header is in one block of 2M, what follows in the next."""
    text = []
    with Kernel(kernel_elf, ram_size=64 * M, console_sink=text.append, boot=False) as kernel:
        machine = kernel.machine
        blob = machine.memory.read(RAM, 1 << 16)
        at = RAM + 32 * M - before
        machine.memory.write(at, blob)
        machine.memory.write(RAM, bytes(len(blob)))
        machine.registers["x0"] = at
        assert machine.run(budget=10_000_000).kind == "wfi"
    assert "".join(text) == "LuKOS VMM: 64 MiB of RAM\n"


def test_memory_that_is_told_twice_is_a_clear_panic(boot_kernel, monkeypatch):
    """It would be handed out twice."""
    change_tree(monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", [(RAM, 64 * M)] * 2))
    with pytest.raises(GuestPanic, match="cannot be mapped: EEXIST"):
        boot_kernel(ram_size=64 * M)


def test_memory_in_more_pieces_than_there_are_tables_for_is_a_clear_panic(boot_kernel, monkeypatch):
    """Each in a gigabyte of its own and no multiple of 2M: two tables each."""
    pieces = [(RAM, 64 * M), *(((n + 2) << 30, 5 * PAGE) for n in range(20))]
    change_tree(monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", pieces))
    with pytest.raises(GuestPanic, match="RAM is in too many pieces"):
        boot_kernel(ram_size=64 * M)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_memory_may_be_cut_around_the_image(boot_kernel, monkeypatch, cut):
    """Below it, in it, behind it: the same memory in the end."""
    pieces = [(RAM, cut * M), (RAM + cut * M, (64 - cut) * M)]
    change_tree(monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", pieces))
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.console == "LuKOS VMM: 64 MiB of RAM\n"
    assert works(kernel)


def test_memory_that_the_kernel_is_not_in_does_as_well(boot_kernel, monkeypatch):
    """What it runs in is memory whatever the tree says, and has records: of its tables, for one."""
    change_tree(monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", [(RAM, 2 * M)]))
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.console == "LuKOS VMM: 2 MiB of RAM\n"
    assert works(kernel)


def test_an_initrd_without_bytes_is_none(boot_kernel, monkeypatch):
    """Even at the end of all memory, where there is nothing to give back."""

    def change(tree):
        for end in ("start", "end"):
            tree.set_property(f"linux,initrd-{end}", cells(RAM + 64 * M), "/chosen")

    change_tree(monkeypatch, change)
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.console == "LuKOS VMM: 64 MiB of RAM\n"
    assert works(kernel)


def test_a_piece_of_memory_just_large_enough_has_the_records_of_frames(boot_kernel, monkeypatch):
    """The first that takes them, by the order of the tree."""
    start, pages = RAM + 32 * M, 33  # 16 bytes for each page of 32M and of these
    change_tree(
        monkeypatch, lambda tree: set_reg(tree, f"/memory@{RAM:x}", [(start, pages * PAGE), (RAM, 32 * M)])
    )
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.frames_metadata_size(RAM, start + pages * PAGE) == pages * PAGE
    assert int(kernel.variable("frame_records").at) - KERNEL_BASE == start
    assert works(kernel)


@pytest.mark.parametrize(
    ("start", "size", "is_mapped"),
    [
        ((1 << 38) - PAGE, PAGE, True),
        ((1 << 38) - PAGE, PAGE + 1, False),
        (1 << 38, 1, False),
        (1 << 60, 1, False),
        ((1 << 38) - PAGE, 0, False),
    ],
)
def test_devices_are_mapped_up_to_the_end_of_the_linear_map(kernel, start, size, is_mapped):
    """NULL where one goes on behind it."""
    assert int(kernel.arch_map_device(start, size)) == (KERNEL_BASE + start if is_mapped else 0)


@pytest.mark.parametrize("reg", [(1 << 47, 0x1000), ((1 << 64) - PAGE, 2 * PAGE), (1 << 38, 0x1000)])
def test_a_console_out_of_reach_is_none(boot_kernel, monkeypatch, reg):
    """Behind what the kernel maps linearly, or around the last address: it boots in silence."""
    change_tree(monkeypatch, lambda tree: set_reg(tree, UART, [reg]))
    kernel = boot_kernel(ram_size=64 * M)
    assert kernel.console == ""
    assert works(kernel)


@pytest.mark.parametrize("method", [None, "smc", "hvc", "call"])
def test_power_off_is_as_the_tree_says(boot_kernel, monkeypatch, method):
    """Without firmware the CPU idles instead; what is not HVC is SMC."""

    def change(tree):
        if method is None:
            tree.remove_node("psci")
        else:
            tree.set_property("method", method, "/psci")

    change_tree(monkeypatch, change)
    kernel = boot_kernel(ram_size=64 * M, entry_el=1 if method == "hvc" else 2)
    kernel.machine.registers["pc"] = kernel.function("arch_power_off").address
    stop = kernel.machine.run(budget=10_000)
    assert stop.kind == ("wfi" if method is None else "poweroff")


@pytest.mark.parametrize("magic", [False, True], ids=["", "with its magic"])
@pytest.mark.parametrize("x0", [1, *(RAM + 48 * M + offset for offset in (1, 2, 4, 9))])
def test_an_address_that_can_be_no_tree_is_not_believed(kernel_elf, x0, magic):
    """What some boot loaders leave in x0: a tree is aligned to 8 bytes, and else at the start of RAM."""
    with Kernel(kernel_elf, ram_size=64 * M, boot=False) as kernel:
        if magic and x0 > RAM:
            kernel.machine.memory.write(x0, FDT_MAGIC)
        kernel.machine.registers["x0"] = x0
        assert kernel.machine.run(budget=10_000_000).kind == "wfi"
        assert kernel.console == "LuKOS VMM: 64 MiB of RAM\n"
