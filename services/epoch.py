"""The epoch: the number that tells the stored logs from those of another database, or of a restored backup."""

import stamina
from pymongo.errors import ConnectionFailure, DuplicateKeyError
from ulid import ULID

from services.mongo import Database


async def epoch_of(database: Database) -> int:
    """Return the epoch of the stored logs, as soon as MongoDB answers; whoever asks first makes it."""
    async for attempt in stamina.retry_context(
        on=(DuplicateKeyError, ConnectionFailure), attempts=None, timeout=None, wait_max=1.0
    ):
        with attempt:
            found = await database["meta"].find_one({"_id": "epoch"})
            if found is None:
                found = {"_id": "epoch", "value": ULID().milliseconds & 0x7FFFFFFF}
                await database["meta"].insert_one(found)
            return int(found["value"])
    raise AssertionError("unreachable: there is no last attempt")
