"""Presence between processes: what others see of whom, through which process, whatever becomes of the processes."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
import redis.asyncio as redis

from services.mongo import Database
from services.presence import PresenceStatus
from services.users import Role, Users
from tests.faults.harness import until
from tests.services.presence_process import FAST, Process

ONLINE, AWAY, OFFLINE, UNKNOWN = PresenceStatus

type Start = Callable[..., "asyncio.Future[Process]"]


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
async def processes(
    stack: AsyncExitStack, mongo_database: Database, presence_url: str
) -> tuple[Process, Process, Process]:
    one, two, three = [
        await stack.enter_async_context(Process.running(mongo_database, presence_url, f"{uuid.uuid4().hex}"))
        for _ in range(3)
    ]
    await settled(one)
    return one, two, three


@pytest.fixture
async def user(mongo_database: Database) -> str:
    return await person(mongo_database)


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
    assert not one.attendance._attendants


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
