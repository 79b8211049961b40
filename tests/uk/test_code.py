# SPDX-License-Identifier: BSD-3-Clause
"""Data that becomes code is coherent before anybody can execute it."""

from __future__ import annotations

from tests.support.trace import tracing
from tests.uk.driver import PAGE, RW


def test_pages_that_become_executable_are_synchronised_first(vas):
    """Every line of the pages there are goes through DC CVAU, with its barriers, before the rights change."""
    va = vas.map("anon", 3 * PAGE, RW)
    for page in (0, 2):
        vas.store(va + page * PAGE, 0xC0DE)
    with tracing(vas.kernel) as trace:
        vas.set_attr(va, 3 * PAGE, vas.kernel.PAGE_ATTR_PROT_RX)
    first = next(at for at, line in enumerate(trace.script) if line.startswith("permit"))
    assert "dc cvau" not in trace.script[first:]
    assert trace.script[first - 1] == "isb"
    assert len(trace.named("dc cvau")) == 2 * PAGE // 64


def test_pages_of_the_next_vma_are_not_synchronised(vas):
    """Though they begin where the other, of which no page is there, ends."""
    va, seen = vas.map("anon", 2 * PAGE, RW), []
    vas.store(vas.map("anon", PAGE, RW, at=va + 2 * PAGE, name=1), 0xC0DE)
    function = vas.kernel.function("vmm_arch_sync_code").address
    watch = vas.kernel.machine.on_address(function, lambda machine: seen.append(machine.registers["x0"]))
    vas.set_attr(va, 2 * PAGE, vas.kernel.PAGE_ATTR_PROT_RX)
    watch.remove()
    assert seen == []
