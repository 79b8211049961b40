# SPDX-License-Identifier: BSD-3-Clause
"""Defects of other kernels, planted into ours while it runs: what it does then is what they did."""

from __future__ import annotations

from contextlib import contextmanager

from harness.arch.bits import U64
from tests.support.trace import system_instructions
from tests.support.vmm import PAGE

_WIDTH = 4  # bytes of an instruction
_PAGE_ENTRY = 3  # bits 1:0


@contextmanager
def populate_keeps_what_it_took(kernel):
    """Unikraft's uk_vma_map(): when POPULATE fails, pages, frames and VMA stay; nobody gives them back."""

    def skip(machine):
        machine.registers["pc"] = machine.registers["x30"]

    with _watching(kernel, {kernel.function("discard").address: skip}):
        yield


@contextmanager
def first_fit_without_upper_bound(kernel):
    """Unikraft's search for a hole: it ends where addresses do, not where those that can be translated do."""

    def forget_bound(machine):
        machine.registers["x4"] = U64 & -PAGE  # vma_tree_find_hole(tree, len, align, low, high)

    with _watching(kernel, {kernel.function("vma_tree_find_hole").address: forget_bound}):
        yield


@contextmanager
def barriers_after_each_store(kernel, populate):
    """Unikraft's table clear: DSB and ISB after each store of an entry, though no walk can come there yet.

    `populate` is a call that makes entries: which instructions store them is learnt of it, and undone. After
    each of these the CPU goes by way of a DSB ISHST that has an ISB behind it.
    """
    resume, second_way = [], []

    def behind_store(machine):
        if second_way:
            second_way.pop()
            return
        resume.append(machine.registers["pc"])
        machine.registers["pc"] = barriers

    def behind_barriers(machine):
        if resume:
            machine.registers["pc"] = resume.pop()
            second_way.append(True)

    barriers = _pair_of_barriers(kernel)
    behind = dict.fromkeys([pc + _WIDTH for pc in _stores_of_entries(kernel, populate)], behind_store)
    with _watching(kernel, behind | {barriers + 2 * _WIDTH: behind_barriers}):
        yield


def _pair_of_barriers(kernel):
    """Where a DSB ISHST is with an ISB behind it."""
    names = {each.va: each.name for each in system_instructions(kernel)}
    return next(va for va, name in names.items() if (name, names.get(va + _WIDTH)) == ("dsb ishst", "isb"))


def _stores_of_entries(kernel, populate):
    """The instructions that store entries of pages into tables that `populate` makes."""
    machine, moment, stores = kernel.machine, kernel.snapshot(), []
    before = set(_tables(kernel))
    populate()
    made = set(_tables(kernel)) - before
    kernel.restore(moment)  # they will be the same pages again

    def see(access):
        if access.value & _PAGE_ENTRY == _PAGE_ENTRY:
            stores.append(machine.registers["pc"])

    watches = [machine.on_memory(table, PAGE, "w", see) for table in made]
    populate()
    for watch in watches:
        watch.remove()
    kernel.restore(moment)
    return set(stores)


def _tables(kernel):
    return (page.pa for page in kernel.tables(half="ttbr0").pages())


@contextmanager
def _watching(kernel, callbacks):
    watches = [kernel.machine.on_address(address, callback) for address, callback in callbacks.items()]
    try:
        yield
    finally:
        for watch in watches:
            watch.remove()
