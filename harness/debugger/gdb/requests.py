# SPDX-License-Identifier: BSD-3-Clause
"""What each packet asks for, and the answer to it. Nothing that comes in can raise."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from harness.debugger.gdb.description import memory_map, target_xml
from harness.debugger.gdb.packets import LIMIT, escape
from harness.debugger.gdb.target import Target
from harness.errors import HarnessError

ERROR: Final = b"E01"
_ROOM = LIMIT // 2 - 16  # bytes of memory that fit a packet in hexadecimal
_FEATURES = (
    "PacketSize={:x};QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+;swbreak+;hwbreak+;"
    "vContSupported+;ReverseStep+;ReverseContinue+"
)
_FIXED: Final = {
    b"qC": b"QC1",
    b"qfThreadInfo": b"m1",
    b"qsThreadInfo": b"l",
    b"qAttached": b"1",
    b"qSymbol::": b"OK",
    b"vCont?": b"vCont;c;C;s;S;t;r",
    b"!": b"OK",
}
_XFER = re.compile(rb"qXfer:(features|memory-map):read:([^:]*):([0-9a-fA-F]+),([0-9a-fA-F]+)")
_RANGE = re.compile(rb"([0-9a-fA-F]+),([0-9a-fA-F]+)")
_STOPPOINT = re.compile(rb"[zZ]([0-4]),([0-9a-fA-F]+),([0-9a-fA-F]+)")
_ACTION = re.compile(rb"([cCsStr])([0-9a-fA-F]*)(?:,([0-9a-fA-F]+))?(?::[0-9a-fA-F.p-]+)?")
_TOP = 1 << 64


class Requests:
    """Answers one client. `say` sends text that GDB shows; `closed`: the client has said goodbye."""

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        self._target, self._say = target, say
        self.closed = False
        self.no_ack = False

    def answer(self, payload: bytes) -> bytes | None:
        """The answer to a payload: b"" for what is not known, None where none is to be sent."""
        try:
            return self._answer(payload)
        except (HarnessError, ValueError, OverflowError):
            return ERROR

    def _answer(self, payload: bytes) -> bytes | None:
        if payload in _FIXED:
            return _FIXED[payload]
        handler = _BY_LETTER.get(payload[:1])
        return handler(self, payload) if handler else b""

    # -- questions --------------------------------------------------------------------------------------

    def _query(self, payload: bytes) -> bytes:
        if payload.startswith(b"qSupported"):
            return _FEATURES.format(LIMIT).encode()
        if payload.startswith(b"qRcmd,"):
            return self._monitor(payload[6:])
        found = _XFER.fullmatch(payload)
        if found:
            return self._transfer(found[1], found[2], int(found[3], 16), int(found[4], 16))
        return b"OK" if payload.startswith(b"qSymbol:") else b""

    def _set(self, payload: bytes) -> bytes:
        if payload == b"QStartNoAckMode":
            self.no_ack = True
            return b"OK"
        return b""

    def _transfer(self, kind: bytes, annex: bytes, offset: int, length: int) -> bytes:
        if kind == b"features" and annex != b"target.xml":
            return b"E00"
        machine = self._target.debugger.machine
        text = (target_xml() if kind == b"features" else memory_map(machine)).encode()
        piece = text[offset : offset + min(length, _ROOM)]
        return (b"m" if offset + len(piece) < len(text) else b"l") + escape(piece)

    def _monitor(self, text: bytes) -> bytes:
        line = bytes.fromhex(text.decode("ascii")).decode("utf-8", errors="replace")
        result = self._target.debugger.execute(line)
        if result.text:
            self._say(result.text + "\n")
        return b"OK"

    # -- registers and memory ---------------------------------------------------------------------------

    def _registers(self, payload: bytes) -> bytes:
        if payload[:1] == b"g":
            return self._target.registers().hex().encode()
        self._target.set_registers(_hex(payload[1:]))
        return b"OK"

    def _register(self, payload: bytes) -> bytes:
        if payload[:1] == b"p":
            return self._target.register(int(payload[1:], 16)).hex().encode()
        number, _, data = payload[1:].partition(b"=")
        self._target.set_register(int(number, 16), _hex(data))
        return b"OK"

    def _memory(self, payload: bytes) -> bytes:
        head, _, data = payload[1:].partition(b":")
        address, length = _address_and_length(head)
        if payload[:1] == b"m":
            return self._target.read(address, min(length, _ROOM)).hex().encode()
        content = data if payload[:1] == b"X" else _hex(data)
        if len(content) != length:
            return ERROR
        self._target.write(address, content)
        return b"OK"

    def _stoppoint(self, payload: bytes) -> bytes:
        found = _STOPPOINT.match(payload)
        if found is None:
            return ERROR if payload[1:2].isdigit() and int(payload[1:2]) < 5 else b""
        kind, address, size = int(found[1]), int(found[2], 16), int(found[3], 16)
        if address >= _TOP:
            return ERROR
        change = self._target.insert if payload[:1] == b"Z" else self._target.remove
        change(kind, address, size)
        return b"OK"

    # -- motion -----------------------------------------------------------------------------------------

    def _why(self, _payload: bytes) -> bytes:
        return self._target.stop_reply

    def _move(self, payload: bytes) -> bytes:
        """c, s, C, S, with an address to go on from where GDB gives one."""
        letter, text = payload[:1], payload[1:]
        if letter in b"CS":
            text = text.partition(b";")[2]
        if text:
            self._target.set_register(32, int(text, 16).to_bytes(8, "little"))
        return self._target.resume(step=letter in b"sS", backwards=False)

    def _move_back(self, payload: bytes) -> bytes:
        if payload not in (b"bc", b"bs"):
            return b""
        return self._target.resume(step=payload == b"bs", backwards=True)

    def _verbose(self, payload: bytes) -> bytes:
        if payload.startswith(b"vKill"):
            self._kill(payload)
            return b"OK"
        if not payload.startswith(b"vCont;"):
            return b""
        found = _ACTION.fullmatch(payload[6:].split(b";")[0])
        if found is None:
            return ERROR
        letter = found[1]
        if letter == b"t":
            return self._target.stop_reply
        within = (int(found[2], 16), int(found[3], 16)) if letter == b"r" and found[3] else None
        return self._target.resume(step=letter in b"sSr", backwards=False, within=within)

    def _thread(self, payload: bytes) -> bytes:
        """H selects a thread, T asks whether it is alive: there is one."""
        return b"OK" if re.fullmatch(rb"H[gc](-1|0|1)|T1|H[gc]p.*", payload) else ERROR

    def _detach(self, _payload: bytes) -> bytes:
        self.closed = True
        return b"OK"

    def _kill(self, _payload: bytes) -> None:
        self.closed = True
        self._target.restart()

    def _restart(self, _payload: bytes) -> None:
        self._target.restart()


def _hex(text: bytes) -> bytes:
    return bytes.fromhex(text.decode("ascii"))


def _address_and_length(text: bytes) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"no range: {text!r}")
    address, length = int(found[1], 16), int(found[2], 16)
    if address + length > _TOP:
        raise ValueError("the range leaves the address space")
    return address, length


_BY_LETTER: Final[dict[bytes, Callable[[Requests, bytes], bytes | None]]] = {
    b"q": Requests._query,
    b"Q": Requests._set,
    b"g": Requests._registers,
    b"G": Requests._registers,
    b"p": Requests._register,
    b"P": Requests._register,
    b"m": Requests._memory,
    b"M": Requests._memory,
    b"X": Requests._memory,
    b"z": Requests._stoppoint,
    b"Z": Requests._stoppoint,
    b"?": Requests._why,
    b"c": Requests._move,
    b"C": Requests._move,
    b"s": Requests._move,
    b"S": Requests._move,
    b"b": Requests._move_back,
    b"v": Requests._verbose,
    b"H": Requests._thread,
    b"T": Requests._thread,
    b"D": Requests._detach,
    b"k": Requests._kill,
    b"R": Requests._restart,
}
