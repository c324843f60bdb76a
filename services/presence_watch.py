"""The presence of those whom somebody in this process watches: as it was told last, and confirmed before that ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import batched
from typing import Final, Self

import structlog

from services.bus import Bus
from services.presence import Known, Presence, PresenceService
from services.presence_reaper import Reaper
from services.presence_store import CHANNEL, PresenceTimes, told_state
from services.redis import Redis, RedisFailedError
from services.tasks import Tasks

LOOK_SECONDS: Final = 1.0  # between two looks at whom Redis could not tell
READ_SIZE: Final = 200  # users in one read
CONFIRM_SHARE: Final = 3  # who was told of is confirmed in the last third of the time for which that is valid

_logger = structlog.get_logger()


class _Watched:
    """One user."""

    __slots__ = ("known", "presence", "valid_until")

    def __init__(self, known: Known, presence: Presence) -> None:
        self.known = known
        self.presence = presence  # as everybody who watches was told
        self.valid_until = 0.0  # by the event loop's clock


class PresenceWatch:
    """The users that are watched in this process."""

    def __init__(
        self,
        redis: Redis,
        bus: Bus,
        service: PresenceService,
        reaper: Reaper,
        *,
        times: PresenceTimes,
    ) -> None:
        self.on_changed: Callable[[str], None] = lambda _: None  # called with whom there is something to tell of
        self._redis = redis
        self._bus = bus
        self._service = service
        self._reaper = reaper
        self._valid_seconds = times.valid_seconds
        self._watched: dict[str, _Watched | None] = {}  # None until the first read
        self._unsure: set[str] = set()  # of whom something may have been missed
        self._confirm_at = 0.0  # when to see whose time runs out, by the event loop's clock
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(CHANNEL, self._heard, self._may_have_missed)
        redis.on_lost.append(self._wake.set)
        redis.on_up.append(self._may_have_missed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep what is watched true until this ends."""
        self._tasks.spawn(self._keep_true())
        try:
            yield self
        finally:
            await self._tasks.close()

    async def watch(self, user_ids: Iterable[str]) -> None:
        """Begin to watch users who are not watched yet. Not to be cancelled, as `Feeds.watch`."""
        fresh = list(user_ids)
        self._watched |= dict.fromkeys(fresh)
        await self._bus.subscribe(CHANNEL, *fresh)
        await self._read(fresh)

    def unwatch(self, user_ids: Iterable[str]) -> None:
        """Watch these users no longer."""
        gone = list(user_ids)
        for user_id in gone:
            self._watched.pop(user_id, None)
            self._unsure.discard(user_id)
        self._tasks.spawn(self._unsubscribe(gone))

    def present(self, user_id: str) -> Presence | None:
        """Return what was told last of a user who is watched; None before the first read."""
        watched = self._watched.get(user_id)
        return None if watched is None else watched.presence

    def newest(self, user_id: str) -> Presence | None:
        """Return the same: nobody's presence is nothing to tell."""
        return self.present(user_id)

    async def _unsubscribe(self, user_ids: list[str]) -> None:
        for user_id in user_ids:
            if user_id not in self._watched:  # unless somebody came back before this ran
                await self._bus.unsubscribe(CHANNEL, user_id)

    # ------------------------------------------------------------ what is heard

    def _heard(self, user_id: str, data: bytes) -> None:
        watched, state = self._watched.get(user_id), told_state(data)
        if watched is None or state is None:
            self._look_again([user_id])  # a read that is under way may be older than this
        elif watched.known.state is None or state.version > watched.known.state.version:
            self._take(user_id, replace(watched.known, state=state))

    def _may_have_missed(self) -> None:
        self._look_again(self._watched)

    def _look_again(self, user_ids: Iterable[str]) -> None:
        self._unsure.update(user_ids)
        self._wake.set()

    def _take(self, user_id: str, known: Known) -> None:
        """Take what is known now, and tell where that is something else, or the time of what was told runs out."""
        if user_id not in self._watched:
            return
        watched, presence = self._watched[user_id], self._service.shown(user_id, known)
        if watched is None:
            watched = self._watched[user_id] = _Watched(known, presence)
        elif presence.status is watched.presence.status and _time() < watched.valid_until - self._confirm_seconds:
            watched.known = known
            return
        else:
            watched.known, watched.presence = known, presence
            self.on_changed(user_id)
        watched.valid_until = _time() + self._valid_seconds

    @property
    def _confirm_seconds(self) -> float:
        return self._valid_seconds / CONFIRM_SHARE

    # ------------------------------------------------------------ what is read

    async def _keep_true(self) -> None:
        while True:
            try:
                async with asyncio.timeout(min(LOOK_SECONDS, self._confirm_seconds / 4)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._look()
            except Exception:  # whatever it was, the next look may find what this one did not
                _logger.exception("presence.not_looked")

    async def _look(self) -> None:
        if not self._redis.up.is_set():
            # A moment without a connection is no absence.
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._redis.up.wait()
            except TimeoutError:
                self._know_nothing()
                return
        if not self._bus.up.is_set():
            self._unsure.update(self._watched)  # nothing is heard
        if _time() >= self._confirm_at:
            self._confirm_at = _time() + self._confirm_seconds / 4
            soon = _time() + self._confirm_seconds
            due = (user_id for user_id, watched in self._watched.items() if watched and watched.valid_until <= soon)
            self._unsure.update(due)
        asked, self._unsure = self._unsure & self._watched.keys(), set()
        for batch in batched(asked, READ_SIZE, strict=False):
            await self._read(batch)
        if self._unsure:
            await asyncio.sleep(LOOK_SECONDS / 4)  # who could not be told of is not asked for all the time

    def _know_nothing(self) -> None:
        """Say so of everybody."""
        self._unsure.update(self._watched)
        for user_id, watched in tuple(self._watched.items()):
            if watched is not None and watched.known.state is not None:
                self._take(user_id, replace(watched.known, state=None))

    async def _read(self, user_ids: Sequence[str]) -> None:
        found = await self._service.known(user_ids)
        self._unsure |= await self._healed(found)
        for user_id, known in found.items():
            watched = self._watched.get(user_id)
            if known.state is None or (known.state.status is None and not known.is_settled):
                self._unsure.add(user_id)
                if watched is not None and watched.known.state is not None and _time() < watched.valid_until:
                    continue  # what was told stands until it is known better
            elif watched is not None and watched.known.state is not None:
                told = watched.known.state
                # A version that went back is that of a Redis which has forgotten, unless something was heard meanwhile.
                if known.state.version < told.version and (
                    known.state.status is not None or known.state.as_of_ms <= told.as_of_ms
                ):
                    self._unsure.add(user_id)
                    continue
            self._take(user_id, known)

    async def _healed(self, found: dict[str, Known]) -> set[str]:
        """See to what nobody may be left to do for these; return at whom to look again."""
        unsure: set[str] = set()
        for user_id, known in found.items():
            try:
                if known.state is not None and await self._reaper.heal(user_id, known.state):
                    unsure.add(user_id)
            except RedisFailedError:
                return set(found)  # the others would wait in vain as well
        return unsure


def _time() -> float:
    return asyncio.get_running_loop().time()
