"""One event, one execution: subscribers with equal operations share each event's result.

A room is a conversation with subscribers in this process. Its groups are the different operations; each entry of the
log is executed once for a group, and each subscriber gets the same bytes behind the head of its own operation. A
subscriber that is behind replays the log by itself and joins the others where they are.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog
from graphql import GraphQLError
from graphql.execution import Executor
from pymongo.errors import PyMongoError
from ulid import ULID

from parley.execution import Engine, Operation, RequestRefused, formatted
from resolvers.context import Context, SharedContext
from services.entries import Entry, MemberRemoved, MessageChange
from services.errors import ChatError
from services.log import Log
from services.services import Services
from services.streams import CaughtUp, ConversationStream, Update
from services.tasks import Tasks

RETRY_SECONDS = 0.5
RUN = 64  # entries that are taken from the log at a time
RENDERED = 256  # results that a group keeps for those who replay

_logger = structlog.get_logger()


class Subscriber(Protocol):
    """Where the results of one subscription go."""

    def next(self, payload: bytes) -> None:
        """Send a result; never waits."""

    def complete(self) -> None:
        """Say that nothing follows."""

    def error(self, errors: list[dict[str, Any]]) -> None:
        """Say why it cannot go on."""

    async def drained(self) -> None:
        """Wait until there is room for more results."""


@dataclass(slots=True, eq=False)
class _Group:
    """Subscribers of one room whose results are equal."""

    engine: Engine
    executor: Executor[Any]
    context: Context
    live: set["_Reader"] = field(default_factory=set)
    readers: int = 0
    _rendered: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    async def render(self, update: Update) -> bytes:
        """Return the result for an update; that of an entry is made once."""
        if not isinstance(update, Entry):
            return await self._execute(update)
        rendered = self._rendered
        payload = rendered.get(update.sequence)
        if payload is None:
            payload = rendered[update.sequence] = await self._execute(update)
            if len(rendered) > RENDERED:
                rendered.popitem(last=False)
        return payload

    def forget(self) -> None:
        """Keep no result that was made before now, nor one that is being made: a message in it has changed."""
        self._rendered = OrderedDict()

    async def _execute(self, update: Update) -> bytes:
        async def execute() -> bytes:
            # A context for each event: a loader that outlived it would serve old values.
            context = type(self.context)(self.context.services, self.context.claims)
            return await self.engine.event(self.executor, context, update, str(ULID()))

        return await _patiently(execute)


@dataclass(slots=True, eq=False)
class _Reader:
    """One subscriber's place in the room's log."""

    subscriber: Subscriber
    viewer_id: str
    group: _Group
    position: int
    ended: bool = False

    def deliver(self, entry: Entry, payload: bytes) -> None:
        """Send an entry's result unless it came already; the entry that removes the viewer is the last."""
        if entry.sequence <= self.position:
            return
        self.position = entry.sequence
        self.subscriber.next(payload)
        if isinstance(entry, MemberRemoved) and entry.user_id == self.viewer_id:
            self.ended = True
            self.group.live.discard(self)
            self.subscriber.complete()


class _Room:
    """A conversation's subscribers in this process."""

    def __init__(self, tasks: Tasks) -> None:
        self.groups: dict[tuple[object, ...], _Group] = {}
        self.position = 0
        self.readers = 0
        self._tasks = tasks
        self._log: Log | None = None
        self._telling: asyncio.Task[None] | None = None

    def enter(self, log: Log) -> None:
        """Follow the log from where it is now, if nobody has done so yet."""
        if self._log is None:
            self._log = log
            self.position = log.sequence

    def wake(self) -> None:
        """Tell the subscribers what is new."""
        if self._log is not None and self._telling is None and self.position < self._log.sequence:
            self._telling = self._tasks.spawn(self._tell())

    async def replay(self, reader: _Reader, log: Log) -> None:
        """Bring a reader to where the others are: the past, `CaughtUp`, then live."""
        caught_up = False
        while not reader.ended:
            if reader.position >= self.position:
                if caught_up:
                    reader.group.live.add(reader)
                    return
                # It takes a moment in which the room may move on: what came is replayed before the reader is live.
                notice = CaughtUp(log.conversation_id, reader.position)
                reader.subscriber.next(await reader.group.render(notice))
                caught_up = True
                continue
            limit = min(RUN, self.position - reader.position)
            entries = await _patiently(partial(log.entries, reader.position, limit))
            control = log.state.control
            for entry in entries:
                await reader.subscriber.drained()
                if log.state.control > control:
                    break  # a message among the rest may have been deleted meanwhile: they are taken again
                reader.deliver(entry, await reader.group.render(entry))
                if reader.ended:
                    return

    async def _tell(self) -> None:
        assert self._log is not None
        try:
            while self.position < self._log.sequence:
                for entry in await _patiently(partial(self._log.entries, self.position, RUN)):
                    await self._tell_all(entry)
        finally:
            self._telling = None

    async def _tell_all(self, entry: Entry) -> None:
        if isinstance(entry, MessageChange):
            for group in self.groups.values():
                group.forget()
        payloads: dict[_Group, bytes] = {}
        while missing := [group for group in self.groups.values() if group.live and group not in payloads]:
            for group in missing:
                payloads[group] = await group.render(entry)
        # No wait from here on: who is live now is live at exactly the entry before this one.
        for group, payload in payloads.items():
            for reader in tuple(group.live):
                reader.deliver(entry, payload)
        self.position = entry.sequence


async def _patiently[T](work: Callable[[], Awaitable[T]]) -> T:
    """Do something for subscribers that needs MongoDB: while it is away they wait, so that nothing is left out."""
    while True:
        try:
            return await work()
        except PyMongoError as error:
            _logger.warning("room.waiting", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)


class Fanout:
    """The rooms of this process."""

    def __init__(self, engine: Engine, services: Services) -> None:
        self._engine = engine
        self._services = services
        self._rooms: dict[str, _Room] = {}
        self._tasks = Tasks()

    async def close(self) -> None:
        """End what is still being told."""
        await self._tasks.close()

    async def run(
        self,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        subscriber: Subscriber,
        request_id: str,
    ) -> None:
        """Serve one subscription until it ends or this is cancelled."""
        try:
            executor = self._engine.executor(operation, variables, context)
            stream = await self._engine.open_stream(executor, request_id)
            async with self._room(stream) as (room, log):
                start = await self._services.streams.start(stream, log)
                async with self._group(room, operation, variables, context, executor) as group:
                    reader = _Reader(subscriber, stream.viewer_id, group, start.sequence)
                    try:
                        if start.notice is not None:
                            subscriber.next(await group.render(start.notice))
                        await room.replay(reader, log)
                        if not reader.ended:
                            await asyncio.Event().wait()
                    finally:
                        reader.ended = True
                        group.live.discard(reader)
        except RequestRefused as refused:
            subscriber.error(refused.errors)
        except (ChatError, PyMongoError) as error:
            subscriber.error([formatted(GraphQLError(str(error), original_error=error), request_id)])

    @asynccontextmanager
    async def _room(self, stream: ConversationStream) -> AsyncIterator[tuple[_Room, Log]]:
        room = self._rooms.get(stream.conversation_id)
        if room is None:
            room = self._rooms[stream.conversation_id] = _Room(self._tasks)
        room.readers += 1
        try:
            async with self._services.streams.feeds.watch(stream.conversation_id, room.wake) as log:
                room.enter(log)
                yield room, log
        finally:
            room.readers -= 1
            if not room.readers:
                self._rooms.pop(stream.conversation_id, None)

    @asynccontextmanager
    async def _group(
        self,
        room: _Room,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        executor: Executor[Any],
    ) -> AsyncIterator[_Group]:
        share = operation.sharing
        key = share.key(operation.query, operation.name, variables, context.viewer_id)
        group = room.groups.get(key)
        if group is None:
            shared = context if share.viewer else SharedContext(context.services, None)
            group = room.groups[key] = _Group(self._engine, executor, shared)
        group.readers += 1
        try:
            yield group
        finally:
            group.readers -= 1
            if not group.readers:
                room.groups.pop(key, None)
