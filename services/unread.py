"""How much somebody has not read: counted from positions in the log each time, never kept."""

from services.clock import now
from services.entries import MessageSent
from services.inboxes import Inboxes
from services.log import Log, Logs
from services.mutes import Mutes
from services.receipts import ReceiptService
from services.tasks import gather_some

MOST = 1_000  # counts above it are cut
PAGE = 200  # entries looked at in one read


class Unread:
    """Counts messages that are visible, after the reader's marker, somebody else's and not deleted."""

    def __init__(self, logs: Logs, receipts: ReceiptService, inboxes: Inboxes, mutes: Mutes) -> None:
        self._logs = logs
        self._receipts = receipts
        self._inboxes = inboxes
        self._mutes = mutes

    async def of(self, user_id: str, conversation_id: str) -> int:
        """Return a member's count in a conversation, as far as this process has seen the log; 0 for an outsider."""
        log = await self._logs.get(conversation_id)
        receipts = (await self._receipts.of(conversation_id, [user_id])).get(user_id)
        return 0 if receipts is None else await _count(log, user_id, after=receipts.read.sequence)

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


async def _count(log: Log, user_id: str, *, after: int) -> int:
    found = 0
    while after < log.sequence and found < MOST:
        entries = await log.entries(after, PAGE)
        found += sum(
            isinstance(entry, MessageSent) and entry.actor_id != user_id and entry.state.deleted_at is None
            for entry in entries
        )
        after = entries[-1].sequence
    return min(found, MOST)
