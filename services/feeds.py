"""Keeps the logs that somebody watches live: whole, in order, whatever Redis loses.

A watched log has a Redis channel. What that channel loses is found by comparing with MongoDB: when Redis goes and when
it is back, every 10 s, and every second while it is away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import batched
from typing import Any, Self

import bson
from bson.codec_options import CodecOptions

from services.bus import Bus
from services.entries import Entry, entries_in, to_bytes
from services.log import Log, Logs
from services.receipts import ReceiptMoved, ReceiptService, WatchedReceipts
from services.tasks import Tasks

COMPARE_SECONDS = 10.0
POLL_SECONDS = 1.0  # instead, while Redis is away
TAILS = 100  # logs compared by one read
TAIL_ENTRIES = 1_000  # entries that one such read returns at most

_CHANNEL = "parley:log:"
_CODEC = CodecOptions[dict[str, Any]](tz_aware=True)


class Announcer:
    """Tells the other processes of new entries."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Send the entries to whoever watches the conversation."""
        self._bus.publish(_CHANNEL + conversation_id, to_bytes(entries))


class Feeds:
    """The logs that are watched in this process."""

    def __init__(self, logs: Logs, bus: Bus, receipts: ReceiptService) -> None:
        self._logs = logs
        self._bus = bus
        self._receipt_service = receipts
        self._watched: dict[str, Log] = {}
        self._receipts: dict[str, WatchedReceipts] = {}  # of the same conversations
        self._receipts_missed = False  # since Redis went; receipts have no sequence by which a loss would show
        self._compare_now = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(_CHANNEL, self._heard, self._compare_now.set)
        receipts.on_moved = self._receipt_moved

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Compare the watched logs with MongoDB until this ends."""
        self._tasks.spawn(
            self._bus.keep_comparing(
                "feeds",
                self._compare_all,
                self._compare_now,
                seconds=COMPARE_SECONDS,
                away_seconds=POLL_SECONDS,
            )
        )
        try:
            yield self
        finally:
            await self._tasks.close()

    async def watch(self, conversation_id: str, watcher: Callable[[], None]) -> Log:
        """Return the log, caught up, and keep it live until `unwatch`; entries that are added call `watcher`.

        Not to be cancelled: a command to Redis that is broken off costs the process its ear.

        Raises:
            PyMongoError: MongoDB did not answer; nothing is watched.
        """
        log = await self._logs.hold(conversation_id)
        log.watchers[watcher] += 1
        if conversation_id not in self._watched:
            self._watched[conversation_id] = log
            self._receipts[conversation_id] = WatchedReceipts(log, self._receipt_service)
        try:
            # Confirmed first and read after: what is committed in between is heard.
            await self._bus.subscribe(_CHANNEL + conversation_id)
            await log.catch_up()
        except BaseException:
            self.unwatch(log, watcher)
            raise
        return log

    def unwatch(self, log: Log, watcher: Callable[[], None]) -> None:
        """Call the watcher no more; a log without watchers is no longer kept live."""
        log.watchers[watcher] -= 1
        if not log.watchers[watcher]:
            del log.watchers[watcher]
        if not log.watchers and self._watched.get(log.conversation_id) is log:
            del self._watched[log.conversation_id], self._receipts[log.conversation_id]
            self._tasks.spawn(self._unsubscribe(log.conversation_id))
        self._logs.release(log)

    def receipts(self, conversation_id: str) -> WatchedReceipts:
        """Return the receipts of a conversation that is watched."""
        return self._receipts[conversation_id]

    async def _unsubscribe(self, conversation_id: str) -> None:
        if conversation_id not in self._watched:  # unless somebody came back before this ran
            await self._bus.unsubscribe(_CHANNEL + conversation_id)

    def _heard(self, channel: str, data: bytes) -> None:
        conversation_id = channel.removeprefix(_CHANNEL)
        log = self._watched.get(conversation_id)
        if log is None:
            return
        message = bson.decode(data, _CODEC)
        log.see(entries_in(message))
        if (receipt := message.get("receipt")) is not None:
            self._receipts[conversation_id].take(ReceiptMoved.from_document(receipt))

    def _receipt_moved(self, moved: ReceiptMoved) -> None:
        """Tell this process and the others; who is not reached hears of it with the next reading."""
        receipts = self._receipts.get(moved.conversation_id)
        if receipts is not None:
            receipts.take(moved)
        self._bus.publish(_CHANNEL + moved.conversation_id, bson.encode({"receipt": moved.to_document()}))

    async def _compare_all(self) -> None:
        for logs in batched(tuple(self._watched.values()), TAILS, strict=False):
            await self._compare(logs)
        await self._compare_receipts()

    async def _compare(self, logs: Sequence[Log]) -> None:
        found = await self._logs.entries.tails({log.conversation_id: log.sequence for log in logs}, limit=TAIL_ENTRIES)
        for log in logs:
            log.see(entry for entry in found if entry.conversation_id == log.conversation_id)
        if len(found) == TAIL_ENTRIES:
            self._compare_now.set()

    async def _compare_receipts(self) -> None:
        """Read the receipts again once Redis is back."""
        if not self._bus.up.is_set():
            self._receipts_missed = True
        elif self._receipts_missed:
            for receipts in tuple(self._receipts.values()):
                await receipts.load_again()
            self._receipts_missed = False
