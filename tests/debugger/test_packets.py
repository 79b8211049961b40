# SPDX-License-Identifier: BSD-3-Clause
"""GDB's packets: frames, requests, and what no client should send."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.debugger.gdb.packets import LIMIT, Decoder, Packet, Signal, checksum, escape, frame
from harness.debugger.gdb.requests import Requests
from harness.debugger.gdb.server import Server, address_of
from harness.debugger.gdb.target import Target
from harness.errors import HarnessError


@given(payload=st.binary(max_size=200), cut=st.integers(0, 400))
def test_what_is_framed_is_decoded_however_it_is_cut(payload, cut):
    """Binary data survives, also in two halves."""
    sent = frame(escape(payload))
    decoder = Decoder()
    assert [*decoder.feed(sent[:cut]), *decoder.feed(sent[cut:])] == [Packet(payload)]


@given(noise=st.binary(max_size=300))
def test_no_bytes_disturb_the_packet_after_them(noise):
    """Half a packet before it is thrown away, unless the noise ends within a checksum."""
    decoder = Decoder()
    list(decoder.feed(noise))
    list(decoder.feed(b"##00"))
    assert list(decoder.feed(frame(b"qC")))[-1] == Packet(b"qC")


def test_a_wrong_checksum_and_too_long_a_packet_are_broken():
    """Neither is obeyed."""
    assert list(Decoder().feed(b"$qC#00")) == [Signal.BROKEN]
    assert list(Decoder().feed(b"$qC#zz")) == [Signal.BROKEN]
    long = b"m" * (LIMIT + 1)
    assert list(Decoder().feed(b"$" + long + b"#%02x" % checksum(long))) == [Signal.BROKEN]


def test_signals_between_packets():
    """Acknowledgements and Ctrl-C."""
    assert list(Decoder().feed(b"+-\x03")) == [Signal.ACK, Signal.NAK, Signal.INTERRUPT]


@pytest.fixture
def requests(debugger):
    """Answers packets of the debugger."""
    return Requests(Target(debugger), lambda _text: None)


MALFORMED = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda head, tail: head + tail,
        st.sampled_from(
            [
                b"m",
                b"M",
                b"X",
                b"p",
                b"P",
                b"g",
                b"G",
                b"Z0,",
                b"z2,",
                b"Z2,",
                b"vCont;",
                b"H",
                b"qXfer:features:read:",
            ]
        ),
        st.text("0123456789abcdef,:;=-$.", max_size=30).map(str.encode),
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=MALFORMED)
def test_no_payload_raises_or_moves_time_unasked(requests, debugger, payload):
    """Whatever comes, there is an answer; only what asks for motion moves."""
    before = debugger.timeline.now
    moves = payload[:1] in b"cCsSbkRv" and payload
    if moves:
        payload = b"v" + payload[1:] if payload[:5] != b"vCont" else b"vFoo"
    answer = requests.answer(payload)
    assert answer is None or isinstance(answer, bytes)
    assert debugger.timeline.now == before


def test_registers_and_memory_by_packets(requests, debugger):
    """Read and written; what is written is part of history."""
    pc = debugger.machine.registers["pc"]
    assert requests.answer(b"p20") == pc.to_bytes(8, "little").hex().encode()
    assert requests.answer(b"P5=" + b"0102030405060708") == b"OK"
    assert debugger.machine.registers["x5"] == 0x0807060504030201
    assert requests.answer(b"M40300000,4:deadbeef") == b"OK"
    assert requests.answer(b"m40300000,4") == b"deadbeef"
    assert requests.answer(b"X40300000,2:\x01\x02") == b"OK"
    assert requests.answer(b"m40300000,4") == b"0102beef"


@pytest.mark.parametrize(
    "payload",
    [b"m0,4",
     b"mffffffffffffffff,10", b"M40300000,4:de", b"p999", b"P5=01", b"Gff", b"Z2,0,8", b"Z9,0,4",
     b"m40300000", b"vCont;x", b"qXfer:features:read:other.xml:0,10", b"Z0,10000000000000000,4"],
)  # fmt: skip
def test_requests_that_cannot_be_met_are_errors(requests, payload):
    """Or unknown, which is an empty answer."""
    answer = requests.answer(payload)
    assert answer == b"" or answer.startswith(b"E")


def test_more_memory_than_a_packet_holds_is_given_in_part(requests):
    """As much as there is room for."""
    answer = requests.answer(b"m40200000,ffffffff")
    assert 0 < len(answer) <= LIMIT


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1234", ("127.0.0.1", 1234)),
        ("0.0.0.0:9", ("0.0.0.0", 9)),
        (":77", ("127.0.0.1", 77)),
        ("[::1]:5", ("::1", 5)),
    ],
)
def test_addresses(text, address):
    """The loopback unless told otherwise."""
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "host", "1:2:3", "70000"])
def test_bad_addresses_are_refused(text):
    """With an example."""
    with pytest.raises(HarnessError, match=r"\[HOST:\]PORT"):
        address_of(text)


@pytest.fixture
def server(debugger):
    """A server on a free port."""
    made = Server(debugger, ("127.0.0.1", 0))
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.close()
    thread.join(10)
    assert not thread.is_alive()


def exchange(connection, payload):
    """Send a payload; the answer's payload."""
    connection.sendall(frame(payload))
    decoder, found = Decoder(), []
    while not any(isinstance(each, Packet) for each in found):
        found += decoder.feed(connection.recv(4096))
    return next(each.payload for each in found if isinstance(each, Packet))


def connect(server):
    """A new client."""
    return socket.create_connection(server.address, timeout=20)


def test_a_client_that_vanishes_stops_the_guest_and_the_next_one_is_served(server, debugger):
    """In the middle of a packet, and while the guest runs for ever."""
    with connect(server) as first:
        first.sendall(b"$m4020")
    with connect(server) as second:
        assert exchange(second, b"qC") == b"QC1"
        debugger.machine.memory.write(0x4020_0000, (0x1400_0000).to_bytes(4, "little"))  # b .
        second.sendall(frame(b"c"))
    with connect(server) as third:
        assert exchange(third, b"?").startswith(b"T")
        assert debugger.machine.registers["pc"] == 0x4020_0000


def test_control_c_stops_the_guest(server, debugger):
    """With SIGINT, at a moment that can be gone back to."""
    debugger.machine.memory.write(0x4020_0000, (0x1400_0000).to_bytes(4, "little"))  # b .
    with connect(server) as client:
        client.sendall(frame(b"vCont;c"))
        client.sendall(b"\x03")
        decoder, found = Decoder(), []
        while not any(isinstance(each, Packet) for each in found):
            found += decoder.feed(client.recv(4096))
        assert found[-1].payload.startswith(b"T02")


def test_breakpoints_of_a_client_go_with_it(server, debugger):
    """Detach and re-attach find a machine without them."""
    with connect(server) as client:
        assert exchange(client, b"Z0,40200010,4") == b"OK"
        assert len(debugger.stoppoints) == 1
        assert exchange(client, b"D") == b"OK"
    with connect(server) as client:
        assert exchange(client, b"qAttached") == b"1"
        assert len(debugger.stoppoints) == 0
