"""Presence."""

from datetime import datetime

import strawberry

from resolvers import presence as resolvers
from schema.errors import Refusable
from schema.view import enumeration, field, mutation, view
from services import presence
from services.presence import PresenceStatus

enumeration(
    PresenceStatus,
    "Whether somebody is there; UNKNOWN where that is not known now, or not for others to know.",
    ONLINE="A device is connected and in use.",
    AWAY="Devices are connected, and none is in use.",
    OFFLINE="No device is connected.",
    UNKNOWN="Not known now, for example while Redis is away; or not shared.",
)


@view(presence.Presence, "Whether somebody is there, as the most present of their devices.")
class Presence:
    user_id: strawberry.ID = field("Whose it is.")
    status: PresenceStatus = field("What is known.")
    last_seen_at: datetime | None = field("When they were last there; null where that is not known.")
    as_of: datetime = field("When this was true.")
    valid_until: datetime = field("Until when it may be believed without another event.")
    connection_count: int = field("How many live connections the user has.")


@strawberry.input(description="The input of `setPresence`.")
class SetPresenceInput:
    status: PresenceStatus = field("What this device says of itself: ONLINE or AWAY.")


@strawberry.type(description="The outcome of `setPresence`.")
class SetPresencePayload(Refusable):
    presence: Presence | None = field("The caller's presence after it; null when refused.")


@strawberry.type
class PresenceMutations:
    set_presence = mutation(
        resolvers.set_presence,
        SetPresenceInput,
        SetPresencePayload,
        "Say that this device is away, or in use again: a user is as present as the most present of the devices.",
    )
