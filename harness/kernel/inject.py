# SPDX-License-Identifier: BSD-3-Clause
"""Making calls inside the guest fail: the n-th allocation of a call returns 0, as if memory had run out.

for n in itertools.count(1):
    with fail_nth(kernel, ("frames_alloc", "object_alloc"), n) as injection:
        space = kernel.vmm_address_space_create()
    if not injection.struck:
        break  # the call made fewer allocations than n
    assert not space
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from harness.errors import HarnessError
from harness.kernel.kernel import Kernel
from harness.machine import Machine


@dataclass(slots=True)
class Injection:
    """What happened: the occasions there were, in order, and the one that was struck.

    Under `fail_nth` these are functions entered, and the one that was made to fail.
    """

    calls: list[str] = field(default_factory=list)
    struck: str | None = None


@contextmanager
def fail_nth(kernel: Kernel, functions: Collection[str], n: int, result: int = 0) -> Iterator[Injection]:
    """The n-th call (from 1) of any of `functions` returns `result` without running.

    The functions must stand alone in the image: what is inlined cannot be caught. Raises HarnessError when
    one has no code of its own, ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"calls count from 1, got {n}")
    injection = Injection()
    watches = []

    def entered(machine: Machine, name: str) -> None:
        injection.calls.append(name)
        if len(injection.calls) == n:
            injection.struck = name
            machine.registers["x0"] = result
            machine.registers["pc"] = machine.registers["x30"]

    addresses = {name: address_of(kernel, name) for name in functions}
    try:
        for name, address in addresses.items():
            watches.append(kernel.machine.on_address(address, partial(entered, name=name)))
        yield injection
    finally:
        for watch in watches:
            watch.remove()


def address_of(kernel: Kernel, name: str) -> int:
    """Where a function begins. Raises HarnessError for one that has no code of its own."""
    address = kernel.function(name).address
    if address is None:
        raise HarnessError(f"{name}() has no code of its own to be intercepted: it is inlined everywhere")
    return address
