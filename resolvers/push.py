"""Where users want to be told of what they miss."""

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.clock import now
from services.push_endpoints import PushEndpointKind


async def public_key(info: Info) -> str | None:
    return info.context.services.push_public_key


@refusable
async def register_push_endpoint(
    info: Info, kind: PushEndpointKind, url: str, p256dh: str | None, auth: str | None, secret: str | None
) -> Payload:
    endpoints = info.context.services.push_endpoints
    return Payload(
        id=await endpoints.register(
            info.context.viewer, kind=kind, url=url, p256dh=p256dh, auth=auth, secret=secret, now=now()
        )
    )


@refusable
async def remove_push_endpoint(info: Info, id: str) -> Payload:
    await info.context.services.push_endpoints.remove(info.context.viewer_id, id)
    return Payload(id=id)
