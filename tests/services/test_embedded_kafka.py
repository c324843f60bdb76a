"""The embedded Kafka keeps what consumers rely on where many produce at once."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PRODUCERS, READERS, RECORDS = 8, 3, 400


async def _read(consumer: Any, partition: TopicPartition, count: int) -> list[int]:
    """Return the offsets of so many records."""
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    offsets: list[int] = []
    while len(offsets) < count:
        offsets += [
            record.offset for records in (await consumer.getmany(timeout_ms=500)).values() for record in records
        ]
    return offsets


@pytest.mark.slow
async def test_who_reads_at_the_end_of_a_partition_gets_every_record_in_its_place(kafka_servers: str) -> None:
    topic = f"crowded-{uuid.uuid4().hex}"
    servers, count = {"bootstrap_servers": kafka_servers}, PRODUCERS * RECORDS

    async def produce(producer: Any) -> None:
        for _ in range(RECORDS):
            await producer.send_and_wait(topic, b"x")

    async with AsyncExitStack() as stack, asyncio.timeout(120):
        admin = AIOKafkaAdminClient(**servers)
        stack.push_async_callback(admin.close)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, 1)])
        producers = [
            await stack.enter_async_context(AIOKafkaProducer(acks="all", enable_idempotence=False, **servers))
            for _ in range(PRODUCERS)
        ]
        consumers = [await stack.enter_async_context(AIOKafkaConsumer(**servers)) for _ in range(READERS)]
        reading = [asyncio.create_task(_read(consumer, TopicPartition(topic, 0), count)) for consumer in consumers]
        await asyncio.gather(*map(produce, producers))
        seen = await asyncio.gather(*reading)

    assert seen == [list(range(count))] * READERS
