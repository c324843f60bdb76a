"""Every rule of graphql-transport-ws as Parley keeps it, one table or test each."""

import math
from typing import Any

import orjson
import pytest

from parley.frames import MESSAGE_BYTES
from parley.protocol import (
    NEXT_TAIL,
    OPERATIONS,
    REASON_BYTES,
    SUBSCRIPTIONS,
    Close,
    CloseCode,
    Complete,
    Connection,
    Event,
    Init,
    Operation,
    Send,
    Subscribe,
)

DEEP_ARRAY = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
QUERY = {"query": "{ health { status } }"}


def message(**members: object) -> bytes:
    return orjson.dumps(members)


def subscribe(operation_id: object = "1", **payload: object) -> bytes:
    return message(id=operation_id, type="subscribe", payload=QUERY | payload)


def acknowledged(now: float = 0.0) -> Connection:
    connection = Connection(now)
    connection.receive_text(message(type="connection_init"), now)
    assert connection.ack() == b'{"type":"connection_ack"}'
    return connection


def started(connection: Connection, operation_id: str = "1") -> Operation:
    [event] = connection.receive_text(subscribe(operation_id), 0.0)
    assert isinstance(event, Subscribe)
    return event.operation


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def the_close(events: list[Event]) -> tuple[int, str]:
    [event] = events
    assert isinstance(event, Close)
    return event.code, event.reason


def sent(data: bytes | None) -> Any:
    assert data is not None
    return orjson.loads(data)


NOT_AN_OBJECT = "Message is not a JSON object"
NOT_JSON = "Message is not JSON, or nested too deeply"
TOO_DEEP = "Message is nested too deeply"
BAD_ID = "id must be a string of 1 to 128 characters"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        # The frames that are known to crash, hang or leak in other servers.
        pytest.param(b"[]", NOT_AN_OBJECT, id="list"),
        pytest.param(b'"ping"', NOT_AN_OBJECT, id="string"),
        pytest.param(b"5", NOT_AN_OBJECT, id="number"),
        pytest.param(b"null", NOT_AN_OBJECT, id="null"),
        pytest.param(message(id=[1], type="subscribe", payload=QUERY), BAD_ID, id="list as id of subscribe"),
        pytest.param(message(id=[1], type="complete"), BAD_ID, id="list as id of complete"),
        pytest.param(
            message(id="1", type="subscribe", payload=None), "subscribe needs an object as payload", id="null payload"
        ),
        pytest.param(DEEP_ARRAY, NOT_JSON, id="arrays 100 000 deep"),
        pytest.param(DEEP_OBJECT, NOT_JSON, id="objects 20 000 deep"),
        pytest.param(subscribe(query=5), "query must be a string", id="number as query"),
        pytest.param(b"{", NOT_JSON, id="not JSON"),
        pytest.param(b"", NOT_JSON, id="empty"),
        pytest.param(message(type="start", id="1"), "Unknown message type", id="unknown type"),
        pytest.param(message(type="x" * 100_000), "Unknown message type", id="very long type"),
        pytest.param(subscribe(""), BAD_ID, id="empty id"),
        pytest.param(subscribe(7), BAD_ID, id="number as id"),
        pytest.param(subscribe(variables=[]), "variables must be an object or null", id="list as variables"),
        # And the rest of the envelope.
        pytest.param(b"\xff\xfe", NOT_JSON, id="not UTF-8"),
        pytest.param(b"[" * 100_000, NOT_JSON, id="unclosed arrays"),
        pytest.param(b'{"type":NaN}', NOT_JSON, id="NaN"),
        pytest.param(b'{"id":"\\ud800","type":"complete"}', NOT_JSON, id="lone surrogate escaped in an id"),
        pytest.param(b'{"id":"\xed\xa0\x80","type":"complete"}', NOT_JSON, id="lone surrogate in an id"),
        pytest.param(b"{}", "Unknown message type", id="no type"),
        pytest.param(message(type=["ping"]), "Unknown message type", id="list as type"),
        pytest.param(message(type="next", id="1", payload={}), "Unknown message type", id="a server's message"),
        pytest.param(message(type="subscribe", payload=QUERY), BAD_ID, id="no id"),
        pytest.param(subscribe("x" * 129), BAD_ID, id="long id"),
        pytest.param(message(type="complete"), BAD_ID, id="complete without id"),
        pytest.param(message(id="1", type="subscribe"), "subscribe needs an object as payload", id="no payload"),
        pytest.param(
            message(id="1", type="subscribe", payload="{ a }"),
            "subscribe needs an object as payload",
            id="text payload",
        ),
        pytest.param(message(id="1", type="subscribe", payload={}), "query must be a string", id="no query"),
        pytest.param(subscribe(query=None), "query must be a string", id="null as query"),
        pytest.param(
            subscribe(operationName=1), "operationName must be a string or null", id="number as operationName"
        ),
        pytest.param(subscribe(variables="{}"), "variables must be an object or null", id="string as variables"),
        pytest.param(subscribe(extensions=[]), "extensions must be an object or null", id="list as extensions"),
        pytest.param(subscribe(variables=nested(63)), TOO_DEEP, id="65 levels"),
        pytest.param(subscribe(variables={"a": [[]] * 100 + [nested(200)]}), TOO_DEEP, id="204 levels"),
        pytest.param(message(type="ping", payload=[]), "payload must be an object or null", id="list in ping"),
        pytest.param(message(type="pong", payload="x"), "payload must be an object or null", id="string in pong"),
    ],
)
def test_a_malformed_message_closes_with_4400_and_a_short_reason(data: bytes, reason: str) -> None:
    connection = acknowledged()

    assert the_close(connection.receive_text(data, 1.0)) == (4400, reason)
    assert len(reason.encode()) <= REASON_BYTES
    assert connection.closed


@pytest.mark.parametrize("payload", [[], "x", 1, True])
def test_a_malformed_init_payload_closes_with_4400(payload: object) -> None:
    events = Connection(0.0).receive_text(message(type="connection_init", payload=payload), 0.0)

    assert the_close(events) == (4400, "payload must be an object or null")


def test_a_binary_message_closes_with_4400() -> None:
    assert the_close(acknowledged().receive_binary()) == (4400, "Binary messages are not accepted")


@pytest.mark.parametrize(
    ("members", "payload"),
    [
        ({}, {}),
        ({"payload": None}, {}),
        ({"payload": {}}, {}),
        ({"payload": {"Authorization": "Bearer x"}}, {"Authorization": "Bearer x"}),
    ],
)
def test_connection_init_may_have_an_object_null_or_no_payload(
    members: dict[str, object], payload: dict[str, object]
) -> None:
    assert Connection(0.0).receive_text(message(type="connection_init", **members), 0.0) == [Init(payload)]


def test_a_connection_is_acknowledged_once_and_only_after_its_init() -> None:
    connection = Connection(0.0)
    before = connection.ack()
    connection.receive_text(message(type="connection_init"), 0.0)
    acks = [connection.ack(), connection.ack()]

    assert before is None
    assert acks == [b'{"type":"connection_ack"}', None]


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_second_connection_init_closes_with_4429(is_acknowledged: bool) -> None:
    connection = Connection(0.0)
    connection.receive_text(message(type="connection_init"), 0.0)
    if is_acknowledged:
        connection.ack()

    events = connection.receive_text(message(type="connection_init"), 0.0)

    assert the_close(events) == (4429, "Too many initialisation requests")


@pytest.mark.parametrize("is_initialised", [False, True])
def test_subscribe_before_the_acknowledgement_closes_with_4401(is_initialised: bool) -> None:
    connection = Connection(0.0)
    if is_initialised:
        connection.receive_text(message(type="connection_init"), 0.0)

    assert the_close(connection.receive_text(subscribe(), 0.0)) == (4401, "Unauthorized")


def test_subscribe_carries_what_the_client_sent() -> None:
    data = subscribe("a", variables={"n": 1}, operationName="Q", extensions={"e": [2]})
    [event] = acknowledged().receive_text(data, 0.0)

    assert isinstance(event, Subscribe)
    assert event.operation.id == "a"
    assert (event.asked.query, event.asked.variables, event.asked.operation_name, event.asked.extensions) == (
        QUERY["query"],
        {"n": 1},
        "Q",
        {"e": [2]},
    )


@pytest.mark.parametrize("payload", [{}, {"variables": None, "operationName": None, "extensions": None}])
def test_all_but_the_query_may_be_absent_or_null(payload: dict[str, object]) -> None:
    [event] = acknowledged().receive_text(subscribe("1", **payload), 0.0)

    assert isinstance(event, Subscribe)
    assert (event.asked.variables, event.asked.operation_name, event.asked.extensions) == (None, None, None)


def test_64_levels_and_many_brackets_are_accepted() -> None:
    [event] = acknowledged().receive_text(subscribe(variables=nested(62) | {"b": [[]] * 1000}), 0.0)

    assert isinstance(event, Subscribe)


def test_the_id_of_an_active_operation_closes_with_4409() -> None:
    connection = acknowledged()
    operation = started(connection)

    assert the_close(connection.receive_text(subscribe(), 0.0)) == (4409, "Subscriber for 1 already exists")
    assert not operation.active


def test_a_long_id_leaves_the_4409_reason_whole_and_within_123_bytes() -> None:
    connection = acknowledged()
    started(connection, "\N{GRINNING FACE}" * 128)

    code, reason = the_close(connection.receive_text(subscribe("\N{GRINNING FACE}" * 128), 0.0))

    assert code == 4409
    assert reason == f"Subscriber for {'\N{GRINNING FACE}' * 23} already exists"
    assert len(reason.encode()) <= REASON_BYTES


def test_frames_of_an_operation() -> None:
    connection = acknowledged()
    completed, refused = started(connection, 'a"\\\n\N{SNOWMAN}'), started(connection, "b")
    frames = [completed.next(b'{"data":{"x":1}}'), completed.complete(), refused.error(b'[{"message":"m"}]')]

    assert [sent(frame) for frame in frames] == [
        {"id": 'a"\\\n\N{SNOWMAN}', "type": "next", "payload": {"data": {"x": 1}}},
        {"id": 'a"\\\n\N{SNOWMAN}', "type": "complete"},
        {"id": "b", "type": "error", "payload": [{"message": "m"}]},
    ]


def test_a_shared_payload_is_spliced_between_head_and_tail() -> None:
    operation = started(acknowledged())
    payload = b'{"data":null}'

    assert operation.next_head + payload + NEXT_TAIL == operation.next(payload)


@pytest.mark.parametrize("end", ["complete", "error", "client", "close"])
def test_nothing_comes_from_an_operation_that_has_ended(end: str) -> None:
    connection = acknowledged()
    operation = started(connection)
    match end:
        case "complete":
            operation.complete()
        case "error":
            operation.error(b"[]")
        case "client":
            assert connection.receive_text(message(id="1", type="complete"), 0.0) == [Complete(operation)]
        case _:
            connection.close(CloseCode.DRAINING, "Restarting")

    assert not operation.active
    assert [operation.next(b"{}"), operation.complete(), operation.error(b"[]"), operation.subscribe()] == [None] * 4


def test_an_id_may_be_used_again_and_its_old_operation_stays_silent() -> None:
    connection = acknowledged()
    old = started(connection)
    connection.receive_text(message(id="1", type="complete"), 0.0)
    new = started(connection)

    assert [old.next(b"{}"), old.complete(), old.error(b"[]")] == [None] * 3
    assert sent(new.complete()) == {"id": "1", "type": "complete"}


def test_complete_of_an_unknown_id_is_ignored() -> None:
    connection = acknowledged()

    assert connection.receive_text(message(id="never", type="complete"), 0.0) == []
    assert not connection.closed


def test_the_51st_subscription_ends_with_an_error_and_other_operations_go_on() -> None:
    connection = acknowledged()
    subscriptions = [started(connection, str(number)) for number in range(SUBSCRIPTIONS)]
    assert [operation.subscribe() for operation in subscriptions] == [None] * SUBSCRIPTIONS
    assert subscriptions[0].subscribe() is None  # counting twice changes nothing

    refusal = sent(started(connection, "51").subscribe())
    mutation = started(connection, "mutation")

    assert (refusal["id"], refusal["type"]) == ("51", "error")
    assert refusal["payload"][0]["extensions"] == {"code": "RATE_LIMITED", "retryable": True}
    assert sent(mutation.complete())["type"] == "complete"
    subscriptions[0].complete()
    assert started(connection, "51").subscribe() is None


def test_the_101st_operation_is_answered_with_an_error() -> None:
    connection = acknowledged()
    for number in range(OPERATIONS):
        started(connection, str(number))

    [event] = connection.receive_text(subscribe("one more"), 0.0)

    assert isinstance(event, Send)
    assert sent(event.data)["payload"][0]["extensions"] == {"code": "RATE_LIMITED", "retryable": True}
    assert not connection.closed


@pytest.mark.parametrize("before_init", [True, False])
@pytest.mark.parametrize(
    ("members", "pong"),
    [
        ({}, {"type": "pong"}),
        ({"payload": None}, {"type": "pong"}),
        ({"payload": {}}, {"type": "pong", "payload": {}}),
        ({"payload": nested(63)}, {"type": "pong", "payload": nested(63)}),
    ],
)
def test_a_ping_is_answered_with_its_payload(
    members: dict[str, object], pong: dict[str, object], before_init: bool
) -> None:
    connection = Connection(0.0) if before_init else acknowledged()

    [event] = connection.receive_text(message(type="ping", **members), 0.0)

    assert isinstance(event, Send)
    assert sent(event.data) == pong


@pytest.mark.parametrize("members", [{}, {"payload": None}, {"payload": {"a": 1}}])
def test_a_pong_is_ignored(members: dict[str, object]) -> None:
    assert acknowledged().receive_text(message(type="pong", **members), 0.0) == []


OVER = "x" * MESSAGE_BYTES


@pytest.mark.parametrize(
    "data",
    [
        message(id="big", type="subscribe", payload={"query": OVER}),
        message(type="subscribe", id="big", payload={"query": OVER}),
        b' { "type" : "subscribe" , "id" : "\\u0062ig" , "payload": {"query": "' + OVER.encode(),
    ],
    ids=["id first", "type first", "cut short"],
)
def test_a_message_over_256_kib_is_answered_and_closes_with_1013(data: bytes) -> None:
    answer, close = acknowledged().receive_text(data, 0.0)

    assert isinstance(answer, Send)
    error = sent(answer.data)
    assert (error["id"], error["type"]) == ("big", "error")
    assert error["payload"][0]["extensions"] == {"code": "PAYLOAD_TOO_LARGE", "retryable": False}
    assert close == Close(CloseCode.TRY_AGAIN_LATER, "Message over 256 KiB")


@pytest.mark.parametrize(
    "data",
    [
        OVER.encode() + b"x",
        b"\xff" * (MESSAGE_BYTES + 1),
        "\N{SNOWMAN}".encode() * (MESSAGE_BYTES // 3 + 1),  # fewer characters, more bytes
        b'{"id":' + DEEP_ARRAY * 2,
        message(id="", type="subscribe", payload=OVER),
        message(id="x" * 129, type="subscribe", payload=OVER),
        b'{"id":"\\ud800","payload":"' + OVER.encode(),
        message(id="1", type="subscribe", payload=OVER),
        message(payload=OVER, id="big", type="subscribe"),
    ],
    ids=[
        "text",
        "bytes",
        "more bytes than characters",
        "deep",
        "empty id",
        "long id",
        "surrogate",
        "active id",
        "id last",
    ],
)
def test_an_oversized_message_without_a_free_id_only_closes_with_1013(data: bytes) -> None:
    connection = acknowledged()
    started(connection)

    assert the_close(connection.receive_text(data, 0.0)) == (1013, "Message over 256 KiB")


def test_an_oversized_message_before_the_acknowledgement_only_closes_with_1013() -> None:
    assert the_close(Connection(0.0).receive_oversized(b'{"id":"big","type":')) == (1013, "Message over 256 KiB")


def test_a_message_of_exactly_256_kib_is_accepted() -> None:
    data = subscribe(query="")
    data = subscribe(query="x" * (MESSAGE_BYTES - len(data)))
    [event] = acknowledged().receive_text(data, 0.0)

    assert len(data) == MESSAGE_BYTES
    assert isinstance(event, Subscribe)


def test_nothing_is_emitted_after_a_close() -> None:
    connection = acknowledged()
    first = connection.close(CloseCode.FORBIDDEN, "Token expired")

    assert first == Close(CloseCode.FORBIDDEN, "Token expired")
    assert connection.receive_text(subscribe(), 1.0) == []
    assert connection.receive_text(b"[]", 1.0) == []
    assert connection.receive_binary() == []
    assert connection.receive_oversized(b'{"id":"a",') == []
    assert connection.on_timer(1000.0) == []
    assert connection.deadline == math.inf
    assert connection.ack() is None
    assert connection.close(CloseCode.NORMAL, "") is None


def test_a_long_reason_is_cut_between_two_characters() -> None:
    close = Connection(0.0).close(CloseCode.DRAINING, "\N{SNOWMAN}" * 100)

    assert close is not None
    assert close.reason == "\N{SNOWMAN}" * 41


def test_a_client_that_never_introduces_itself_is_closed_with_4408_after_10_s() -> None:
    connection = Connection(100.0)
    connection.receive_text(message(type="ping"), 105.0)  # does not count

    assert connection.deadline == 110.0
    assert connection.on_timer(109.9) == []
    assert the_close(connection.on_timer(110.0)) == (4408, "Connection initialisation timeout")


def test_an_initialised_client_is_pinged_every_20_s() -> None:
    connection = acknowledged(now=100.0)
    assert connection.on_timer(119.9) == []
    pings = []
    for now in (120.0, 140.0, 160.0, 180.0):
        assert connection.deadline == now
        pings += connection.on_timer(now)
        connection.receive_text(message(type="pong"), now + 1)

    assert pings == [Send(b'{"type":"ping"}')] * 4


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_client_silent_for_45_s_is_closed_with_1013(is_acknowledged: bool) -> None:
    connection = Connection(0.0)
    connection.receive_text(message(type="connection_init"), 0.0)
    if is_acknowledged:
        connection.ack()
    connection.receive_text(message(type="pong"), 3.0)
    pings = connection.on_timer(20.0) + connection.on_timer(40.0)

    assert len(pings) == 2
    assert connection.deadline == 48.0
    assert connection.on_timer(47.9) == []
    assert the_close(connection.on_timer(48.0)) == (1013, "Nothing was heard for 45 s")


@pytest.mark.parametrize("data", [message(type="ping"), message(type="complete", id="gone"), subscribe()])
def test_any_message_counts_as_a_sign_of_life(data: bytes) -> None:
    connection = acknowledged()
    connection.on_timer(20.0)
    connection.on_timer(40.0)
    connection.receive_text(data, 44.0)

    assert connection.on_timer(50.0) == []
    assert not connection.closed


def test_a_process_that_stood_still_hears_its_clients_before_it_closes_them() -> None:
    connections = [acknowledged(), Connection(0.0)]
    woken = [connection.on_timer(300.0) for connection in connections]
    connections[0].receive_text(message(type="pong"), 300.1)
    connections[1].receive_text(message(type="connection_init"), 300.1)

    assert woken == [[Send(b'{"type":"ping"}')], []]
    assert [connection.on_timer(306.0) for connection in connections] == [[], []]
    assert connections[0].deadline == 320.0


def test_a_client_that_is_still_silent_after_the_standstill_is_closed() -> None:
    connection = acknowledged()
    connection.on_timer(300.0)

    assert the_close(connection.on_timer(305.0)) == (1013, "Nothing was heard for 45 s")


def test_only_what_the_client_got_wrong_keeps_it_from_coming_back() -> None:
    assert {int(code) for code in CloseCode if not code.retried} == {4400, 4401, 4406, 4409, 4429}
    assert {int(code) for code in CloseCode if code.retried} == {1000, 1012, 1013, 4403, 4408}
