"""graphql-transport-ws on raw sockets: what one costs while nothing happens is an object or two and no task.

uvicorn hands over a connection that asked for a WebSocket, and from there everything is here: bytes in, bytes out, a
bounded outbox, deadlines, and who may stay. Decision 9 says why this is no ASGI app.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Protocol, override

import orjson
import structlog
from graphql import GraphQLError

from parley import admission, frames, handshake, protocol
from parley.documents import Documents
from parley.execution import (
    PUBLIC_FIELDS,
    Engine,
    Errors,
    Operation,
    RequestRefused,
    codes,
    formatted,
    milliseconds_since,
)
from parley.fanout import Fanout
from parley.load import Criticality
from parley.protocol import CloseCode
from parley.requests import REQUEST_ID_HEADER, new_request_id, origin
from parley.seats import Seats
from parley.session_notices import Ends, SessionFollower, SessionNotices, SignedIn
from parley.sweeper import Sweeper
from resolvers.context import Context, caller
from services import clock
from services.attendance import Attendant
from services.errors import Overloaded, RateLimited, TokenExpired, Unauthenticated
from services.limits import Allowance
from services.services import Services
from services.tasks import Tasks
from services.tokens import Claims
from services.windows import Window

PATH = "/graphql"
OUTBOX_FRAMES = 256
OUTBOX_BYTES = 1024 * 1024
BLOCKED_SECONDS = 10.0  # a write that takes longer belongs to a reader that is gone or far too slow
GOODBYE_SECONDS = 0.7  # with the sweeper's delay, a closed socket is gone within 1 s
EXPIRY_GRACE_SECONDS = 5.0
ANSWERING_SECONDS = 5.0  # what queries and mutations may take that a stopping process lets finish

# What a refused operation would have had over HTTP, where that is not 400.
_STATUSES: Final = {"UNAUTHENTICATED": 401, "TOKEN_EXPIRED": 401, "RATE_LIMITED": 429}

_logger = structlog.get_logger()


class Connected(SignedIn, Protocol):
    """A client that stays."""

    def leave(self) -> None:
        """Send the client away to another process, after what is being answered."""

    def abort(self) -> None:
        """Cut the connection."""


class Sockets:
    """All sockets and streams of this process, and what they need."""

    def __init__(self, engine: Engine, documents: Documents, fanout: Fanout, services: Services) -> None:
        self.engine = engine
        self.documents = documents
        self.fanout = fanout
        self.services = services
        self.sweeper = Sweeper()
        self.tasks = Tasks()
        self.open: set[Socket] = set()
        self.streams: set[Connected] = set()
        settings, are_bounded = services.settings, services.settings.rate_limits.are_on
        self.of_addresses = Seats(settings.sockets_per_address if are_bounded else None)
        self.of_users = Seats(settings.sockets_per_user if are_bounded else None)
        self._ends = Ends(self.clients)
        services.revocations.on_ended.append(self._ends.add)
        self.tally = protocol.Tally()
        # A stream is a connection with one subscription.
        services.meter.gauges |= {
            "connections": lambda: len(self.open) + len(self.streams),
            "subscriptions": lambda: self.tally.subscriptions + len(self.streams),
        }

    async def close(self) -> None:
        """End what is left."""
        self.services.revocations.on_ended.remove(self._ends.add)
        self._ends.close()
        self.sweeper.close()
        for client in self.clients():
            client.abort()
        await self.tasks.close()

    def clients(self) -> Sequence[Connected]:
        """Return everybody who stays connected."""
        return (*self.open, *self.streams)


class Outbox:
    """Frames that wait behind a write that the kernel has not taken yet: at most 256 of them or 1 MiB."""

    __slots__ = ("_bytes", "_frames", "_room", "blocked_at")

    def __init__(self, blocked_at: float) -> None:
        self.blocked_at = blocked_at  # since when nothing was taken
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._room: asyncio.Future[None] | None = None  # while somebody waits until it is half empty

    def __len__(self) -> int:
        return len(self._frames)

    def has_room(self, frame: bytes) -> bool:
        """Whether a frame may be put in."""
        return len(self._frames) < OUTBOX_FRAMES and self._bytes + len(frame) <= OUTBOX_BYTES

    def put(self, frame: bytes) -> None:
        """Take a frame."""
        self._frames.append(frame)
        self._bytes += len(frame)

    def get(self) -> bytes:
        """Return the oldest frame."""
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        if self._room is not None and self.is_half_empty:
            self.release()
        return frame

    def clear(self) -> None:
        """Drop everything."""
        self._frames.clear()
        self._bytes = 0
        self.release()

    async def half_empty(self) -> None:
        """Wait until less than half of it is used."""
        while not self.is_half_empty:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def release(self) -> None:
        """Let go whoever waits for room."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    @property
    def is_half_empty(self) -> bool:
        """Whether less than half of it is used."""
        return len(self._frames) < OUTBOX_FRAMES // 2 and self._bytes < OUTBOX_BYTES // 2


class Socket(asyncio.Protocol):
    """One client's connection, as uvicorn makes it of an HTTP one (`uvicorn.Config(ws=Socket)`)."""

    __slots__ = (
        "_address",
        "_attendant",
        "_claims",
        "_connection",
        "_gone_at",
        "_is_open",
        "_leave_by",
        "_notices",
        "_outbox",
        "_reader",
        "_seats",
        "_sockets",
        "_transport",
        "_window",
        "tick",
    )

    def __init__(self, *, app_state: dict[str, Any], **_: object) -> None:
        self.tick = -1  # the sweeper's
        self._sockets: Sockets = app_state["sockets"]
        self._transport: asyncio.Transport  # from `connection_made` on
        self._is_open = False  # whether the request was answered
        self._reader = frames.Reader()
        self._connection = protocol.Connection(time.monotonic(), self._sockets.tally)
        self._claims: Claims | None = None
        self._notices: SessionNotices | None = None  # until somebody subscribes to `session`
        self._attendant: Attendant | None = None  # of the presence; None while nobody is let in
        self._address = ""  # the client's, from the handshake on
        self._seats: tuple[tuple[Seats, str], ...] = ()  # that it takes
        self._window: Window | None = None  # of its operations; None before the first
        self._outbox: Outbox | None = None  # None while the kernel takes everything at once
        self._leave_by = math.inf  # when a client that is asked to leave is closed, whatever is being answered
        self._gone_at = math.inf  # when the connection is cut after the close frame

    # ------------------------------------------------------------ the connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is for a stream
        self._transport = transport
        transport.set_write_buffer_limits(0)  # so that `pause_writing` says when the kernel has not taken everything
        # The HTTP protocol and its parser hold each other, and with them the request, until a full garbage collection.
        asyncio.get_running_loop().call_soon(setattr, transport.get_protocol(), "parser", None)

    @override
    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._shake_hands(data)  # uvicorn has parsed the request and hands it over whole
            return
        for event in self._reader.receive(data):
            if self._gone_at != math.inf:
                return  # nothing may follow the close frame
            self._take(event)

    @override
    def pause_writing(self) -> None:
        self._outbox = Outbox(time.monotonic())
        self._look_in_time()

    @override
    def resume_writing(self) -> None:
        outbox, self._outbox = self._outbox, None
        while outbox:
            self._transport.write(outbox.get())
            if self._outbox is not None:  # `pause_writing` was called: not all of it was taken
                self._outbox = outbox
                outbox.blocked_at = time.monotonic()
                return
        if outbox is not None:
            outbox.release()
        if self._gone_at != math.inf:
            self._transport.write_eof()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def abort(self) -> None:
        """Cut the connection."""
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        """Let go of everything; nothing is sent or taken from here on."""
        self._gone_at = 0.0
        self._sockets.open.discard(self)
        self._sockets.sweeper.forget(self)
        for seats, name in self._seats:
            seats.leave(name)
        self._seats = ()
        if self._attendant is not None:
            self._sockets.services.attendance.disconnect(self._attendant)
            self._attendant = None
        if (close := self._connection.close(CloseCode.NORMAL, "")) is not None:
            self._stop(close.ended)
        self._notices = None  # its followers know this socket, and should not wait for a garbage collection
        if self._outbox is not None:
            self._outbox.clear()

    def _shake_hands(self, request: bytes) -> None:
        """Answer the HTTP request."""
        self._is_open = True
        services = self._sockets.services
        asked, peer = handshake.asked(request), self._transport.get_extra_info("peername")
        found = origin(
            peer[0] if isinstance(peer, tuple) else None,
            (asked.headers.get("x-forwarded-for", ""),),
            asked.headers.get(REQUEST_ID_HEADER),
            services.settings.trusted_proxies,
        )
        self._address = found.address
        reply = handshake.answer(
            asked,
            path=PATH,
            request_id=found.request_id,
            allowed_origins=services.settings.allowed_origins,
            is_refusing=services.health.draining or not self._sockets.engine.load.takes(Criticality.ARRIVING),
            has_seat=lambda: self._sit(self._sockets.of_addresses, found.address),
        )
        self._transport.write(reply.data)
        if not reply.is_accepted:
            self._gone_at = 0.0
            self._transport.close()
            return
        self._sockets.open.add(self)
        services.meter.count("opened")
        self._look_in_time()
        if not reply.speaks_protocol:
            self._close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")

    def _sit(self, seats: Seats, name: str) -> bool:
        """Take a seat until the end; return whether there was one."""
        is_seated = seats.take(name)
        if is_seated:
            self._seats = (*self._seats, (seats, name))
        return is_seated

    # ------------------------------------------------------------ time

    def sweep(self, now: float) -> float:
        """Do what is due: ping, or end what is silent, blocked, expired, or was told to leave."""
        if now >= self._gone_at:
            self.abort()
            return math.inf
        if self._seconds_left() <= 0:
            self._close(CloseCode.FORBIDDEN, "Token expired")
        elif now >= self._leave_by:
            self._close(CloseCode.DRAINING, "Restarting")
        elif self._outbox is not None and now >= self._outbox.blocked_at + BLOCKED_SECONDS:
            self._close_slow()
        else:
            for event in self._connection.on_timer(now):
                self._do(event)
            if self._claims is not None and self._notices is not None and self._notice_due() <= 0:
                self._spawn(self._notices.expiring(self._claims))
        return self._due()

    def _due(self) -> float:
        """Return when to look again."""
        if self._gone_at != math.inf:
            return self._gone_at
        return min(
            self._connection.deadline,
            time.monotonic() + min(self._seconds_left(), self._notice_due()),
            self._leave_by,
            math.inf if self._outbox is None else self._outbox.blocked_at + BLOCKED_SECONDS,
        )

    def _look_in_time(self) -> None:
        """Let the sweeper know that something may be due sooner than it was."""
        self._sockets.sweeper.watch(self, self._due())

    def _seconds_left(self) -> float:
        return seconds_left(self._claims)

    def _notice_due(self) -> float:
        return notice_due(self._claims, self._notices)

    def leave(self) -> None:
        """Send the client away to another process, after the queries and mutations that are being answered."""
        if self._connection.is_answering:
            self._leave_by = time.monotonic() + ANSWERING_SECONDS
            self._look_in_time()
        else:
            self._close(CloseCode.DRAINING, "Restarting")

    # ------------------------------------------------------------ the session

    @property
    def session_id(self) -> str | None:
        """The session that the client came with; None where it came with none."""
        return None if self._claims is None else self._claims.session_id

    def renewed(self, claims: Claims) -> None:
        """Go on with a newer token, if it is one of the same session; a slower renewal brings an older one."""
        current = self._claims
        if (
            current is not None
            and (current.user_id, current.session_id) == (claims.user_id, claims.session_id)
            and current.expires_at <= claims.expires_at
            and self._gone_at == math.inf
        ):
            self._claims = claims
            self._look_in_time()

    def signed_out(self) -> None:
        """Say nothing of the end of the session, for which this client has asked."""
        self._notices = None

    def revoke(self) -> None:
        """Close, because the session was ended; whoever follows it is told so before."""
        if self._gone_at != math.inf:
            return
        if self._outbox is not None:
            self._outbox.clear()  # nothing of it is for this client any more
        self._spawn(self._say_goodbye())

    async def _say_goodbye(self) -> None:
        try:
            if self._notices is not None:
                await self._notices.revoked()
        finally:
            self._close(CloseCode.FORBIDDEN, "Session ended")

    def _follow(self, follower: SessionFollower) -> None:
        self._notices = self._notices or SessionNotices()
        self._notices.add(follower)
        self._look_in_time()

    # ------------------------------------------------------------ the client's messages

    def _take(self, event: frames.Event) -> None:
        connection, answers = self._connection, list[protocol.Event]()
        match event:
            case frames.Text(data):
                answers = connection.receive_text(data, time.monotonic())
            case frames.Binary():
                answers = connection.receive_binary()
            case frames.Oversized(head):
                answers = connection.receive_oversized(head)
            case frames.Violation(reason):
                answers = connection.receive_violation(reason)
            case frames.Ping(data):
                self.write([frames.pong(data)])
            case frames.Closing(data):
                if (close := connection.close(CloseCode.NORMAL, "")) is not None:
                    self._finish(close, frames.closing(data))
        for answer_ in answers:
            self._do(answer_)

    def _do(self, event: protocol.Event) -> None:
        match event:
            case protocol.Send(data):
                self.send(data)
            case protocol.Init(payload):
                self._spawn(self._let_in(payload))
            case protocol.Subscribe(operation):
                if self._attendant is not None:
                    self._sockets.services.attendance.touch(self._attendant)
                operation.work = self._spawn(self._run(event))
            case protocol.Complete(operation):
                self._stop((operation,))
            case protocol.Close(code, reason):
                self._finish(event, frames.close(code, reason))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work for this client; when it fails the client may try again on another socket."""

        async def run() -> None:
            try:
                await work
            except Exception:
                _logger.exception("socket.failed")
                self.fail()

        task = self._sockets.tasks.spawn(run())
        task.add_done_callback(lambda _: work.close())  # where it was cancelled before it began
        return task

    async def _let_in(self, payload: dict[str, Any]) -> None:
        try:
            token = _token(payload)
            if token is not None:
                self._claims = await self._sockets.services.sessions.authenticate(token, clock.now())
        except TokenExpired:
            self._close(CloseCode.FORBIDDEN, "Token expired")
        except Unauthenticated:
            self._close(CloseCode.FORBIDDEN, "Forbidden")
        else:
            claims = self._claims if self._gone_at == math.inf else None
            if claims is not None and not self._sit(self._sockets.of_users, claims.user_id):
                self._close(CloseCode.TRY_AGAIN_LATER, "Too many sockets")
            ack = self._connection.ack()
            if ack is not None:
                if self._claims is not None:
                    attendance = self._sockets.services.attendance
                    self._attendant = attendance.connect(self._claims.user_id, self._claims.session_id)
                self.send(ack)
                self._look_in_time()

    # ------------------------------------------------------------ operations

    async def _run(self, request: protocol.Subscribe) -> None:
        """Answer a query or a mutation, or bring a subscription to where it is live."""
        operation, began, meter = request.operation, time.perf_counter(), self._sockets.services.meter
        client, status = _Answer(self, operation), 200
        try:
            await self._answer(request, client)
        except RequestRefused as refused:
            found = codes(refused.errors)
            meter.errors(found)
            status = _STATUSES.get(found[0], 400)
            client.error(refused.errors)
        meter.answered(status, milliseconds_since(began))
        if self._leave_by != math.inf and not self._connection.is_answering:
            self._close(CloseCode.DRAINING, "Restarting")

    async def _answer(self, request: protocol.Subscribe, client: "_Answer") -> None:
        sockets, request_id = self._sockets, new_request_id()
        self._window = self._window or Window()
        allowance = Allowance(sockets.services.limits, caller(self._claims, self._address), self._window)
        try:
            operation = await admission.admitted(
                sockets.engine, sockets.documents, request.asked, self._claims, allowance
            )
        except (Overloaded, RateLimited) as refused:
            error = formatted(GraphQLError(refused.message, original_error=refused), request_id)
            raise RequestRefused([error]) from None
        # What subscribers share outlives the socket of the first of them, and must not keep it.
        line = None if operation.is_subscription else self
        context = Context(sockets.services, self._claims, line, allowance)
        self._refuse_strangers(operation)
        if not operation.is_subscription:
            response = await sockets.engine.execute(operation, request.asked.variables, context, request_id)
            client.answer(orjson.dumps(response))
        elif (refusal := request.operation.subscribe()) is not None:
            sockets.services.meter.errors(["RATE_LIMITED"])
            self.send(refusal)
        else:
            reader = await sockets.fanout.subscribe(operation, request.asked.variables, context, client, request_id)
            if request.operation.active:
                request.operation.work = reader
                if isinstance(reader, SessionFollower):
                    self._follow(reader)
            elif reader is not None:
                reader.cancel()  # its last replayed entry was one too many for the client

    def _refuse_strangers(self, operation: Operation) -> None:
        """A socket without a token may ask for what is public only."""
        if self._claims is not None:
            return
        if not operation.fields <= PUBLIC_FIELDS:
            message = "Sign in and send the access token in the payload of `connection_init`."
            raise RequestRefused([{"message": message, "extensions": {"code": "UNAUTHENTICATED", "retryable": False}}])

    def _stop(self, operations: tuple[protocol.Operation, ...]) -> None:
        """End the work on operations that have ended."""
        for operation in operations:
            if operation.work is not None:
                operation.work.cancel()
                operation.work = None  # they know each other, and should not wait for a garbage collection

    # ------------------------------------------------------------ to the client

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.write([frames.text(message)])

    def write(self, run: list[bytes]) -> None:
        """Send frames by one call to the kernel, or queue them behind what it has not taken yet.

        A client that leaves no room for them is closed, and its cursor heals it.
        """
        if self._outbox is None:
            self._transport.write(b"".join(run))
            return
        for frame in run:
            if not self._outbox.has_room(frame):
                self._close_slow()
                return
            self._outbox.put(frame)

    @property
    def is_crowded(self) -> bool:
        """Whether half of the outbox is used."""
        return self._outbox is not None and not self._outbox.is_half_empty

    async def drained(self) -> None:
        """Wait until there is room for more."""
        if self._outbox is not None:
            await self._outbox.half_empty()

    def fail(self) -> None:
        """Close because of an error of ours; another socket may have more luck."""
        self._close(CloseCode.TRY_AGAIN_LATER, "Something went wrong")

    def _close_slow(self) -> None:
        assert self._outbox is not None
        self._outbox.clear()
        self._close(CloseCode.TRY_AGAIN_LATER, "Too slow")

    def _close(self, code: CloseCode, reason: str) -> None:
        if (close := self._connection.close(code, reason)) is not None:
            self._finish(close, frames.close(close.code, close.reason))

    def _finish(self, close: protocol.Close, frame: bytes) -> None:
        """Send the last frame, and end the connection whether or not the client answers."""
        self._sockets.services.meter.count("closed", str(int(close.code)))
        self._stop(close.ended)
        self._gone_at = time.monotonic() + GOODBYE_SECONDS
        self._look_in_time()
        if self._outbox is None:
            self._transport.write(frame)
        else:
            self._outbox.put(frame)
            self._outbox.release()
        if self._outbox is None:
            # Half closed, so that the client sees the end at once; cut while it still sends, the frame might be lost.
            self._transport.write_eof()


def seconds_left(claims: Claims | None) -> float:
    """Return how long a client may stay with its token."""
    if claims is None:
        return math.inf
    return (claims.expires_at - clock.now()).total_seconds() + EXPIRY_GRACE_SECONDS


def notice_due(claims: Claims | None, notices: SessionNotices | None) -> float:
    """Return in how many seconds somebody is to be told of the end of the token."""
    if claims is None or notices is None:
        return math.inf
    return notices.due(claims, seconds_left(claims) - EXPIRY_GRACE_SECONDS)


class _Answer:
    """Where the results of one operation go."""

    __slots__ = ("_operation", "_socket")

    def __init__(self, socket: Socket, operation: protocol.Operation) -> None:
        self._socket = socket
        self._operation = operation

    def next(self, results: list[frames.SharedText]) -> None:
        if self._operation.active:
            head = self._operation.next_head
            self._socket.write([result.frame(head) for result in results])

    def answer(self, payload: bytes) -> None:
        """Send the only result."""
        for message in (self._operation.next(payload), self._operation.complete()):
            if message is not None:
                self._socket.send(message)

    def complete(self) -> None:
        self._operation.work = None
        if (message := self._operation.complete()) is not None:
            self._socket.send(message)

    def error(self, errors: Errors) -> None:
        if (message := self._operation.error(orjson.dumps(errors))) is not None:
            self._socket.send(message)

    def fail(self) -> None:
        self._socket.fail()

    @property
    def is_crowded(self) -> bool:
        return self._socket.is_crowded

    async def drained(self) -> None:
        await self._socket.drained()


def _token(payload: dict[str, Any]) -> str | None:
    """Return the bearer token of a `connection_init` payload, None where there is none.

    Raises:
        Unauthenticated: `Authorization` is something else.
    """
    value = next((value for key, value in payload.items() if key.lower() == "authorization"), None)
    if value is None or value == "":
        return None
    scheme, _, token = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("`Authorization` must be `Bearer <access token>`.")
    return str(token.strip())
