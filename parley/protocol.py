"""graphql-transport-ws as a state machine; it never touches a socket, a task or a clock.

One `Connection` stands for one WebSocket. What the client sent goes in and comes out as events; the messages to send
come out as UTF-8 bytes, which a transport puts into frames. Who the client is and what its operations do is decided
elsewhere.
"""

import math
import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, Protocol

import orjson

from parley.asked import Asked
from parley.frames import MESSAGE_BYTES

SUBPROTOCOL = "graphql-transport-ws"
ID_CHARACTERS = 128
JSON_LEVELS = 64
REASON_BYTES = 123  # a close frame has 125 bytes for its code and reason (RFC 6455, 5.5)
SUBSCRIPTIONS = 50
OPERATIONS = 100  # with 50 subscriptions open a client can still query and send
INIT_SECONDS = 10.0
PING_SECONDS = 20.0
SILENT_SECONDS = 45.0  # a ping and 25 s for its pong
LATE_SECONDS = 5.0
NEXT_TAIL = b"}"

_ACK = b'{"type":"connection_ack"}'
_PING = b'{"type":"ping"}'
_PONG = b'{"type":"pong"}'
# Where clients put the id: first, or right after the type. A cut message cannot be parsed, and need not be.
_LEADING_ID = re.compile(
    rb'\s*\{\s*(?:"type"\s*:\s*"subscribe"\s*,\s*)?"id"\s*:\s*("(?:[^"\\]|\\.){1,1536}")\s*,', re.DOTALL
)

type JsonObject = dict[str, Any]


class CloseCode(IntEnum):
    """Why the server closes a socket; no other code is ever sent, but back to a client that closes with it.

    On 1008, 1009, 1011 and 4500 a graphql-ws client gives up for good, so these are not among them.
    """

    NORMAL = 1000  # nothing is left to do
    DRAINING = 1012  # this process stops; another takes over
    TRY_AGAIN_LATER = 1013  # overload, a slow or silent client, a message over 256 KiB
    BAD_REQUEST = 4400  # the message breaks the protocol
    UNAUTHORIZED = 4401  # `subscribe` before `connection_ack`
    FORBIDDEN = 4403  # the token is bad, expired or revoked
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406  # the client does not speak graphql-transport-ws
    INIT_TIMEOUT = 4408  # no `connection_init` in time
    SUBSCRIBER_EXISTS = 4409  # `subscribe` with the id of an active operation
    TOO_MANY_INITS = 4429  # a second `connection_init`

    @property
    def retried(self) -> bool:
        """Whether a graphql-ws client with live subscriptions connects again by itself."""
        return self not in {4400, 4401, 4406, 4409, 4429}


class Work(Protocol):
    """Whatever serves an operation."""

    def cancel(self) -> object:
        """Stop serving it."""


class Operation:
    """One operation of a client, from its `subscribe` until either side ends it.

    Frames come from this object and not from an id, because a client may use the id again: what an ended operation
    still produces cannot reach its successor. Every method returns None once the operation has ended.
    """

    __slots__ = ("_connection", "active", "id", "next_head", "subscription", "work")

    def __init__(self, connection: "Connection", operation_id: str) -> None:
        self._connection = connection
        self.id = operation_id
        self.active = True
        self.subscription = False
        self.work: Work | None = None  # the transport's own: what is to be stopped when the operation ends early
        # A `next` frame is this head, a payload and NEXT_TAIL; only the head differs between subscribers.
        self.next_head = b'{"id":' + orjson.dumps(operation_id) + b',"type":"next","payload":'

    def subscribe(self) -> bytes | None:
        """Count this operation as a subscription; the socket's 51st is ended by the `error` that is returned."""
        if not self.active or self.subscription:
            return None
        if self._connection.subscriptions >= SUBSCRIPTIONS:
            return self.error(
                _errors(f"More than {SUBSCRIPTIONS} subscriptions on a socket", "RATE_LIMITED", retryable=True)
            )
        self.subscription = True
        self._connection.tally.subscriptions += 1
        return None

    def next(self, payload: bytes) -> bytes | None:
        """Frame an execution result that is already serialised."""
        return self.next_head + payload + NEXT_TAIL if self.active else None

    def error(self, errors: bytes) -> bytes | None:
        """End the operation with a serialised list of errors that came before its execution."""
        return _error(self.id, errors) if self._connection.end(self) else None

    def complete(self) -> bytes | None:
        """End the operation after its last result."""
        return b'{"id":' + orjson.dumps(self.id) + b',"type":"complete"}' if self._connection.end(self) else None


@dataclass(frozen=True, slots=True)
class Init:
    """The client asks to be let in: answer with `Connection.ack` or close with FORBIDDEN."""

    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The client starts an operation: answer with its `next` frames and one `complete`, or with one `error`."""

    operation: Operation
    asked: Asked


@dataclass(frozen=True, slots=True)
class Complete:
    """The client no longer wants this operation, which has ended: stop working on it."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class Send:
    """A text frame that the protocol itself owes the client."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; no operation is active any more and nothing else will come."""

    code: CloseCode
    reason: str
    ended: tuple[Operation, ...] = field(default=(), compare=False)  # operations that this ends: stop working on them


type Event = Init | Subscribe | Complete | Send | Close


class Tally:
    """What all connections of a process have together, so that whoever asks need not look at each of them."""

    __slots__ = ("subscriptions",)

    def __init__(self) -> None:
        self.subscriptions = 0  # active operations that are subscriptions


class Connection:
    """The server's side of one socket; `now` is always in seconds of one monotonic clock."""

    __slots__ = ("_expires", "_operations", "_ping_at", "_state", "tally")

    def __init__(self, now: float, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._state: Literal["opened", "initialised", "acknowledged", "closed"] = "opened"
        self._operations: dict[str, Operation] = {}
        self._expires = now + INIT_SECONDS
        self._ping_at = math.inf

    @property
    def closed(self) -> bool:
        return self._state == "closed"

    @property
    def subscriptions(self) -> int:
        """How many active operations are subscriptions."""
        return sum(operation.subscription for operation in self._operations.values())

    @property
    def is_answering(self) -> bool:
        """Whether a query or a mutation is being worked on."""
        return self.subscriptions < len(self._operations)

    @property
    def deadline(self) -> float:
        """When `on_timer` has something to do; it moves with every message, and is infinite once closed."""
        return min(self._ping_at, self._expires)

    def receive_text(self, data: bytes, now: float) -> list[Event]:
        """Take one whole text message; whatever it contains, this raises nothing."""
        if self.closed:
            return []
        if len(data) > MESSAGE_BYTES:
            return self.receive_oversized(data)
        if self._state != "opened":
            self._expires = now + SILENT_SECONDS
        try:
            return self._handle(_parse(data), now)
        except _ViolationError as violation:
            return self._closing(violation.code, str(violation))

    def receive_binary(self) -> list[Event]:
        """Refuse a binary message, whatever its content: the protocol is text."""
        return self.receive_violation("Binary messages are not accepted")

    def receive_violation(self, reason: str) -> list[Event]:
        """Refuse what is no message at all."""
        return self._closing(CloseCode.BAD_REQUEST, reason)

    def receive_oversized(self, head: bytes) -> list[Event]:
        """Refuse a message over 256 KiB, given its first 2 KiB or more: an `error` for its operation, then 1013."""
        operation_id = _leading_id(head) if self._state == "acknowledged" else None
        answer: list[Event] = []
        # An `error` with the id of an active operation would tell of that one.
        if operation_id is not None and operation_id not in self._operations:
            errors = _errors("Message over 256 KiB", "PAYLOAD_TOO_LARGE", retryable=False)
            answer = [Send(_error(operation_id, errors))]
        return answer + self._closing(CloseCode.TRY_AGAIN_LATER, "Message over 256 KiB")

    def ack(self) -> bytes | None:
        """Let the client in after its `Init`, once; None when it is in already or gone."""
        if self._state != "initialised":
            return None
        self._state = "acknowledged"
        return _ACK

    def close(self, code: CloseCode, reason: str) -> Close | None:
        """End everything; the transport calls this too when it has lost the client, and then ignores the answer."""
        if self.closed:
            return None
        self._state = "closed"
        self._expires = self._ping_at = math.inf
        self.tally.subscriptions -= self.subscriptions
        ended = tuple(self._operations.values())
        for operation in ended:
            operation.active = False
        self._operations.clear()
        return Close(code, _clip(reason, REASON_BYTES), ended)

    def on_timer(self, now: float) -> list[Event]:
        """Do what is due: a ping every 20 s, and the end of a client that stays silent or never introduces itself."""
        late = now - self.deadline
        if late < 0:
            return []
        if late > LATE_SECONDS:
            # This process stood still: what clients sent meanwhile is not read yet, and they should not all be closed.
            self._expires = max(self._expires, now + LATE_SECONDS)
        if now >= self._expires:
            if self._state == "opened":
                return self._closing(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout")
            return self._closing(CloseCode.TRY_AGAIN_LATER, "Nothing was heard for 45 s")
        if now < self._ping_at:
            return []
        self._ping_at = now + PING_SECONDS
        return [Send(_PING)]

    def end(self, operation: Operation) -> bool:
        """End an operation; False when it has ended already. Only operations call this, and `complete` messages."""
        if not operation.active:
            return False
        operation.active = False
        self.tally.subscriptions -= operation.subscription
        del self._operations[operation.id]
        return True

    def _handle(self, message: JsonObject, now: float) -> list[Event]:
        match message.get("type"):
            case "connection_init":
                return self._init(_object(message, "payload"), now)
            case "subscribe":
                return self._subscribe(_id(message.get("id")), message.get("payload"))
            case "complete":
                operation = self._operations.get(_id(message.get("id")))
                return [Complete(operation)] if operation and self.end(operation) else []
            case "ping":
                payload = _object(message, "payload")
                return [Send(_PONG if payload is None else _PONG[:-1] + b',"payload":' + orjson.dumps(payload) + b"}")]
            case "pong":
                _object(message, "payload")
                return []
            case _:
                raise _ViolationError("Unknown message type")

    def _init(self, payload: JsonObject | None, now: float) -> list[Event]:
        if self._state != "opened":
            raise _ViolationError("Too many initialisation requests", CloseCode.TOO_MANY_INITS)
        self._state = "initialised"
        self._expires = now + SILENT_SECONDS
        self._ping_at = now + PING_SECONDS
        return [Init(payload or {})]

    def _subscribe(self, operation_id: str, payload: Any) -> list[Event]:
        if not isinstance(payload, dict):
            raise _ViolationError("subscribe needs an object as payload")
        query, operation_name, document_id = (
            _string(payload, key, called)
            for key, called in (("query", ""), ("operationName", " or null"), ("documentId", " or null"))
        )
        variables, extensions = _object(payload, "variables"), _object(payload, "extensions")
        if query is None and document_id is None and not extensions:
            raise _ViolationError("query must be a string")
        if self._state != "acknowledged":
            raise _ViolationError("Unauthorized", CloseCode.UNAUTHORIZED)
        if operation_id in self._operations:
            shown = _clip(operation_id, REASON_BYTES - len("Subscriber for  already exists"))
            raise _ViolationError(f"Subscriber for {shown} already exists", CloseCode.SUBSCRIBER_EXISTS)
        if len(self._operations) >= OPERATIONS:
            errors = _errors(f"More than {OPERATIONS} operations at once on a socket", "RATE_LIMITED", retryable=True)
            return [Send(_error(operation_id, errors))]
        operation = self._operations[operation_id] = Operation(self, operation_id)
        return [Subscribe(operation, Asked(query, variables, operation_name, extensions, document_id))]

    def _closing(self, code: CloseCode, reason: str) -> list[Event]:
        close = self.close(code, reason)
        return [close] if close else []


class _ViolationError(Exception):
    """The client broke the protocol, which ends its socket with this code and text."""

    def __init__(self, reason: str, code: CloseCode = CloseCode.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.code = code


def _parse(data: bytes) -> JsonObject:
    try:
        message = orjson.loads(data)  # safe at any depth: beyond 1 024 levels it gives up with this same error
    except orjson.JSONDecodeError:
        raise _ViolationError("Message is not JSON, or nested too deeply") from None
    if not isinstance(message, dict):
        raise _ViolationError("Message is not a JSON object")
    # Counting brackets spares nearly every message the walk.
    if data.count(b"[") + data.count(b"{") > JSON_LEVELS and _is_deeper(message, JSON_LEVELS):
        raise _ViolationError("Message is nested too deeply")
    return message


def _is_deeper(value: JsonObject, levels: int) -> bool:
    level: list[JsonObject | list[Any]] = [value]
    for _ in range(levels):
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, (dict, list))]
        if not level:
            return False
    return True


def _id(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= ID_CHARACTERS:
        return value
    raise _ViolationError(f"id must be a string of 1 to {ID_CHARACTERS} characters")


def _leading_id(head: bytes) -> str | None:
    found = _LEADING_ID.match(head[:2048])
    try:
        return _id(orjson.loads(found[1])) if found else None
    except (orjson.JSONDecodeError, _ViolationError):
        return None


def _object(parent: JsonObject, key: str) -> JsonObject | None:
    value = parent.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise _ViolationError(f"{key} must be an object or null")


def _string(parent: JsonObject, key: str, called: str) -> str | None:
    value = parent.get(key)
    if value is None or isinstance(value, str):
        return value
    raise _ViolationError(f"{key} must be a string{called}")


def _error(operation_id: str, errors: bytes) -> bytes:
    return b'{"id":' + orjson.dumps(operation_id) + b',"type":"error","payload":' + errors + b"}"


def _errors(message: str, code: str, *, retryable: bool) -> bytes:
    return orjson.dumps([{"message": message, "extensions": {"code": code, "retryable": retryable}}])


def _clip(text: str, size: int) -> str:
    """Cut a text to so many bytes of UTF-8, between two characters."""
    return text.encode()[:size].decode(errors="ignore")
