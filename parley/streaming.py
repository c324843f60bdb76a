"""Subscriptions as server-sent events, for clients whose proxies take no WebSockets: each is one answer that goes on.

The protocol is the distinct connections mode of graphql-sse. A stream that ends without a `complete` is to be asked for
again: the process stops, the token is over, or the client is too slow. Its cursor heals it, as on sockets.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, override

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from parley import admission
from parley.asked import Asked
from parley.execution import Errors, Operation, RequestRefused, codes
from parley.fanout import Subscriber
from parley.frames import SharedText
from parley.http import Answer, GraphQLOverHTTP, Sendable
from parley.media_types import EVENT_STREAM_TYPE
from parley.protocol import NEXT_TAIL, PING_SECONDS, Work
from parley.requests import Origin
from parley.session_notices import SessionFollower, SessionNotices
from parley.transport import BLOCKED_SECONDS, Outbox, Sockets, notice_due, seconds_left
from resolvers.context import Context, caller

PATH: Final = "/graphql/stream"
STREAMS: Final = 50  # at once of one session, or of an address without one
_COMPLETE: Final = b"event: complete\ndata: \n\n"
_STILL_HERE: Final = b":\n\n"
_HEADERS: Final = {
    "content-type": f"{EVENT_STREAM_TYPE}; charset=utf-8",
    "cache-control": "no-store",
    "vary": "Accept",
    "x-accel-buffering": "no",  # nginx would wait for more
}

_logger = structlog.get_logger()


class Streams(GraphQLOverHTTP):
    """Answers any operation with a stream of its results."""

    offered: ClassVar[tuple[str, ...]] = (EVENT_STREAM_TYPE,)

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(sockets.engine, sockets.documents, sockets.services)
        self._sockets = sockets
        self._open: Counter[str] = Counter()  # by whose they are

    @override
    async def _run(
        self, method: str, request: Asked, context: Context, origin: Origin, media_type: str | None
    ) -> Sendable:
        if self._services.health.draining:
            return Answer.refusal("This process stops. Ask again.", "UNAVAILABLE", 503, **{"retry-after": "1"})
        stream = Stream(self._sockets, context)
        try:
            operation = await admission.admitted(
                self._engine, self._documents, request, context.claims, context.allowance
            )
            if operation.is_mutation and method != "POST":
                return Answer.refusal("Mutations need POST.", "BAD_USER_INPUT", 405, allow="POST")
            if not operation.is_subscription:
                result = await self._engine.execute(operation, request.variables, context, origin.request_id)
                stream.answer(result)
                return stream
        except RequestRefused as refused:
            self._services.meter.errors(codes(refused.errors))
            stream.error(refused.errors)
            return stream
        whose = context.claims.session_id if context.claims else caller(None, origin.address).name
        if self._open[whose] >= STREAMS:
            extensions = {"code": "RATE_LIMITED", "retryable": True}
            self._services.meter.errors(["RATE_LIMITED"])
            stream.error([{"message": f"More than {STREAMS} streams at once", "extensions": extensions}])
            return stream
        self._open[whose] += 1
        stream.follow(self._subscribed(stream, operation, request, origin), lambda: self._left(whose))
        return stream

    async def _subscribed(self, stream: "Stream", operation: Operation, request: Asked, origin: Origin) -> None:
        # What subscribers share outlives the first of them, and must not keep it.
        context = Context(self._services, stream.claims)
        reader = await self._sockets.fanout.subscribe(operation, request.variables, context, stream, origin.request_id)
        stream.serve(reader)

    def _left(self, whose: str) -> None:
        self._open -= Counter((whose,))


class Stream(Subscriber):
    """One answer that goes on."""

    def __init__(self, sockets: Sockets, context: Context) -> None:
        self.tick = -1  # the sweeper's
        self.headers = dict(_HEADERS)
        self.claims = context.claims
        self._sockets = sockets
        self._outbox = Outbox(math.inf)  # what is not sent yet; blocked since the oldest write that is under way began
        self._ping_at = math.inf
        self._ended = False  # whether nothing is to follow what is in the outbox
        self._news = asyncio.Event()
        self._work: Work | None = None  # what serves it; None before and after
        self._notices: SessionNotices | None = None  # until somebody subscribes to `session`
        self._serving: Coroutine[Any, Any, None] | None = None  # what will serve it
        self._sending: asyncio.Task[Any] | None = None
        self._left: Callable[[], None] = _nobody_left  # to be called at the end
        self._is_cut = False

    @property
    def session_id(self) -> str | None:
        """The session that the client came with; None where it came with none."""
        return None if self.claims is None else self.claims.session_id

    # ------------------------------------------------------------ the connection

    def follow(self, serving: Coroutine[Any, Any, None], left: Callable[[], None]) -> None:
        """Serve it by this work as soon as it is sent."""
        self._serving, self._left = serving, left

    def serve(self, reader: Work | None) -> None:
        """Go on with what brings the results from now on."""
        if reader is None or self._ended:
            if reader is not None:
                reader.cancel()
            return
        self._work = reader
        if isinstance(reader, SessionFollower):
            self._notices = self._notices or SessionNotices()
            self._notices.add(reader)
            self._look_in_time()

    async def send(self, _scope: Scope, receive: Receive, send: Send, _media_type: str) -> None:
        """Send what there is until it ends or the client leaves."""
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        attendance, attendant = self._sockets.services.attendance, None
        leaving = asyncio.create_task(self._watch(receive))
        self._sending = asyncio.current_task()
        if self._serving is not None:
            self._sockets.streams.add(self)
            self._ping_at = time.monotonic() + PING_SECONDS
            if self.claims is not None:
                attendant = attendance.connect(self.claims.user_id, self.claims.session_id)
            self._work = self._spawn(self._serving)
            self._look_in_time()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            while not self._ended or self._outbox:
                await self._news.wait()
                self._news.clear()
                while self._outbox:
                    self._outbox.blocked_at = time.monotonic()
                    await send({"type": "http.response.body", "body": self._outbox.get(), "more_body": True})
                    self._outbox.blocked_at = math.inf
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if not self._is_cut:  # else the server closes the connection of an answer that has no end
                raise
        finally:
            leaving.cancel()
            self._end()
            self._outbox.clear()
            self._sockets.sweeper.forget(self)
            self._sockets.streams.discard(self)
            self._notices = None
            if attendant is not None:
                attendance.disconnect(attendant)
            self._left()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._outbox.clear()
        self._end()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            except Exception:
                _logger.exception("stream.failed")
                self.fail()

        return self._sockets.tasks.spawn(run())

    def _put(self, data: bytes) -> None:
        if self._ended:
            return
        if not self._outbox.has_room(data):
            self._outbox.clear()
            self._end()
        else:
            self._outbox.put(data)
        self._news.set()

    def _end(self) -> None:
        """Let nothing follow; whatever served it is stopped."""
        self._ended = True
        self._news.set()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    # ------------------------------------------------------------ results

    @override
    def next(self, results: list[SharedText]) -> None:
        self._put(b"".join(_event(result.rest[: -len(NEXT_TAIL)]) for result in results))

    def answer(self, result: dict[str, Any]) -> None:
        """Send the only result."""
        self._put(_event(orjson.dumps(result)))
        self.complete()

    @override
    def complete(self) -> None:
        self._put(_COMPLETE)
        self._end()

    @override
    def error(self, errors: Errors) -> None:
        self.answer({"errors": errors})

    @override
    def fail(self) -> None:
        self._end()

    @override
    async def drained(self) -> None:
        await self._outbox.half_empty()

    @property
    @override
    def is_crowded(self) -> bool:
        return not self._outbox.is_half_empty

    # ------------------------------------------------------------ time, and the session

    def sweep(self, now: float) -> float:
        """Do what is due: say that it is still here, or end what is blocked or expired."""
        if now >= self._outbox.blocked_at + BLOCKED_SECONDS:
            self.abort()
            return math.inf
        if seconds_left(self.claims) <= 0:
            self._end()
            return self._outbox.blocked_at + BLOCKED_SECONDS
        if now >= self._ping_at:
            self._ping_at = now + PING_SECONDS
            self._put(_STILL_HERE)
        if self.claims is not None and self._notices is not None and notice_due(self.claims, self._notices) <= 0:
            self._spawn(self._notices.expiring(self.claims))
        return self._due()

    def _due(self) -> float:
        # A write may begin to block at any time: so it is looked for.
        blocked = time.monotonic() if self._outbox.blocked_at == math.inf else self._outbox.blocked_at
        soonest = time.monotonic() + min(seconds_left(self.claims), notice_due(self.claims, self._notices))
        return min(blocked + BLOCKED_SECONDS, self._ping_at, soonest)

    def _look_in_time(self) -> None:
        self._sockets.sweeper.watch(self, self._due())

    def leave(self) -> None:
        """Send the client away to another process."""
        self._end()

    def revoke(self) -> None:
        """End, because the session was ended; whoever follows it is told so before."""
        if not self._ended:
            self._outbox.clear()  # nothing of it is for this client any more
            self._spawn(self._say_goodbye())

    async def _say_goodbye(self) -> None:
        try:
            if self._notices is not None:
                await self._notices.revoked()
        finally:
            self._end()

    def abort(self) -> None:
        """Cut the connection."""
        self._end()
        self._outbox.clear()
        if self._sending is not None:
            self._is_cut = True
            self._sending.cancel()


def _nobody_left() -> None:
    """Count nothing: it was not counted."""


def _event(payload: bytes) -> bytes:
    return b"event: next\ndata: " + payload + b"\n\n"
