"""Builds what search knows from the logs, once, where it was not built before.

It goes through the conversations in the order of their ids and notes how far it got, so who dies in it is followed by
somebody who goes on. The job that keeps the projection works beside it: both write what the log says.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import structlog
from pymongo.errors import PyMongoError

from services.clock import now
from services.entries import MessageSent
from services.entry_store import EntryStore
from services.failures import described
from services.leases import Leases
from services.mongo import Database
from services.search import SearchJob
from services.tasks import Tasks

LEASE: Final = "search"
VERSION: Final = 1  # of what is stored: a higher one has all of it built again
ROUND_SECONDS: Final = 2.0
PAGE: Final = 200

_logger = structlog.get_logger()


class SearchBuild:
    """The building, in one process."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._conversations = database["conversations"]
        self._meta = database["meta"]
        self._entries = EntryStore(database)
        self._job = SearchJob(database)
        self._leases = leases

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Build what was not built, if this worker has the lease, until this ends."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep_building())
                yield self
        finally:
            with suppress(PyMongoError):
                await self.release()

    async def _keep_building(self) -> None:
        while True:
            try:
                if await self.build():
                    return
            except PyMongoError as error:
                _logger.warning("search.waiting", error=described(error))
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("search.failed")
            await asyncio.sleep(ROUND_SECONDS)

    async def release(self) -> None:
        """Let others build.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        await self._leases.release(LEASE)

    async def build(self) -> bool:
        """Go on with the building; return whether everything is built, False where somebody else goes on with it.

        Raises:
            PyMongoError: MongoDB did not answer; it goes on from there the next time.
        """
        if not await self._leases.hold(LEASE, now()):
            return False
        note = await self._meta.find_one({"_id": "search"})
        after = note["after"] if note is not None and note["version"] == VERSION else ""
        while after is not None:
            page = await self._conversations.find({"_id": {"$gt": after}}, limit=PAGE)
            for conversation in page:
                if not await self._leases.hold(LEASE, now()):
                    return False
                await self._build_one(conversation["_id"])
            after = page[-1]["_id"] if len(page) == PAGE else None
            await self._meta.update_one({"_id": "search"}, {"$set": {"version": VERSION, "after": after}}, upsert=True)
        return True

    async def _build_one(self, conversation_id: str) -> None:
        after = 0
        while entries := await self._entries.read(conversation_id, after=after, limit=PAGE):
            sent = {entry.sequence: 0 for entry in entries if isinstance(entry, MessageSent)}
            await self._job.show(conversation_id, sent)
            after = entries[-1].sequence
