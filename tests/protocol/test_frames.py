"""RFC 6455 as Parley reads and writes it."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from parley import frames
from parley.frames import (
    HEAD_BYTES,
    MESSAGE_BYTES,
    Binary,
    Closing,
    Event,
    Oversized,
    Ping,
    Reader,
    SharedText,
    Text,
    Violation,
)
from tests.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame


def read(*pieces: bytes) -> list[Event]:
    reader = Reader()
    return [event for piece in pieces for event in reader.receive(piece)]


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def test_the_example_of_the_rfc_is_read() -> None:
    assert read(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58") == [Text(b"Hello")]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, MESSAGE_BYTES])
def test_a_message_of_any_size_is_read_and_written(size: int) -> None:
    data = b"x" * size
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(frames.text(data))
    [written] = client.events_received()

    assert read(frame(TEXT, data)) == [Text(data)]
    assert written == Frame(Opcode.TEXT, data)


@pytest.mark.parametrize("head", [b"", b"h" * 60, b"h" * 126, b"h" * 70_000])
def test_a_shared_message_is_framed_as_any_other(head: bytes) -> None:
    shared = SharedText(b"rest" * 20)

    assert [shared.frame(head), shared.frame(head[::-1])] == [frames.text(head + b"rest" * 20)] * 2


def test_control_frames_come_between_fragments() -> None:
    data = frame(TEXT, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b", final=False)
    data += frame(PONG, b"q") + frame(CONTINUATION, b"c") + frame(TEXT, b"d")

    assert read(data) == [Ping(b"p"), Text(b"abc"), Text(b"d")]


@pytest.mark.parametrize(
    "content", [b"", (1000).to_bytes(2), (1001).to_bytes(2) + "bye é".encode(), (4999).to_bytes(2) + b"x" * 123]
)
def test_a_close_is_the_last_that_is_read(content: bytes) -> None:
    assert read(frame(CLOSE, content) + frame(TEXT, b"late")) == [Closing(content)]
    assert frames.closing(content)[2:] == content


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (frame(TEXT, b"x", first=0x40), "Reserved bits are set"),
        (frame(TEXT, b"x", first=0x10), "Reserved bits are set"),
        (b"\x81\x01x", "A frame is not masked"),
        (frame(0x3), "Unknown kind of frame"),
        (frame(0xB), "Unknown kind of frame"),
        (frame(PING, final=False), "A control frame is long or fragmented"),
        (frame(PING, b"x" * 126), "A control frame is long or fragmented"),
        (frame(CONTINUATION), "A fragment is out of place"),
        (frame(TEXT, final=False) + frame(TEXT), "A fragment is out of place"),
        (b"\x81\xfe\x00\x05", "Wrong length of a frame"),
        (b"\x81\xff" + (65_535).to_bytes(8), "Wrong length of a frame"),
        (b"\x81\xff\x80" + bytes(7), "Wrong length of a frame"),
        (frame(CLOSE, b"\x03"), "Malformed close frame"),
        (frame(CLOSE, (1005).to_bytes(2)), "Malformed close frame"),
        (frame(CLOSE, (999).to_bytes(2)), "Malformed close frame"),
        (frame(CLOSE, (5000).to_bytes(2)), "Malformed close frame"),
        (frame(CLOSE, (1000).to_bytes(2) + b"\xff"), "Malformed close frame"),
    ],
)
def test_what_is_no_frame_is_a_violation_and_the_last_that_is_read(data: bytes, reason: str) -> None:
    assert read(frame(TEXT, b"before") + data + frame(TEXT, b"late")) == [Text(b"before"), Violation(reason)]


def test_a_binary_message_is_refused_at_its_first_bytes() -> None:
    assert read(frame(BINARY, b"x" * 1_000)[:4]) == [Binary()]


def test_a_message_over_the_limit_is_given_up_after_its_first_bytes() -> None:
    data = frame(TEXT, b"h" * HEAD_BYTES + b"x" * MESSAGE_BYTES)
    reader = Reader()
    before = reader.receive(data[: 14 + HEAD_BYTES - 1])
    after = reader.receive(data[14 + HEAD_BYTES - 1 :][:1])

    assert before == []
    assert after == [Oversized(b"h" * HEAD_BYTES)]
    assert reader.receive(data) == []


def test_fragments_over_the_limit_are_given_up_before_the_last_is_there() -> None:
    half = MESSAGE_BYTES // 2
    data = [frame(TEXT, b"a" * half, final=False), frame(CONTINUATION, b"b" * half, final=False)]

    assert read(*data) == []
    assert read(*data, frame(CONTINUATION, b"c")[:6]) == [Oversized(b"a" * half + b"b" * half)]


def test_small_fragments_and_a_large_one_give_the_beginning_of_their_message() -> None:
    large = frame(CONTINUATION, b"b" * MESSAGE_BYTES)

    assert read(frame(TEXT, b"a" * 10, final=False), large) == [Oversized(b"a" * 10 + b"b" * (HEAD_BYTES - 10))]


messages = st.binary(max_size=40) | st.sampled_from([125, 126, 127, 300, 65_535, 65_536]).map(lambda size: b"z" * size)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    contents=st.lists(st.tuples(messages, st.binary(min_size=4, max_size=4), st.booleans()), max_size=5),
    cuts=st.lists(st.integers(0, 2**20), max_size=12),
)
def test_any_split_of_the_bytes_gives_the_same_messages(
    contents: list[tuple[bytes, bytes, bool]], cuts: list[int]
) -> None:
    data = bytearray()
    for content, mask, in_two in contents:
        half = len(content) // 2 if in_two else len(content)
        data += frame(TEXT, content[:half], final=not in_two, mask=mask)
        if in_two:
            data += frame(PING, b"between", mask=mask) + frame(CONTINUATION, content[half:], mask=mask)

    events = read(*split(bytes(data), cuts))

    assert [event.data for event in events if isinstance(event, Text)] == [content for content, _, _ in contents]
    assert sum(isinstance(event, Ping) for event in events) == sum(in_two for _, _, in_two in contents)


@settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_any_bytes_are_read_without_an_exception_and_alike_however_they_are_split(data: bytes, cuts: list[int]) -> None:
    assert read(*split(data, cuts)) == read(data)
