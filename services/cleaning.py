"""Removes what is over: ended sessions, reset links, revocations of expired tokens, pushes of old messages, guesses of
passwords that were long ago, and the oldest alerts and events of the audit log; and what came late of erased people.

One worker does it at a time, a page of each collection in a round, and begins again where a collection ends. What is
over stays so: two workers at once do the same, and nobody misses what is gone.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from services import alerts
from services.attempts import COLLECTION as ATTEMPTS
from services.attempts import is_forgotten
from services.audit import COLLECTION as AUDIT
from services.audit import kept_from
from services.clock import now
from services.erasure import COLLECTION as ERASURES
from services.erasure import forget_documents, is_late
from services.leases import Leases
from services.mongo import Collection, Database, Document
from services.revocations import COLLECTION as REVOCATIONS
from services.revocations import MARGIN

LEASE: Final = "cleaning"
ROUND_SECONDS: Final = 5.0
PAGE: Final = 100  # documents of each collection that a round looks at
# Who ended a session and died before its tokens were revoked may come again; and operators look back.
KEPT: Final = timedelta(days=1)
AUDIT_DAYS: Final = 180
PUSHES_KEPT: Final = timedelta(days=3)  # for longer than a message that comes again is pushed


class Cleaning:
    """The cleaning of one worker."""

    def __init__(
        self, database: Database, leases: Leases, clock: Callable[[], datetime] = now, *, audit_days: int = AUDIT_DAYS
    ) -> None:
        self._leases = leases
        self._now = clock
        self._passes = (
            _Pass(database["sessions"], _is_dead_session),
            _Pass(database["resets"], _is_dead_reset),
            _Pass(database[REVOCATIONS], _is_dead_revocation),
            _Pass(database[ATTEMPTS], is_forgotten),
            _Late(database),
            _Oldest(database[AUDIT], partial(kept_from, days=audit_days)),
            _Oldest(database[alerts.COLLECTION], alerts.kept_from),
            _Pass(database["push_decisions"], _is_old),
            _Pass(database["pushes"], _is_old),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Clean whenever this worker has the lease, until this ends."""
        async with self._leases.rounds(LEASE, self._clean_if_held, ROUND_SECONDS):
            yield self

    async def _clean_if_held(self) -> None:
        if await self._leases.hold(LEASE, self._now()):
            await self.clean()

    async def clean(self) -> None:
        """Do a round.

        Raises:
            PyMongoError: MongoDB did not answer; the next round goes on.
        """
        for each in self._passes:
            await each.go_on(self._now())


class _Pass:
    """Where the cleaning of a collection stands."""

    def __init__(self, collection: Collection, is_over: Callable[[Document, datetime], bool]) -> None:
        self._collection = collection
        self._is_over = is_over
        self._after = ""  # the newest id that was looked at

    async def go_on(self, time: datetime) -> None:
        """Remove what is over of the next page."""
        page = await self._collection.find({"_id": {"$gt": self._after}}, limit=PAGE)
        for document in page:
            if self._is_over(document, time):
                await self._collection.delete_one({"_id": document["_id"]})
        self._after = page[-1]["_id"] if len(page) == PAGE else ""


class _Late:
    """The end of erasures: what requests that were under way wrote afterwards goes too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def go_on(self, time: datetime) -> None:
        """Finish those that are due; there are never many."""
        for erasure in await self._database[ERASURES].find({}, limit=PAGE):
            if is_late(erasure, time):
                await forget_documents(self._database, erasure)
                await self._database[ERASURES].delete_one({"_id": erasure["_id"]})


class _Oldest:
    """The removal of what is old where ids have the order of time."""

    def __init__(self, collection: Collection, kept_from: Callable[[datetime], str]) -> None:
        self._collection = collection
        self._kept_from = kept_from

    async def go_on(self, time: datetime) -> None:
        """Remove a page of the oldest."""
        for document in await self._collection.find({"_id": {"$lt": self._kept_from(time)}}, limit=PAGE):
            await self._collection.delete_one({"_id": document["_id"]})


def _is_dead_session(session: Document, time: datetime) -> bool:
    return _is_over(session["revokedAt"], session["expiresAt"], time)


def _is_dead_reset(reset: Document, time: datetime) -> bool:
    return _is_over(reset["usedAt"], reset["expiresAt"], time)


def _is_dead_revocation(revocation: Document, time: datetime) -> bool:
    until: datetime = revocation["until"]
    return until + MARGIN < time


def _is_old(document: Document, time: datetime) -> bool:
    at: datetime = document["at"]
    return at + PUSHES_KEPT < time


def _is_over(ended_at: datetime | None, expires_at: datetime, time: datetime) -> bool:
    return min(ended_at or expires_at, expires_at) + KEPT < time
