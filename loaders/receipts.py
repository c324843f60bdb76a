"""Receipts, of single members and of whole conversations."""

from collections import defaultdict
from collections.abc import Awaitable, Callable

from services.delivery import DeliveryStatus
from services.receipts import Receipts, ReceiptService
from services.tasks import gather_some

type Reader = tuple[str, str]  # a conversation's id and a user's
type Sent = tuple[str, int, str]  # a message's conversation, sequence and sender


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


def statuses_of_messages(receipts: ReceiptService) -> Callable[[list[Sent]], Awaitable[list[DeliveryStatus]]]:
    """Return the function that tells how far many messages have come, in the order of their keys."""

    async def load(messages: list[Sent]) -> list[DeliveryStatus]:
        conversations = list(dict.fromkeys(conversation_id for conversation_id, _, _ in messages))
        read = await gather_some(receipts.floor(conversation_id) for conversation_id in conversations)
        floors = dict(zip(conversations, read, strict=True))
        return [floors[conversation_id].status_of(sequence, sender) for conversation_id, sequence, sender in messages]

    return load
