"""Sockets that are sent whatever comes to mind: each answers in codes that clients know, or closes with one."""

import asyncio
import random
from typing import Any

import orjson
import pytest

from parley.protocol import CloseCode
from tests.clients import INBOX, MARK_READ, SEND, UPDATES, Api, Json
from tests.fuzz import CASES, Watch, World, judge, judge_error, world
from tests.hostile import CORPUS
from tests.raw_socket import CLOSE, PONG, TEXT, RawSocket, frame, request
from tests.stack_process import StackProcess

SEED = 7
AT_ONCE = 4  # sockets
MESSAGES = 40  # that a socket is sent at most

DOCUMENTS = (
    UPDATES,
    INBOX,
    SEND,
    MARK_READ,
    "subscription ($ids: [ID!]!) { presence(userIds: $ids) { user { id } status validUntil } }",
    "subscription ($id: ID!) { typing(conversationId: $id) { users { id } expiresAt } }",
    "subscription { session { kind expiresAt } }",
    "query ($id: ID!) { node(id: $id) { __typename id } }",
    "query ($id: ID!, $n: Int) { conversation(id: $id) { messages(first: $n) { nodes { id body } } } }",
    "{ viewer { unreadCount conversations(first: 3) { nodes { id } } } }",
    "{ health { status } }",
    "{ nowhere }",
    "{",
    "",
)
ODD: tuple[Any, ...] = (
    None,
    "",
    0,
    -1,
    2**53,
    1e300,
    True,
    [],
    {},
    [[]],
    "x" * 5_000,
    "\x00",
    "\u202e",
    [None],
    {"": {}},
)


@pytest.fixture(scope="module")
def watch(stack: StackProcess) -> Watch:
    assert world(stack).names
    watch = Watch.over(stack)
    watch.look()
    return watch


class Fuzzer:
    """One who talks to sockets, by chance but the same each time."""

    def __init__(self, api: Api, world: World, seed: int) -> None:
        self.cases = 0
        self._api = api
        self._world = world
        self._chance = random.Random(seed)

    async def run(self, cases: int) -> None:
        """Send so many messages, over as many sockets as that takes."""
        while self.cases < cases:
            await self._socket(min(MESSAGES, cases - self.cases))

    async def _socket(self, messages: int) -> None:
        data = self._request() if self._chance.random() < 0.03 else None
        async with RawSocket.open(self._api, data) as socket:
            if socket.status != 101:
                assert socket.status in {400, 403, 404, 426}, socket.status
                self.cases += 1
                return
            if data is None and self._chance.random() < 0.9:
                socket.tell({"type": "connection_init", "payload": self._payload()})
            for _ in range(self._chance.randrange(messages) + 1):
                self.cases += 1
                message = self._message()
                socket.send(message)
                if not await self._answered(socket, whole=True):
                    return
            if self._chance.random() < 0.3:
                socket.send(self._broken())  # and goes, whatever it is
                self.cases += 1

    async def _answered(self, socket: RawSocket, *, whole: bool) -> bool:
        """Read until the socket has taken what it was sent; return whether it is still open."""
        assert whole
        socket.send(frame(0x9, b"are you there"))
        while True:
            try:
                opcode, payload = await socket.frame()
            except (asyncio.IncompleteReadError, ConnectionResetError):
                raise AssertionError("it went without a close frame") from None
            if opcode == CLOSE:
                assert int.from_bytes(payload[:2]) in {*CloseCode}, payload
                return False
            if opcode == PONG:
                return True
            assert opcode == TEXT
            self._judge(orjson.loads(payload))

    def _judge(self, message: Json) -> None:
        match message["type"]:
            case "next":
                judge(message["payload"])
            case "error":
                for error in message["payload"]:
                    judge_error(error)
            case other:
                assert other in {"connection_ack", "complete", "ping", "pong"}, message

    # ------------------------------------------------------------ what is sent

    def _payload(self) -> Any:
        if self._chance.random() < 0.9:
            return {"Authorization": f"Bearer {self._world.ann.token}"}
        return self._chance.choice([*ODD, {"Authorization": self._world.ann.token[:-4]}, {"authorization": 5}])

    def _message(self) -> bytes:
        chance = self._chance.random()
        if chance < 0.7:
            return frame(TEXT, orjson.dumps(self._operation()))
        if chance < 0.8:
            return frame(TEXT, orjson.dumps({"type": "complete", "id": str(self._chance.randrange(9))}))
        if chance < 0.86:
            return frame(TEXT, orjson.dumps({"type": self._chance.choice(["ping", "pong"]), "payload": self._value()}))
        if chance < 0.9:
            parts = {key: self._value() for key in ("id", "type", "payload") if self._chance.random() < 0.8}
            return frame(TEXT, orjson.dumps(parts))
        data = bytearray(orjson.dumps(self._operation()))
        for _ in range(self._chance.randrange(4)):
            data[self._chance.randrange(len(data))] = self._chance.randrange(256)
        return frame(self._chance.choice([TEXT] * 9 + [0x2, 0x0, 0x3, CLOSE]), bytes(data))

    def _operation(self) -> Json:
        query = self._chance.choice(DOCUMENTS)
        payload: Json = {"query": query, "variables": self._variables()}
        if self._chance.random() < 0.05:
            hostile = self._chance.choice(CORPUS)
            payload = {"query": hostile.query, "variables": hostile.variables}
        if self._chance.random() < 0.05:
            payload[self._chance.choice(["query", "variables", "operationName", "extensions"])] = self._value()
        return {"type": "subscribe", "id": str(self._chance.randrange(10_000)), "payload": payload}

    def _variables(self) -> Any:
        inner = {key: self._value() for key in ("conversationId", "body", "clientMessageId", "upToSequence")}
        return {
            "id": self._value(),
            "ids": [self._value() for _ in range(self._chance.randrange(3))],
            "after": self._value(),
            "n": self._value(),
            "input": inner if self._chance.random() < 0.9 else self._value(),
        }

    def _value(self) -> Any:
        return self._chance.choice(self._world.names if self._chance.random() < 0.7 else ODD)

    def _broken(self) -> bytes:
        data = bytearray(self._message())
        return bytes(data[: self._chance.randrange(len(data)) + 1]) + self._chance.randbytes(8)

    def _request(self) -> bytes:
        name = self._chance.choice(["origin", "sec_websocket_key", "sec_websocket_version", "sec_websocket_protocol"])
        return request(**{name: self._chance.choice(["", "null", "https://evil.example", "13", "a, b"])})


async def test_whatever_a_socket_is_sent_it_is_answered_in_codes(stack: StackProcess, watch: Watch) -> None:
    parts = 10 if CASES > 5_000 else 1
    cases = 0
    async with Api(stack.urls[0]) as api, Api(stack.urls[1]) as other:
        for part in range(parts):
            fuzzers = [
                Fuzzer((api, other)[number % 2], world(stack), SEED + part * AT_ONCE + number)
                for number in range(AT_ONCE)
            ]
            await asyncio.gather(*(fuzzer.run(CASES // 2 // parts // AT_ONCE) for fuzzer in fuzzers))
            cases += sum(fuzzer.cases for fuzzer in fuzzers)
            watch.look()

    watch.end(cases)
