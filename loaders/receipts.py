"""Receipts, of single members and of whole conversations."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

from services.receipts import Receipts, ReceiptService

type Reader = tuple[str, str]  # a conversation's id and a user's


def receipts_by_reader(receipts: ReceiptService) -> Callable[[list[Reader]], Awaitable[list[Receipts | None]]]:
    """Return the function that reads many members' receipts at once, in the order of their keys."""

    async def load(readers: list[Reader]) -> list[Receipts | None]:
        users: defaultdict[str, list[str]] = defaultdict(list)
        for conversation_id, user_id in readers:
            users[conversation_id].append(user_id)
        found = {key: await receipts.of(key, user_ids) for key, user_ids in users.items()}
        return [found[conversation_id].get(user_id) for conversation_id, user_id in readers]

    return load


def receipts_by_conversation(receipts: ReceiptService) -> Callable[[list[str]], Awaitable[list[list[Receipts]]]]:
    """Return the function that reads the receipts of all active members of conversations."""

    async def load(conversation_ids: list[str]) -> list[list[Receipts]]:
        return [list((await receipts.of(conversation_id)).values()) for conversation_id in conversation_ids]

    return load
