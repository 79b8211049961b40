# SPDX-License-Identifier: BSD-3-Clause
"""The device tree handed to the guest: what the machine has, in the shape of QEMU's `virt` board.

There is no interrupt controller and no timer node, because the machine has neither.
"""

from __future__ import annotations

from collections.abc import Iterable

import fdt

from harness.machine.devices import UART_BASE, UART_CLOCK_HZ, UART_SIZE

_CLOCK_PHANDLE = 0x8000


def build(
    *,
    ram_base: int,
    ram_size: int,
    psci_method: str,
    bootargs: str,
    initrd: tuple[int, int] | None,
    reserved: Iterable[tuple[int, int]] = (),
) -> bytes:
    """The flattened tree. `initrd` is its physical range [start, end), as are those in `reserved`."""
    tree = fdt.FDT(entries=[])  # its default list is one for all trees, and parsing adds to it
    _set(tree, "/", compatible="linux,dummy-virt", model="linux,dummy-virt")
    _cells(tree, "/", **{"#address-cells": 2, "#size-cells": 2})
    _chosen(tree, bootargs, initrd)
    memory = f"/memory@{ram_base:x}"
    _set(tree, memory, device_type="memory")
    _cells(tree, memory, reg=_range(ram_base, ram_size))
    _cpus(tree)
    _set(tree, "/psci", compatible=["arm,psci-1.0", "arm,psci-0.2", "arm,psci"], method=psci_method)
    _uart(tree)
    _reserved(tree, reserved)
    blob: bytes = tree.to_dtb(version=17)
    return blob


def _chosen(tree: fdt.FDT, bootargs: str, initrd: tuple[int, int] | None) -> None:
    uart = f"/pl011@{UART_BASE:x}"
    _set(tree, "/chosen", **{"stdout-path": uart})
    if bootargs:
        _set(tree, "/chosen", bootargs=bootargs)
    if initrd is not None:
        start, end = initrd
        cells = {"linux,initrd-start": _address(start), "linux,initrd-end": _address(end)}
        _cells(tree, "/chosen", **cells)


def _cpus(tree: fdt.FDT) -> None:
    _cells(tree, "/cpus", **{"#address-cells": 1, "#size-cells": 0})
    cpu = "/cpus/cpu@0"
    _set(tree, cpu, device_type="cpu", compatible="arm,cortex-a72", **{"enable-method": "psci"})
    _cells(tree, cpu, reg=0)


def _uart(tree: fdt.FDT) -> None:
    _set(tree, "/apb-pclk", compatible="fixed-clock", **{"clock-output-names": "clk24mhz"})
    frequency = {"#clock-cells": 0, "clock-frequency": UART_CLOCK_HZ, "phandle": _CLOCK_PHANDLE}
    _cells(tree, "/apb-pclk", **frequency)
    uart = f"/pl011@{UART_BASE:x}"
    _set(tree, uart, compatible=["arm,pl011", "arm,primecell"], **{"clock-names": ["uartclk", "apb_pclk"]})
    _cells(tree, uart, reg=_range(UART_BASE, UART_SIZE), clocks=[_CLOCK_PHANDLE, _CLOCK_PHANDLE])


def _reserved(tree: fdt.FDT, ranges: Iterable[tuple[int, int]]) -> None:
    """Memory that the guest is to map and never to use (Devicetree Specification, 3.5)."""
    parent = "/reserved-memory"
    for start, end in ranges:
        _cells(tree, parent, **{"#address-cells": 2, "#size-cells": 2})
        tree.set_property("ranges", b"", parent)
        _cells(tree, f"{parent}/harness@{start:x}", reg=_range(start, end - start))


def _set(tree: fdt.FDT, path: str, **properties: str | list[str]) -> None:
    for name, value in properties.items():
        tree.set_property(name, value, path)


def _cells(tree: fdt.FDT, path: str, **properties: int | list[int]) -> None:
    """Properties of 32-bit cells, in the order given."""
    for name, value in properties.items():
        tree.set_property(name, value, path)


def _range(start: int, size: int) -> list[int]:
    return [*_address(start), *_address(size)]


def _address(value: int) -> list[int]:
    """A 64-bit number as two cells, high first."""
    return [value >> 32, value & 0xFFFF_FFFF]
