"""Sessions that have ended while access tokens of theirs may still live: written down once, known to every process.

MongoDB has the record, by the time at which each end was written. Every process keeps in memory which sessions these
are, so that checking a token asks nobody: it has read the record before it serves, hears of new ones from Redis, and
reads what was added twice a second, because Redis may be away and a command line has no part in it. Decision 14 has the
reasons.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Final, Self

import bson
import stamina
from pymongo.errors import ConnectionFailure
from ulid import ULID

from services.bus import Bus
from services.cache import decoded
from services.clock import now
from services.mongo import Database
from services.tasks import Tasks

COLLECTION: Final = "revocations"
CHANNEL: Final = ("parley:revoked:", "all")
POLL_SECONDS: Final = 0.5
# What was written so long before the last reading may have come after it: a slow write, a writer's clock behind ours.
OVERLAP: Final = timedelta(seconds=30)
# Kept for longer than the tokens live: clocks are apart, and a socket outlives its token by a few seconds.
MARGIN: Final = timedelta(seconds=60)
# For a clock that is behind by more than that, everything is read anew now and then.
ANEW_SECONDS: Final = 20.0
SESSIONS: Final = 500  # in one record, and in one message
PAGE: Final = 500  # records in one read

_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)

type Ends = Mapping[str, datetime]  # until when access tokens of these sessions live, by session


class RevocationLog:
    """The record in MongoDB, in the order of its time."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = now) -> None:
        self._revocations = database[COLLECTION]
        self._now = clock

    async def add(self, ends: Ends) -> None:
        """Write down that sessions have ended; those of which no token lives are left out.

        Raises:
            PyMongoError: MongoDB did not answer; some of it may be written.
        """
        time = self._now()
        live = ((session_id, until) for session_id, until in ends.items() if until + MARGIN > time)
        for batch in batched(live, SESSIONS, strict=False):
            record = {"_id": _place(time, os.urandom(10)), "until": max(until for _, until in batch)}
            await self._revocations.insert_one({**record, "sessions": dict(batch)})

    async def since(self, time: datetime) -> dict[str, datetime]:
        """Return what was written at a time and after.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        found: dict[str, datetime] = {}
        after = _place(time, bytes(10))
        while page := await self._revocations.find({"_id": {"$gt": after}}, limit=PAGE):
            for record in page:
                found |= record["sessions"]
            after = page[-1]["_id"]
            if len(page) < PAGE:
                break
        return found


class Revocations:
    """What one process knows of sessions that have ended."""

    def __init__(self, database: Database, bus: Bus, clock: Callable[[], datetime] = now) -> None:
        self.on_ended: list[Callable[[Collection[str]], None]] = []  # called with sessions as soon as they are known
        self._log = RevocationLog(database, clock)
        self._bus = bus
        self._now = clock
        # As many as ended within the life of an access token: to forget one of them would let its tokens in again.
        self._until: dict[str, datetime] = {}
        self._unrecorded: dict[str, datetime] = {}  # of those, what this process has not written down yet
        self._read_at = _LONG_AGO  # when the newest reading began that was answered
        self._anew_at = _LONG_AGO  # when the newest reading of everything began
        self._read_now = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(CHANNEL[0], self._heard, self._read_now.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Follow the record until this ends; begins when all of it was read."""
        await self._bus.subscribe(*CHANNEL)
        async for attempt in stamina.retry_context(on=ConnectionFailure, attempts=None, timeout=None, wait_max=1.0):
            with attempt:
                await self._read()
        self._tasks.spawn(
            self._bus.keep_comparing(
                "revocations", self._read, self._read_now, seconds=POLL_SECONDS, away_seconds=POLL_SECONDS
            )
        )
        try:
            yield self
        finally:
            await self._tasks.close()

    def has_ended(self, session_id: str) -> bool:
        """Whether tokens of this session are to be refused."""
        return session_id in self._until

    async def end(self, ends: Ends) -> None:
        """Have every process refuse these sessions, which are over in MongoDB; returns when that is written down.

        Raises:
            PyMongoError: MongoDB did not answer: this process refuses them, and goes on trying to tell the others.
        """
        time = self._now()
        fresh = {key: until for key, until in ends.items() if until + MARGIN > time and key not in self._until}
        self._unrecorded |= fresh
        self._take(fresh)
        if self._unrecorded.keys() & ends.keys():
            await self._record()

    async def _record(self) -> None:
        ends = dict(self._unrecorded)
        await self._log.add(ends)
        for session_id in ends:
            self._unrecorded.pop(session_id, None)
        for batch in batched(ends.items(), SESSIONS, strict=False):
            self._bus.publish(*CHANNEL, bson.encode(dict(batch)))

    async def _read(self) -> None:
        began = self._now()
        anew = (began - self._anew_at).total_seconds() >= ANEW_SECONDS
        self._take(await self._log.since(_LONG_AGO if anew else self._read_at - OVERLAP))
        self._read_at = began
        if anew:
            self._anew_at = began
            self._until = {key: until for key, until in self._until.items() if until + MARGIN > began}
        if self._unrecorded:
            await self._record()

    def _heard(self, _channel: str, data: bytes) -> None:
        self._take(decoded(data))

    def _take(self, ends: Ends) -> None:
        time = self._now()
        fresh = {key: until for key, until in ends.items() if until + MARGIN > time and key not in self._until}
        if fresh:
            self._until |= fresh
            for on_ended in self.on_ended:
                on_ended(fresh.keys())


def _place(time: datetime, chance: bytes) -> str:
    """Return the id of a record that is written at a time; of equal times chance decides."""
    milliseconds = int(time.timestamp() * 1_000)
    return str(ULID.from_bytes(milliseconds.to_bytes(6) + chance)).lower()
