# SPDX-License-Identifier: BSD-3-Clause
"""Instructions that each call of the VMM retires, the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from harness.errors import HarnessError
from harness.kernel import Kernel

SIZES = {"4K": 0x1000, "3 pages": 0x3000, "2M": 2 << 20, "1G": 1 << 30}
PAGE = 0x1000

Step = tuple[str, str, Callable[[Kernel], int]]
"""A function of the kernel, what it is called for, and how to count one call just after boot."""

Costs = dict[str, dict[str, int]]
"""Instructions by function and by what it is called for."""


def steps(sizes: Mapping[str, int] = SIZES) -> Iterator[Step]:
    """Everything that is measured, with regions of these sizes."""
    for label, size in sizes.items():
        yield "vmm_address_space_region_create", label, partial(_create, size)
        yield "vmm_address_space_region_set_prop", label, partial(_set_prop, size)
        yield "vmm_address_space_region_destroy", label, partial(_destroy, size)
    for name, count in _OTHERS.items():
        yield name, "", count


def measure(
    kernel: Kernel, sizes: Mapping[str, int] = SIZES, progress: Callable[[], None] = lambda: None
) -> Costs:
    """Count every call, each from the state just after boot. Raises HarnessError where a call fails."""
    found: Costs = {}
    moment = kernel.snapshot()
    for name, label, count in steps(sizes):
        kernel.restore(moment)
        found.setdefault(name, {})[label] = count(kernel)
        _check(kernel, name)
        progress()
    kernel.restore(moment)
    return found


def _check(kernel: Kernel, name: str) -> None:
    status = kernel.vmm_last_error()
    if status < 0:
        raise HarnessError(f"{name} failed while it was measured: {kernel.status_name(status).string()}")


def _count(kernel: Kernel, name: str, *arguments: Any) -> int:
    return kernel.function(name).counted(*arguments)[1]


def _region(kernel: Kernel, size: int = PAGE) -> tuple[Any, Any]:
    """A new address space and a region in it."""
    space = kernel.vmm_address_space_create()
    return space, kernel.vmm_address_space_region_create(space, size, kernel.AS_REGION_RW)


def _create(size: int, kernel: Kernel) -> int:
    space = kernel.vmm_address_space_create()
    return _count(kernel, "vmm_address_space_region_create", space, size, kernel.AS_REGION_RW)


def _set_prop(size: int, kernel: Kernel) -> int:
    return _count(kernel, "vmm_address_space_region_set_prop", *_region(kernel, size), kernel.AS_REGION_RO)


def _destroy(size: int, kernel: Kernel) -> int:
    return _count(kernel, "vmm_address_space_region_destroy", *_region(kernel, size))


def _create_at(kernel: Kernel) -> int:
    space = kernel.vmm_address_space_create()
    arguments = (0x40_0000, PAGE, kernel.AS_REGION_RW)
    return _count(kernel, "vmm_address_space_region_create_at", space, *arguments)


def _copy_in(kernel: Kernel) -> int:
    space, va = _region(kernel)
    return _count(kernel, "vmm_address_space_copy_in", space, kernel.buffer(bytes(PAGE)), va, PAGE)


def _copy_out(kernel: Kernel) -> int:
    space, va = _region(kernel)
    return _count(kernel, "vmm_address_space_copy_out", space, kernel.buffer(PAGE), va, PAGE)


def _translate(kernel: Kernel) -> int:
    return _count(kernel, "vmm_address_space_translate", *_region(kernel), kernel.new("void *"))


def _next_region(kernel: Kernel) -> int:
    out = kernel.cast(kernel.new("address_space_region_t"), "address_space_region_t *")
    return _count(kernel, "vmm_address_space_region_next", *_region(kernel), out)


def _stats(kernel: Kernel) -> int:
    return _count(kernel, "vmm_stats", kernel.cast(kernel.new("vmm_stats_t"), "vmm_stats_t *"))


def _of_space(name: str) -> Callable[[Kernel], int]:
    return lambda kernel: _count(kernel, name, kernel.vmm_address_space_create())


_OTHERS: dict[str, Callable[[Kernel], int]] = {
    "vmm_address_space_create": lambda kernel: _count(kernel, "vmm_address_space_create"),
    "vmm_address_space_destroy": _of_space("vmm_address_space_destroy"),
    "vmm_address_space_activate": _of_space("vmm_address_space_activate"),
    "vmm_address_space_region_create_at": _create_at,
    "vmm_address_space_copy_in": _copy_in,
    "vmm_address_space_copy_out": _copy_out,
    "vmm_address_space_translate": _translate,
    "vmm_address_space_region_next": _next_region,
    "vmm_address_space_next": _of_space("vmm_address_space_next"),
    "vmm_address_space_id": _of_space("vmm_address_space_id"),
    "vmm_stats": _stats,
}
