"""When users were last seen, as MongoDB keeps it: written beside whoever finds it out, and only ever later."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Self

import structlog
from pymongo.errors import PyMongoError

from services.failures import described
from services.mongo import Database
from services.tasks import Tasks, gather_some

RETRY_SECONDS: Final = 5.0
WAITING: Final = 100_000  # users whose times wait for MongoDB; what comes on top of them is left out
RUN: Final = 200

_logger = structlog.get_logger()


class LastSeen:
    """`seen/<user>`: a time."""

    def __init__(self, database: Database) -> None:
        self._seen = database["seen"]
        self._waiting: dict[str, datetime] = {}
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Write what is noted until this ends; what is left then gets one try."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep_writing())
                yield self
        finally:
            await self._write(dict(list(self._waiting.items())[:RUN]))

    def note(self, user_id: str, at_ms: int) -> None:
        """Have a time written soon."""
        if len(self._waiting) < WAITING or user_id in self._waiting:
            self._waiting[user_id] = time_of(at_ms)
            self._wake.set()

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, datetime]:
        """Return when these users were last seen, as far as that was ever written.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        found = await self._seen.find_many(list(user_ids))
        return {user_id: document["at"] for user_id, document in found.items()}

    async def _keep_writing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                run = dict(list(self._waiting.items())[:RUN])
                for user_id in run:
                    del self._waiting[user_id]
                left = await self._write(run)
                if left:
                    self._waiting = left | self._waiting
                    await asyncio.sleep(RETRY_SECONDS)

    async def _write(self, run: dict[str, datetime]) -> dict[str, datetime]:
        """Write some times; return those that were not."""

        async def write(user_id: str, at: datetime) -> bool:
            try:
                await self._seen.update_one({"_id": user_id}, {"$max": {"at": at}}, upsert=True)
            except PyMongoError as error:
                _logger.warning("last_seen.not_written", error=described(error))
                return False
            return True

        written = await gather_some(write(user_id, at) for user_id, at in run.items())
        return {user_id: at for (user_id, at), is_done in zip(run.items(), written, strict=True) if not is_done}


def time_of(at_ms: int) -> datetime:
    """Return a time that is given in milliseconds."""
    return datetime.fromtimestamp(at_ms // 1_000, UTC).replace(microsecond=at_ms % 1_000 * 1_000)
