"""Sends to Kafka what no writer is known to have sent, and mends what a dead writer left behind.

Three things lead it to a conversation: a mark in `dirty`, which a writer made before its first append; the refill, when
Kafka has lost what it had; and a daily comparison of all heads, for an append that came later than any mark lasts. One
worker does it at a time; two at once send some entries twice, which consumers are prepared for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Self

import structlog
from pymongo.errors import PyMongoError

from services.clock import now
from services.entries import MAX_SEQUENCE, Entry
from services.entry_store import EntryStore
from services.failures import described
from services.kafka import FAILURES, Extent, KafkaAwayError, Producer
from services.leases import Leases
from services.mongo import Collection, Database, Document
from services.outbox import Published, record_of
from services.state import Projections
from services.tasks import Tasks

LEASE: Final = "relay"
SWEEP_SECONDS: Final = 1.0
IDLE_SHARE: Final = 4  # a sweep that takes long is followed by a pause four times as long
EXTENT_SECONDS: Final = 5.0  # between two looks at whether Kafka still has what it had
COMPARE_LIFE: Final = timedelta(days=1)
# A writer that lives has sent and noted an entry by then; before, sending it would only double it.
WRITERS_TIME: Final = timedelta(seconds=8)
# Clocks that are apart, and an append that a pause of its process has delayed: until then a mark stays.
MARK_GRACE: Final = timedelta(seconds=60)
CONVERSATIONS: Final = 100  # in one read
TAILS: Final = 1_000  # entries in one read of their tails
PAGE: Final = 200  # entries sent at a time

_logger = structlog.get_logger()


class Relay:
    """The relay of one worker."""

    def __init__(
        self,
        database: Database,
        producer: Producer,
        leases: Leases,
        extent: Callable[[], Awaitable[Extent]],
        *,
        retention: timedelta,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Prepare.

        Args:
            database: Where the logs and the notes are.
            producer: The way to Kafka.
            leases: Of this worker.
            extent: Says which cluster answers and how far its events go.
            retention: From how far back Kafka is refilled.
            clock: The time.
        """
        self._entries = EntryStore(database)
        self._projections = Projections(database)
        self._published = Published(database)
        self._dirty = database["dirty"]
        self._conversations = database["conversations"]
        self._meta = database["meta"]
        self._producer = producer
        self._leases = leases
        self._extent = extent
        self._retention = retention
        self._now = clock
        self._oldest: datetime | None = (
            None  # when the oldest entry was written that Kafka may lack; None: there is none
        )

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest entry has been waiting that Kafka may lack, as this worker saw it last."""
        return 0.0 if self._oldest is None else (self._now() - self._oldest).total_seconds()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Work whenever this worker has the lease, until this ends."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep("sweep", self.sweep, SWEEP_SECONDS))
                tasks.spawn(self._keep("refill", self.refill, EXTENT_SECONDS))
                yield self
        finally:
            with suppress(PyMongoError):
                await self._leases.release(LEASE)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            started = time.monotonic()
            try:
                if await self._leases.hold(LEASE, self._now()):
                    await work()
                else:
                    self._oldest = None  # somebody else knows
            except (PyMongoError, KafkaAwayError, *FAILURES) as error:
                _logger.warning("relay.waiting", work=name, error=described(error))
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("relay.failed", work=name)
            await asyncio.sleep(max(seconds, IDLE_SHARE * (time.monotonic() - started)))

    # ------------------------------------------------------------ marks

    async def sweep(self) -> None:
        """Send what is missing of the marked conversations; lift the marks that nobody needs any more.

        Raises:
            PyMongoError, KafkaAwayError: MongoDB or Kafka did not answer; what was not done is done the next time.
        """
        oldest: list[datetime] = []
        async for marks in _pages(self._dirty):
            untils = {mark["_id"]: mark["until"] for mark in marks}
            published = await self._published.of(list(untils))
            found = await self._entries.tails(published, limit=TAILS)
            missing = {key: next(entries) for key, entries in groupby(found, key=lambda entry: entry.conversation_id)}
            oldest += [first.at for first in missing.values()]
            self._oldest = min(oldest, default=None)  # also while Kafka takes nothing, and this goes no further
            if len(found) == TAILS:
                # Cut off: of the conversations after the last one found nothing is known.
                untils = {key: until for key, until in untils.items() if key <= found[-1].conversation_id}
            for conversation_id, until in untils.items():
                first = missing.get(conversation_id)
                old = self._now() > until + MARK_GRACE
                if first is not None and (old or self._now() > first.at + WRITERS_TIME):
                    # Its writer has died, or Kafka was away; in the first case more than the sending is undone.
                    await self._projections.load(conversation_id)
                    await self._send_from(conversation_id, published[conversation_id])
                elif first is None and old:
                    await self._lift(conversation_id, until)
        if not oldest:
            self._oldest = None

    async def _lift(self, conversation_id: str, until: datetime) -> None:
        """Forget a mark, once what its writers left undone is done, and unless one of them has renewed it."""
        await self._projections.load(conversation_id)
        await self._dirty.delete_one({"_id": conversation_id, "until": until})

    async def _send_from(self, conversation_id: str, after: int) -> None:
        """Send all entries of a log above `after`."""
        while entries := await self._entries.read(conversation_id, after=after, limit=PAGE):
            await self._send(entries)
            after = entries[-1].sequence

    async def _send(self, entries: Sequence[Entry]) -> None:
        await self._producer.send([record_of(entry) for entry in entries])
        first, last = entries[0], entries[-1]
        await self._published.extend(first.conversation_id, first.sequence, last.sequence)

    # ------------------------------------------------------------ what Kafka has lost

    async def refill(self) -> None:
        """Notice that Kafka has lost its events, and send those of its retention time again; once a day compare all.

        Raises:
            PyMongoError, KafkaAwayError, KafkaError: something did not answer; it goes on from there the next time.
        """
        extent = await self._extent()
        known = await self._meta.find_one({"_id": "kafka"})
        ends = {str(partition): end for partition, end in extent.ends.items()}
        if known is None or known["cluster"] != extent.cluster or _is_shorter(ends, known["ends"]):
            _logger.warning("relay.refilling", cluster=extent.cluster)
            # The cluster is noted with the work to do: whoever dies in it is followed by somebody who goes on.
            known = {"_id": "kafka", "cluster": extent.cluster, "ends": ends, "refilled": "", "compared": self._now()}
            await self._meta.replace_one({"_id": "kafka"}, known, upsert=True)
        elif known["ends"] != ends:
            await self._meta.update_one({"_id": "kafka", "cluster": extent.cluster}, {"$set": {"ends": ends}})
        if known["refilled"] == "":
            async for marks in _pages(self._dirty):
                for mark in marks:  # its writer may have died before the document by which it is found
                    await self._projections.load(mark["_id"])
        if known["refilled"] is not None:
            await self._each_conversation("refilled", known["refilled"], self._refill)
            await self._meta.update_one({"_id": "kafka"}, {"$set": {"refilled": None}})
        if self._now() - known["compared"] > COMPARE_LIFE:
            await self._each_conversation(None, "", self._compare)
            await self._meta.update_one({"_id": "kafka"}, {"$set": {"compared": self._now()}})

    async def _each_conversation(
        self, note: str | None, after: str, work: Callable[[Iterable[str]], Awaitable[None]]
    ) -> None:
        """Do something for every conversation in pages; `note` names where the last finished one is kept."""
        async for conversations in _pages(self._conversations, after):
            await self._leases.hold(LEASE, self._now())
            await work([conversation["_id"] for conversation in conversations])
            if note is not None:
                await self._meta.update_one({"_id": "kafka"}, {"$set": {note: conversations[-1]["_id"]}})

    async def _refill(self, conversation_ids: Iterable[str]) -> None:
        oldest = self._now() - self._retention
        for conversation_id in conversation_ids:
            await self._send_from(conversation_id, await self._before(conversation_id, oldest))

    async def _before(self, conversation_id: str, oldest: datetime) -> int:
        """Return the sequence of the newest entry that is older than a time, 0 where there is none."""
        upto = MAX_SEQUENCE
        while True:
            page = await self._entries.read(conversation_id, after=0, limit=PAGE, newest=True, upto=upto)
            if not page:
                return 0
            if page[0].at < oldest:
                return max(entry.sequence for entry in page if entry.at < oldest)
            upto = page[0].sequence - 1

    async def _compare(self, conversation_ids: Iterable[str]) -> None:
        published = await self._published.of(list(conversation_ids))
        for conversation_id, sequence in published.items():
            head = await self._entries.head(conversation_id)
            if head is not None and head.sequence > sequence and self._now() > head.at + WRITERS_TIME:
                await self._send_from(conversation_id, sequence)


async def _pages(collection: Collection, after: str = "") -> AsyncIterator[list[Document]]:
    """Yield a collection's documents in the order of their ids."""
    while page := await collection.find({"_id": {"$gt": after}}, limit=CONVERSATIONS):
        yield page
        after = page[-1]["_id"]


def _is_shorter(ends: dict[str, int], before: dict[str, int]) -> bool:
    return any(ends.get(partition, 0) < end for partition, end in before.items())
