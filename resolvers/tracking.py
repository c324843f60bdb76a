"""Product events of front ends."""

from datetime import datetime
from typing import Any

import strawberry

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.clock import now


@refusable
async def track(info: Info, name: str, properties: Any, at: datetime | None) -> Payload:
    tracking, viewer_id = info.context.services.tracking, info.context.viewer_id
    return Payload(accepted=await tracking.track(viewer_id, name=name, properties=properties, at=at, now=now()))


async def is_accepted(root: strawberry.Parent[Payload]) -> bool:
    return bool(root.accepted)
