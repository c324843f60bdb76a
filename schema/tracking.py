"""Product events of front ends."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from resolvers import tracking as resolvers
from schema.errors import Refusable
from schema.view import field, mutation, resolved


@strawberry.input(description="The input of `track`: something that the caller did in a front end.")
class TrackInput:
    name: str = field("What it was: 1 to 64 of `a-z`, `0-9`, `_` and `.`.")
    properties: JSON | None = strawberry.field(default=None, description="More about it: at most 4 KiB of JSON.")
    at: datetime | None = strawberry.field(
        default=None, description="When it was, within 24 hours of now; now when left out."
    )


@strawberry.type(description="The outcome of `track`.")
class TrackPayload(Refusable):
    accepted: bool = resolved(
        resolvers.is_accepted,
        bool,
        "Whether Kafka has it; false when refused, and while Kafka is away: nothing is kept then.",
    )


@strawberry.type
class TrackingMutations:
    track = mutation(resolvers.track, TrackInput, TrackPayload, "Record something that the caller did, for analytics.")
