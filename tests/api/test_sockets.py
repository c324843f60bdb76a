"""Raw bytes at a real socket: each wrong one has its documented answer, and the process goes on as if nothing was."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from tests.clients import UPDATES, Api, Person
from tests.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, request
from tests.stack_process import StackProcess

KIB_256 = 256 * 1024
HEALTH = b'{"id":"1","type":"subscribe","payload":{"query":"{ health { status } }"}}'


@pytest.fixture(scope="module")
def logs(stack: StackProcess) -> Iterator[list[Path]]:
    """See that the tests of this module make no process log an error."""
    logs = sorted((stack.directory / "logs").glob("api-*.log"))
    before = [log.stat().st_size for log in logs]
    yield logs
    for log, size in zip(logs, before, strict=True):
        with log.open() as file:
            file.seek(size)
            text = file.read()
            assert "Traceback" not in text
            assert '"error"' not in text


@pytest.fixture
async def ann(api: Api, logs: list[Path]) -> Person:
    assert logs
    return await api.register()


@pytest.fixture
async def socket(api: Api, ann: Person) -> AsyncIterator[RawSocket]:
    async with RawSocket.open(api) as socket:
        await socket.enter(ann.token)
        yield socket
    async with RawSocket.open(api) as another:
        await another.enter(ann.token)  # the process is alive


def text(data: bytes) -> bytes:
    return frame(TEXT, data)


@pytest.mark.parametrize(
    "data",
    [
        # The messages that are known to crash, hang or leak in other servers.
        pytest.param(text(b"[]"), id="list"),
        pytest.param(text(b'"ping"'), id="string"),
        pytest.param(text(b"5"), id="number"),
        pytest.param(text(b"null"), id="null"),
        pytest.param(text(HEALTH.replace(b'"1"', b"[1]")), id="list as id of subscribe"),
        pytest.param(text(b'{"id":[1],"type":"complete"}'), id="list as id of complete"),
        pytest.param(text(b'{"id":"1","type":"subscribe","payload":null}'), id="null as payload of subscribe"),
        pytest.param(text(b"[" * 100_000 + b"]" * 100_000), id="arrays 100 000 deep"),
        pytest.param(text(b'{"a":' * 20_000 + b"1" + b"}" * 20_000), id="objects 20 000 deep"),
        pytest.param(text(b'{"id":"1","type":"subscribe","payload":{"query":5}}'), id="number as query"),
        pytest.param(text(b"{"), id="not JSON"),
        pytest.param(text(b""), id="empty"),
        pytest.param(text(b'{"type":"start","id":"1"}'), id="unknown type"),
        pytest.param(text(HEALTH.replace(b'"1"', b'""')), id="empty id"),
        pytest.param(text(HEALTH.replace(b'"1"', b"7")), id="number as id"),
        pytest.param(text(HEALTH.replace(b"}}", b'},"variables":[]}}')), id="list as variables"),
        # And what is wrong below the messages.
        pytest.param(text(b"\xff\xfe"), id="bad UTF-8"),
        pytest.param(frame(BINARY, HEALTH), id="binary"),
        pytest.param(frame(TEXT, HEALTH, first=0x40), id="a reserved bit, as of permessage-deflate"),
        pytest.param(b"\x81\x02{}", id="not masked"),
        pytest.param(frame(0x3), id="unknown opcode"),
        pytest.param(frame(CONTINUATION, b"x"), id="a fragment of nothing"),
        pytest.param(frame(TEXT, b"x", final=False) + text(b"x"), id="a message inside another"),
        pytest.param(frame(PING, b"x" * 126), id="long ping"),
        pytest.param(frame(CLOSE, b"\x00"), id="half a close code"),
        pytest.param(frame(CLOSE, (1006).to_bytes(2)), id="a close code that is never sent"),
        pytest.param(b"\x81\xfe\x00\x05", id="a length that is longer than it need be"),
        pytest.param(b"\x81\xff" + b"\xff" * 8, id="a length beyond 2^63"),
    ],
)
async def test_what_breaks_the_protocol_closes_with_4400(socket: RawSocket, data: bytes) -> None:
    socket.send(data)

    assert await socket.close_code() == 4400


async def test_a_second_connection_init_closes_with_4429(socket: RawSocket) -> None:
    socket.tell({"type": "connection_init"})

    assert await socket.close_code() == 4429


async def test_the_id_of_an_active_operation_closes_with_4409(socket: RawSocket, ann: Person) -> None:
    conversation = await ann.talk()
    follow = {"id": "1", "type": "subscribe", "payload": {"query": UPDATES, "variables": {"id": conversation["id"]}}}
    socket.tell(follow)
    caught_up = await socket.message()
    socket.tell(follow)

    assert caught_up["type"] == "next"
    assert await socket.close_code() == 4409


async def test_subscribe_before_the_acknowledgement_closes_with_4401(api: Api, logs: list[Path]) -> None:
    async with RawSocket.open(api) as socket:
        socket.send(text(HEALTH))

        assert logs
        assert await socket.close_code() == 4401


@pytest.mark.parametrize("data", [b'{"type":"connection_init","payload":null}', b'{"type":"connection_init"}'])
async def test_connection_init_needs_no_payload(api: Api, data: bytes) -> None:
    async with RawSocket.open(api) as socket:
        socket.send(text(data))

        assert await socket.message() == {"type": "connection_ack"}


async def test_a_message_over_256_kib_is_answered_and_closes_with_1013(socket: RawSocket) -> None:
    data = b'{"id":"big","type":"subscribe","payload":{"query":"' + b"x" * KIB_256
    socket.send(text(data[: KIB_256 + 1]))
    answer = await socket.message()

    assert (answer["id"], answer["type"]) == ("big", "error")
    assert answer["payload"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
    assert await socket.close_code() == 1013


async def test_a_message_of_256_kib_is_taken_however_it_is_cut(socket: RawSocket) -> None:
    data = HEALTH.replace(b"{ health", b" " * (KIB_256 - len(HEALTH)) + b"{ health")
    socket.send(frame(TEXT, data[:1], final=False) + frame(PING, b"now"))
    for start in range(1, KIB_256, 50_000):
        socket.send(frame(CONTINUATION, data[start : start + 50_000], final=start + 50_000 >= KIB_256))

    assert len(data) == KIB_256
    assert await socket.frame() == (PONG, b"now")
    assert (await socket.message())["payload"]["data"]["health"]["status"] == "HEALTHY"


async def test_a_message_is_taken_byte_by_byte(socket: RawSocket) -> None:
    socket.writer.transport.set_write_buffer_limits(0)
    for byte in text(HEALTH):
        socket.send(bytes([byte]))
        await socket.writer.drain()

    assert (await socket.message())["type"] == "next"


async def test_a_socket_answers_queries_and_mutations_and_takes_a_syntax_error_for_what_it_is(
    socket: RawSocket, ann: Person
) -> None:
    conversation = await ann.talk()
    socket.tell({"id": "bad", "type": "subscribe", "payload": {"query": "{ not closed"}})
    error = await socket.message()
    mutation = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { body } } }"
    fields = {"conversationId": conversation["id"], "body": "hello", "clientMessageId": "m"}
    socket.tell({"id": "m", "type": "subscribe", "payload": {"query": mutation, "variables": {"input": fields}}})
    answers = [await socket.message(), await socket.message()]

    assert (error["id"], error["type"]) == ("bad", "error")
    assert answers[0]["payload"]["data"]["sendMessage"]["message"]["body"] == "hello"
    assert answers[1] == {"id": "m", "type": "complete"}


@pytest.mark.parametrize("content", [b"", (1000).to_bytes(2) + b"bye", (4999).to_bytes(2)])
async def test_a_close_is_answered_alike_and_the_connection_ends(socket: RawSocket, content: bytes) -> None:
    socket.send(frame(CLOSE, content))

    assert await socket.frame() == (CLOSE, content)
    assert await socket.reader.read() == b""


async def test_a_closed_connection_ends_within_a_second_though_its_client_says_nothing(socket: RawSocket) -> None:
    socket.send(text(b"[]"))
    assert (await socket.frame())[0] == CLOSE
    closed = time.monotonic()

    async def send_on() -> None:
        while time.monotonic() < closed + 10:
            socket.send(b"\x00")
            await socket.writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(ConnectionError):
        await send_on()

    assert time.monotonic() - closed < 3  # 1 s, and what a busy machine adds


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/elsewhere"), 404),
        (request(method="POST"), 400),
        (request(sec_websocket_key=None), 400),
        (request(sec_websocket_version="12"), 426),
        (request(origin="https://evil.example"), 403),
    ],
)
async def test_a_request_that_cannot_become_a_socket_is_refused(api: Api, data: bytes, status: int) -> None:
    async with RawSocket.open(api, data) as socket:
        assert socket.status == status
        assert await socket.reader.read() == b""


@pytest.mark.parametrize("offered", [None, "graphql-ws"])
async def test_another_subprotocol_closes_with_4406(api: Api, offered: str | None) -> None:
    async with RawSocket.open(api, request(sec_websocket_protocol=offered)) as socket:
        assert socket.status == 101
        assert await socket.close_code() == 4406


async def test_messages_in_one_packet_are_answered_in_order(socket: RawSocket) -> None:
    pings = [{"type": "ping", "payload": {"n": number}} for number in range(50)]
    socket.send(b"".join(text(orjson.dumps(ping)) for ping in pings))

    assert [await socket.message() for _ in pings] == [{**ping, "type": "pong"} for ping in pings]
