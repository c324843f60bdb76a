"""Who may write where: the rules of the log, and what bars people from outside it (a block, a suspended account)."""

from dataclasses import dataclass

from services.blocks import Blocks
from services.errors import UserError
from services.log import Logs
from services.membership import require_sender
from services.state import State
from services.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPermission:
    """Whether somebody may write in a conversation now."""

    allowed: bool
    reason: str | None = None  # for people; None when allowed
    retry_after_ms: int | None = None  # None where waiting does not help


class Senders:
    """What is true of senders now, asked before each send."""

    def __init__(self, logs: Logs, users: Users, blocks: Blocks) -> None:
        self._logs = logs
        self._users = users
        self._blocks = blocks

    async def barred(self, sender_id: str, state: State) -> str | None:
        """Return why somebody may not write whatever the log says, or None; at most a second old."""
        if await self._users.is_suspended(sender_id):
            return "This account is suspended."
        pair = state.conversation.pair if state.conversation else None
        if pair is not None and await self._blocks.blockers(sender_id, pair):
            return "You cannot write to this person."
        return None

    async def permission(self, viewer_id: str, conversation_id: str) -> SendPermission:
        """Return whether the viewer may write, as far as this process has seen the log."""
        log = await self._logs.get(conversation_id)
        await log.load_members([viewer_id])
        try:
            require_sender(log.state, viewer_id, await self.barred(viewer_id, log.state))
        except UserError as refusal:
            return SendPermission(allowed=False, reason=refusal.message)
        return SendPermission(allowed=True)
