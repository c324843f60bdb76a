"""Who is connected to this process: told to Redis when that changes, again when Redis may have forgotten, else never.

What nothing happens to costs nothing: one heartbeat stands for all connections of the process, and becoming idle is a
deadline in a heap. Whatever cannot be told now is told as soon as there is a connection to Redis.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import structlog

from services.bus import Bus
from services.failures import described
from services.last_seen import LastSeen
from services.presence_reaper import Reaper
from services.presence_scripts import KEEP_SECONDS
from services.presence_store import (
    ACTED,
    INSTANCE_CHANNEL,
    SAID_AWAY,
    Change,
    Device,
    PresenceStore,
    PresenceTimes,
    Status,
    instance_of,
)
from services.redis import Redis, RedisFailedError
from services.tasks import Tasks

TOLD_AT_ONCE: Final = 100  # devices in one round trip: whoever else speaks to Redis waits for no more
TICK_SECONDS: Final = 0.05  # how late something is told whose time has come
START_SECONDS: Final = 0.5  # that a new process waits for Redis
CLOSE_SECONDS: Final = 2.0  # what telling of all devices may take when the process ends
AGAIN_SECONDS: Final = KEEP_SECONDS / 4  # after which a device is told of that nothing has happened to
STALE_DEADLINES: Final = 1_000  # that do not count any more, before they are taken out
ACTS: Final = 5  # how often others are told of what a device does over HTTP, in the time that makes it idle
ACTING: Final = 10_000  # devices of which it is remembered when that was
LIST_BEATS: Final = 120  # heartbeats between two that keep the list of devices

_logger = structlog.get_logger()


class Attendant:
    """A device's connections to this process."""

    __slots__ = ("active_at", "count", "device", "due", "is_listed", "repeat_at", "said_away", "told")

    def __init__(self, device: Device, now: float) -> None:
        self.device = device
        self.count = 0
        self.active_at = now
        self.said_away = False
        self.told: tuple[Status, int] | None = None  # what Redis knows; None while it may know something else
        self.is_listed = False  # for the reaper, under the present lease
        self.repeat_at = math.inf  # when Redis has to be told again in any case
        self.due = math.inf  # when it is looked at


class Attendance:
    """The devices of this process."""

    def __init__(
        self,
        redis: Redis,
        bus: Bus,
        store: PresenceStore,
        last_seen: LastSeen,
        reaper: Reaper,
        *,
        instance: str,
        times: PresenceTimes,
    ) -> None:
        self._redis = redis
        self._bus = bus
        self._store = store
        self._last_seen = last_seen
        self._reaper = reaper
        self._times = times
        self._instance = instance
        self._leases = itertools.count(1)
        self.lease = self._next_lease()
        self._is_registered = False  # whether Redis knows the lease, and so may be told of devices
        self._is_telling_again = False  # of all devices, under a new lease
        self._is_draining = False
        self._attendants: dict[Device, Attendant] = {}
        self._changed: dict[Attendant, None] = {}  # of whom Redis has to be told
        self._deadlines: list[tuple[float, int, Attendant]] = []
        self._numbers = itertools.count()
        self._acted: dict[Device, float] = {}  # when others were told of what devices did over HTTP, oldest first
        self._wake = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._tasks = Tasks()
        redis.on_lost.append(self._lost)
        redis.on_up.append(self._beat_now.set)
        bus.listen(INSTANCE_CHANNEL, self._heard, lambda: None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep Redis informed until this ends."""
        self._tasks.spawn(self._bus.subscribe(INSTANCE_CHANNEL, self._instance))
        beating = self._tasks.spawn(self._keep_beating())
        telling = self._tasks.spawn(self._keep_telling())
        try:
            with suppress(TimeoutError):  # nobody has to hear UNKNOWN only because this process is new
                async with asyncio.timeout(START_SECONDS):
                    await self._redis.up.wait()
            yield self
        finally:
            for task in (beating, telling):
                task.cancel()
            await self._leave()
            await self._tasks.close()

    # ------------------------------------------------------------ what happens to connections

    def connect(self, user_id: str, session_id: str) -> Attendant:
        """Count a connection of a device."""
        device, now = Device(user_id, session_id), _time()
        attendant = self._attendants.get(device)
        if attendant is None:
            attendant = self._attendants[device] = Attendant(device, now)
        attendant.count += 1
        attendant.active_at = now
        self._change(attendant)
        return attendant

    def disconnect(self, attendant: Attendant) -> None:
        """Count one less."""
        attendant.count -= 1
        self._change(attendant)

    def touch(self, attendant: Attendant) -> None:
        """Take note that a device does something."""
        attendant.active_at = _time()
        if attendant.told is not None and attendant.told[0] is Status.AWAY:
            self._change(attendant)

    def act(self, user_id: str, session_id: str) -> None:
        """Take note that a device does something over HTTP; the process that has its socket may be another one."""
        device, now = Device(user_id, session_id), _time()
        attendant = self._attendants.get(device)
        if attendant is not None:
            self.touch(attendant)
        elif now - self._acted.get(device, -math.inf) > self._times.idle_seconds / ACTS:
            self._acted[device] = now
            if len(self._acted) > ACTING:
                del self._acted[next(iter(self._acted))]
            self._tasks.spawn(self._tell_of_act(device))

    async def _tell_of_act(self, device: Device) -> None:
        with suppress(RedisFailedError):
            (state,), _ = await self._store.read([device.user_id])
            for session_id, lease in state.devices:
                if session_id == device.session_id:
                    self._bus.publish(INSTANCE_CHANNEL, instance_of(lease), f"{device.member} {ACTED}".encode())

    def drain(self) -> None:
        """From now on whoever leaves is expected elsewhere."""
        self._is_draining = True

    def _heard(self, _channel: str, data: bytes) -> None:
        """Take note of what a device has said of itself, or done, at whichever process."""
        user_id, session_id, said = data.decode().split(" ")
        attendant = self._attendants.get(Device(user_id, session_id))
        if attendant is None:
            return
        if said == ACTED:
            self.touch(attendant)
            return
        attendant.said_away = said == SAID_AWAY
        if not attendant.said_away:
            attendant.active_at = _time()
        self._change(attendant)  # also to be heard of again, where it is too soon for a transition

    def _change(self, attendant: Attendant) -> None:
        self._changed[attendant] = None
        self._wake.set()

    # ------------------------------------------------------------ telling

    async def _keep_telling(self) -> None:
        while True:
            try:
                async with asyncio.timeout_at(self._deadlines[0][0] if self._deadlines else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._take_due()
            try:
                await self._tell_changed()
            except RedisFailedError as error:
                _logger.warning("attendance.not_told", error=described(error))
            except Exception:  # whatever it was, a process must not fall silent
                _logger.exception("attendance.failed")

    def _take_due(self) -> None:
        """Find out who has become idle, or has to be told of again."""
        now = _time()
        while self._deadlines and self._deadlines[0][0] <= now:
            due, _, attendant = heapq.heappop(self._deadlines)
            if due == attendant.due:
                attendant.due = math.inf
                if attendant.repeat_at <= now or self._present(attendant) != attendant.told:
                    self._changed[attendant] = None
                else:
                    self._look_in_time(attendant)

    def _look_in_time(self, attendant: Attendant) -> None:
        is_active = attendant.told is not None and attendant.told[0] is Status.ONLINE
        idle_at = attendant.active_at + self._times.idle_seconds if is_active else math.inf
        due = math.ceil(min(attendant.repeat_at, idle_at) / TICK_SECONDS) * TICK_SECONDS
        if due != attendant.due:
            attendant.due = due
            heapq.heappush(self._deadlines, (due, next(self._numbers), attendant))
            if len(self._deadlines) > 2 * len(self._attendants) + STALE_DEADLINES:
                self._deadlines = [entry for entry in self._deadlines if entry[0] == entry[2].due]
                heapq.heapify(self._deadlines)

    async def _tell_changed(self) -> None:
        while self._changed and self._is_registered:
            run = list(itertools.islice(self._changed, TOLD_AT_ONCE))
            for attendant in run:
                del self._changed[attendant]
            try:
                await self._tell(run)
            except BaseException:
                self._changed |= dict.fromkeys(run)  # whoever is told of twice does not mind
                raise
        if self._is_registered:
            self._is_telling_again = False

    async def _tell(self, run: list[Attendant]) -> None:
        lease = self.lease
        unlisted = [attendant for attendant in run if not attendant.is_listed and attendant.count]
        if unlisted:
            # First, so that whatever is told of under this lease is found by whoever reaps it.
            await self._store.list_devices(lease, [attendant.device for attendant in unlisted])
            for attendant in unlisted:
                attendant.is_listed = True
        told = [self._present(attendant) for attendant in run]
        changes = await asyncio.gather(*map(self._tell_one, run, told))
        if lease != self.lease:
            return  # all are told of again
        gone: list[Attendant] = []
        for attendant, known, change in zip(run, told, changes, strict=True):
            if attendant.told is None:
                attendant.said_away = change.said_away
            attendant.told = known
            attendant.repeat_at = _time() + (change.wait or AGAIN_SECONDS)
            if change.writes_seen:
                self._last_seen.note(attendant.device.user_id, change.seen_ms)
            if attendant.count or change.wait:
                self._look_in_time(attendant)
            elif attendant not in self._changed:
                gone.append(attendant)
        if gone:
            await self._let_go(lease, gone)

    async def _tell_one(self, attendant: Attendant, present: tuple[Status, int]) -> Change:
        grace = self._times.drain_grace_seconds if self._is_draining else self._times.grace_seconds
        return await self._store.tell(
            attendant.device,
            self.lease,
            present,
            grace_ms=_ms(grace),
            idle_ms=_ms(_time() - attendant.active_at) if attendant.count else 0,
            said_away=attendant.said_away and attendant.told is None,
        )

    async def _let_go(self, lease: str, gone: list[Attendant]) -> None:
        """Forget devices of which nothing is left."""
        for attendant in gone:
            del self._attendants[attendant.device]
            attendant.due = math.inf
        listed = [attendant.device for attendant in gone if attendant.is_listed]
        if listed:
            await self._store.unlist_devices(lease, listed)
        # Who came back meanwhile may have been noted before, and unlisted now.
        for attendant in gone:
            again = self._attendants.get(attendant.device)
            if again is not None:
                again.is_listed = False
                self._change(again)

    def _present(self, attendant: Attendant) -> tuple[Status, int]:
        """Return what Redis should know of a device."""
        if not attendant.count:
            return Status.OFFLINE, 0
        is_idle = _time() - attendant.active_at >= self._times.idle_seconds
        return Status.AWAY if is_idle else Status.ONLINE, attendant.count

    # ------------------------------------------------------------ signs of life

    async def _keep_beating(self) -> None:
        for number in itertools.count():
            try:
                await self._beat()
                if number % LIST_BEATS == 0:
                    self._store.keep_list(self.lease)
            except RedisFailedError:
                pass  # there will be a connection again
            except Exception:  # whatever it was, this process must not be taken for dead
                _logger.exception("attendance.beat_failed")
            try:
                async with asyncio.timeout(self._times.beat_seconds):
                    await self._beat_now.wait()
            except TimeoutError:
                pass
            self._beat_now.clear()

    async def _beat(self) -> None:
        life_ms = _ms(self._times.lease_seconds)
        beat = await self._store.beat(
            self.lease, life_ms, is_new=not self._is_registered, is_telling=self._is_telling_again
        )
        if beat.is_lost:
            _logger.warning("attendance.lease_lost", devices=len(self._attendants))
            self._forget()
            beat = await self._store.beat(self.lease, life_ms, is_new=True, is_telling=self._is_telling_again)
        self._reaper.live = beat.live
        self._is_registered = True
        if self._changed:
            self._wake.set()
        # Whoever is new, or was kept from Redis as this process was, has its chance to say so first.
        if beat.era_ms >= _ms(self._times.settle_seconds):
            for lease, ended_ms in beat.dead.items():
                self._tasks.spawn(self._reaper.reap(lease, beat.now_ms - ended_ms + life_ms))

    def _lost(self) -> None:
        """Expect that Redis has forgotten: it may be another one, or the same that was started again."""
        if self._is_registered:
            self._forget()

    def _forget(self) -> None:
        """Begin a new lease, under which all devices are told of again.

        Under the old one somebody may be taking them away.
        """
        self.lease = self._next_lease()
        self._is_registered = False
        for attendant in self._attendants.values():
            attendant.told, attendant.is_listed = None, False
        self._changed = dict.fromkeys(self._attendants.values())
        self._is_telling_again = bool(self._changed)

    def _next_lease(self) -> str:
        return f"{self._instance}.{next(self._leases)}"

    async def _leave(self) -> None:
        """Leave all devices behind, for a while, without a word to those who watch them."""
        self._is_draining = True
        for attendant in self._attendants.values():
            attendant.count = 0
        self._changed = dict.fromkeys(attendant for attendant in self._attendants.values())
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._tell_changed()
                if self._is_registered:
                    await self._store.release(self.lease, _ms(self._times.drain_grace_seconds))
        except (RedisFailedError, TimeoutError):
            _logger.warning("attendance.not_released")


def _ms(seconds: float) -> int:
    return int(seconds * 1_000)


def _time() -> float:
    return asyncio.get_running_loop().time()
