"""What a deployment needs once, before its first process starts; doing it again changes nothing."""

import asyncio

import stamina

from services.config import Settings
from services.epoch import epoch_of
from services.kafka import FAILURES, make_topics
from services.mongo import Database


async def migrate_mongo(settings: Settings, *, seconds: float) -> int:
    """Make what is kept in MongoDB, and return the epoch of the stored logs.

    Raises:
        TimeoutError: MongoDB has not answered for so long.
        PyMongoError: it answered, and refused.
    """
    database = Database(settings)
    try:
        async with asyncio.timeout(seconds):
            await make_indexes(database)
            return await epoch_of(database)
    finally:
        database.close()


async def make_indexes(database: Database) -> None:
    """Make the indexes that are missing.

    Raises:
        PyMongoError: MongoDB did not answer, or refused.
    """
    await database["search"].make_text_index("conversation", "words")


async def migrate_kafka(settings: Settings, *, seconds: float | None) -> None:
    """Make the topics that are missing; None: however long it takes.

    Raises:
        TimeoutError: Kafka has not answered for so long, or refused all the time.
    """
    async with asyncio.timeout(seconds):
        async for attempt in stamina.retry_context(on=FAILURES, attempts=None, timeout=None, wait_max=1.0):
            with attempt:
                await make_topics(
                    settings.kafka_url,
                    replication=settings.kafka_replication,
                    retention_hours=settings.kafka_retention_hours,
                )
