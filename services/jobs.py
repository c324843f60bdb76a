"""Jobs: what workers do with events. Each job is a consumer group of its own, and commits after its effect.

So an event is handled at least once, and a job's effect must be the same however often and in whatever order its events
come. An event that a job fails on five times goes to the dead letters, with the reason, and the job goes on; so does at
once what is no event. While MongoDB is away a job waits instead, because that is no fault of the event.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import stamina
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError
from pymongo.errors import ConnectionFailure

from services.events import Event
from services.kafka import FAILURES, KafkaAwayError, Producer, Record
from services.origins import logged_as, request_id_in
from services.tasks import Tasks
from services.topics import DEAD_LETTERS, EVENTS
from services.tracing import SpanKind, continued

TRIES: Final = 5
BATCH: Final = 500  # events at a time
POLL_MS: Final = 1_000
SESSION_MS: Final = 6_000  # a worker that is silent for so long has its partitions taken over
JITTER_SECONDS: Final = 0.1  # between the tries
COMMIT_SECONDS: Final = 1.0  # that a stop waits for what is being committed
REASON_CHARACTERS: Final = 500

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EventStream[T]:
    """Where events come from."""

    topic: str
    read: Callable[[bytes], T]  # what a record holds; raises ValueError where it holds nothing of the kind


EVENT_STREAM: Final = EventStream(EVENTS, Event.from_bytes)


class Job[T](Protocol):
    """Work on events."""

    name: str  # of its consumer group, after `parley.`

    async def handle(self, events: Sequence[T]) -> None:
        """Have the effect of these events; what was done for some of them before must not be done again."""


class Consumer[T]:
    """Feeds one job in one worker."""

    def __init__(
        self,
        servers: str,
        stream: EventStream[T],
        job: Job[T],
        producer: Producer,
        cluster: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            servers: Kafka's.
            stream: Where the events come from.
            job: What is fed.
            producer: The way of dead letters.
            cluster: Returns which cluster answered last; None while that is not known.
        """
        self._cluster = cluster
        self._known_cluster: str | None = None  # whose events the job was fed; None before it is known
        self._servers = servers
        self._stream = stream
        self._job = job
        self._producer = producer
        self.lag = 0  # events of the partitions of this worker that the job has not handled, as seen last

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Feed the job until this ends."""
        async with Tasks() as tasks:
            tasks.spawn(self._keep_consuming())
            yield self

    async def _keep_consuming(self) -> None:
        # Whatever it was, a job must not stop for ever.
        async for attempt in stamina.retry_context(on=Exception, attempts=None, timeout=None):
            with attempt:
                await self._consume()

    async def _consume(self) -> None:
        consumer: Any = AIOKafkaConsumer(
            self._stream.topic,
            bootstrap_servers=self._servers,
            group_id=f"parley.{self._job.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=1_000,
            max_poll_interval_ms=600_000,
        )
        commit: asyncio.Task[None] | None = None
        try:
            await consumer.start()
            while True:
                batches: Mapping[Any, list[Any]] = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
                if await self._begins_again(consumer):
                    continue
                self.lag = await _lag(consumer) + sum(map(len, batches.values()))
                for records in batches.values():
                    await self._handle(records)
                if batches:
                    with suppress(CommitFailedError, IllegalStateError):  # the group has moved on: they come again
                        commit = asyncio.create_task(consumer.commit())
                        await asyncio.shield(commit)
        finally:
            # aiokafka goes on with a commit that is broken off, and fails at the closed connection where nobody asks.
            if commit is not None:
                await asyncio.wait([commit], timeout=COMMIT_SECONDS)
            with suppress(*FAILURES):
                await consumer.stop()
            if commit is not None:
                commit.cancel()
                await asyncio.gather(commit, return_exceptions=True)

    async def _begins_again(self, consumer: Any) -> bool:
        """Go back to the first event where another cluster answers than before; return whether that is so.

        Its events have other places: from where the job stood in the lost cluster it would miss what lies before.
        """
        found = self._cluster()
        if found is None or found == self._known_cluster:
            return False
        is_other, self._known_cluster = self._known_cluster is not None, found
        if is_other and consumer.assignment():
            _logger.warning("job.begins_again", job=self._job.name, cluster=found)
            await consumer.seek_to_beginning()
        return is_other

    async def _handle(self, records: Sequence[Any]) -> None:
        """Have the job's effect for records; those that it cannot take become dead letters."""
        events: list[tuple[Any, T]] = []
        for record in records:
            try:
                events.append((record, self._stream.read(record.value)))
            except ValueError as error:  # no try will make an event of it
                await self._bury(record, error)
        try:
            with continued(f"job {self._job.name}", [record.headers for record, _ in events], SpanKind.CONSUMER):
                await self._try([event for _, event in events])
            for record, _ in events:
                self._note(record)
        except Exception:  # noqa: BLE001  # one of them is the reason, and each by itself shows which
            for record, event in events:
                try:
                    async for attempt in stamina.retry_context(
                        on=Exception, attempts=TRIES, timeout=None, wait_jitter=JITTER_SECONDS
                    ):
                        with attempt, logged_as(record.headers):
                            await self._try([event])
                    self._note(record)
                except Exception as error:  # noqa: BLE001
                    await self._bury(record, error)

    async def _try(self, events: Sequence[T]) -> None:
        async for attempt in stamina.retry_context(on=ConnectionFailure, attempts=None, timeout=None, wait_max=1.0):
            with attempt:
                await self._job.handle(events)

    def _note(self, record: Any) -> None:
        _logger.debug(
            "job.handled",
            job=self._job.name,
            partition=record.partition,
            offset=record.offset,
            request_id=request_id_in(record.headers),
        )

    async def _bury(self, record: Any, error: Exception) -> None:
        with logged_as(record.headers):
            _logger.error("job.dead_letter", job=self._job.name, offset=record.offset, exc_info=error)
        origin = {
            "job": self._job.name,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "reason": f"{type(error).__name__}: {error}"[:REASON_CHARACTERS],
        }
        headers = (*record.headers, *((name, str(value).encode()) for name, value in origin.items()))
        async for attempt in stamina.retry_context(on=KafkaAwayError, attempts=None, timeout=None):
            with attempt:
                await self._producer.send([Record(DEAD_LETTERS, record.key, record.value, headers)])


async def _lag(consumer: Any) -> int:
    """Return how many events the broker has that this consumer has not fetched."""
    found = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)  # None until something was fetched
        if end is not None:
            found += max(0, end - await consumer.position(partition))
    return found
