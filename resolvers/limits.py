"""What the caller may still do."""

import strawberry

from resolvers.context import Info
from resolvers.users import Viewer
from services.limits import Standing


async def of_viewer(root: strawberry.Parent[Viewer], info: Info) -> list[Standing]:
    user = await info.context.loaders.users.load(root.claims.user_id)
    return await info.context.allowance.all(None if user is None else user.handle)
