"""graphql-transport-ws over ASGI: one socket's tasks, its bounded outbox, and who may stay."""

import asyncio
import math
import time
from collections import deque
from functools import partial
from typing import Any

import orjson
import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from ulid import ULID

from parley import protocol
from parley.execution import Engine, Errors, Operation, RequestRefused
from parley.fanout import Fanout
from parley.protocol import CloseCode
from resolvers.context import Context
from services.clock import now
from services.errors import TokenExpired, Unauthenticated
from services.services import Services
from services.tokens import Claims

OUTBOX_FRAMES = 256
OUTBOX_BYTES = 1024 * 1024
BLOCKED_SECONDS = 10.0  # a write that takes longer belongs to a reader that is gone or far too slow
GOODBYE_SECONDS = 1.0
EXPIRY_GRACE_SECONDS = 5.0
LOOK_SECONDS = 5.0  # deadlines move with every message, so a socket looks again at least this often
PUBLIC_FIELDS = frozenset({"health", "__schema", "__type", "__typename"})

_logger = structlog.get_logger()


class _Outbox:
    """Frames that wait for the client, at most 256 of them or 1 MiB."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._nothing = asyncio.Event()
        self._nothing.set()

    def put(self, frame: bytes) -> bool:
        """Take a frame; False when there is no room for it."""
        if len(self._frames) >= OUTBOX_FRAMES or self._bytes + len(frame) > OUTBOX_BYTES:
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) >= OUTBOX_FRAMES // 2 or self._bytes >= OUTBOX_BYTES // 2:
            self._room.clear()
        self._filled.set()
        self._nothing.clear()
        return True

    async def get(self) -> bytes:
        """Return the oldest frame as soon as there is one."""
        if not self._frames:
            self._nothing.set()
            self._filled.clear()
            await self._filled.wait()
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        if len(self._frames) < OUTBOX_FRAMES // 2 and self._bytes < OUTBOX_BYTES // 2:
            self._room.set()
        return frame

    async def empty(self) -> None:
        """Wait until nothing is left in it."""
        await self._nothing.wait()

    async def half_empty(self) -> None:
        """Wait until less than half of it is used."""
        await self._room.wait()


class Transport:
    """Accepts sockets and serves them."""

    def __init__(self, engine: Engine, fanout: Fanout, services: Services) -> None:
        self.engine = engine
        self.fanout = fanout
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until either side ends it."""
        socket = WebSocket(scope, receive, send)
        if not self._may_come_from(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close()  # before it is accepted: HTTP 403
            return
        if protocol.SUBPROTOCOL not in scope["subprotocols"]:
            await socket.accept()
            await socket.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        await socket.accept(protocol.SUBPROTOCOL)
        await _Socket(self, socket).serve()

    def _may_come_from(self, origin: str | None, host: str | None) -> bool:
        """Browsers name the page's origin; a page elsewhere may come only where the operator allows it."""
        if origin is None:
            return True
        allowed = self.services.settings.allowed_origins
        return "*" in allowed or origin in allowed or origin.partition("://")[2] == host


class _Socket:
    """One accepted socket."""

    def __init__(self, transport: Transport, socket: WebSocket) -> None:
        self._transport = transport
        self._socket = socket
        self._connection = protocol.Connection(time.monotonic())
        self._outbox = _Outbox()
        self._operations: dict[protocol.Operation, asyncio.Task[None]] = {}
        self._claims: Claims | None = None
        self._closing: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Run the socket's tasks; the first that ends ends all."""
        ending: list[asyncio.Task[None]] = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write()),
            asyncio.create_task(self._keep()),
        ]
        try:
            first: set[asyncio.Future[Any]] = {*ending, self._closing}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done():
                await self._say_goodbye(*self._closing.result())
        finally:
            self._connection.close(CloseCode.NORMAL, "")
            tasks = [*ending, *self._operations.values()]
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    _logger.error("socket.failed", exc_info=outcome)

    # ------------------------------------------------------------ the client's messages

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                events = self._connection.receive_binary()
            else:
                events = self._connection.receive_text(text, time.monotonic())
            await self._handle(events)

    async def _keep(self) -> None:
        """Ping, and end what is silent or whose token ran out."""
        while True:
            left = self._seconds_left()
            if left <= 0:
                self._close(CloseCode.FORBIDDEN, "Token expired")
                return
            await asyncio.sleep(max(0.0, min(self._connection.deadline - time.monotonic(), left, LOOK_SECONDS)))
            await self._handle(self._connection.on_timer(time.monotonic()))

    def _seconds_left(self) -> float:
        """Return how long this client may stay with its token."""
        if self._claims is None:
            return math.inf
        return (self._claims.expires_at - now()).total_seconds() + EXPIRY_GRACE_SECONDS

    async def _handle(self, events: list[protocol.Event]) -> None:
        for event in events:
            match event:
                case protocol.Send(data):
                    self.send(data)
                case protocol.Init(payload):
                    await self._let_in(payload)
                case protocol.Subscribe(operation):
                    task = asyncio.create_task(self._run(event))
                    self._operations[operation] = task
                    task.add_done_callback(partial(self._forget, operation))
                case protocol.Complete(operation):
                    if operation in self._operations:
                        self._operations[operation].cancel()
                case protocol.Close(code, reason):
                    self._finish(code, reason)

    async def _let_in(self, payload: dict[str, Any]) -> None:
        try:
            token = _token(payload)
            if token is not None:
                self._claims = await self._transport.services.sessions.authenticate(token, now())
        except TokenExpired:
            self._close(CloseCode.FORBIDDEN, "Token expired")
        except Unauthenticated:
            self._close(CloseCode.FORBIDDEN, "Forbidden")
        else:
            ack = self._connection.ack()
            if ack is not None:
                self.send(ack)

    # ------------------------------------------------------------ operations

    async def _run(self, request: protocol.Subscribe) -> None:
        answer = _Answer(self, request.operation)
        request_id = str(ULID())
        context = Context(self._transport.services, self._claims)
        try:
            operation = self._transport.engine.operation(request.query, request.operation_name)
            self._refuse_strangers(operation)
            if operation.is_subscription:
                refusal = request.operation.subscribe()
                if refusal is not None:
                    self.send(refusal)
                    return
                await self._transport.fanout.run(operation, request.variables, context, answer, request_id)
            else:
                response = await self._transport.engine.execute(operation, request.variables, context, request_id)
                answer.next(orjson.dumps(response))
                answer.complete()
        except RequestRefused as refused:
            answer.error(refused.errors)

    def _refuse_strangers(self, operation: Operation) -> None:
        """A socket without a token may ask for what is public only."""
        if self._claims is not None:
            return
        names = {
            getattr(getattr(node, "name", None), "value", "") for node in operation.definition.selection_set.selections
        }
        if not names <= PUBLIC_FIELDS:
            message = "Sign in and send the access token in the payload of `connection_init`."
            raise RequestRefused([{"message": message, "extensions": {"code": "UNAUTHENTICATED", "retryable": False}}])

    def _forget(self, operation: protocol.Operation, task: asyncio.Task[None]) -> None:
        del self._operations[operation]
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("operation.failed", exc_info=error)
            self._close(CloseCode.TRY_AGAIN_LATER, "Something went wrong")

    def stop(self, operation: protocol.Operation) -> None:
        """End the work on an operation that has ended."""
        task = self._operations.get(operation)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    # ------------------------------------------------------------ to the client

    def send(self, frame: bytes) -> None:
        """Queue a frame; a client that leaves no room for it is closed, and its cursor heals it."""
        if not self._closing.done() and not self._outbox.put(frame):
            self._close(CloseCode.TRY_AGAIN_LATER, "Too slow")

    async def drained(self) -> None:
        """Wait until there is room for more."""
        await self._outbox.half_empty()

    async def _write(self) -> None:
        while True:
            frame = await self._outbox.get()
            try:
                async with asyncio.timeout(BLOCKED_SECONDS):
                    await self._socket.send_text(frame.decode())
            except TimeoutError:
                self._close(CloseCode.TRY_AGAIN_LATER, "Too slow")
                return
            except WebSocketDisconnect:
                return

    def _close(self, code: CloseCode, reason: str) -> None:
        if (close := self._connection.close(code, reason)) is not None:
            self._finish(close.code, close.reason)

    def _finish(self, code: CloseCode, reason: str) -> None:
        if not self._closing.done():
            self._closing.set_result((code, reason))

    async def _say_goodbye(self, code: int, reason: str) -> None:
        """Send what is queued as far as the client takes it at once, then the close frame."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._outbox.empty()
                await self._socket.close(code, reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            pass  # the client has gone already


class _Answer:
    """Where the results of one operation go."""

    def __init__(self, socket: _Socket, operation: protocol.Operation) -> None:
        self._socket = socket
        self._operation = operation

    def next(self, payload: bytes) -> None:
        frame = self._operation.next(payload)
        if frame is not None:
            self._socket.send(frame)

    def complete(self) -> None:
        self._end(self._operation.complete())

    def error(self, errors: Errors) -> None:
        self._end(self._operation.error(orjson.dumps(errors)))

    async def drained(self) -> None:
        await self._socket.drained()

    def _end(self, frame: bytes | None) -> None:
        if frame is not None:
            self._socket.send(frame)
        self._socket.stop(self._operation)


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
