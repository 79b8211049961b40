# SPDX-License-Identifier: BSD-3-Clause
"""An audit: what is wrong with a set of tables as it stands, whoever made it and however.

    concerns = audit([kernel.tables(space).walker, kernel.tables().walker])

Unlike the sanitizer it needs no history, so it can be called at any time, on any tables. What the kernel's
own books say of them is not known here: whoever knows the kernel hands it in as `Books`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.arch.walker import Walker
from harness.checks.audit import tables
from harness.checks.audit.books import Area, Books, Owner, Use, against
from harness.checks.audit.concern import Concern

__all__ = ["Area", "Books", "Concern", "Owner", "Use", "audit"]

_NO_BOOKS = Books()


def audit(walkers: Sequence[Walker], books: Books = _NO_BOOKS) -> list[Concern]:
    """Everything that is wrong: of the tables by themselves, and where they are not what the books say."""
    leaves = [(walker, leaf) for walker in walkers for leaf in walker.leaves()]
    alone = [pair for pair in leaves if not books.chose_memory(walkers, *pair)]
    return [
        *tables.contiguous(leaves),
        *tables.aliases(alone),
        *tables.tables_as_data(walkers, leaves, books.direct),
        *tables.rights(leaves),
        *against(books, walkers, leaves),
    ]
