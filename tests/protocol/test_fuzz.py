"""Random and malformed exchanges: whatever a client and a driver do, the protocol's promises hold."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.frames import MESSAGE_BYTES
from parley.protocol import (
    REASON_BYTES,
    Close,
    CloseCode,
    Complete,
    Connection,
    Init,
    Operation,
    Send,
    Subscribe,
)

EXCHANGES = 20_000
IDS = ["1", "2", "", "x" * 128, "x" * 129, 'q"\\', "\N{GRINNING FACE}" * 128, "\x00", 7, None, [1], {}, True]
MALFORMED: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"1e999",
    b"\xff",
    b"\xed\xa0\x80",
    b"[" * 100_000,
    b'{"a":' * 2_000,
    b'{"type":"ping","payload":' + b'{"a":' * 100 + b"1" + b"}" * 101,
    b'{"id":"\\ud800","type":"complete"}',
    b'{"id":"1","type":"subscribe","payload":"' + b"x" * MESSAGE_BYTES,
    b"\xff" * (MESSAGE_BYTES + 1),
]
RESULT = b'{"data":{"a":1}}'


class Exchange:
    """One connection with a driver at its side, and a judge that believes only what went in and out."""

    def __init__(self) -> None:
        self.now = 0.0
        self.connection = Connection(self.now)
        self.open: dict[str, Operation] = {}
        self.ended: list[Operation] = []
        self.starts = 0
        self.close_code: CloseCode | None = None
        self.acknowledged = False

    def receive(self, data: bytes | None) -> None:
        connection = self.connection
        self._take(connection.receive_binary() if data is None else connection.receive_text(data, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._take(self.connection.on_timer(self.now))

    def acknowledge(self) -> None:
        frame = self.connection.ack()
        if frame is not None:
            assert self._sent(frame) == {"type": "connection_ack"}
            assert not self.acknowledged
            self.acknowledged = True

    def close(self, code: CloseCode, reason: str) -> None:
        event = self.connection.close(code, reason)
        self._take([event] if event else [])

    def answer(self, step: str, pick: int) -> None:
        """Let the driver do something with any operation there ever was, ended ones included."""
        operations = [*self.open.values(), *self.ended]
        if not operations:
            return
        operation = operations[pick % len(operations)]
        match step:
            case "next":
                frame, ends = operation.next(RESULT), False
            case "complete":
                frame, ends = operation.complete(), True
            case "error":
                frame, ends = operation.error(b"[]"), True
            case _:
                frame = operation.subscribe()
                ends = frame is not None
        is_open = self.open.get(operation.id) is operation
        assert operation.active is (is_open and not ends)
        if frame is None:
            assert not is_open or step == "subscribe"
            return
        assert is_open
        message = self._sent(frame)
        assert message["id"] == operation.id
        assert message["type"] == ("error" if step == "subscribe" else step)
        if ends:
            self._end(operation)

    def finish(self) -> None:
        """Let the driver answer all that is open, and see that each operation ended once."""
        for operation in list(self.open.values()):
            frame = operation.complete()
            assert frame is not None
            assert self._sent(frame)["type"] == "complete"
            self._end(operation)
        assert len({id(operation) for operation in self.ended}) == len(self.ended) == self.starts

    def _take(self, events: list[Any]) -> None:
        assert not events or self.close_code is None, "something came after the close"
        for event in events:
            match event:
                case Subscribe(operation=operation):
                    assert self.acknowledged
                    assert operation.active
                    assert operation.id not in self.open
                    assert 0 < len(operation.id) <= 128
                    self.open[operation.id] = operation
                    self.starts += 1
                case Complete(operation):
                    assert self.open[operation.id] is operation
                    self._end(operation)
                case Send(data):
                    message = self._sent(data)
                    assert message["type"] in {"ping", "pong", "error"}
                    assert message["type"] != "error" or message["id"] not in self.open
                case Close(code, reason):
                    assert event is events[-1]
                    assert code in CloseCode
                    assert len(reason.encode()) <= REASON_BYTES
                    for operation in list(self.open.values()):
                        assert not operation.active
                        self._end(operation)
                    self.close_code = code
                case _:
                    assert isinstance(event, Init)
                    assert isinstance(event.payload, dict)

    def _sent(self, data: bytes) -> dict[str, Any]:
        assert self.close_code is None, "something was sent after the close"
        message = orjson.loads(data)
        assert isinstance(message, dict)
        return message

    def _end(self, operation: Operation) -> None:
        assert self.open.pop(operation.id) is operation
        self.ended.append(operation)


type Step = Callable[[Exchange], None]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
types = st.sampled_from(["connection_init", "subscribe", "complete", "ping", "pong"])
well_formed = st.fixed_dictionaries(
    {"type": st.just("subscribe"), "id": st.sampled_from(["1", "2", "3"]), "payload": st.just({"query": "{ a }"})}
) | st.fixed_dictionaries({"type": st.just("complete"), "id": st.sampled_from(["1", "2", "3"])})
envelopes = st.fixed_dictionaries(
    {"type": types | anything},
    optional={
        "id": st.sampled_from(IDS) | anything,
        "payload": anything
        | st.fixed_dictionaries(
            {"query": st.just("{ a }") | anything},
            optional={"variables": anything, "operationName": anything, "extensions": anything},
        ),
    },
)


def encoded(value: object) -> bytes:
    """Serialise also what orjson itself refuses to, as a careless client may."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return repr(value).encode(errors="surrogatepass")


def receiving(data: bytes | None) -> Step:
    return lambda exchange: exchange.receive(data)


def answering(step: str, pick: int) -> Step:
    return lambda exchange: exchange.answer(step, pick)


def waiting(seconds: float) -> Step:
    return lambda exchange: exchange.wait(seconds)


messages = (
    well_formed.map(encoded)
    | well_formed.map(encoded)
    | envelopes.map(encoded)
    | st.sampled_from(MALFORMED)
    | st.none()
    | st.binary(max_size=40)
    | st.text(max_size=40).map(str.encode)
)
answers = st.builds(answering, st.sampled_from(["next", "complete", "error", "subscribe"]), st.integers(0, 9))
steps = messages.map(receiving) | answers | answers | st.floats(0, 60).map(waiting) | st.just(Exchange.acknowledge)


def begun() -> Exchange:
    exchange = Exchange()
    exchange.receive(b'{"type":"connection_init"}')
    exchange.acknowledge()
    return exchange


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(begins=st.booleans(), steps=st.lists(steps, max_size=40))
def test_any_exchange_keeps_the_promises(begins: bool, steps: list[Step]) -> None:
    exchange = begun() if begins else Exchange()
    for step in steps:
        step(exchange)
    exchange.finish()


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(data=st.binary() | st.text().map(str.encode) | envelopes.map(encoded))
def test_any_message_is_taken_without_an_exception(data: bytes) -> None:
    exchange = begun()
    exchange.receive(data)
    exchange.finish()


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_exchanges_keep_the_promises(seed: int) -> None:
    chance = random.Random(seed)
    starts, codes = 0, set()
    for _ in range(EXCHANGES // 4):
        exchange = begun() if chance.random() < 0.9 else Exchange()
        for _ in range(chance.randrange(30)):
            random_step(chance)(exchange)
        if chance.random() < 0.3:
            exchange.close(chance.choice(list(CloseCode)), chance.choice("a\N{SNOWMAN}") * chance.randrange(200))
            random_step(chance)(exchange)
        exchange.finish()
        starts += exchange.starts
        codes.add(exchange.close_code)

    assert starts > EXCHANGES // 4  # the walk reaches what it is meant to judge
    assert codes == {None, *CloseCode}


def random_step(chance: random.Random) -> Step:
    kind = chance.random()
    if kind < 0.4:
        return answering(chance.choice(["next", "next", "complete", "error", "subscribe"]), chance.randrange(10))
    if kind < 0.5:
        return waiting(chance.choice([0.1, 1.0, 5.0, 9.0, 26.0, 60.0]))
    if kind < 0.52:
        return Exchange.acknowledge
    if kind < 0.54:
        return receiving(chance.choice([*MALFORMED, None]))
    if kind < 0.56:
        data = bytearray(random_message(chance))
        data[chance.randrange(len(data))] = chance.randrange(256)
        return receiving(bytes(data))
    return receiving(random_message(chance))


def random_message(chance: random.Random) -> bytes:
    odd = chance.random() < 0.05
    operation_id = chance.choice(IDS) if odd else str(chance.randrange(30))
    kind = chance.choices(["subscribe", "complete", "ping", "pong", "connection_init", "next"], [60, 30, 5, 5, 1, 1])[0]
    value: dict[str, object] = {"id": operation_id, "type": kind}
    if kind == "subscribe":
        value["payload"] = {
            "query": chance.choice(IDS) if odd else "{ a }",
            "variables": chance.choice([None, {}, {"a": [1]}]),
        }
    elif kind != "complete":
        value["payload"] = chance.choice(IDS) if odd else chance.choice([None, {}, {"a": [1]}])
    return orjson.dumps(value)
