"""Who is there."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.presence import Presence, PresenceStatus, valid_user_ids
from services.streams import PresenceStream
from services.users import User

UserIds = Annotated[list[strawberry.ID], strawberry.argument(description="Whose; at most 200 ids.")]


async def of_user(root: strawberry.Parent[User], info: Info) -> Presence:
    return await info.context.loaders.presence.load(root.id)


async def presence(info: Info, user_ids: UserIds) -> Sequence[Presence]:
    info.context.viewer  # noqa: B018  # only people who are signed in may look
    return await info.context.loaders.presence.load_many(valid_user_ids(user_ids))


async def presence_changes(info: Info, user_ids: UserIds) -> PresenceStream:
    info.context.viewer  # noqa: B018  # only people who are signed in may look
    return PresenceStream(valid_user_ids(user_ids))


@refusable
async def set_presence(info: Info, status: PresenceStatus) -> Payload:
    viewer = info.context.viewer
    return Payload(presence=await info.context.services.presence.say(viewer.user_id, viewer.session_id, status))
