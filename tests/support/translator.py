# SPDX-License-Identifier: BSD-3-Clause
"""A translator that does what the MMU would."""

from __future__ import annotations

from harness.arch import Rights
from harness.machine.mmu import Granted


class Faithful:
    """A translator that walks the tables, for each access anew."""

    def __init__(self, machine, once):
        self.machine, self.once = machine, once

    def translate(self, request):
        if not self.machine.virtual.enabled:
            return Granted(request.va, Rights(True, True, True), self.once)
        walk = self.machine.walk(request.va)
        fault = walk.check(request.el, request.access)
        if fault is not None:
            return fault.status
        return Granted(walk.pa, walk.permissions.at(request.el), self.once)

    def stepping(self, va, access):
        """Nothing to do."""

    def stepped(self):
        """Nothing to do."""

    def forget(self):
        """Nothing to do."""
