# SPDX-License-Identifier: BSD-3-Clause
"""What the VMA engine may cost, and what its model in function, Unikraft's ukvmem, costs.

The figures of the original were measured on its unmodified sources, built with -O2 and without assertions, on
the same emulated CPU; its list of VMAs makes most of them grow with N.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.bench.ground import Cost


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation: what it is, what the original retires with N VMAs, what ours may."""

    key: str
    text: str
    original: dict[int, int]  # instructions by N; empty: it has nothing like it
    most: int  # instructions, at any N up to 100 000
    most_alone: int | None = None  # at N = 1, where that is less
    original_tlbi: int | None = None
    original_dsb: int | None = None
    most_tlbi: int | None = None
    most_dsb: int | None = None

    def bound(self, count: int) -> int:
        """Instructions at most with `count` VMAs."""
        return self.most_alone if count == 1 and self.most_alone is not None else self.most

    def is_met(self, cost: Cost, count: int) -> bool:
        """Whether a cost with `count` VMAs is within every bound."""
        within = cost.instructions <= self.bound(count)
        within &= self.most_tlbi is None or cost.tlbi <= self.most_tlbi
        return within and (self.most_dsb is None or cost.dsb <= self.most_dsb)


ASKED = (
    Asked("find", "find, last VMA", {1: 19, 10_000: 100_009}, 150),
    Asked("find slowest", "find, the slowest of many", {}, 150),
    Asked("map anywhere", "map 1 page, address chosen", {1: 212, 10_000: 260_186}, 800, 212),
    Asked("map fixed", "map 1 page, fixed", {1: 170, 10_000: 190_151}, 800, 170),
    Asked("map slowest", "map 1 page, the slowest of 64 in a row", {}, 800),
    Asked("fault", "fault, table present, without zeroing", {1: 623, 10_000: 100_613}, 400, 300),
    Asked("zero 4K", "zeroing 4K in that fault", {1: 12_293, 10_000: 12_293}, 150),
    Asked("split", "set_attr on 1 page of 16: split", {1: 519, 10_000: 100_539}, 800),
    Asked("merge", "set_attr back: merge", {1: 458, 10_000: 100_458}, 800),
    Asked("unmap page", "unmap 1 populated page, tables stay", {1: 3_083}, 600),
    Asked(
        *("unmap 512 x 4K", "unmap 512 x 4K, populated", {1: 145_165}, 20_000),
        original_tlbi=514,
        original_dsb=1_028,
        most_tlbi=2,
        most_dsb=4,
    ),
    Asked(
        *("populate 512 x 4K", "populate 2M with 512 x 4K, without zeroing", {1: 142_635}, 20_000),
        original_dsb=1_538,
        most_dsb=4,
    ),
    Asked(
        *("populate 2M block", "populate 2M with one block, without zeroing", {1: 3_245}, 700),
        original_dsb=514,
        most_dsb=4,
    ),
    Asked("populate 1G dma", "dma, populate 1G with one block", {1: 417}, 400),
)

ORIGINAL_BYTES, MOST_BYTES = (80, 128), 128
"""Metadata of a VMA: of the original, from the smallest type to the largest; of ours at most."""
