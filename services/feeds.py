"""Keeps the logs that somebody watches live: whole, in order, whatever Redis loses.

A watched log has a Redis channel. What that channel loses is found by comparing with MongoDB: when Redis goes and when
it is back, every 10 s, and every second while it is away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import batched
from typing import Self

from services.bus import Bus
from services.cache import decoded
from services.entries import entries_in
from services.log import Log, Logs
from services.log_cache import CHANNEL
from services.receipts import ReceiptMoved, ReceiptService, WatchedReceipts
from services.tasks import Tasks

COMPARE_SECONDS = 10.0
POLL_SECONDS = 1.0  # instead, while Redis is away
TAILS = 100  # logs compared by one read
TAIL_ENTRIES = 1_000  # entries that one such read returns at most


class Feeds:
    """The logs that are watched in this process."""

    def __init__(self, logs: Logs, bus: Bus, receipts: ReceiptService) -> None:
        self._logs = logs
        self._bus = bus
        self._receipt_service = receipts
        self._watched: dict[str, Log] = {}
        self._receipts: dict[str, WatchedReceipts] = {}  # of the same conversations
        self._receipts_missed = False  # perhaps; receipts have no sequence by which a loss would show
        self._compare_now = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(CHANNEL, self._heard, self._may_have_missed)
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
            await self._bus.subscribe(CHANNEL, conversation_id)
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
            await self._bus.unsubscribe(CHANNEL, conversation_id)

    def _heard(self, conversation_id: str, data: bytes) -> None:
        log = self._watched.get(conversation_id)
        if log is None:
            return
        message = decoded(data)
        log.see(entries_in(message))
        if (receipt := message.get("receipt")) is not None:
            self._receipts[conversation_id].take(ReceiptMoved.from_document(receipt))

    def _receipt_moved(self, moved: ReceiptMoved) -> None:
        """Tell this process."""
        receipts = self._receipts.get(moved.conversation_id)
        if receipts is not None:
            receipts.take(moved)

    def _may_have_missed(self) -> None:
        self._receipts_missed = True
        self._compare_now.set()

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
        """Read the receipts again of which moves may have been missed, once Redis is back."""
        if self._receipts_missed and self._bus.up.is_set():
            self._receipts_missed = False
            try:
                for receipts in tuple(self._receipts.values()):
                    await receipts.load_again()
            except BaseException:
                self._receipts_missed = True
                raise
