"""People."""

from dataclasses import dataclass
from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, given, not_null, refusable
from services.clock import now
from services.paging import Page, window
from services.tokens import Claims
from services.users import User


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller."""

    claims: Claims


async def viewer(info: Info) -> Viewer:
    return Viewer(info.context.viewer)


async def viewer_user(root: strawberry.Parent[Viewer], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.claims.user_id)


async def viewer_roles(root: strawberry.Parent[Viewer]) -> object:
    return sorted(root.claims.roles)


async def unread_count(root: strawberry.Parent[Viewer], info: Info) -> int:
    return await info.context.services.unread.of_all(root.claims.user_id)


async def user_by_handle(
    info: Info, handle: Annotated[str, strawberry.argument(description="The handle, in any case.")]
) -> User | None:
    info.context.viewer  # noqa: B018  # only people who are signed in may look others up
    return await info.context.services.users.by_handle(handle)


async def search(
    info: Info,
    search: Annotated[str, strawberry.argument(description="How the handle begins, in any case.")],
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    info.context.viewer  # noqa: B018  # only people who are signed in may look others up
    return connection(await info.context.services.users.search(search, window(first, after, last, before)))


async def blocked_by_viewer(
    root: strawberry.Parent[Viewer],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    page = await info.context.services.blocks.of_user(root.claims.user_id, window(first, after, last, before))
    users = await info.context.loaders.users.load_many([user_id for _, user_id in page.items])
    items = [(cursor, user) for (cursor, _), user in zip(page.items, users, strict=True)]
    return connection(Page(items, page.has_previous, page.has_next))


@refusable
async def update_profile(
    info: Info, display_name: str | None, avatar_url: str | None, share_presence: bool | None
) -> Payload:
    changes = given(avatar_url=avatar_url) | not_null(display_name=display_name, share_presence=share_presence)
    return Payload(user=await info.context.services.presence.update_profile(info.context.viewer_id, changes))


@refusable
async def block_user(info: Info, user_id: str) -> Payload:
    return Payload(user=await info.context.services.blocks.block(info.context.viewer_id, user_id, now()))


@refusable
async def unblock_user(info: Info, user_id: str) -> Payload:
    return Payload(user=await info.context.services.blocks.unblock(info.context.viewer_id, user_id))
