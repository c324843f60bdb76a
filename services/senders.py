"""Who may write where: the rules of the log, and what bars people from outside it (a block, a suspended account)."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.blocks import Blocks
from services.errors import UserError
from services.limits import Standing
from services.log import Logs
from services.membership import require_sender
from services.state import State
from services.tasks import gather_some
from services.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPermission:
    """Whether somebody may write in a conversation now."""

    allowed: bool
    reason: str | None = None  # for people; None when allowed
    retry_after_ms: int | None = None  # None where waiting does not help

    def within(self, standing: Standing) -> "SendPermission":
        """Return the permission as the limit of sends leaves it."""
        if not self.allowed or standing.remaining:
            return self
        return SendPermission(
            allowed=False,
            reason="You have sent much at once. Wait a moment.",
            retry_after_ms=standing.retry_after_ms,
        )


class Senders:
    """What is true of senders now, asked before each send."""

    def __init__(self, logs: Logs, users: Users, blocks: Blocks) -> None:
        self._logs = logs
        self._users = users
        self._blocks = blocks

    async def barred(self, sender_id: str, state: State) -> str | None:
        """Return why somebody may not write whatever the log says, or None; at most a second old."""
        (reason,) = await self._barred(sender_id, [state])
        return reason

    async def permissions(self, viewer_id: str, conversation_ids: Sequence[str]) -> list[SendPermission]:
        """Return whether the viewer may write in each of these, as far as this process has seen their logs."""
        logs = await gather_some(self._logs.get(key) for key in conversation_ids)
        await gather_some(log.load_members([viewer_id]) for log in logs)
        states = [log.state for log in logs]
        barred = await self._barred(viewer_id, states)
        return [_permission(state, viewer_id, reason) for state, reason in zip(states, barred, strict=True)]

    async def blocked(self, viewer_id: str, conversation_ids: Sequence[str]) -> list[bool]:
        """Return in which of these a block keeps the viewer from writing; asks nobody where all have more than two."""
        logs = await gather_some(self._logs.get(key) for key in conversation_ids)
        return await self._blocked(viewer_id, [log.state for log in logs])

    async def _barred(self, sender_id: str, states: Sequence[State]) -> list[str | None]:
        if await self._users.is_suspended(sender_id):
            return ["This account is suspended."] * len(states)
        blocked = await self._blocked(sender_id, states)
        return ["You cannot write to this person." if is_blocked else None for is_blocked in blocked]

    async def _blocked(self, sender_id: str, states: Sequence[State]) -> list[bool]:
        pairs = [state.conversation.pair if state.conversation else None for state in states]
        others = {user_id for pair in pairs for user_id in pair or ()} - {sender_id}
        blockers = await self._blocks.blockers(sender_id, others) if others else set()
        return [bool(blockers & set(pair or ())) for pair in pairs]


def _permission(state: State, viewer_id: str, barred: str | None) -> SendPermission:
    try:
        require_sender(state, viewer_id, barred)
    except UserError as refusal:
        return SendPermission(allowed=False, reason=refusal.message)
    return SendPermission(allowed=True)
