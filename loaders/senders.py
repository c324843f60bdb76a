"""Whether people may write in conversations, by (user, conversation)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

from services.senders import Senders, SendPermission

type Sender = tuple[str, str]  # a user's id and a conversation's


def permissions_by_sender(senders: Senders) -> Callable[[list[Sender]], Awaitable[list[SendPermission]]]:
    """Return the function that finds out for many at once, in the order of their keys."""

    async def load(keys: list[Sender]) -> list[SendPermission]:
        conversations: defaultdict[str, list[str]] = defaultdict(list)
        for user_id, conversation_id in keys:
            conversations[user_id].append(conversation_id)
        found: dict[Sender, SendPermission] = {}
        for user_id, conversation_ids in conversations.items():
            for conversation_id, permission in zip(
                conversation_ids, await senders.permissions(user_id, conversation_ids), strict=True
            ):
                found[user_id, conversation_id] = permission
        return [found[key] for key in keys]

    return load
