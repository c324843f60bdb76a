"""Anything by its global id, for whoever may see it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.context import Info
from services import ids
from services.errors import BadUserInput

MOST_NODES = 100


async def node(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The global id.")]
) -> object | None:
    return await _node(info, id)


async def nodes(
    info: Info,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="At most 100 global ids.")],
) -> Sequence[object | None]:
    if len(ids) > MOST_NODES:
        raise BadUserInput(f"`ids` holds at most {MOST_NODES} ids.")
    return await asyncio.gather(*(_node(info, id_) for id_ in ids))


async def _node(info: Info, id_: str) -> object | None:
    context = info.context
    viewer_id = context.viewer_id
    match ids.kind(id_):
        case "usr":
            return await context.loaders.users.load(id_)
        case "cnv":
            return await context.services.conversations.visible(viewer_id, id_)
        case "msg":
            return await context.services.messages.visible(viewer_id, id_)
        case "ses":
            session = await context.services.sessions.get(id_)
            return session if session is not None and session.user_id == viewer_id else None
        case "rep":
            return await context.services.reports.visible(context.viewer, id_)
        case "aud":
            return await context.services.audit.get(id_) if context.viewer.is_operator else None
        case "alr":
            return await context.services.alerts.get(id_) if context.viewer.is_operator else None
    raise BadUserInput("That is not the id of anything.")
