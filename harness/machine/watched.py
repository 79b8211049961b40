# SPDX-License-Identifier: BSD-3-Clause
"""The physical ranges whose stores are told of, and the virtual ones whose execution is.

Each store of the guest goes through the list of ranges in C, half a nanosecond for each; only one within a
range calls Python. So neighbouring pages are kept as one range, and ranges change in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from harness.machine.engine import Engine
from harness.machine.hooks import PlacedHook, RangeHook


class _Ranges:
    """A set of disjoint ranges [start, end), each with its hook."""

    def __init__(self, make: Callable[[], RangeHook]) -> None:
        self._make = make
        self._hook: RangeHook | None = None
        self._end: dict[int, int] = {}
        self._start: dict[int, int] = {}  # by end
        self._placed: dict[int, PlacedHook] = {}  # by start

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """All ranges, ascending."""
        return sorted(self._end.items())

    def add(self, start: int, end: int) -> None:
        """Watch [start, end), of which nothing is watched yet."""
        if end in self._end:
            end = self._drop(end)
        if start in self._start:
            self._reshape(self._start[start], end)
        else:
            self._put(start, end)

    def remove(self, start: int, end: int) -> None:
        """Watch [start, end) no longer; it must lie within one range."""
        low = start if start in self._end else max(each for each in self._end if each <= start)
        high = self._end[low]
        if low < start:
            self._reshape(low, start)
        else:
            self._drop(low)
        if end < high:
            self._put(end, high)

    def set(self, pages: Collection[tuple[int, int]]) -> None:
        """Watch exactly these ranges."""
        wanted: list[tuple[int, int]] = []
        for start, end in sorted(pages):
            if wanted and wanted[-1][1] == start:
                wanted[-1] = (wanted[-1][0], end)
            else:
                wanted.append((start, end))
        keep = set(wanted)
        for start, end in self.ranges:
            if (start, end) not in keep:
                self._drop(start)
        for start, end in wanted:
            if start not in self._end:
                self._put(start, end)

    def _put(self, start: int, end: int) -> None:
        if self._hook is None:
            self._hook = self._make()
        self._placed[start] = self._hook.cover(start, end)
        self._end[start], self._start[end] = end, start

    def _drop(self, start: int) -> int:
        """No longer the range that starts here; where it ended."""
        assert self._hook is not None
        self._hook.uncover(self._placed.pop(start))
        end = self._end.pop(start)
        del self._start[end]
        return end

    def _reshape(self, start: int, end: int) -> None:
        """The range that starts here ends elsewhere."""
        del self._start[self._end[start]]
        self._placed[start].cover(start, end)
        self._end[start], self._start[end] = end, start


class WatchedRanges(_Ranges):
    """Physical ranges: `callback(pa, size, value)` for each store."""

    def __init__(self, engine: Engine, callback: Callable[[int, int, int], None]) -> None:
        super().__init__(lambda: engine.on_store(callback))


class WatchedCode(_Ranges):
    """Virtual ranges: `callback(va, size)` for each block of instructions that is entered.

    While the CPU runs, only what has not been executed since it was written, or was watched then, is told of.
    """

    def __init__(self, engine: Engine, callback: Callable[[int, int], None]) -> None:
        super().__init__(lambda: engine.on_block(callback))
        self._engine = engine

    def set(self, pages: Collection[tuple[int, int]]) -> None:
        """Watch exactly these ranges; the CPU stands still."""
        super().set(pages)
        if pages:
            self._engine.flush_code()
