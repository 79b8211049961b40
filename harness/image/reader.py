# SPDX-License-Identifier: BSD-3-Clause
"""A cursor over bytes with the primitive encodings of DWARF (little-endian)."""

from __future__ import annotations


class Cursor:
    """Reads DWARF primitives from `data`, starting at `position`; running off the end raises IndexError."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def unsigned(self, size: int) -> int:
        """The next `size` bytes as an unsigned integer."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """The next `size` bytes as a two's complement integer."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, end = self.position, self.position + size
        if size < 0 or end > len(self.data):
            raise IndexError(f"{size} bytes wanted at offset {start:#x} of {len(self.data):#x}")
        self.position = end
        return self.data[start:end]

    def u8(self) -> int:
        """The next byte."""
        value = self.data[self.position]
        self.position += 1
        return value

    def uleb(self) -> int:
        """An unsigned LEB128 number (DWARF 5, 7.6)."""
        data, position = self.data, self.position
        byte = data[position]
        position += 1
        value, shift = byte & 0x7F, 7
        while byte & 0x80:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
        self.position = position
        return value

    def sleb(self) -> int:
        """A signed LEB128 number (DWARF 5, 7.6)."""
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def string(self) -> str:
        """A NUL-terminated string; bytes that are not UTF-8 survive as surrogates."""
        end = self.data.find(b"\0", self.position)
        if end < 0:
            raise IndexError(f"unterminated string at offset {self.position:#x}")
        text = self.data[self.position : end].decode("utf-8", "surrogateescape")
        self.position = end + 1
        return text

    def length(self) -> tuple[int, int]:
        """An initial length: (length, bytes in an offset: 4 or 8) (DWARF 5, 7.4)."""
        length = self.unsigned(4)
        return (self.unsigned(8), 8) if length == 0xFFFFFFFF else (length, 4)

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self.position >= len(self.data)
