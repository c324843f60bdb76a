"""Who is there, as others may see it.

What Redis does not tell is UNKNOWN, never OFFLINE; so is everybody who does not share it, at any time and to anybody.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from pymongo.errors import PyMongoError

from services import ids
from services.bus import Bus
from services.clock import now
from services.errors import BadUserInput, InvalidInput, Unavailable
from services.failures import described
from services.last_seen import LastSeen, time_of
from services.presence_store import (
    INSTANCE_CHANNEL,
    SAID_AWAY,
    SAID_PRESENT,
    Device,
    PresenceStore,
    PresenceTimes,
    State,
)
from services.profiles import Profiles
from services.redis import RedisFailedError
from services.users import ProfileChanges, User

USERS: Final = 200  # of one query or subscription

_logger = structlog.get_logger()


class PresenceStatus(StrEnum):
    ONLINE = "ONLINE"
    AWAY = "AWAY"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """What may be seen of a user's presence."""

    user_id: str
    status: PresenceStatus
    last_seen_at: datetime | None  # None where it is not known
    as_of: datetime
    valid_until: datetime
    connection_count: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a user, and whether anybody may see it."""

    state: State | None  # None while Redis does not tell
    is_shared: bool
    is_settled: bool = True  # whether a user of whom Redis knows nothing is absent
    last_seen_at: datetime | None = None  # as MongoDB has it; None where Redis was asked

    @property
    def status(self) -> PresenceStatus:
        """What may be seen."""
        if self.state is None or not self.is_shared:
            return PresenceStatus.UNKNOWN
        if self.state.status is None:
            return PresenceStatus.OFFLINE if self.is_settled else PresenceStatus.UNKNOWN
        return PresenceStatus(self.state.status.name)


class PresenceService:
    """Reads presence, and takes what devices say of themselves."""

    def __init__(
        self, store: PresenceStore, profiles: Profiles, last_seen: LastSeen, bus: Bus, times: PresenceTimes
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._last_seen = last_seen
        self._bus = bus
        self._valid = timedelta(seconds=times.valid_seconds)

    async def get_many(self, user_ids: Iterable[str]) -> dict[str, Presence]:
        """Return the presence of all these users; of somebody who does not exist it is UNKNOWN."""
        known = await self.known(list(dict.fromkeys(user_ids)))
        return {user_id: self.shown(user_id, found) for user_id, found in known.items()}

    async def known(self, user_ids: Sequence[str]) -> dict[str, Known]:
        """Return what is known of these users: one round trip, where the cache has their profiles."""
        (states, is_settled), users = await asyncio.gather(self._states(user_ids), self._users(user_ids))
        absent = [user_id for user_id, state in states.items() if state is not None and state.seen_ms is None]
        seen = await self._seen(absent) if absent else {}
        return {
            user_id: Known(state, _is_shared(users.get(user_id)), is_settled, seen.get(user_id))
            for user_id, state in states.items()
        }

    def shown(self, user_id: str, known: Known) -> Presence:
        """Return what may be seen of a user."""
        state, status = known.state, known.status
        as_of = now() if state is None else time_of(state.as_of_ms)
        seen_at, count = None, 0
        if state is not None and known.is_shared:
            count = state.count
            seen_at = time_of(state.seen_ms) if state.seen_ms else known.last_seen_at
            if status is PresenceStatus.ONLINE:
                seen_at = as_of
        return Presence(
            user_id=user_id,
            status=status,
            last_seen_at=seen_at,
            as_of=as_of,
            valid_until=as_of + self._valid,
            connection_count=count,
        )

    async def say(self, user_id: str, session_id: str, status: PresenceStatus) -> Presence:
        """Take what a device says of itself, and return the user's presence after it.

        Raises:
            InvalidInput: it is nothing that a device may say.
            Unavailable: Redis is away; nothing was changed.
        """
        if status not in {PresenceStatus.ONLINE, PresenceStatus.AWAY}:
            raise InvalidInput("A device says ONLINE or AWAY of itself.", ("input", "status"))
        is_away = status is PresenceStatus.AWAY
        try:
            through = await self._store.say(Device(user_id, session_id), is_away=is_away)
        except RedisFailedError:
            raise Unavailable("Presence cannot be set now. Try again.", retry_after_ms=1_000) from None
        said = SAID_AWAY if is_away else SAID_PRESENT
        for instance in through:
            self._bus.publish(INSTANCE_CHANNEL, instance, f"{user_id} {session_id} {said}".encode())
        return (await self.get_many([user_id]))[user_id]

    async def update_profile(self, user_id: str, changes: ProfileChanges) -> User:
        """Change what a person shows of themselves, so that whoever watches sees at once what they no longer share.

        Raises as `Profiles.update`.
        """
        try:
            return await self._profiles.update(user_id, changes)
        finally:
            if "share_presence" in changes:
                try:
                    await self._store.have_read_again(user_id)
                except RedisFailedError:
                    _logger.warning("presence.not_told")  # when Redis is back, all is read again

    async def _states(self, user_ids: Sequence[str]) -> tuple[dict[str, State | None], bool]:
        try:
            states, is_settled = await self._store.read(user_ids)
        except RedisFailedError:
            return dict.fromkeys(user_ids), False
        return dict(zip(user_ids, states, strict=True)), is_settled

    async def _users(self, user_ids: Sequence[str]) -> dict[str, User]:
        try:
            return await self._profiles.get_many(user_ids)
        except PyMongoError as error:
            _logger.warning("presence.profiles_not_read", error=described(error))
            return {}  # nobody shares what is not known to be shared

    async def _seen(self, user_ids: Sequence[str]) -> dict[str, datetime]:
        try:
            return await self._last_seen.get_many(user_ids)
        except PyMongoError as error:
            _logger.warning("presence.last_seen_not_read", error=described(error))
            return {}


def valid_user_ids(user_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the users whose presence was asked for.

    Raises:
        BadUserInput: there are too many, or one is no user's id.
    """
    if len(user_ids) > USERS:
        raise BadUserInput(f"`userIds` holds at most {USERS} ids.")
    if any(ids.kind(user_id) != "usr" for user_id in user_ids):
        raise BadUserInput("`userIds` holds ids of users.")
    return tuple(user_ids)


def _is_shared(user: User | None) -> bool:
    return user is not None and user.share_presence
