"""Which partition an event is in: one for each conversation, and not the same for all."""

import asyncio
from collections import defaultdict
from typing import Any

from aiokafka import AIOKafkaConsumer

from services.topics import EVENTS, PARTITIONS
from tests.clients import Api
from tests.stack_process import StackProcess

ROOMS = 12
SECONDS = 30


async def test_the_events_of_a_conversation_are_in_one_partition_and_those_of_others_elsewhere(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    ann = await api.register()
    rooms = [(await ann.talk())["id"] for _ in range(ROOMS)]
    for room in rooms:
        for person in (ann, ann.at(other_api)):
            await person.send(room, "an event")
    found = defaultdict[str, set[int]](set)
    counted = defaultdict[str, set[int]](set)

    consumer: Any = AIOKafkaConsumer(EVENTS, bootstrap_servers=stack.url("kafka"), auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(SECONDS):
            while any(len(counted[room]) < 3 for room in rooms):  # its beginning and two messages
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        room = record.key.decode()
                        found[room].add(partition.partition)
                        counted[room].add(record.offset)
    finally:
        await consumer.stop()

    assert {room: found[room] for room in rooms if len(found[room]) > 1} == {}
    assert len(set.union(*(found[room] for room in rooms))) > 1
    assert set.union(*found.values()) <= set(range(PARTITIONS[EVENTS]))
