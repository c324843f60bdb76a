"""Receipts."""

from datetime import datetime

import strawberry

from resolvers import receipts as resolvers
from schema.conversations import Member
from schema.errors import Refusable
from schema.view import field, mutation, view
from services import receipts


@view(receipts.ReceiptMoved, "A member's receipts moved. Absolute values; not part of the log: the newest says it all.")
class ReceiptMoved:
    conversation_id: strawberry.ID = field("The conversation.")
    user_id: strawberry.ID = field("Whose receipts they are.")
    delivered_sequence: int = field("Everything up to and including this has reached them.")
    read_sequence: int = field("Everything up to and including this has been read by them.")
    at: datetime = field("When they moved.")


@strawberry.input(description="The input of `markDelivered`.")
class MarkDeliveredInput:
    conversation_id: strawberry.ID = field("The conversation.")
    up_to_sequence: int = field("Everything up to and including this has reached the caller.")


@strawberry.input(description="The input of `markRead`.")
class MarkReadInput:
    conversation_id: strawberry.ID = field("The conversation.")
    up_to_sequence: int = field("Everything up to and including this has been read by the caller.")


@strawberry.type
class MarkOutcome(Refusable):
    """What the payloads of receipts have."""

    member: Member | None = field("The caller's membership; null when refused.")
    viewer_unread_count: int | None = field("What the caller has not read of the conversation; null when refused.")


@strawberry.type(description="The outcome of `markDelivered`.")
class MarkDeliveredPayload(MarkOutcome):
    pass


@strawberry.type(description="The outcome of `markRead`.")
class MarkReadPayload(MarkOutcome):
    pass


@strawberry.type
class ReceiptMutations:
    mark_delivered = mutation(
        resolvers.mark_delivered,
        MarkDeliveredInput,
        MarkDeliveredPayload,
        "Say how far a conversation has reached the caller. Receipts only move forward.",
    )
    mark_read = mutation(
        resolvers.mark_read,
        MarkReadInput,
        MarkReadPayload,
        "Say how far the caller has read a conversation, which says that it was delivered too.",
    )
