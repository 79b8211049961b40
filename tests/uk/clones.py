# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of copies of address spaces share: addresses of the pages, and who refers to which frame."""

from __future__ import annotations

from tests.support.vmm import PAGE
from tests.uk.driver import USER_BASE

VA = USER_BASE


def page(number):
    """The address of a page of `parent`."""
    return VA + number * PAGE


def references(*spaces):
    """How many leaves of these address spaces map each frame that is a VMA's own: {PA: count}."""
    found = {}
    for vas in spaces:
        for leaf in vas.pages():
            for pa in range(leaf.pa, leaf.pa + leaf.size, PAGE):
                found[pa] = found.get(pa, 0) + 1
    return found


def frame(vas, pa):
    """The struct frame of a PA."""
    return vas.kernel.frame_of(pa)[0]
