"""Presence while processes and Redis die: nobody is shown who is gone, nobody is taken for gone who is there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime

import httpx
import psutil
import pytest
import redis.asyncio as redis
from websockets.exceptions import WebSocketException

from services.typing import LIFE_SECONDS
from tests.api.test_presence import WATCH, is_, read
from tests.api.test_typing import TYPING, now, type_
from tests.clients import ANSWER_SECONDS, Api, Json, Person, Running, Socket
from tests.faults.harness import PAUSE_SECONDS, until
from tests.stack_process import StackProcess

GONE_SECONDS = 30.0  # after `kill -9` of their process
BACK_SECONDS = 5.0  # after Redis is back


class Seen:
    """What a subscriber was told of people, the oldest first."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, Json]] = []

    def of(self, person: Person) -> list[str]:
        """Return how one of them was shown."""
        return [frame["status"] for _, frame in self.frames if frame["userId"] == person.id]

    def last(self, person: Person) -> str | None:
        found = self.of(person)
        return found[-1] if found else None


@asynccontextmanager
async def watching(person: Person, *others: Person) -> AsyncIterator[Seen]:
    """Watch people for as long as the block lasts."""
    seen = Seen()

    async def take(running: Running) -> None:
        while (message := await running.wait())["type"] == "next":
            seen.frames.append((time.monotonic(), message["payload"]["data"]["presence"]))

    async with person.socket() as socket:
        running = await socket.start(WATCH, {"ids": [other.id for other in others]})
        taking = asyncio.create_task(take(running))
        try:
            await until(lambda: len(seen.frames) >= len(others), "the present state of each")
            yield seen
        finally:
            taking.cancel()


@asynccontextmanager
async def staying(
    person: Person, apis: tuple[Api, Api], use: Callable[[Socket], Awaitable[None]] | None = None
) -> AsyncIterator[Callable[[], int]]:
    """Have somebody connected to the first process, and to the other one when that goes; gives how often it came."""
    came = 0

    async def stay() -> None:
        nonlocal came
        while True:
            with suppress(OSError, TimeoutError, WebSocketException, AssertionError):
                async with person.at(apis[came % 2]).socket() as socket:
                    came += 1
                    if use is not None:
                        await use(socket)
                    await socket.raw.wait_closed()
            await asyncio.sleep(PAUSE_SECONDS)

    task = asyncio.create_task(stay())
    try:
        await until(lambda: came > 0, "connected")
        yield lambda: came
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def following(
    person: Person, apis: tuple[Api, Api], others: Sequence[Person], shown: list[str]
) -> AbstractAsyncContextManager[Callable[[], int]]:
    """Have somebody watch others from one process, and from the other one when that goes; notes how they are shown."""

    async def watch(socket: Socket) -> None:
        running = await socket.start(WATCH, {"ids": [other.id for other in others]})
        while (message := await running.wait())["type"] == "next":
            shown.append(message["payload"]["data"]["presence"]["status"])

    return staying(person, apis, watch)


async def serves(api: Api) -> None:
    """Wait until a process answers that was just started."""
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.TransportError):
                if (await api.http.get(f"{api.url}/health/ready")).is_success:
                    return
            await asyncio.sleep(PAUSE_SECONDS)


async def is_remembered(fragile: StackProcess, reader: Person, person: Person) -> None:
    """Wait until Redis has somebody's name: for some seconds after it was away itself, it is given nothing."""
    async with redis.Redis.from_url(fragile.url("redis")) as client, asyncio.timeout(ANSWER_SECONDS):
        while True:
            await reader.post("query ($id: ID!) { node(id: $id) { ... on User { handle } } }", {"id": person.id})
            async for key in client.scan_iter(f"parley:*:user:{{{person.id}}}"):
                if await client.hexists(key, "value"):
                    return
            await asyncio.sleep(PAUSE_SECONDS)


@pytest.mark.slow
async def test_the_users_of_a_killed_process_are_offline_in_time_and_all_others_as_they_were(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    gone, safe, both, eve = [await apis[0].register() for _ in range(4)]
    async with (
        safe.at(apis[1]).socket(),
        both.socket(),
        both.at(apis[1]).socket(),
        watching(eve.at(apis[1]), gone, safe, both) as seen,
    ):
        async with gone.socket():
            await until(lambda: {seen.last(each) for each in (gone, safe, both)} == {"ONLINE"}, "online")
            await asyncio.to_thread(fragile.kill_part, "api", 0)
            killed = time.monotonic()
            await until(lambda: seen.last(gone) == "OFFLINE", "offline", GONE_SECONDS)
        later = await read(eve.at(apis[1]), gone, safe, both)

    assert time.monotonic() - killed < GONE_SECONDS
    assert seen.of(gone).count("OFFLINE") <= 2  # before it came, and now
    assert set(seen.of(safe)[-1:] + seen.of(both)[-1:]) == {"ONLINE"}
    for each in (safe, both):
        assert "OFFLINE" not in seen.of(each)[seen.of(each).index("ONLINE") :]
    assert [each["connectionCount"] for each in later] == [0, 1, 1]


@pytest.mark.slow
async def test_a_rolling_restart_shows_nobody_offline_who_comes_back(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    *people, gone, eve = [await apis[0].register() for _ in range(5)]
    turned = (apis[1], apis[0])
    shown: list[str] = []

    async with (
        staying(people[0], apis) as first,
        staying(people[1], turned) as second,
        staying(people[2], apis),
        gone.socket(),
    ):
        for person in (*people, gone):
            await is_(eve, person, "ONLINE")
        async with following(eve, apis, people, shown) as here, following(eve, turned, people, shown) as there:
            for index in range(2):
                await asyncio.to_thread(fragile.restart_part, "api", index)
            await is_(eve.at(apis[1]), gone, "OFFLINE")  # by then whoever had not come back would be as well
            came = [each() for each in (first, second, here, there)]

    assert min(came) > 1
    assert "ONLINE" in shown
    assert "OFFLINE" not in shown


async def test_while_redis_is_away_presence_is_unknown_and_right_soon_after(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    ann, bob, eve = [await apis[0].register() for _ in range(3)]
    await is_(eve, bob, "OFFLINE")
    async with ann.socket(), watching(eve.at(apis[1]), ann, bob) as seen:
        await until(lambda: seen.last(ann) == "ONLINE", "online")
        before = len(seen.frames)
        with fragile.stopped("redis"):
            await until(lambda: seen.last(ann) == seen.last(bob) == "UNKNOWN", "unknown")
            (queried, _) = await read(eve, ann, bob)
        back = time.monotonic()
        await until(lambda: (seen.last(ann), seen.last(bob)) == ("ONLINE", "OFFLINE"), "right", BACK_SECONDS)
        await asyncio.to_thread(fragile.kill_part, "redis")
        restarted = time.monotonic()
        await asyncio.gather(is_(eve, ann, "ONLINE", BACK_SECONDS), is_(eve.at(apis[1]), ann, "ONLINE", BACK_SECONDS))
        await until(lambda: seen.last(ann) == "ONLINE", "online", BACK_SECONDS)

    assert queried["status"] == "UNKNOWN"
    assert restarted > back
    assert "OFFLINE" not in [frame["status"] for _, frame in seen.frames[before:] if frame["userId"] == ann.id]


async def test_while_mongodb_is_away_presence_and_typing_go_on(fragile: StackProcess, apis: tuple[Api, Api]) -> None:
    ann, bob = await apis[0].register(), await apis[1].register()
    conversation = (await ann.talk(bob))["id"]
    async with bob.socket() as socket, watching(bob, ann) as seen:
        typing = await socket.start(TYPING, {"id": conversation})
        await type_(ann, conversation)
        assert (await typing.any_update())["users"]
        while (await typing.any_update())["users"]:  # whoever has just come may be told twice
            pass
        await is_remembered(fragile, bob, ann)
        with fragile.stopped("mongo"):
            async with ann.socket():
                await until(lambda: seen.last(ann) == "ONLINE", "online")
                payload = await type_(ann, conversation)
                while not (
                    users := (await typing.any_update())["users"]
                ):  # that there was nobody may be told once more
                    pass

    assert payload["expiresAt"] is not None
    assert [user["id"] for user in users] == [ann.id]


async def test_a_redis_that_was_emptied_is_told_again(fragile: StackProcess, apis: tuple[Api, Api]) -> None:
    ann, bob, eve = [await apis[0].register() for _ in range(3)]
    await is_(eve, bob, "OFFLINE")
    async with ann.socket(), watching(eve.at(apis[1]), ann, bob) as seen:
        await until(lambda: seen.last(ann) == "ONLINE", "online")
        frames = len(seen.frames)
        async with redis.Redis.from_url(fragile.url("redis")) as client:
            await client.flushall()
        emptied, shown = time.monotonic(), set[tuple[str, str]]()
        while not {("ann", "ONLINE"), ("bob", "OFFLINE")} <= shown:
            assert time.monotonic() - emptied < BACK_SECONDS
            for name, found in zip(("ann", "bob"), await read(eve, ann, bob), strict=True):
                shown.add((name, found["status"]))

    assert ("ann", "OFFLINE") not in shown
    assert ("bob", "ONLINE") not in shown
    assert len(seen.frames) == frames  # nothing has changed for who watches


async def test_typing_ends_in_time_when_the_typists_process_is_killed_and_when_redis_stands_still(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    ann, bob = await apis[0].register(), await apis[1].register()
    conversation = (await ann.talk(bob))["id"]

    async def outlived(fault: Callable[[], None]) -> float:
        """Return for how many seconds somebody was shown as typing after the end, whatever happened meanwhile."""
        async with bob.socket() as socket:
            typing = await socket.start(TYPING, {"id": conversation})
            await now(bob, conversation)
            await type_(ann, conversation)
            began = await typing.any_update()
            assert [user["id"] for user in began["users"]] == [ann.id]
            await asyncio.to_thread(fault)
            ended = await typing.any_update()
            assert ended["users"] == []
            return (datetime.now(UTC) - datetime.fromisoformat(began["expiresAt"])).total_seconds()

    pid = fragile.run()["api"][0]["pid"]
    after_kill = await outlived(lambda: psutil.Process(pid).kill())
    await until(lambda: fragile.run()["api"][0]["pid"] != pid, "another process")
    await serves(apis[0])
    stopped = psutil.Process(fragile.run()["redis"]["pid"])
    try:
        after_stop = await outlived(stopped.suspend)
    finally:
        stopped.resume()

    assert -LIFE_SECONDS < after_kill < 1
    assert after_stop < 1


async def test_while_redis_is_away_typing_is_dropped_without_an_error(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    ann = await apis[0].register()
    conversation = (await ann.talk())["id"]
    with fragile.stopped("redis"):
        payload = await type_(ann, conversation)
        nobody = await now(ann, conversation)

    assert payload == {"expiresAt": None, "userErrors": []}
    assert nobody == []
