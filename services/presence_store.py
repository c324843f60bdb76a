"""What Redis holds of presence: who is connected through which process, and what everybody may see of it.

A process has a lease, which it renews. Under it each of its devices (a session's connections in that process) is a
field of the user's hash, and a member of the lease's set, so that whoever finds the lease ended can take them away.
One script changes a user and compares what is to be seen before and after. All times are Redis's own, in milliseconds.
Decision 13 has the reasons.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from services import presence_scripts as scripts
from services.presence_scripts import KEEP_SECONDS
from services.redis import Redis, channel_of

CHANNEL: Final = "parley:presence:"  # and a user: what everybody may see of them has changed
INSTANCE_CHANNEL: Final = "parley:presence-at:"  # and an instance: a device has said or done something elsewhere
SAID_AWAY: Final = "away"
SAID_PRESENT: Final = "present"
ACTED: Final = "acted"
FRESH_SECONDS: Final = 5.0  # a process that was heard of within this time is there
REAPED_AT_ONCE: Final = 500  # devices of a dead process in one round trip

_LEASES: Final = "parley:{presence}:leases"  # lease → when it ends
_ERA: Final = "parley:{presence}:era"  # since when processes have told of their devices without a gap


class Status(IntEnum):
    """What is to be seen of a user whose presence is known."""

    OFFLINE = 0
    AWAY = 1
    ONLINE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceTimes:
    """How long everything takes."""

    lease_seconds: float = 15.0  # after which a process that is not heard of is dead
    beat_seconds: float = 0.5  # between two signs of life
    grace_seconds: float = 12.0  # after the last connection closed
    drain_grace_seconds: float = 30.0  # the same where the process is being stopped
    idle_seconds: float = 300.0  # without an operation
    gap_seconds: float = 5.0  # between two transitions of a user
    valid_seconds: float = 300.0  # how long what was told may be believed
    settle_seconds: float = 2.0  # after which all processes have told Redis of all that it lost


@dataclass(frozen=True, slots=True)
class Device:
    """A session's connections through one process, as Redis knows them."""

    user_id: str
    session_id: str

    @property
    def member(self) -> str:
        return f"{self.user_id} {self.session_id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a change."""

    wait: float  # seconds after which the user has to be looked at again; 0: no need
    writes_seen: bool  # whether the caller has to store `seen_ms`
    seen_ms: int  # when the user was last seen; 0: never
    count: int  # connections of the user
    said_away: bool  # whether the device has said so


@dataclass(frozen=True, slots=True)
class State:
    """What Redis knows of a user."""

    as_of_ms: int
    status: Status | None  # None where it knows nothing
    version: int
    seen_ms: int | None  # None where it does not know
    count: int
    devices: tuple[tuple[str, str], ...] = ()  # sessions that are connected, each with the lease of a process


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process hears when it says that it is there."""

    now_ms: int
    is_lost: bool  # its lease had ended: others may have taken its devices away
    era_ms: int  # how long processes have told of their devices without a gap
    dead: dict[str, int]  # leases that have ended, and when
    live: frozenset[str]


class PresenceStore:
    """The scripts, as functions; each raises RedisFailedError."""

    def __init__(self, redis: Redis, times: PresenceTimes) -> None:
        self._redis = redis
        self._gap_ms = int(times.gap_seconds * 1_000)
        self._settle_ms = int(times.settle_seconds * 1_000)
        self._fresh_ms = int((times.lease_seconds - FRESH_SECONDS) * 1_000)

    async def tell(
        self, device: Device, lease: str, present: tuple[Status, int], *, grace_ms: int, idle_ms: int, said_away: bool
    ) -> Change:
        """Say how many connections a device has through the process with this lease."""
        mode = "away" if said_away else ""
        return await self._tell(device, lease, present, grace_ms=grace_ms, age_ms=idle_ms, mode=mode)

    async def _tell(
        self, device: Device, lease: str, present: tuple[Status, int], *, grace_ms: int, age_ms: int, mode: str
    ) -> Change:
        status, count = present
        wait_ms, write, seen_ms, total, said = await self._redis.run(
            scripts.TELL,
            [_user_key(device.user_id)],
            channel_of(CHANNEL, device.user_id),
            instance_of(lease),
            lease,
            device.session_id,
            int(status),
            count,
            grace_ms,
            age_ms,
            self._gap_ms,
            mode,
        )
        return Change(wait_ms / 1_000, bool(write), seen_ms, total, bool(said))

    async def say(self, device: Device, *, is_away: bool) -> list[str]:
        """Take note of what a device says of itself; return the instances through which it is connected."""
        through = await self._redis.run(
            scripts.SAY,
            [_user_key(device.user_id)],
            channel_of(CHANNEL, device.user_id),
            device.session_id,
            int(is_away),
            self._gap_ms,
        )
        return [instance.decode() for instance in through]

    async def read(self, user_ids: Sequence[str]) -> tuple[list[State], bool]:
        """Return what is known of these users, and whether somebody of whom nothing is known is absent: one round trip.

        Without that, processes may not have told of all their devices yet.
        """
        *found, era = await asyncio.gather(
            *(self._redis.run(scripts.READ, [_user_key(user_id)]) for user_id in user_ids),
            self._redis.run(scripts.ERA, [_ERA]),
        )
        states = [_state(reply) for reply in found]
        time, run, since, beat = (part.decode() for part in era)
        if not since:
            return states, False
        now_ms, since_ms, beat_ms = int(time), int(since), int(beat)
        is_settled = now_ms - since_ms >= self._settle_ms and now_ms - beat_ms <= self._settle_ms
        return states, is_settled and run == self._redis.run_id

    async def connected(self, user_ids: Sequence[str]) -> dict[str, bool | None]:
        """Return whether each of these has a live connection; None where nobody knows at this moment.

        That is so where a process that has not been heard of for a while, or has yet to tell of its devices, may have
        one.
        """
        states, is_settled = await self.read(user_ids)
        leases = sorted({lease for state in states for _, lease in state.devices})
        left = await self._redis.run(scripts.LEFT, [_LEASES], *leases) if leases else []
        left_ms = {lease: int(ms) for lease, ms in zip(leases, left, strict=True)}

        def is_connected(state: State) -> bool | None:
            left = max((left_ms[lease] for _, lease in state.devices), default=0.0)
            if left > self._fresh_ms:
                return True
            return None if left > 0 or (state.status is None and not is_settled) else False

        return dict(zip(user_ids, map(is_connected, states), strict=True))

    async def settle(self, user_id: str) -> Change:
        """Compare what is to be seen of a user with what is, where whoever should have done so may be gone."""
        return await self.reap_device(Device(user_id, ""), "", None)

    async def have_read_again(self, user_id: str) -> None:
        """Tell those who watch a user to read again."""
        await self._redis.run(scripts.REREAD, [_user_key(user_id)], channel_of(CHANNEL, user_id))

    # ------------------------------------------------------------ leases

    async def beat(self, lease: str, life_ms: int, *, is_new: bool, is_telling: bool) -> Beat:
        """Renew a lease, or begin it, and say whether there are devices of which nothing is told yet under it."""
        now_ms, is_lost, since_ms, dead, live = await self._redis.run(
            scripts.BEAT,
            [_LEASES, _ERA],
            lease,
            life_ms,
            self._redis.run_id or "",
            int(is_new),
            self._settle_ms,
            int(is_telling),
        )
        return Beat(
            now_ms=int(now_ms),
            is_lost=bool(is_lost),
            era_ms=int(now_ms) - int(since_ms),
            dead={name.decode(): int(ended) for name, ended in zip(dead[::2], dead[1::2], strict=True)},
            live=frozenset(name.decode() for name in live),
        )

    async def release(self, lease: str, life_ms: int) -> None:
        """Let a lease end by itself after this."""
        await self._redis.run(scripts.RELEASE, [_LEASES], lease, life_ms)

    async def is_alive(self, lease: str) -> bool:
        """Whether there is such a lease, ended or not: who has ended has yet to be reaped."""
        return await self._redis.call("ZSCORE", _LEASES, lease) is not None

    async def list_devices(self, lease: str, devices: Sequence[Device]) -> None:
        """Note devices for the reaper, before anything is told of them."""
        key = _devices_key(lease)
        await asyncio.gather(
            self._redis.call("SADD", key, *(device.member for device in devices)),
            self._redis.call("EXPIRE", key, KEEP_SECONDS),
        )

    async def unlist_devices(self, lease: str, devices: Sequence[Device]) -> None:
        """Take devices from the list of which nothing is left."""
        await self._redis.call("SREM", _devices_key(lease), *(device.member for device in devices))

    async def online(self) -> int:
        """Return how many users are connected, through any process that lives."""
        leases = await self._redis.run(scripts.LIVE, [_LEASES])
        lists = await asyncio.gather(*(self._redis.call("SMEMBERS", _devices_key(lease.decode())) for lease in leases))
        return len({member.partition(b" ")[0] for members in lists for member in members})

    def keep_list(self, lease: str) -> None:
        """Have the list of a lease live on."""
        self._redis.send("EXPIRE", _devices_key(lease), KEEP_SECONDS)

    # ------------------------------------------------------------ reaping

    async def claim(self, lease: str, seconds: float) -> bool:
        """Whether it is this process that reaps a lease now; twice is no harm."""
        return await self._redis.call("SET", _claim_key(lease), "1", "NX", "PX", int(seconds * 1_000)) is not None

    async def reap(self, lease: str, age_ms: int) -> list[tuple[Device, Change]]:
        """Take away the devices of a lease that ended; return what came of each. Repeat it until none has to wait."""
        key, cursor, reaped = _devices_key(lease), b"0", list[tuple[Device, Change]]()
        while True:
            cursor, members = await self._redis.call("SSCAN", key, cursor, "COUNT", REAPED_AT_ONCE)
            devices = [Device(*member.decode().split(" ")) for member in members]
            changes = await asyncio.gather(*(self.reap_device(device, lease, age_ms) for device in devices))
            done = [device for device, change in zip(devices, changes, strict=True) if not change.wait]
            if done:
                await self.unlist_devices(lease, done)
            reaped += zip(devices, changes, strict=True)
            if cursor == b"0":
                break
        if not any(change.wait for _, change in reaped):
            await self._redis.call("ZREM", _LEASES, lease)
        await self._redis.call("DEL", _claim_key(lease))
        return reaped

    async def reap_device(self, device: Device, lease: str, age_ms: int | None) -> Change:
        """Take away what was told of a device under a lease that is no more, and was so long ago if that is known."""
        age_ms = -1 if age_ms is None else age_ms
        return await self._tell(device, lease, (Status.OFFLINE, 0), grace_ms=0, age_ms=age_ms, mode="reap")


def instance_of(lease: str) -> str:
    """Return the instance that a lease belongs to."""
    return lease.partition(".")[0]


def told_state(data: bytes) -> State | None:
    """Return the state that a message tells of, None where it only says that there is something to read."""
    parts = data.decode().split(" ")
    if len(parts) == 1:
        return None
    version, status, as_of_ms, seen_ms, count = (int(part) for part in parts)
    return State(as_of_ms, Status(status), version, seen_ms, count)


def _state(reply: list[Any]) -> State:
    now_ms, status, version, seen_ms, count, devices = reply
    names = [name.decode() for name in devices]
    return State(
        as_of_ms=int(now_ms),
        status=Status(int(status)) if status else None,
        version=int(version),
        seen_ms=int(seen_ms) if seen_ms else None,
        count=count,
        devices=tuple(zip(names[::2], names[1::2], strict=True)),
    )


def _user_key(user_id: str) -> str:
    return f"parley:presence:user:{{{user_id}}}"


def _devices_key(lease: str) -> str:
    return f"parley:presence:devices:{{{lease}}}"


def _claim_key(lease: str) -> str:
    return f"parley:presence:claim:{{{lease}}}"
