"""Kafka as Parley uses it: its topics, and sending records to them; what it holds can be rebuilt from MongoDB.

Parley starts and serves without Kafka. Records are sent by one producer a process, made anew whenever a send fails:
then whatever aiokafka believed of a broker that has gone is forgotten with it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from services.breakers import Breaker, CircuitOpenError
from services.tasks import Tasks
from services.topics import PARTITIONS

ACK_SECONDS: Final = 5.0
CLUSTER_SECONDS: Final = 2.0  # between two looks at which cluster answers
CHECK_SECONDS: Final = 2.0
FAILURES: Final = (KafkaError, OSError, TimeoutError)


class KafkaAwayError(Exception):
    """Kafka did not take what was sent, or not in time; it may have it all the same."""


@dataclass(frozen=True, slots=True)
class Record:
    """What goes into a topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """Which cluster answers, and how far each partition of a topic goes."""

    cluster: str
    ends: dict[int, int]


class Producer:
    """Sends records; at least once, and in the order of the calls as long as nothing fails."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer: Any = None  # None while there is no connection
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._breaker = Breaker("kafka", FAILURES)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._producer is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep a connection until this ends; what was sent by then is flushed."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep_connected())
                yield self
        finally:
            await self._drop(self._producer)

    async def send(self, records: Sequence[Record]) -> None:
        """Send records and wait until all of Kafka's replicas have them.

        Raises:
            KafkaAwayError: they did not say so within five seconds, or have lately not answered at all.
        """
        producer = self._producer
        try:
            with self._breaker.guard(ACK_SECONDS):
                if producer is None:
                    raise KafkaError("not connected")
                async with asyncio.timeout(ACK_SECONDS):
                    sent = [
                        await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
                        for record in records
                    ]
                    await asyncio.gather(*sent)
        except CircuitOpenError:
            raise KafkaAwayError("Kafka has lately not answered") from None
        except FAILURES as error:
            if producer is not None and producer is self._producer:
                self._producer = None
                self._wanted.set()
                await self._drop(producer)
            raise KafkaAwayError(repr(error)) from error

    async def ping(self) -> None:
        """Ask Kafka for a sign of life.

        Raises:
            KafkaError, OSError, TimeoutError: there was none.
        """
        if self._producer is None:
            raise KafkaError("not connected")
        async with asyncio.timeout(CHECK_SECONDS):
            await self._producer.client.fetch_all_metadata()

    async def _keep_connected(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            async for attempt in stamina.retry_context(on=FAILURES, attempts=None, timeout=None, wait_max=1.0):
                with attempt:
                    self._producer = await _started(
                        AIOKafkaProducer(
                            bootstrap_servers=self._servers,
                            acks="all",
                            # The embedded broker refuses idempotent producers, and consumers drop what comes twice.
                            enable_idempotence=False,
                            request_timeout_ms=int(ACK_SECONDS * 1_000),
                        )
                    )

    @staticmethod
    async def _drop(producer: Any) -> None:
        if producer is not None:
            with suppress(*FAILURES):
                async with asyncio.timeout(ACK_SECONDS):
                    await producer.stop()


async def make_topics(servers: str, *, replication: int, retention_hours: int) -> None:
    """Make the topics that do not exist.

    Raises:
        KafkaError, OSError: Kafka does not answer, or refuses.
    """
    settings = {"retention.ms": str(retention_hours * 3_600_000)}
    admin = await _started(AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=int(ACK_SECONDS * 1_000)))
    try:
        answer = await admin.create_topics(
            [NewTopic(name, partitions, replication, topic_configs=settings) for name, partitions in PARTITIONS.items()]
        )
    finally:
        await admin.close()
    for name, code, *_ in answer.topic_errors:
        if code not in {0, TopicAlreadyExistsError.errno}:
            raise for_code(code)(name)


class Extents:
    """Looks how far topics go; it keeps its connections, because making them costs more than all the looking."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._admin: Any = None  # both None while there is no connection
        self._consumer: Any = None

    async def of(self, topic: str) -> Extent:
        """Return which cluster answers, and where its partitions of a topic end.

        Raises:
            KafkaError, OSError, TimeoutError: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(ACK_SECONDS):
                if self._admin is None or self._consumer is None:
                    options = {"bootstrap_servers": self._servers, "request_timeout_ms": int(ACK_SECONDS * 1_000)}
                    self._admin = await _started(AIOKafkaAdminClient(**options))
                    self._consumer = await _started(AIOKafkaConsumer(**options))
                cluster: Mapping[str, Any] = await self._admin.describe_cluster()
                numbers = range(PARTITIONS[topic])
                ends = await self._consumer.end_offsets([TopicPartition(topic, number) for number in numbers])
        except FAILURES:
            await self.close()
            raise
        return Extent(cluster["cluster_id"], {partition.partition: end for partition, end in ends.items()})

    async def close(self) -> None:
        """End the connections."""
        admin, self._admin = self._admin, None
        consumer, self._consumer = self._consumer, None
        with suppress(*FAILURES):
            if admin is not None:
                await admin.close()
            if consumer is not None:
                await consumer.stop()


class ClusterWatch:
    """Knows which cluster answers: another one has none of the events that were sent before."""

    def __init__(self, servers: str) -> None:
        self._extents = Extents(servers)
        self.cluster: str | None = None  # that answered last; None before any did

    async def keep_looking(self, topic: str) -> None:
        """Look until this is cancelled."""
        try:
            while True:
                with suppress(*FAILURES):
                    self.cluster = (await self._extents.of(topic)).cluster
                await asyncio.sleep(CLUSTER_SECONDS)
        finally:
            await self._extents.close()


async def _started(client: Any) -> Any:
    """Start a client; one that does not start is closed, or its connections would outlive it."""
    try:
        await client.start()
    except BaseException:
        with suppress(*FAILURES):
            await (client.close if hasattr(client, "close") else client.stop)()
        raise
    return client
