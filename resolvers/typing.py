"""Who is typing."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.conversations import Snapshot
from services.streams import TypingStream
from services.typing import TypingState
from services.users import User


async def of_conversation(root: strawberry.Parent[Snapshot], info: Info) -> Sequence[User]:
    return await _users(info, (await info.context.services.typing.now(root.id)).user_ids)


async def users(root: strawberry.Parent[TypingState], info: Info) -> Sequence[User]:
    return await _users(info, root.user_ids)


async def _users(info: Info, user_ids: Sequence[str]) -> Sequence[User]:
    return [user for user in await info.context.loaders.users.load_many(user_ids) if user is not None]


async def typing_changes(
    info: Info,
    conversation_id: Annotated[strawberry.ID, strawberry.argument(description="The conversation's id.")],
) -> TypingStream:
    return info.context.services.streams.typing(info.context.viewer_id, conversation_id)


@refusable
async def set_typing(info: Info, conversation_id: str, typing: bool) -> Payload:
    viewer_id, service = info.context.viewer_id, info.context.services.typing
    return Payload(expires_at=await service.set(viewer_id, conversation_id, typing=typing))
