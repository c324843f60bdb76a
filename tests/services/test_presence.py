"""Presence between processes: what others see of whom, through which process, whatever becomes of the processes."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import batched, pairwise

import pytest
import redis.asyncio as redis

from services.mongo import Database
from services.presence import USERS, PresenceStatus
from services.presence_store import PresenceTimes, Status
from services.users import Role, Users
from tests.faults.harness import until
from tests.faults.proxy import Proxy
from tests.services.presence_process import FAST, Process

DROWSY = replace(FAST, idle_seconds=1.0)
ONLINE, AWAY, OFFLINE, UNKNOWN = PresenceStatus


@pytest.fixture
def presence_url(redis_url: str) -> str:
    """A Redis database that only presence uses."""
    return redis_url.replace("/0", "/7")


@pytest.fixture
async def stack(presence_url: str) -> AsyncIterator[AsyncExitStack]:
    async with redis.Redis.from_url(presence_url) as client:
        await client.flushdb()
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def processes(stack: AsyncExitStack, mongo_database: Database, presence_url: str) -> tuple[Process, ...]:
    """Three of them, which know of nobody."""
    return await started(stack, mongo_database, presence_url, FAST)


@pytest.fixture
async def drowsy(stack: AsyncExitStack, mongo_database: Database, presence_url: str) -> tuple[Process, ...]:
    """The same, with little patience with whoever does nothing."""
    return await started(stack, mongo_database, presence_url, DROWSY)


@pytest.fixture
async def user(mongo_database: Database) -> str:
    return await person(mongo_database)


async def started(stack: AsyncExitStack, database: Database, url: str, times: PresenceTimes) -> tuple[Process, ...]:
    found = [await stack.enter_async_context(Process.running(database, url, uuid.uuid4().hex, times)) for _ in range(3)]
    await settled(found[0])
    return tuple(found)


async def person(database: Database) -> str:
    handle = f"u{uuid.uuid4().hex[:20]}"
    made = await Users(database).create(
        handle=handle, display_name=None, password_hash="", roles=[Role.USER], now=datetime(2026, 3, 1, tzinfo=UTC)
    )
    return made.id


async def settled(process: Process) -> None:
    """Wait until processes have told of all whom they know."""
    await is_(process, f"usr_{'0' * 26}", UNKNOWN)
    deadline = time.monotonic() + 10
    while not (await process.service._store.read([f"usr_{'0' * 26}"]))[1]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def is_(process: Process, user_id: str, status: PresenceStatus, seconds: float = 10.0) -> float:
    """Wait until a query says so; return how long that took."""
    started = time.monotonic()
    while (found := await process.status(user_id)) is not status:
        assert time.monotonic() - started < seconds, found
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def test_whoever_connects_is_online_at_once_and_offline_after_a_grace(
    processes: tuple[Process, ...], user: str
) -> None:
    one, two, _ = processes
    await two.watch.watch([user])
    assert (await two.get(user)).status is OFFLINE

    attendant = one.attendance.connect(user, "s1")
    await until(lambda: two.heard == [(user, ONLINE)], "online")
    present = await two.get(user)
    closed = time.monotonic()
    one.attendance.disconnect(attendant)
    await until(lambda: two.heard[-1] == (user, OFFLINE), "offline")

    assert (present.status, present.connection_count) == (ONLINE, 1)
    assert present.last_seen_at == present.as_of
    assert time.monotonic() - closed >= FAST.grace_seconds
    assert two.heard == [(user, ONLINE), (user, OFFLINE)]
    await until(lambda: not one.attendance._attendants, "let go")


async def test_one_of_two_devices_that_leaves_is_no_event(processes: tuple[Process, ...], user: str) -> None:
    one, two, three = processes
    first, second = one.attendance.connect(user, "s1"), two.attendance.connect(user, "s2")
    await is_(three, user, ONLINE)
    await three.watch.watch([user])

    two.attendance.disconnect(second)
    await until(lambda: not two.attendance._attendants, "it was told")
    later = await three.get(user)
    one.attendance.disconnect(first)
    await until(lambda: bool(three.heard), "offline")

    assert (later.status, later.connection_count) == (ONLINE, 1)
    assert three.heard == [(user, OFFLINE)]


async def test_whoever_comes_back_within_the_grace_was_never_gone(processes: tuple[Process, ...], user: str) -> None:
    one, two, three = processes
    await three.watch.watch([user])
    attendant = one.attendance.connect(user, "s1")
    await is_(three, user, ONLINE)

    for back in (two, one, two):
        (one if back is two else two).attendance.disconnect(attendant)
        await asyncio.sleep(FAST.grace_seconds / 2)
        attendant = back.attendance.connect(user, "s1")
        await asyncio.sleep(FAST.grace_seconds / 2)

    assert three.heard == [(user, ONLINE)]


async def test_whoever_is_idle_on_all_devices_is_away_until_one_does_something(
    drowsy: tuple[Process, ...], user: str
) -> None:
    one, two, three = drowsy
    await three.watch.watch([user])
    first, second = one.attendance.connect(user, "s1"), two.attendance.connect(user, "s2")
    active_until = time.monotonic() + 3 * DROWSY.idle_seconds
    while time.monotonic() < active_until:
        two.attendance.touch(second)
        await asyncio.sleep(DROWSY.idle_seconds / 4)
    busy = list(three.heard)

    await until(lambda: three.heard[-1] == (user, AWAY), "away")
    one.attendance.touch(first)
    await until(lambda: three.heard[-1] == (user, ONLINE), "online")

    assert busy == [(user, ONLINE)]
    assert [status for _, status in three.heard[:3]] == [ONLINE, AWAY, ONLINE]


async def test_what_a_device_does_over_http_at_another_process_counts(drowsy: tuple[Process, ...], user: str) -> None:
    one, two, three = drowsy
    one.attendance.connect(user, "s1")
    await is_(three, user, ONLINE)
    await three.watch.watch([user])
    await until(lambda: three.heard == [(user, AWAY)], "away")
    for session in ("s2", "s1"):
        two.attendance.act(user, session)

    await until(lambda: three.heard[-1] == (user, ONLINE), "online")


async def test_transitions_keep_a_distance_but_for_coming_online(
    stack: AsyncExitStack, mongo_database: Database, presence_url: str, user: str
) -> None:
    times = replace(FAST, gap_seconds=1.5, grace_seconds=0.1)
    one = await stack.enter_async_context(Process.running(mongo_database, presence_url, uuid.uuid4().hex, times))
    await one.watch.watch([user])
    started = time.monotonic()
    attendant = one.attendance.connect(user, "s1")
    await until(lambda: one.heard == [(user, ONLINE)], "online")
    one.attendance.disconnect(attendant)
    await until(lambda: one.heard[-1] == (user, OFFLINE), "offline")
    gone = time.monotonic()
    one.attendance.connect(user, "s1")
    await until(lambda: one.heard[-1] == (user, ONLINE), "online again")

    assert gone - started >= 1.5
    assert time.monotonic() - gone < 1.5


async def test_the_users_of_a_killed_process_are_offline_and_nobody_else(
    processes: tuple[Process, ...], mongo_database: Database
) -> None:
    one, two, three = processes
    lost, shared, safe = [await person(mongo_database) for _ in range(3)]
    await three.watch.watch([lost, shared, safe])
    for process, users in ((one, (lost, shared)), (two, (shared, safe))):
        for user_id in users:
            process.attendance.connect(user_id, f"s{users.index(user_id)}{user_id}")
    for user_id in (lost, shared, safe):
        await is_(three, user_id, ONLINE)

    one.die()
    await until(lambda: (lost, OFFLINE) in three.heard, "offline")
    assert three.heard.count((lost, OFFLINE)) == 1
    assert {await three.status(user_id) for user_id in (shared, safe)} == {ONLINE}
    assert [count.connection_count for count in [await three.get(shared)]] == [1]
    seen = (await three.get(lost)).last_seen_at
    assert seen is not None
    assert 0 <= (datetime.now(UTC) - seen).total_seconds() < 5


async def test_a_process_that_stood_still_and_was_reaped_tells_of_its_users_again(
    processes: tuple[Process, ...], user: str
) -> None:
    one, two, _ = processes
    one.attendance.connect(user, "s1")
    await is_(two, user, ONLINE)
    await two.watch.watch([user])
    lease, beat = one.attendance.lease, one.attendance._store.beat

    async def stand_still(*_: object, **__: object) -> object:
        await is_(two, user, OFFLINE)
        one.attendance._store.beat = beat  # type: ignore[method-assign]
        return await beat(lease, 4_000, is_new=False, is_telling=False)

    one.attendance._store.beat = stand_still  # type: ignore[method-assign, assignment]
    await until(lambda: two.heard == [(user, OFFLINE), (user, ONLINE)], "gone and back")

    assert one.attendance.lease != lease
    assert (await two.get(user)).connection_count == 1


async def test_a_process_that_is_stopped_takes_nobody_offline_who_comes_back_elsewhere(
    processes: tuple[Process, ...], mongo_database: Database, presence_url: str
) -> None:
    one, _, three = processes
    returning, gone = [await person(mongo_database) for _ in range(2)]
    await three.watch.watch([returning, gone])
    async with Process.running(mongo_database, presence_url, uuid.uuid4().hex) as stopping:
        for user_id in (returning, gone):
            stopping.attendance.connect(user_id, f"s{user_id}")
            await is_(three, user_id, ONLINE)
        stopping.attendance.drain()
    stopped = time.monotonic()
    during = [await three.status(user_id) for user_id in (returning, gone)]
    await asyncio.sleep(FAST.grace_seconds)
    one.attendance.connect(returning, "s")
    await until(lambda: three.heard[-1] == (gone, OFFLINE), "offline")

    assert during == [ONLINE, ONLINE]
    assert time.monotonic() - stopped >= FAST.drain_grace_seconds - 0.5
    assert three.heard == [(returning, ONLINE), (gone, ONLINE), (gone, OFFLINE)]


async def test_a_redis_that_forgot_everything_is_told_again_and_nobody_is_taken_for_absent(
    processes: tuple[Process, ...], mongo_database: Database, presence_url: str
) -> None:
    one, two, three = processes
    there, absent = [await person(mongo_database) for _ in range(2)]
    one.attendance.connect(there, "s1")
    await is_(three, there, ONLINE)
    await three.watch.watch([there, absent])
    async with redis.Redis.from_url(presence_url) as client:
        await client.flushdb()
    flushed = time.monotonic()
    seen: set[tuple[str, PresenceStatus]] = set()
    while time.monotonic() - flushed < 5:
        found = await two.service.get_many([there, absent])
        seen |= {(user_id, presence.status) for user_id, presence in found.items()}
        if (there, ONLINE) in seen and (absent, OFFLINE) in seen:
            break

    assert seen <= {(there, UNKNOWN), (there, ONLINE), (absent, UNKNOWN), (absent, OFFLINE)}
    assert {(there, ONLINE), (absent, OFFLINE)} <= seen
    assert three.heard == []


async def test_a_watcher_confirms_what_it_told_before_that_ends(
    stack: AsyncExitStack, mongo_database: Database, presence_url: str, user: str
) -> None:
    times = replace(FAST, valid_seconds=1.5)
    one = await stack.enter_async_context(Process.running(mongo_database, presence_url, uuid.uuid4().hex, times))
    one.attendance.connect(user, "s1")
    await is_(one, user, ONLINE)
    await one.watch.watch([user])
    first = one.watch.present(user)
    assert first is not None
    await until(lambda: len(one.told) >= 4, "confirmed four times")

    assert all(after.as_of < before.valid_until for before, after in pairwise([first, *one.told]))
    assert {presence.status for presence in one.told} == {ONLINE}


async def test_when_somebody_was_last_seen_outlives_redis(
    processes: tuple[Process, ...], mongo_database: Database, presence_url: str, user: str
) -> None:
    one, two, _ = processes
    attendant = one.attendance.connect(user, "s1")
    await is_(two, user, ONLINE)
    left = datetime.now(UTC)
    one.attendance.disconnect(attendant)
    await is_(two, user, OFFLINE)
    seen = (await two.get(user)).last_seen_at
    assert seen is not None
    while (stored := await mongo_database["seen"].find_one({"_id": user})) is None or stored["at"] != seen:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    async with redis.Redis.from_url(presence_url) as client:
        await client.flushdb()
    await is_(two, user, OFFLINE)

    assert abs((seen - left).total_seconds()) < 1
    assert (await two.get(user)).last_seen_at == seen


async def test_last_seen_is_written_once_a_minute_and_when_somebody_goes(
    drowsy: tuple[Process, ...], user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = drowsy
    notes: list[str] = []
    for process in drowsy:
        monkeypatch.setattr(process.last_seen, "note", lambda user_id, _at: notes.append(user_id))
    attendant = one.attendance.connect(user, "s1")
    await is_(two, user, ONLINE)
    online = len(notes)
    await is_(two, user, AWAY)
    one.attendance.touch(attendant)
    await is_(two, user, ONLINE)
    busy = len(notes)
    one.attendance.disconnect(attendant)
    await is_(two, user, OFFLINE)
    await until(lambda: not one.attendance._attendants, "told")

    assert (online, busy, len(notes)) == (1, 1, 2)


async def test_while_redis_is_away_nobody_is_known_and_afterwards_everybody(
    stack: AsyncExitStack, mongo_database: Database, presence_url: str, user: str
) -> None:
    port = int(presence_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    proxy = await stack.enter_async_context(Proxy("127.0.0.1", port).running())
    one = await stack.enter_async_context(
        Process.running(mongo_database, f"redis://127.0.0.1:{proxy.port}/7", uuid.uuid4().hex)
    )
    await settled(one)
    came_later = await person(mongo_database)
    attendant = one.attendance.connect(user, "s1")
    await is_(one, user, ONLINE)
    await one.watch.watch([user, came_later])
    with proxy.closed():
        await is_(one, user, UNKNOWN)
        await until(lambda: (user, UNKNOWN) in one.heard, "unknown")
        one.attendance.disconnect(attendant)
        one.attendance.connect(came_later, "s2")
        one.attendance.connect(user, "s1")
    back = time.monotonic()
    await until(lambda: {(user, ONLINE), (came_later, ONLINE)} <= set(one.heard), "online")

    assert time.monotonic() - back < 5
    assert OFFLINE not in {status for _, status in one.heard}


async def test_what_a_process_left_behind_whose_lease_nobody_remembers_is_taken_away(
    processes: tuple[Process, ...], presence_url: str, user: str
) -> None:
    one, two, _ = processes
    one.attendance.connect(user, "s1")
    await is_(two, user, ONLINE)
    lease = one.attendance.lease
    one.die()
    async with redis.Redis.from_url(presence_url) as client:
        await client.zrem("parley:{presence}:leases", lease)
    await until(lambda: lease not in two.attendance._reaper.live, "forgotten")
    await two.watch.watch([user])

    def is_offline() -> bool:
        present = two.watch.present(user)
        return present is not None and present.status is OFFLINE

    await until(is_offline, "offline", 20)


async def test_a_thousand_connections_cost_no_more_than_one(processes: tuple[Process, ...], presence_url: str) -> None:
    one, two, _ = processes
    async with redis.Redis.from_url(presence_url) as client:

        async def commands() -> float:
            """Return how many commands Redis runs in a second, those inside of scripts included."""
            before, began = (await client.info("stats"))["total_commands_processed"], time.monotonic()
            await asyncio.sleep(2.0)
            after = (await client.info("stats"))["total_commands_processed"]
            return float(after - before) / (time.monotonic() - began)

        idle = await commands()
        users = [f"usr_{number:026d}" for number in range(1_000)]
        for user_id in users:
            one.attendance.connect(user_id, f"s{user_id}")
        await until(lambda: all(each.told for each in one.attendance._attendants.values()), "told", 30)
        store = two.service._store
        states = [state for run in batched(users, USERS, strict=True) for state in (await store.read(run))[0]]
        deadline = time.monotonic() + 30
        while (busy := await commands()) > idle * 1.5 and time.monotonic() < deadline:
            pass  # some may still be told of

    assert [state.status for state in states] == [Status.ONLINE] * 1_000
    assert busy <= idle * 1.5
