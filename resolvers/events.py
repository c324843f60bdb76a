"""What happens in a conversation, as subscribers see it."""

from typing import Annotated

import strawberry

from resolvers.context import Info
from services.entries import Entry
from services.streams import CaughtUp, ConversationStream, InboxStream, ResyncRequired
from services.users import User


async def actor(root: strawberry.Parent[Entry], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.actor_id)


async def cursor(root: strawberry.Parent[Entry | CaughtUp | ResyncRequired], info: Info) -> str:
    return info.context.services.conversations.cursor(root.conversation_id, root.sequence)


async def inbox_updates(
    info: Info,
    after: Annotated[
        list[str] | None,
        strawberry.argument(
            description="The cursors of the last entries seen, at most one for each conversation and 500 in all."
        ),
    ] = None,
) -> InboxStream:
    return info.context.services.streams.inbox(info.context.viewer_id, after or ())


async def conversation_updates(
    info: Info,
    conversation_id: Annotated[strawberry.ID, strawberry.argument(description="The conversation's id.")],
    after: Annotated[
        str | None, strawberry.argument(description="The cursor of the last entry seen; from now when left out.")
    ] = None,
) -> ConversationStream:
    return info.context.services.streams.conversation(info.context.viewer_id, conversation_id, after)
