# SPDX-License-Identifier: BSD-3-Clause
"""The server: one client after the other on a TCP port."""

from __future__ import annotations

import contextlib
import re
import select
import socket

from harness.debugger.gdb.packets import Decoder, Packet, Signal, frame
from harness.debugger.gdb.requests import Requests
from harness.debugger.gdb.target import Target
from harness.debugger.session import Debugger
from harness.errors import HarnessError

LOOPBACK = "127.0.0.1"
_PIECE = 1 << 16
_ADDRESS = re.compile(r"(?:(?P<host>\[[^\]]*\]|[^:\[\]]*):)?(?P<port>\d+)")


def address_of(text: str) -> tuple[str, int]:
    """Host and port of "[HOST:]PORT"; the host is the loopback unless told otherwise. Raises HarnessError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise HarnessError(f"{text!r} is not [HOST:]PORT, as 1234 or 0.0.0.0:1234")
    return (found["host"] or LOOPBACK).strip("[]"), int(found["port"])


class Server:
    """Serves one debugger. Clients come and go; the machine stays as they leave it."""

    def __init__(self, debugger: Debugger, address: tuple[str, int]) -> None:
        """Listen. Raises HarnessError where that is not possible."""
        self._debugger, self._target = debugger, Target(debugger)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._listener = socket.create_server(address, family=family)
        except OSError as error:
            raise HarnessError(f"cannot listen at {address[0]}:{address[1]}: {error.strerror}") from None
        self._open = True

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def serve(self) -> None:
        """Serve clients until `close`."""
        with self._listener:
            while self._open:
                try:
                    connection, _ = self._listener.accept()
                except OSError:  # closed meanwhile
                    return
                with connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    Client(self._debugger, self._target, connection).serve()
                self._target.remove_all()

    def close(self) -> None:
        """Serve nobody any more."""
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Client:
    """One connection."""

    def __init__(self, debugger: Debugger, target: Target, connection: socket.socket) -> None:
        self._debugger, self._connection = debugger, connection
        self._decoder, self._requests = Decoder(), Requests(target, self._say)
        self._waiting: list[Packet] = []
        self._last = b""
        self._gone = self._interrupt = self._running = False

    def serve(self) -> None:
        """Until the client says goodbye or vanishes."""
        before = self._debugger.console, self._debugger.timeline.interrupted
        self._debugger.console, self._debugger.timeline.interrupted = self._say, self._interrupted
        try:
            while not self._gone and not self._requests.closed:
                if not self._waiting:
                    self._receive()
                while self._waiting and not self._requests.closed:
                    self._obey(self._waiting.pop(0))
        finally:
            self._debugger.console, self._debugger.timeline.interrupted = before

    def _obey(self, packet: Packet) -> None:
        if not self._requests.no_ack:
            self._send(b"+")
        self._running = True
        answer = self._requests.answer(packet.payload)
        self._running = self._interrupt = False
        if answer is not None:
            self._last = frame(answer)
            self._send(self._last)

    def _receive(self) -> None:
        """Wait for bytes."""
        try:
            data = self._connection.recv(_PIECE)
        except OSError:
            data = b""
        if not data:
            self._gone = True
        for found in self._decoder.feed(data):
            if isinstance(found, Packet):
                self._waiting.append(found)
            elif found is Signal.INTERRUPT:  # where nothing runs or is about to, it came too late
                self._interrupt = self._running or bool(self._waiting)
            elif found is Signal.NAK:
                self._send(self._last)
            elif found is Signal.BROKEN and not self._requests.no_ack:
                self._send(b"-")

    def _interrupted(self) -> bool:
        """While the guest runs: has the client asked for a stop, or gone away?"""
        while not self._gone and select.select([self._connection], [], [], 0)[0]:
            self._receive()
        return self._interrupt or self._gone

    def _say(self, text: str) -> None:
        """Text for the user of GDB."""
        for at in range(0, len(text), 1024):
            self._send(frame(b"O" + text[at : at + 1024].encode("utf-8", errors="replace").hex().encode()))

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError:
            self._gone = True
