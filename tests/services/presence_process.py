"""Processes as far as presence goes, each with connections of its own to one Redis, in the test's event loop."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from services.attendance import Attendance
from services.bus import Bus
from services.cache import Cache, Trust
from services.last_seen import LastSeen
from services.mongo import Database
from services.presence import Presence, PresenceService, PresenceStatus
from services.presence_reaper import Reaper
from services.presence_store import PresenceStore, PresenceTimes
from services.presence_watch import PresenceWatch
from services.profiles import Profiles
from services.redis import Redis
from services.services import SCRIPTS
from services.users import Users

# Much faster, but for a lease, which has to last while a busy machine looks for Redis again.
FAST = PresenceTimes(
    lease_seconds=4.0,
    beat_seconds=0.1,
    grace_seconds=0.6,
    drain_grace_seconds=4.0,
    idle_seconds=60.0,
    gap_seconds=0.25,
    valid_seconds=60.0,
    settle_seconds=0.3,
)


@dataclass(slots=True)
class Process:
    """One process."""

    redis: Redis
    attendance: Attendance
    service: PresenceService
    watch: PresenceWatch
    last_seen: LastSeen
    heard: list[tuple[str, PresenceStatus]] = field(default_factory=list)  # what the watch told of, in order
    told: list[Presence] = field(default_factory=list)  # the same, whole

    @classmethod
    @asynccontextmanager
    async def running(
        cls, database: Database, redis_url: str, instance: str, times: PresenceTimes = FAST
    ) -> AsyncIterator["Process"]:
        """Run one until the block ends; it leaves as a process does that is stopped."""
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(Redis(redis_url, SCRIPTS).running())
            bus = await stack.enter_async_context(Bus(redis, instance).running())
            trust = await stack.enter_async_context(Trust(database, redis).running())
            cache = await stack.enter_async_context(Cache(redis, trust, 1, instance).running())
            last_seen = await stack.enter_async_context(LastSeen(database).running())
            store = PresenceStore(redis, times)
            service = PresenceService(store, Profiles(Users(database), cache), last_seen, bus, times)
            reaper = Reaper(store, last_seen, instance)
            attendance = await stack.enter_async_context(
                Attendance(redis, bus, store, last_seen, reaper, instance=instance, times=times).running()
            )
            watch = await stack.enter_async_context(PresenceWatch(redis, bus, service, reaper, times=times).running())
            process = cls(redis, attendance, service, watch, last_seen)
            watch.on_changed = process._note
            await redis.up.wait()
            await bus.up.wait()
            yield process

    def _note(self, user_id: str) -> None:
        presence = self.watch.present(user_id)
        assert presence is not None
        self.told.append(presence)
        self.heard.append((user_id, presence.status))

    async def status(self, user_id: str) -> PresenceStatus:
        """Return what a query would say."""
        return (await self.get(user_id)).status

    async def get(self, user_id: str) -> Presence:
        return (await self.service.get_many([user_id]))[user_id]

    def die(self) -> None:
        """Stop giving signs of life and telling anything, as a process does that was killed."""
        for task in tuple(self.attendance._tasks._running):
            task.cancel()
        self.attendance._attendants.clear()
        self.attendance._changed.clear()
        self.attendance._is_registered = False
