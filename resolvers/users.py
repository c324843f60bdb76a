"""People."""

from dataclasses import dataclass
from typing import Annotated

import strawberry

from resolvers.context import Info
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


async def user_by_handle(
    info: Info, handle: Annotated[str, strawberry.argument(description="The handle, in any case.")]
) -> User | None:
    info.context.viewer  # noqa: B018  # only people who are signed in may look others up
    return await info.context.services.users.by_handle(handle)
