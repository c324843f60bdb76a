"""The scripts of presence against a plain model, whatever order connects, leaves, reapers and words come in."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.presence_store import CHANNEL, Device, PresenceStore, PresenceTimes, State, Status, told_state
from services.redis import Redis, channel_of
from services.services import SCRIPTS

PROCESSES = range(3)
SESSIONS = ("s1", "s2")
FOREVER_MS = 3_600_000  # a grace that no test sees the end of
TIMES = PresenceTimes(gap_seconds=0)


@dataclass(frozen=True)
class Tell:
    """A process has so many connections of a session."""

    process: int
    session: str
    status: Status
    count: int
    has_grace: bool


@dataclass(frozen=True)
class Renew:
    """A process has found that its lease had ended; what it tells of next is under another one."""

    process: int


@dataclass(frozen=True)
class Reap:
    """Somebody reaps a lease of a process: the newest (0), which it does not know yet, or an earlier one."""

    process: int
    back: int


@dataclass(frozen=True)
class Say:
    """A device says that it is away, or no longer."""

    session: str
    is_away: bool


@dataclass(frozen=True)
class Flush:
    """Redis forgets everything."""


type Step = Tell | Renew | Reap | Say | Flush

processes, sessions = st.sampled_from(PROCESSES), st.sampled_from(SESSIONS)
steps = st.lists(
    st.one_of(
        st.builds(
            Tell,
            process=processes,
            session=sessions,
            status=st.sampled_from([Status.AWAY, Status.ONLINE]),
            count=st.integers(0, 3),
            has_grace=st.booleans(),
        ),
        st.builds(Renew, process=processes),
        st.builds(Reap, process=processes, back=st.integers(0, 2)),
        st.builds(Say, session=sessions, is_away=st.booleans()),
        st.just(Flush()),
    ),
    min_size=1,
    max_size=40,
)


@dataclass
class Model:
    """One user, without scripts, times or versions."""

    leases: list[int] = field(default_factory=lambda: [0 for _ in PROCESSES])
    held: dict[tuple[int, str], tuple[int, Status, int]] = field(default_factory=dict)  # lease, status, connections
    away: set[str] = field(default_factory=set)
    in_grace: bool = False
    shown: Status = Status.OFFLINE
    published: list[Status] = field(default_factory=list)

    def take(self, step: Step) -> None:
        match step:
            case Tell(process, session, status, count, has_grace):
                if count:
                    self.held[process, session] = self.leases[process], status, count
                elif self.held.pop((process, session), None) is not None:
                    self.in_grace = self.in_grace or has_grace
            case Renew(process):
                self.leases[process] += 1
                return  # nothing is told yet
            case Reap(process, back):
                gone = self.leases[process] - back
                self.held = {key: value for key, value in self.held.items() if (key[0], value[0]) != (process, gone)}
            case Say(session, is_away):
                self.away = self.away | {session} if is_away else self.away - {session}
            case Flush():
                self.held, self.away, self.in_grace, self.shown = {}, set(), False, Status.OFFLINE
                return
        self._settle()

    def _settle(self) -> None:
        wanted = max(
            (Status.AWAY if session in self.away else status for (_, session), (_, status, _) in self.held.items()),
            default=Status.OFFLINE,
        )
        if self.held:
            self.in_grace = False
        elif self.in_grace:
            return
        if wanted is not self.shown:
            self.shown = wanted
            self.published.append(wanted)

    @property
    def count(self) -> int:
        return sum(count for _, _, count in self.held.values())


class World:
    """The same user, as Redis has them."""

    def __init__(self, client: "redis.Redis", stores: list[PresenceStore]) -> None:
        self.client = client
        self.stores = stores
        self.user = f"usr_{uuid.uuid4().hex[:26]}"
        self.instances = [uuid.uuid4().hex for _ in PROCESSES]
        self.leases = [0 for _ in PROCESSES]

    def lease(self, process: int, back: int = 0) -> str:
        return f"{self.instances[process]}.{self.leases[process] - back}"

    async def take(self, step: Step) -> None:
        match step:
            case Tell(process, session, status, count, has_grace):
                store, device = self.stores[process], Device(self.user, session)
                if count:
                    await store.list_devices(self.lease(process), [device])
                grace_ms = FOREVER_MS if has_grace else 0
                await store.tell(
                    device, self.lease(process), (status, count), grace_ms=grace_ms, idle_ms=0, said_away=False
                )
            case Renew(process):
                self.leases[process] += 1
            case Reap(process, back):
                reaper = self.stores[(process + 1) % len(PROCESSES)]
                lease = self.lease(process, back)
                assert await reaper.claim(lease, 1.0)
                assert not await self.stores[process].claim(lease, 1.0)
                await reaper.reap(lease, 0)
            case Say(session, is_away):
                await self.stores[0].say(Device(self.user, session), is_away=is_away)
            case Flush():
                await self.client.flushdb()

    async def state(self) -> State:
        (state,), _ = await self.stores[-1].read([self.user])
        return state


@pytest.fixture
async def parts(redis_url: str) -> AsyncIterator[tuple["redis.Redis", list[PresenceStore]]]:
    url = redis_url.replace("/0", "/8")
    async with AsyncExitStack() as stack, redis.Redis.from_url(url) as client:
        connections = [await stack.enter_async_context(Redis(url, SCRIPTS).running()) for _ in PROCESSES]
        for connection in connections:
            await connection.up.wait()
        yield client, [PresenceStore(connection, TIMES) for connection in connections]


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(run=steps)
async def test_what_is_seen_and_told_is_what_a_plain_model_says(
    parts: tuple["redis.Redis", list[PresenceStore]], run: list[Step]
) -> None:
    client, stores = parts
    model, world = Model(), World(client, stores)
    async with client.pubsub() as listening:
        await listening.ssubscribe(channel_of(CHANNEL, world.user))
        for step in run:
            model.take(step)
            await world.take(step)
            state = await world.state()

            assert (state.status or Status.OFFLINE, state.count) == (model.shown, model.count), step
        told: list[State] = []
        await client.spublish(channel_of(CHANNEL, world.user), "0")  # after everything else
        while True:
            message = await listening.get_message(ignore_subscribe_messages=True, timeout=10)
            if message is None:
                continue
            heard = told_state(message["data"])
            if heard is None:
                break
            told.append(heard)

    assert [each.status for each in told] == model.published
    assert all(before.version < after.version for before, after in pairwise(told))
