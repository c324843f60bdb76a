"""Whether Parley is well."""

from resolvers.context import Info
from services.health import Health


async def health(info: Info) -> Health:
    return await info.context.services.health.health()
