"""Lanes of streams of which only the newest value counts.

A topic is one thing that has a value: a user's presence, the typists of a conversation. Subscribers with equal
operations are a group: however many of its topics a subscriber follows and however many follow a topic, one value is
executed once for a group, and each gets the same bytes behind the head of its own operation. Values that come in quick
succession go together, the newest of each topic. Nobody waits for a subscriber that is slow: it gets the newest once it
has room, or nothing where that would be of no use by then. No task waits for an idle one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from graphql.execution import Executor
from pymongo.errors import PyMongoError

from parley.execution import Engine
from parley.frames import SharedText
from parley.protocol import NEXT_TAIL
from parley.requests import new_request_id
from resolvers.context import Context
from services.failures import described
from services.tasks import Tasks

if TYPE_CHECKING:
    from parley.fanout import Subscriber

RUN: Final = 50  # results that are made and sent at once to who has just come, or was slow
AT_ONCE: Final = 8  # of those who have just come, or were slow
DELIVERIES: Final = 500  # made before the event loop may do something else
BUSY: Final = 500  # values told at once, after which the next ones are gathered for longer
RETRY_SECONDS: Final = 0.5

_logger = structlog.get_logger()


class Source(Protocol):
    """Where the values come from."""

    async def watch(self, keys: Sequence[str]) -> None:
        """Begin to keep the values of some topics; not cancelled.

        Raises:
            PyMongoError: MongoDB did not answer; nothing is kept.
        """

    def unwatch(self, keys: Sequence[str]) -> None:
        """Keep them no longer."""

    def present(self, key: str) -> object | None:
        """Return what a topic has to tell to whoever comes; None: nothing."""

    def newest(self, key: str) -> object | None:
        """Return the value of a topic."""


@dataclass(slots=True, eq=False)
class _Group:
    """Subscribers whose results are equal."""

    key: tuple[object, ...]
    executor: Executor[Any]
    context: Context
    readers: int = 0
    rendered: dict[str, tuple[object, asyncio.Task[SharedText]]] = field(default_factory=dict)  # the newest by topic


class _Topic:
    """What some readers follow."""

    __slots__ = ("opening", "readers")

    def __init__(self) -> None:
        self.readers: dict[_Group, dict[Reader, None]] = {}
        self.opening: asyncio.Task[None] | None = None  # None once it is open


class Reader:
    """One subscriber, which gets the newest of its topics until it is cancelled."""

    __slots__ = (
        "_is_new",
        "_lane",
        "behind",
        "catching_up",
        "ended",
        "group",
        "is_admitted",
        "subscriber",
        "topics",
        "viewer_id",
    )

    def __init__(
        self, lane: "Lane", group: _Group, subscriber: "Subscriber", viewer_id: str, topics: Iterable[str]
    ) -> None:
        self._lane = lane
        self.group = group
        self.subscriber = subscriber
        self.viewer_id = viewer_id
        self.topics = tuple(dict.fromkeys(topics))
        self.behind = dict.fromkeys(self.topics)  # of which it has yet to be told
        self.catching_up = True  # a task does so, or is about to
        self.is_admitted = False
        self.ended = False
        self._is_new = True  # until it was told what there is

    def cancel(self) -> None:
        """Take nothing more; once is enough, twice is no harm."""
        if not self.ended:
            self.ended = True
            self._lane.leave(self)

    def complete(self) -> None:
        """Say that nothing follows."""
        if not self.ended:
            self.cancel()
            self.subscriber.complete()

    async def catch_up(self) -> None:
        """Send what it has yet to be told, as fast as the client takes it.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        self.catching_up = True
        try:
            while self.behind and not self.ended:
                await self.subscriber.drained()
                async with self._lane.gate:
                    await self._send_some()
        finally:
            self.catching_up = False

    async def _send_some(self) -> None:
        run = list(self.behind)[:RUN]
        for topic in run:
            del self.behind[topic]
        # What changes while this waits is in `behind` again, so it comes after, and never before.
        results = await self._lane.results(self.group, run, is_new=self._is_new)
        self._is_new = False
        if results and not self.ended:
            self._lane.deliver(self, results)
        await asyncio.sleep(0)  # the event loop has other things to do


class Lane:
    """All readers of one kind of stream in this process."""

    def __init__(
        self, engine: Engine, source: Source, tasks: Tasks, *, tick: float, longest_tick: float, is_droppable: bool
    ) -> None:
        """Prepare a lane.

        Args:
            engine: What executes.
            source: Where the values come from.
            tasks: Their owner.
            tick: How long a value waits for others to go with, in seconds.
            longest_tick: The same when there are many.
            is_droppable: Whether a slow client is better left without a value than late with it.
        """
        self.executions = self.writes = 0  # since the process began
        # Thousands may come at once: one turn of the event loop must not be theirs all together.
        self.gate = asyncio.Semaphore(AT_ONCE)
        self._engine = engine
        self._source = source
        self._tasks = tasks
        self._tick = tick
        self._longest_tick = longest_tick
        self._is_droppable = is_droppable
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._changed: dict[str, None] = {}  # topics that have another value than was told
        self._telling: asyncio.Handle | None = None  # until the changes are told
        self._is_telling = False

    def group(self, key: tuple[object, ...], executor: Executor[Any], context: Context) -> _Group:
        """Return the group of equal operations."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(key, executor, context)
        return group

    async def follow(self, reader: Reader, admit: Callable[[], Awaitable[None]] | None = None) -> Reader | None:
        """Bring a reader to where it is live; None where it has ended.

        Raises:
            ChatError: it was not admitted.
            PyMongoError: MongoDB did not answer.
        """
        self._enter(reader)
        try:
            await self._opened(reader.topics)
            if admit is not None:
                await admit()
            reader.is_admitted = True
            await reader.catch_up()
        except BaseException:
            reader.cancel()
            raise
        return None if reader.ended else reader

    def _enter(self, reader: Reader) -> None:
        reader.group.readers += 1
        fresh: list[str] = []
        for key in reader.topics:
            topic = self._topics.get(key)
            if topic is None:
                topic = self._topics[key] = _Topic()
                fresh.append(key)
            topic.readers.setdefault(reader.group, {})[reader] = None
        if fresh:
            opening = self._tasks.spawn(self._open(fresh))
            for key in fresh:
                self._topics[key].opening = opening

    async def _open(self, keys: list[str]) -> None:
        topics = [self._topics[key] for key in keys]
        try:
            await self._source.watch(keys)
        except BaseException:
            for key, topic in zip(keys, topics, strict=True):
                if self._topics.get(key) is topic:
                    del self._topics[key]  # whoever comes next tries again
            raise
        for topic in topics:
            topic.opening = None
        # Whoever wanted it may have left meanwhile.
        self._close([key for key, topic in zip(keys, topics, strict=True) if not topic.readers])

    async def _opened(self, keys: Iterable[str]) -> None:
        for opening in {self._topics[key].opening for key in keys}:
            if opening is not None:
                await asyncio.shield(opening)

    def leave(self, reader: Reader) -> None:
        """Let a reader go; the last one closes its group and its topics."""
        group, empty = reader.group, list[str]()
        for key in reader.topics:
            topic = self._topics.get(key)
            if topic is None or group not in topic.readers:
                continue
            topic.readers[group].pop(reader, None)
            if not topic.readers[group]:
                del topic.readers[group]
                group.rendered.pop(key, None)
            if not topic.readers and topic.opening is None:
                empty.append(key)
        group.readers -= 1
        if not group.readers:
            del self._groups[group.key]
        self._close(empty)

    def _close(self, keys: list[str]) -> None:
        if keys:
            for key in keys:
                del self._topics[key]
                self._changed.pop(key, None)
            self._source.unwatch(keys)

    def end(self, key: str, may_stay: Callable[[str], bool]) -> None:
        """Complete those readers of a topic whose viewers may not follow it any more."""
        topic = self._topics.get(key)
        if topic is None or topic.opening is not None:
            return
        for reader in [reader for readers in topic.readers.values() for reader in readers]:
            if reader.is_admitted and not may_stay(reader.viewer_id):
                reader.complete()

    # ------------------------------------------------------------ telling

    async def results(self, group: _Group, keys: Iterable[str], *, is_new: bool) -> list[SharedText]:
        """Return the results of some topics' values, or of what they have to tell to whoever is new."""
        value_of = self._source.present if is_new else self._source.newest
        found = [(key, value) for key in keys if (value := value_of(key)) is not None]
        return [await self._render(group, key, value) for key, value in found]

    async def _render(self, group: _Group, key: str, value: object) -> SharedText:
        """Return the result for a topic's value; it is made once, however many ask for it."""
        known = group.rendered.get(key)
        if known is None or known[0] is not value:
            known = group.rendered[key] = value, self._tasks.spawn(self._execute(group, key, value))
        return known[1].result() if known[1].done() else await asyncio.shield(known[1])

    async def _execute(self, group: _Group, key: str, value: object) -> SharedText:
        self.executions += 1
        try:
            # A context for each value: a loader that outlived it would serve old ones.
            context = type(group.context)(group.context.services, group.context.claims)
            return SharedText(await self._engine.event(group.executor, context, value, new_request_id()) + NEXT_TAIL)
        except BaseException:
            group.rendered.pop(key, None)  # whoever asks next tries again
            raise

    def changed(self, key: str) -> None:
        """Have a topic's new value told soon."""
        if key in self._topics:
            self._changed[key] = None
            self._tell_in(self._tick)

    def _tell_in(self, seconds: float) -> None:
        if self._telling is None and not self._is_telling:
            self._telling = asyncio.get_running_loop().call_later(seconds, self._begin_telling)

    def _begin_telling(self) -> None:
        self._telling, self._is_telling = None, True
        self._tasks.spawn(self._tell())

    async def _tell(self) -> None:
        run, self._changed = self._changed, {}
        pause = self._longest_tick if len(run) > BUSY else self._tick
        try:
            await self._tell_all(run)
        except PyMongoError as error:
            _logger.warning("latest.waiting", error=described(error))
            self._changed = run | self._changed  # once more, with what is newest then
            pause = RETRY_SECONDS
        finally:
            self._is_telling = False
            if self._changed:
                self._tell_in(pause)

    async def _tell_all(self, keys: Iterable[str]) -> None:
        results: dict[Reader, list[tuple[str, SharedText]]] = {}
        for key in keys:
            topic, value = self._topics.get(key), self._source.newest(key)
            if topic is None or value is None:
                continue
            # Who comes from here on is told by its own task.
            for group, readers in [(group, list(readers)) for group, readers in topic.readers.items()]:
                result = await self._render(group, key, value)
                if self._source.newest(key) is not value:
                    break  # there is a newer one already, which is told next
                for reader in readers:
                    results.setdefault(reader, []).append((key, result))
        for number, (reader, run) in enumerate(results.items(), start=1):
            self._send(reader, run)
            if not number % DELIVERIES:
                await asyncio.sleep(0)

    def _send(self, reader: Reader, run: list[tuple[str, SharedText]]) -> None:
        if reader.ended:
            return
        if reader.catching_up or reader.subscriber.is_crowded:
            if not self._is_droppable or reader.catching_up:
                reader.behind |= {key: None for key, _ in run}
                if not reader.catching_up:
                    reader.catching_up = True
                    self._tasks.spawn(self._catch_up(reader))
            return
        self.deliver(reader, [result for _, result in run])

    def deliver(self, reader: Reader, results: list[SharedText]) -> None:
        """Give a reader results that go together."""
        self.writes += 1
        reader.subscriber.next(results)

    async def _catch_up(self, reader: Reader) -> None:
        try:
            await reader.catch_up()
        except PyMongoError:
            reader.subscriber.fail()
