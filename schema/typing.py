"""Who is typing."""

from datetime import datetime

import strawberry

from resolvers import typing as resolvers
from schema.errors import Refusable
from schema.users import User
from schema.view import field, mutation, resolved, view
from services import typing


@view(
    typing.TypingState,
    "Everybody who is typing now, the viewer included. The set replaces the one before; forget it at `expiresAt`.",
)
class TypingState:
    conversation_id: strawberry.ID = field("The conversation.")
    users: list[User] = resolved(resolvers.users, list[User], "Who is typing.")
    expires_at: datetime = field("When the last of them is forgotten; now when nobody is typing.")


@strawberry.input(description="The input of `setTyping`.")
class SetTypingInput:
    conversation_id: strawberry.ID = field("The conversation.")
    typing: bool = field("Whether the caller is typing. Repeat true every few seconds; a message ends it.")


@strawberry.type(description="The outcome of `setTyping`.")
class SetTypingPayload(Refusable):
    expires_at: datetime | None = field("Until when the caller is shown as typing; null when not shown, or refused.")


@strawberry.type
class TypingMutations:
    set_typing = mutation(
        resolvers.set_typing,
        SetTypingInput,
        SetTypingPayload,
        "Say that the caller is typing, or no longer. Again within 2 s, or above 100 members, it changes nothing.",
    )
