"""Dead letters: events that a job could not take, kept in a topic until somebody has them tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.kafka import FAILURES, Producer, Record
from services.origins import Headers
from services.topics import DEAD_LETTERS, PARTITIONS

NOTES: Final = frozenset({"job", "topic", "partition", "offset", "reason"})  # headers that a job adds to a letter
GROUP: Final = "parley.dead-letters"
BATCH: Final = 100
LOOK_SECONDS: Final = 10.0  # between two looks at how many wait
WAIT_MS: Final = 2_000  # without another letter for so long, that was the last one


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event, and why it is here."""

    job: str
    topic: str  # where it came from
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()  # that it had there


async def waiting(servers: str) -> list[DeadLetter]:
    """Return the dead letters that were not tried again yet, the oldest first.

    Raises:
        KafkaError, OSError: Kafka does not answer.
    """
    letters: list[DeadLetter] = []
    async with _reading(servers) as consumer:
        while batch := await _next(consumer):
            letters += batch
    return letters


class DeadLetterCount:
    """How many dead letters wait; looked at now and then, over a connection of its own."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self.waiting = 0  # as seen last

    async def keep_looking(self) -> None:
        """Look until this is cancelled."""
        while True:
            with suppress(*FAILURES):
                async with _reading(self._servers) as consumer:
                    while True:
                        self.waiting = await _count(consumer)
                        await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)


async def _count(consumer: Any) -> int:
    partitions = list(consumer.assignment())
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    found = 0
    for partition in partitions:
        done = await consumer.committed(partition)
        found += max(0, ends[partition] - max(begins[partition], done or 0))
    return found


async def replay(servers: str, producer: Producer) -> int:
    """Send the waiting dead letters to their topics again; return how many. All jobs get them, the failed one too.

    Raises:
        KafkaAwayError: Kafka does not take them; those that are not counted as sent wait on.
        KafkaError, OSError: Kafka does not answer.
    """
    count = 0
    async with _reading(servers) as consumer:
        while batch := await _next(consumer):
            await producer.send([Record(letter.topic, letter.key, letter.value, letter.headers) for letter in batch])
            await consumer.commit()
            count += len(batch)
    return count


@asynccontextmanager
async def _reading(servers: str) -> AsyncIterator[Any]:
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=GROUP, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        # The group only keeps the offset: there is nobody to share the partitions with.
        consumer.assign([TopicPartition(DEAD_LETTERS, number) for number in range(PARTITIONS[DEAD_LETTERS])])
        yield consumer
    finally:
        await consumer.stop()


async def _next(consumer: Any) -> list[DeadLetter]:
    batches = await consumer.getmany(timeout_ms=WAIT_MS, max_records=BATCH)
    return [_letter(record) for records in batches.values() for record in records]


def _letter(record: Any) -> DeadLetter:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    came_with = tuple((name, value) for name, value in record.headers if name not in NOTES)
    return DeadLetter(headers["job"], headers["topic"], headers["reason"], record.key, record.value, came_with)
