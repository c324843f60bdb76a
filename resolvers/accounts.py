"""What administrators do to accounts."""

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.clock import now


@refusable
async def suspend_user(info: Info, user_id: str) -> Payload:
    return Payload(user=await info.context.services.accounts.suspend_by(info.context.viewer_id, user_id, now()))


@refusable
async def restore_user(info: Info, user_id: str) -> Payload:
    return Payload(user=await info.context.services.accounts.restore_by(info.context.viewer_id, user_id))
