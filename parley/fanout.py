"""One event, one execution: subscribers with equal operations share each event's result.

A room is a conversation with subscribers in this process. Its groups are the different operations; each entry of the
log is executed once for a group, and each subscriber gets the same bytes behind the head of its own operation. A
subscriber that is behind replays the log by itself and joins the others where they are; from then on it is an entry in
its group and nothing else: no task waits for it, and it ends by a call.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog
from graphql import GraphQLError
from graphql.execution import Executor
from pymongo.errors import PyMongoError

from parley.alert_follower import AlertFollower
from parley.execution import Engine, Operation, RequestRefused, codes, formatted, milliseconds_since
from parley.frames import SharedText
from parley.inbox import Inbox
from parley.lanes import Reader as LatestReader
from parley.latest import Latest
from parley.protocol import NEXT_TAIL
from parley.requests import new_request_id
from parley.samples import Sampler
from parley.session_notices import SessionFollower
from resolvers.context import Context, SharedContext
from services.alerts import AlertStream
from services.clock import now
from services.entries import Entry, MemberRemoved
from services.errors import ChatError
from services.failures import described
from services.feeds import Feeds
from services.log import Log
from services.meter import Meter
from services.receipts import WatchedReceipts
from services.services import Services
from services.session_notices import SessionStream
from services.streams import CaughtUp, ConversationStream, MetricsStream, PresenceStream, TypingStream, Update
from services.tasks import Tasks
from services.tracing import SpanKind, continued, traced

RETRY_SECONDS = 0.5
RUN = 64  # entries that are taken from the log at a time by who is behind
RUN_BYTES = 64 * 1024  # of results that are sent at once to who is behind
LIVE_RUN = 16  # entries that came together and are sent at once: the first waits for the last one's execution
RENDERED = 256  # results that a group keeps for those who replay
DELIVERIES = 500  # made before the event loop may do something else: about 2 ms

_logger = structlog.get_logger()


class Subscriber(Protocol):
    """Where the results of one subscription go."""

    def next(self, results: list[SharedText]) -> None:
        """Send some results; never waits."""

    def complete(self) -> None:
        """Say that nothing follows."""

    def error(self, errors: list[dict[str, Any]]) -> None:
        """Say why it cannot go on."""

    def fail(self) -> None:
        """Close, so that the client comes back with its cursor: a result could not be made."""

    async def drained(self) -> None:
        """Wait until there is room for more results."""

    @property
    def is_crowded(self) -> bool:
        """Whether there is no room for what may be left out."""


@dataclass(slots=True, eq=False)
class _Group:
    """Subscribers of one room whose results are equal."""

    key: tuple[object, ...]
    engine: Engine
    executor: Executor[Any]
    context: Context
    room: "_Room"
    tasks: Tasks
    live: dict["Reader", None] = field(default_factory=dict)  # in the order in which they came
    readers: int = 0
    shows_receipts: bool = False  # whether results depend on them
    _as_of: tuple[int, int] = (0, 0)  # the control entry and the receipts as of which the kept results were made
    _rendered: OrderedDict[object, asyncio.Future[SharedText]] = field(default_factory=OrderedDict)

    async def render(self, update: Update) -> SharedText:
        """Return the result for an update; it is made once, however many ask for it."""
        as_of = (self.room.log.state.control, self.room.receipts.version if self.shows_receipts else 0)
        if as_of > self._as_of:
            # A message in them may have changed, or be deleted, also one that is only quoted; or somebody has read it.
            self._as_of, self._rendered = as_of, OrderedDict()
        key = update.sequence if isinstance(update, Entry) else update  # an entry's number is quicker to look up
        rendered = self._rendered.get(key)
        if rendered is None:
            rendered = self._rendered[key] = self.tasks.spawn(self._execute(update, key))
            if len(self._rendered) > RENDERED:
                self._rendered.popitem(last=False)
        return rendered.result() if rendered.done() else await asyncio.shield(rendered)

    async def _execute(self, update: Update, key: object) -> SharedText:
        self.room.meter.count("executed")

        async def execute() -> bytes:
            # A context for each event: a loader that outlived it would serve old values.
            context = type(self.context)(self.context.services, self.context.claims)
            return await self.engine.event(self.executor, context, update, new_request_id())

        try:
            return SharedText(await _patiently(execute) + NEXT_TAIL)
        except BaseException:
            self._rendered.pop(key, None)  # whoever asks next tries again
            raise


class Reader:
    """One subscriber's place in a room: behind and replaying, live, or ended."""

    __slots__ = ("_group", "_room", "ended", "since", "subscriber", "viewer_id")

    def __init__(self, room: "_Room", group: _Group, subscriber: Subscriber, viewer_id: str) -> None:
        self._room = room
        self._group = group
        self.subscriber = subscriber
        self.viewer_id = viewer_id
        self.since = 0  # the sequence after which it is live
        self.ended = False
        group.readers += 1
        room.readers += 1

    def cancel(self) -> None:
        """Take nothing more; once is enough, twice is no harm."""
        if not self.ended:
            self.ended = True
            self._group.live.pop(self, None)
            self._room.leave(self._group)

    def is_last(self, entry: Entry) -> bool:
        """Whether nothing may follow an entry: it removes this subscriber's viewer."""
        return isinstance(entry, MemberRemoved) and entry.user_id == self.viewer_id

    def complete(self) -> None:
        """End after the last entry."""
        if not self.ended:
            self.cancel()
            self.subscriber.complete()

    async def replay(self, position: int) -> None:
        """Bring the subscriber to where the others are: what came after `position`, `CaughtUp`, then live."""
        room, group, is_caught_up, version = self._room, self._group, False, 0
        while not self.ended:
            if position >= room.position:
                if not is_caught_up:
                    await _patiently(partial(room.receipts.load, self.viewer_id))
                if room.receipts.version > version:
                    version = await self._send_receipts(version)
                    continue
                if is_caught_up:
                    self.since = position  # who asks from now on may be ahead of those who are still being told
                    group.live[self] = None
                    return
                # It takes a moment in which the room may move on: what came is replayed before the reader is live.
                self.subscriber.next([await group.render(CaughtUp(room.conversation_id, position))])
                is_caught_up = True
                continue
            limit = min(RUN, room.position - position)
            entries = await _patiently(partial(room.log.entries, position, limit))
            position = await self._send(entries)

    async def _send_receipts(self, version: int) -> int:
        """Send the receipts that have moved after a version; return the version that this came to."""
        receipts = self._room.receipts
        newest = receipts.version
        heard = [moved for moved in receipts.since(version) if receipts.may_hear(self.viewer_id, moved)]
        results = [await self._group.render(moved) for moved in heard]
        await self.subscriber.drained()
        if results and not self.ended:
            self.subscriber.next(results)
        return newest

    async def _send(self, entries: list[Entry]) -> int:
        """Send the results of some entries, many at once, as fast as the client takes them; return how far it came."""
        position = entries[0].sequence - 1
        results: list[SharedText] = []
        size = 0
        for entry in entries:
            result = await self._group.render(entry)
            results.append(result)
            size += len(result)
            is_last = self.is_last(entry)
            if is_last or entry is entries[-1] or size > RUN_BYTES:
                control = self._room.log.state.control
                await self.subscriber.drained()
                if self.ended or self._room.log.state.control > control:
                    break  # in a long wait a message may have been deleted: what was not sent is taken and made again
                self.subscriber.next(results)
                self._room.meter.count("delivered", times=len(results))
                position, results, size = entry.sequence, [], 0
            if is_last:
                self.complete()
                break
        return position


class _Room:
    """A conversation's subscribers in this process."""

    log: Log  # as soon as the room is open
    receipts: WatchedReceipts  # likewise

    def __init__(
        self, conversation_id: str, feeds: Feeds, tasks: Tasks, meter: Meter, closed: Callable[["_Room"], None]
    ) -> None:
        self.conversation_id = conversation_id
        self.meter = meter
        self.groups: dict[tuple[object, ...], _Group] = {}
        self.position = 0  # the newest entry that was, or is being, told to all who are live
        self.readers = 0  # how many are in, or on their way
        self._feeds = feeds
        self._tasks = tasks
        self._closed = closed
        self._telling: asyncio.Task[None] | None = None
        self._receipts_told = 0  # the version of the receipts up to which all who are live were told
        self._telling_receipts: asyncio.Task[None] | None = None
        self._is_open = False
        self._opening = tasks.spawn(self._open())

    async def opened(self) -> Log:
        """Return the log as soon as it is watched; however many ask, it is opened once.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        await asyncio.shield(self._opening)
        return self.log

    def leave(self, group: _Group | None = None) -> None:
        """Let a reader go; the last one closes its group and the room."""
        if group is not None:
            group.readers -= 1
            if not group.readers:
                del self.groups[group.key]
        self.readers -= 1
        if not self.readers:
            self._closed(self)
            if self._is_open:
                self.receipts.listeners.discard(self._wake_for_receipts)
                self._feeds.unwatch(self.log, self._wake)

    async def _open(self) -> None:
        """Watch the log; when everybody has left meanwhile, let it go again."""
        try:
            log = await self._feeds.watch(self.conversation_id, self._wake)
        except BaseException:
            self._closed(self)  # whoever comes next tries again
            raise
        if self.readers:
            self.log, self.position, self._is_open = log, log.sequence, True
            self.receipts = self._feeds.receipts(self.conversation_id)
            self.receipts.listeners.add(self._wake_for_receipts)
        else:
            self._feeds.unwatch(log, self._wake)

    def _wake(self) -> None:
        """Tell the subscribers what is new."""
        if self._is_open and self._telling is None and self.position < self.log.sequence:
            self._telling = self._tasks.spawn(self._tell())

    def _wake_for_receipts(self) -> None:
        """Tell the subscribers which receipts have moved."""
        if self._telling_receipts is None:
            self._telling_receipts = self._tasks.spawn(self._tell_receipts())

    async def _tell_receipts(self) -> None:
        """Tell of what has moved until nothing has; moves that come meanwhile go together, the newest for each user."""
        try:
            while self._receipts_told < self.receipts.version:
                newest = self.receipts.version
                for moved in self.receipts.since(self._receipts_told):
                    for group in tuple(self.groups.values()):
                        if any(self.receipts.may_hear(reader.viewer_id, moved) for reader in group.live):
                            result = await group.render(moved)
                            for reader in tuple(group.live):
                                if self.receipts.may_hear(reader.viewer_id, moved):
                                    reader.subscriber.next([result])
                self._receipts_told = newest
        finally:
            self._telling_receipts = None

    async def _tell(self) -> None:
        try:
            while self.position < self.log.sequence:
                entries = await _patiently(partial(self.log.entries, self.position, LIVE_RUN))
                removal = next((entry for entry in entries if isinstance(entry, MemberRemoved)), entries[-1])
                run = entries[: entries.index(removal) + 1]
                with continued("deliver", [entry.origin for entry in run], SpanKind.CONSUMER):
                    await self._tell_all(run)
        except Exception:
            _logger.exception("room.failed", conversation=self.conversation_id)
            for group in tuple(self.groups.values()):
                for reader in tuple(group.live):
                    reader.subscriber.fail()
            self.position = self.log.sequence  # nobody is live any more, and who replays does not need it
        finally:
            self._telling = None

    async def _tell_all(self, entries: list[Entry]) -> None:
        """Tell everybody of some entries, of which only the last may remove somebody."""
        results: dict[_Group, list[SharedText]] = {}
        while missing := [group for group in self.groups.values() if group.live and group not in results]:
            for group in missing:
                results[group] = [await group.render(entry) for entry in entries]
        # Who is live now gets the entries from here, and whoever becomes live from now on has replayed them.
        told = [(run, list(group.live)) for group, run in results.items()]
        self.position = entries[-1].sequence
        before, left, ahead = entries[0].sequence - 1, DELIVERIES, list[int]()
        for run, readers in told:
            for reader in readers:
                if reader.ended or reader.since >= self.position:
                    continue
                if reader.since <= before:
                    reader.subscriber.next(run)
                else:
                    reader.subscriber.next(run[reader.since - before :])
                    ahead.append(reader.since)
                if reader.is_last(entries[-1]):
                    reader.complete()
                left -= 1
                if not left:
                    self._count(entries, DELIVERIES, ahead)
                    await asyncio.sleep(0)
                    left, ahead = DELIVERIES, []
        self._count(entries, DELIVERIES - left, ahead)

    def _count(self, entries: list[Entry], readers: int, ahead: list[int]) -> None:
        """Count what was just handed to some readers: all entries, but for those who had some of them already."""
        present = now()
        for entry in entries:
            if times := readers - sum(since >= entry.sequence for since in ahead):
                self.meter.delivered((present - entry.at).total_seconds() * 1_000, times)


async def _patiently[T](work: Callable[[], Awaitable[T]]) -> T:
    """Do something for subscribers that needs MongoDB: while it is away they wait, so that nothing is left out."""
    while True:
        try:
            return await work()
        except PyMongoError as error:
            _logger.warning("room.waiting", error=described(error))
            await asyncio.sleep(RETRY_SECONDS)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a subscriber asks for, as far as executions depend on it."""

    operation: Operation
    variables: dict[str, Any] | None
    context: Context
    executor: Executor[Any]


type Follower = Reader | Inbox | LatestReader | SessionFollower | Sampler | AlertFollower


class Fanout:
    """The rooms of this process."""

    def __init__(self, engine: Engine, services: Services) -> None:
        self._engine = engine
        self._services = services
        self._rooms: dict[str, _Room] = {}
        self._tasks = Tasks()
        self.latest = Latest(engine, services, self._tasks)

    async def close(self) -> None:
        """End what is still being told."""
        await self._tasks.close()

    async def subscribe(
        self,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        subscriber: Subscriber,
        request_id: str,
    ) -> Follower | None:
        """Bring a subscription to where it is live; None when it has ended already, with its subscriber told."""
        began, meter = time.perf_counter(), self._services.meter
        with traced(f"{operation.kind} {operation.root}"):
            try:
                executor = self._engine.executor(operation, variables, context)
                stream = await self._engine.open_stream(executor, request_id)
                user_id = context.claims.user_id if context.claims else None
                meter.request(operation.kind, operation.root, milliseconds_since(began), user_id)
                if isinstance(stream, PresenceStream | TypingStream):
                    return await self.latest.follow(
                        stream,
                        subscriber,
                        operation=operation,
                        variables=variables,
                        context=context,
                        executor=executor,
                    )
                follow = partial(self._follow, _Asked(operation, variables, context, executor))
                if isinstance(stream, ConversationStream):
                    return await follow(stream, subscriber)
                if isinstance(stream, MetricsStream):
                    sampler = Sampler(self._engine, executor, context, subscriber, stream)
                    sampler.start(self._tasks)
                    return sampler
                if isinstance(stream, AlertStream):
                    alert_follower = AlertFollower(self._engine, executor, context, subscriber)
                    alert_follower.start(self._tasks)
                    return alert_follower
                if isinstance(stream, SessionStream):
                    return SessionFollower(self._engine, operation, variables, context, subscriber)
                inbox = Inbox(stream, self._services.inboxes, follow, subscriber, self._tasks)
                try:
                    await inbox.open()
                except BaseException:
                    inbox.cancel()
                    raise
            except RequestRefused as refused:
                meter.errors(codes(refused.errors))
                subscriber.error(refused.errors)
            except (ChatError, PyMongoError) as error:
                errors = [formatted(GraphQLError(str(error), original_error=error), request_id)]
                meter.errors(codes(errors))
                subscriber.error(errors)
            else:
                return inbox
        return None

    async def _follow(self, asked: _Asked, stream: ConversationStream, subscriber: Subscriber) -> Reader | None:
        """Bring a subscriber to where a conversation is live; None when that has ended already.

        Raises:
            ChatError: the stream may not begin.
            PyMongoError: MongoDB did not answer.
        """
        asked_at = asyncio.get_running_loop().time()
        room = self._room(stream.conversation_id)
        room.readers += 1
        try:
            log = await room.opened()
            start = await self._services.streams.start(stream, log, asked_at)
            group = self._group(room, asked)
            reader = Reader(room, group, subscriber, stream.viewer_id)
        finally:
            room.leave()
        try:
            if start.notice is not None:
                subscriber.next([await group.render(start.notice)])
            await reader.replay(start.sequence)
        except BaseException:
            reader.cancel()
            raise
        return None if reader.ended else reader

    def _room(self, conversation_id: str) -> _Room:
        room = self._rooms.get(conversation_id)
        if room is None:
            room = _Room(conversation_id, self._services.streams.feeds, self._tasks, self._services.meter, self._close)
            self._rooms[conversation_id] = room
        return room

    def _close(self, room: _Room) -> None:
        if self._rooms.get(room.conversation_id) is room:
            del self._rooms[room.conversation_id]

    def _group(self, room: _Room, asked: _Asked) -> _Group:
        operation, context = asked.operation, asked.context
        share = operation.sharing
        assert share is not None  # it is a subscription
        key = share.key(operation.query, operation.name, asked.variables, context.viewer_id)
        group = room.groups.get(key)
        if group is None:
            shared = context if share.viewer else SharedContext(context.services, None)
            group = room.groups[key] = _Group(
                key, self._engine, asked.executor, shared, room, self._tasks, shows_receipts=share.receipts
            )
        return group
