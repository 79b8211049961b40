# SPDX-License-Identifier: BSD-3-Clause
"""The frames of GDB's remote protocol: `$payload#checksum`, `+`, `-`, and 0x03 for Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

LIMIT = 0x4000  # bytes of a payload; what is longer is thrown away
_ESCAPE, _FLIP = 0x7D, 0x20
_SPECIAL = b"$#}*"


class Signal(Enum):
    """What comes outside of packets."""

    ACK = auto()
    NAK = auto()
    INTERRUPT = auto()
    BROKEN = auto()  # a packet with a wrong checksum, or too long a one


@dataclass(frozen=True, slots=True)
class Packet:
    """A payload, unescaped."""

    payload: bytes


def checksum(payload: bytes) -> int:
    """The sum of the bytes as they are sent."""
    return sum(payload) & 0xFF


def escape(payload: bytes) -> bytes:
    """Binary data as a payload may hold it."""
    found = bytearray()
    for byte in payload:
        found += bytes([_ESCAPE, byte ^ _FLIP]) if byte in _SPECIAL else bytes([byte])
    return bytes(found)


def frame(payload: bytes) -> bytes:
    """A payload, escaped already where it is binary, as it is sent."""
    return b"$%s#%02x" % (payload, checksum(payload))


class Decoder:
    """Takes bytes as they come and gives packets and signals; whatever is between them is ignored."""

    def __init__(self) -> None:
        self._body: bytearray | None = None
        self._tail: bytearray | None = None
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[Packet | Signal]:
        """What has become complete with these bytes."""
        for byte in data:
            found = self._byte(byte)
            if found is not None:
                yield found

    def _byte(self, byte: int) -> Packet | Signal | None:
        if self._tail is not None:
            self._tail.append(byte)
            return self._end() if len(self._tail) == 2 else None
        if byte == ord("$"):  # also within a packet: the one before was cut off
            self._body, self._too_long = bytearray(), False
        elif self._body is None:
            return {ord("+"): Signal.ACK, ord("-"): Signal.NAK, 3: Signal.INTERRUPT}.get(byte)
        elif byte == ord("#"):
            self._tail = bytearray()
        elif len(self._body) < LIMIT:
            self._body.append(byte)
        else:
            self._too_long = True
        return None

    def _end(self) -> Packet | Signal:
        assert self._body is not None
        assert self._tail is not None
        body, tail = bytes(self._body), bytes(self._tail)
        self._body = self._tail = None
        try:
            right = int(tail, 16) == checksum(body)
        except ValueError:
            right = False
        return Packet(_unescape(body)) if right and not self._too_long else Signal.BROKEN


def _unescape(body: bytes) -> bytes:
    found, escaped = bytearray(), False
    for byte in body:
        if escaped:
            found.append(byte ^ _FLIP)
        elif byte != _ESCAPE:
            found.append(byte)
        escaped = byte == _ESCAPE and not escaped
    return bytes(found)
