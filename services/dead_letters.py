"""Dead letters: events that a job could not take, kept in a topic until somebody has them tried again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.kafka import Producer, Record
from services.topics import DEAD_LETTERS, PARTITIONS

GROUP: Final = "parley.dead-letters"
BATCH: Final = 100
WAIT_MS: Final = 2_000  # without another letter for so long, that was the last one


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event, and why it is here."""

    job: str
    topic: str  # where it came from
    reason: str
    key: bytes | None
    value: bytes | None


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


async def replay(servers: str, producer: Producer) -> int:
    """Send the waiting dead letters to their topics again; return how many. All jobs get them, the failed one too.

    Raises:
        KafkaAwayError: Kafka does not take them; those that are not counted as sent wait on.
        KafkaError, OSError: Kafka does not answer.
    """
    count = 0
    async with _reading(servers) as consumer:
        while batch := await _next(consumer):
            await producer.send([Record(letter.topic, letter.key, letter.value) for letter in batch])
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
    headers = {name: value.decode() for name, value in record.headers}
    return DeadLetter(headers["job"], headers["topic"], headers["reason"], record.key, record.value)
