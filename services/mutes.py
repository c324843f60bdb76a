"""Until when somebody wants no notice of a conversation: their own affair, which nobody else sees and no log tells."""

from collections.abc import Iterable
from datetime import datetime

from services.conversations import Conversations, Snapshot
from services.errors import InvalidInput, NotFound
from services.mongo import Collection, Database

type Muter = tuple[str, str]  # a user and a conversation


class Mutes:
    """Mutes of all users, `<user>:<conversation>`; one that has ended counts as none, and leaving does not end it."""

    def __init__(self, database: Database, conversations: Conversations) -> None:
        self._mutes: Collection = database["mutes"]
        self._conversations = conversations

    async def set(self, user_id: str, conversation_id: str, until: datetime | None, now: datetime) -> Snapshot:
        """Mute a conversation, or with None unmute it; return it.

        Raises:
            NotFound: the user is not in such a conversation.
            InvalidInput: `until` has passed.
        """
        snapshot = await self._conversations.visible(user_id, conversation_id)
        if snapshot is None:
            raise NotFound("There is no such conversation.", ("input", "conversationId"))
        mute_id = _mute_id(user_id, conversation_id)
        if until is None:
            await self._mutes.delete_one({"_id": mute_id})
        elif until <= now:
            raise InvalidInput("A time in the future ends a mute; null ends it now.", ("input", "until"))
        else:
            await self._mutes.replace_one({"_id": mute_id}, {"_id": mute_id, "until": until}, upsert=True)
        return snapshot

    async def get_many(self, muters: Iterable[Muter], now: datetime) -> dict[Muter, datetime]:
        """Return until when who of these has muted which conversation."""
        return await mutes_of(self._mutes, muters, now)


async def mutes_of(mutes: Collection, muters: Iterable[Muter], now: datetime) -> dict[Muter, datetime]:
    """Return until when who of these has muted which conversation."""
    by_id = {_mute_id(*muter): muter for muter in muters}
    found = await mutes.find_many(list(by_id))
    return {by_id[mute_id]: mute["until"] for mute_id, mute in found.items() if mute["until"] > now}


def _mute_id(user_id: str, conversation_id: str) -> str:
    return f"{user_id}:{conversation_id}"
