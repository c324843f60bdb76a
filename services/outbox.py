"""The way of log entries to Kafka. The log is the outbox: what is here says only how far it has been sent.

Before a burst of appends a process notes durably that the conversation may have entries that Kafka lacks (`dirty`), and
after them sends the entries itself; what Kafka acknowledged is noted as well (`published`). Whatever fails or dies on
the way, the relay (`services/relay.py`) finds the note and sends the rest.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import structlog
from pymongo.errors import DuplicateKeyError, PyMongoError

from services.clock import now
from services.entries import Entry
from services.events import Event
from services.failures import described
from services.kafka import ACK_SECONDS, KafkaAwayError, Producer, Record
from services.mongo import Database
from services.tasks import Tasks
from services.topics import EVENTS
from services.tracing import SpanKind, continued

# An attempt to append lives at most 30 s and a write 5 s more: a mark with 45 s left outlives it.
MARK_LIFE: Final = timedelta(seconds=90)
MARK_LEFT: Final = timedelta(seconds=45)
OUTGOING: Final = 10_000  # entries that wait to be sent; above it the oldest is dropped: the relay has it
RUN: Final = 200  # entries that are sent at a time
NOTE_SECONDS: Final = 2.0  # between two notes of what Kafka has
NOTE_TRIES: Final = 3  # then it is left to the relay

_logger = structlog.get_logger()


def record_of(entry: Entry) -> Record:
    """Return an entry as Kafka gets it."""
    return Record(EVENTS, entry.conversation_id.encode(), Event.of(entry).to_bytes(), entry.origin)


class Published:
    """Up to where Kafka is known to have each log; everything up to there, without holes."""

    def __init__(self, database: Database) -> None:
        self._published = database["published"]

    async def of(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """Return the sequence of each conversation, 0 where nothing is known."""
        found = await self._published.find_many(conversation_ids)
        return {
            conversation_id: found[conversation_id]["sequence"] if conversation_id in found else 0
            for conversation_id in conversation_ids
        }

    async def extend(self, conversation_id: str, first: int, last: int) -> bool:
        """Note that Kafka has the entries from `first` to `last`; return whether that continues what it had."""
        query = {"_id": conversation_id, "sequence": {"$gte": first - 1, "$lt": last}}
        try:
            return (
                await self._published.update_one(query, {"$set": {"sequence": last}}, upsert=first == 1) or first == 1
            )
        except DuplicateKeyError:  # it has a sequence that the query does not fit: somebody has noted as much
            return True


@dataclass(slots=True)
class _Sent:
    """A run of entries that Kafka has acknowledged."""

    first: int
    last: int
    tries: int = 0


class Outbox:
    """This process's part in it."""

    def __init__(self, database: Database, producer: Producer, *, clock: Callable[[], datetime] = now) -> None:
        self._dirty = database["dirty"]
        self._published = Published(database)
        self._producer = producer
        self._now = clock
        self._marks: dict[str, datetime] = {}  # until when each conversation is marked by this process
        self._outgoing: deque[Entry] = deque(maxlen=OUTGOING)
        self._filled = asyncio.Event()
        self._closing = False
        self._sent: dict[str, list[_Sent]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Send and note until this ends; what waits then is still sent, as far as five seconds take it."""
        tasks = Tasks()
        sending = tasks.spawn(self._keep_sending())
        tasks.spawn(self._keep_noting())
        try:
            yield self
        finally:
            self._closing = True
            self._filled.set()
            await asyncio.wait([sending], timeout=ACK_SECONDS)
            await tasks.close()
            with suppress(PyMongoError):
                await self._note_all()

    async def mark(self, conversation_id: str) -> None:
        """Have the relay look after a conversation for as long as an append that begins now may take.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        present = self._now()
        until = self._marks.get(conversation_id)
        if until is not None and until - present >= MARK_LEFT:
            return
        until = present + MARK_LIFE
        while True:
            try:
                await self._dirty.update_one({"_id": conversation_id}, {"$max": {"until": until}}, upsert=True)
            except DuplicateKeyError:
                continue  # another process has made the mark at the same moment; now it is there to be raised
            self._marks[conversation_id] = until
            return

    async def active(self, most: int) -> list[str]:
        """Return the conversations that were written to in the last minutes, by any process, the latest first.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        marks = await self._dirty.find({})
        return [mark["_id"] for mark in sorted(marks, key=lambda mark: mark["until"], reverse=True)[:most]]

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Send entries of this process to Kafka soon."""
        del conversation_id  # each entry has it
        self._outgoing.extend(entries)
        self._filled.set()

    async def _keep_sending(self) -> None:
        while not self._closing:
            await self._filled.wait()
            self._filled.clear()
            while self._outgoing:
                try:
                    await self._send_run()
                except KafkaAwayError as error:
                    _logger.warning("outbox.left_to_the_relay", error=str(error))

    async def _send_run(self) -> None:
        run = [self._outgoing.popleft() for _ in range(min(RUN, len(self._outgoing)))]
        with continued(f"publish {EVENTS}", [entry.origin for entry in run], SpanKind.PRODUCER):
            await self._producer.send([record_of(entry) for entry in run])
        for entry in run:
            sent = self._sent.setdefault(entry.conversation_id, [])
            if sent and sent[-1].last == entry.sequence - 1:
                sent[-1].last = entry.sequence
            else:
                sent.append(_Sent(entry.sequence, entry.sequence))

    async def _keep_noting(self) -> None:
        while True:
            await asyncio.sleep(NOTE_SECONDS)
            present = self._now()
            self._marks = {key: until for key, until in self._marks.items() if until > present}
            try:
                await self._note_all()
            except PyMongoError as error:
                _logger.warning("outbox.not_noted", error=described(error))

    async def _note_all(self) -> None:
        """Note what was sent. A run above entries that another process sends waits for their note, for a while."""
        noting, self._sent = self._sent, {}
        for conversation_id, runs in noting.items():
            for sent in runs:
                sent.tries += 1
                noted = await self._published.extend(conversation_id, sent.first, sent.last)
                if not noted and sent.tries < NOTE_TRIES:
                    self._sent.setdefault(conversation_id, []).insert(0, sent)
