"""Receipts, of single members and of whole conversations."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

from services.delivery import Floor
from services.receipts import Receipts, ReceiptService
from services.tasks import gather_some

type Reader = tuple[str, str]  # a conversation's id and a user's


def receipts_by_reader(receipts: ReceiptService) -> Callable[[list[Reader]], Awaitable[list[Receipts | None]]]:
    """Return the function that reads many members' receipts at once, in the order of their keys."""

    async def load(readers: list[Reader]) -> list[Receipts | None]:
        users: defaultdict[str, list[str]] = defaultdict(list)
        for conversation_id, user_id in readers:
            users[conversation_id].append(user_id)
        read = await gather_some(receipts.of(key, user_ids) for key, user_ids in users.items())
        found = dict(zip(users, read, strict=True))
        return [found[conversation_id].get(user_id) for conversation_id, user_id in readers]

    return load


def floors_by_conversation(receipts: ReceiptService) -> Callable[[list[str]], Awaitable[list[Floor]]]:
    """Return the function that reads many conversations' floors at once, in the order of their ids."""

    async def load(conversation_ids: list[str]) -> list[Floor]:
        return list(await gather_some(map(receipts.floor, conversation_ids)))

    return load
