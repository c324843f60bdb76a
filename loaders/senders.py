"""Whether people may write in conversations, by (user, conversation)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

type Sender = tuple[str, str]  # a user's id and a conversation's


def by_sender[T](
    ask: Callable[[str, list[str]], Awaitable[list[T]]],
) -> Callable[[list[Sender]], Awaitable[list[T]]]:
    """Return the function that asks this of each user for many conversations at once, in the order of its keys."""

    async def load(keys: list[Sender]) -> list[T]:
        conversations: defaultdict[str, list[str]] = defaultdict(list)
        for user_id, conversation_id in keys:
            conversations[user_id].append(conversation_id)
        found: dict[Sender, T] = {}
        for user_id, conversation_ids in conversations.items():
            for conversation_id, value in zip(conversation_ids, await ask(user_id, conversation_ids), strict=True):
                found[user_id, conversation_id] = value
        return [found[key] for key in keys]

    return load
