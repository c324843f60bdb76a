"""Somebody who reads all of Kafka, and what the jobs made of it."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pymongo import MongoClient

from services.kafka import ClusterWatch
from services.topics import EVENTS
from tests.faults.harness import Room, until
from tests.stack_process import StackProcess


class Witness:
    """A consumer of its own group, which comes back whenever Kafka does."""

    def __init__(self, servers: str) -> None:
        self.seen: Counter[str] = Counter()  # how often each event came
        self._servers = servers
        self._clusters = ClusterWatch(servers)
        self._cluster: str | None = None  # whose events it was fed

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Witness"]:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says much while a broker is away
        tasks = [asyncio.create_task(self._clusters.keep_looking(EVENTS)), asyncio.create_task(self._watch())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            consumer: Any = AIOKafkaConsumer(
                EVENTS, bootstrap_servers=self._servers, group_id="witness", auto_offset_reset="earliest"
            )
            try:
                await consumer.start()
                while True:
                    await self._take_some(consumer)
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
            finally:
                await consumer.stop()

    async def _take_some(self, consumer: Any) -> None:
        found = await consumer.getmany(timeout_ms=500)
        if self._cluster not in {None, self._clusters.cluster} and consumer.assignment():
            # The places of another cluster's events have nothing to do with where this consumer stood.
            await consumer.seek_to_beginning()
        self._cluster = self._clusters.cluster
        for records in found.values():
            self.seen.update(orjson.loads(record.value)["id"] for record in records)


async def all_arrive(room: Room, witness: Witness, head: int) -> None:
    """Wait until every entry of a room has reached the witness."""
    wanted = {f"{room.conversation}:{sequence}" for sequence in range(1, head + 1)}
    await until(lambda: wanted <= witness.seen.keys(), "every entry reaches a consumer")


def counted(stack: StackProcess, conversation: str) -> Counter[str]:
    """Return how many messages of each user in a conversation the job `activity` has counted."""
    found: Counter[str] = Counter()
    client: MongoClient[dict[str, Any]] = MongoClient(stack.url("mongo"))
    with client:
        for document in client["parley"]["activity"].find({}):
            user, _day, where, _block = document["_id"].split(":")
            if where == conversation:
                found[user] += len(document["sequences"])
    return found
