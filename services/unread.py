"""How much somebody has not read: counted from positions in the log each time, never stored.

Who sent which of the newest messages is kept beside each log in memory, because all readers of a conversation ask about
the same ones: it is read once, from the end of the log backward as far as somebody's count needs, and then follows it.
"""

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from weakref import WeakKeyDictionary

from services.clock import now
from services.entries import Entry, MessageDeleted, MessageSent
from services.inboxes import Inboxes
from services.log import Log, Logs
from services.mutes import Mutes
from services.receipts import ReceiptService
from services.tasks import gather_some

MOST = 1_000  # counts above it are cut
PAGE = 200  # entries looked at in one read
KEPT = 10_000  # messages of a log that are kept when it has grown, in 16 bytes each; above it the older half is dropped
FARTHEST = 1_000  # entries that are followed; further behind, reading from the end again is cheaper


class Unread:
    """Counts messages that are visible, after the reader's marker, somebody else's and not deleted."""

    def __init__(self, logs: Logs, receipts: ReceiptService, inboxes: Inboxes, mutes: Mutes) -> None:
        self._logs = logs
        self._receipts = receipts
        self._inboxes = inboxes
        self._mutes = mutes
        self._newest: WeakKeyDictionary[Log, _Newest] = WeakKeyDictionary()

    async def of(self, user_id: str, conversation_id: str) -> int:
        """Return a member's count in a conversation, as far as this process has seen the log; 0 for an outsider."""
        log = await self._logs.get(conversation_id)
        receipts = (await self._receipts.of(conversation_id, [user_id])).get(user_id)
        if receipts is None or receipts.read.sequence >= log.sequence:
            return 0
        newest = self._newest.get(log)
        if newest is None:
            newest = self._newest[log] = _Newest(log.sequence)
        return await newest.count(log, user_id, after=receipts.read.sequence)

    async def of_all(self, user_id: str) -> int:
        """Return the sum over the user's conversations that are neither archived nor muted, as of now."""
        conversation_ids = await self._inboxes.of(user_id)
        muted = await self._mutes.get_many([(user_id, key) for key in conversation_ids], now())

        async def count(conversation_id: str) -> int:
            log = await self._logs.get(conversation_id)
            await log.refresh()
            conversation = log.state.conversation
            if conversation is None or conversation.archived_at is not None:
                return 0
            return await self.of(user_id, conversation_id)

        return sum(await gather_some(count(key) for key in conversation_ids if (user_id, key) not in muted))


class _Newest:
    """Where the newest messages of a log stand that are not deleted, and who sent each."""

    def __init__(self, sequence: int) -> None:
        self._after = self._upto = sequence  # what is between these is known
        self._places = array("q")
        self._senders: list[str] = []
        self._reading = asyncio.Lock()

    async def count(self, log: Log, user_id: str, *, after: int) -> int:
        """Return how many of them above a place are somebody else's, at most `MOST`.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        async with self._reading:
            await self._follow(log)
            while (found := self._of_others(user_id, after)) < MOST and after < self._after:
                await self._look_back(log)
        return found

    def _of_others(self, user_id: str, after: int) -> int:
        first = bisect_right(self._places, after)
        others = (sender_id for sender_id in islice(self._senders, first, None) if sender_id != user_id)
        return sum(1 for _ in islice(others, MOST))

    async def _follow(self, log: Log) -> None:
        """Take what has come since."""
        if log.sequence - self._upto > FARTHEST:
            self._places, self._senders = array("q"), []
            self._after = self._upto = log.sequence
        while self._upto < log.sequence:
            entries = await log.entries(self._upto, PAGE)
            self._add(entries)
            # The deletion of a message that is among them, or was known before; one that was read after it lacks it.
            for entry in entries:
                if isinstance(entry, MessageDeleted):
                    self._drop(entry.message)
            self._upto = entries[-1].sequence
        surplus = len(self._places) - KEPT // 2
        if surplus > KEPT // 2:
            self._after = self._places[surplus - 1]
            del self._places[:surplus], self._senders[:surplus]

    async def _look_back(self, log: Log) -> None:
        """Take what stands before all that is known."""
        after = max(self._after - PAGE, 0)
        if log.remembered_after < self._after:
            after = max(after, log.remembered_after)  # what is in memory costs nothing, and is often enough
        entries = await log.entries(after, self._after - after)
        self._add(entries, at_end=False)
        self._after = after

    def _add(self, entries: list[Entry], *, at_end: bool = True) -> None:
        sent = [entry for entry in entries if isinstance(entry, MessageSent) and entry.state.deleted_at is None]
        at = len(self._places) if at_end else 0
        self._places[at:at] = array("q", [entry.sequence for entry in sent])
        self._senders[at:at] = [entry.actor_id for entry in sent]

    def _drop(self, sequence: int) -> None:
        index = bisect_left(self._places, sequence)
        if index < len(self._places) and self._places[index] == sequence:
            del self._places[index], self._senders[index]
