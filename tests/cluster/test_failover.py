"""A node of the cluster dies while people talk: nothing acknowledged is lost, doubled or out of order.

A master that is killed is started again before anybody takes over; one that stands still is replaced by its
replica. Presence is right again after either.
"""

import asyncio
from contextlib import AsyncExitStack, suppress

import redis.asyncio as redis

from services.redis_cluster import slot_of
from tests.api.test_presence import is_, read
from tests.checker.history import History
from tests.clients import Api
from tests.faults.harness import Room, judge, until
from tests.faults.test_killing import Talk, during
from tests.faults.test_presence import watching
from tests.stack_process import StackProcess

BACK_SECONDS = 30.0  # after another node has taken over
FAILOVER_SECONDS = 60.0


async def owner_of(stack: StackProcess, name: str) -> int:
    """Return which node has the keys of a name now, by its place in `redis_nodes`; asks those that answer."""
    nodes = stack.redis_nodes
    for node in nodes:
        async with redis.Redis.from_url(node["url"], socket_timeout=1, protocol=2) as client:
            client.response_callbacks.clear()
            try:
                ranges = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]  # its own gap
            except redis.RedisError:
                continue
        port = next(owner[1] for first, last, owner, *_ in ranges if first <= slot_of(name) <= last)
        return next(index for index, each in enumerate(nodes) if each["url"].endswith(f":{port}/0"))
    raise AssertionError("no node answers")


async def replicated_owner_of(stack: StackProcess, name: str) -> int:
    """Return which node has these keys once a replica follows it: one that came back just now cannot take over yet."""
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            node = await owner_of(stack, name)
            async with redis.Redis.from_url(stack.redis_nodes[node]["url"], socket_timeout=1, protocol=2) as client:
                with suppress(redis.RedisError):
                    if (await client.info("replication")).get("slave0", {}).get("state") == "online":
                        return node
            await asyncio.sleep(0.1)


async def another_owns(stack: StackProcess, name: str, node: int) -> None:
    """Wait until another node has these keys."""
    async with asyncio.timeout(FAILOVER_SECONDS):
        while await owner_of(stack, name) == node:  # noqa: ASYNC110  # other processes' state
            await asyncio.sleep(0.1)


async def test_people_talk_while_masters_are_killed_and_replaced(stack: StackProcess, apis: tuple[Api, Api]) -> None:
    history = History()
    people = [await apis[number % 2].register() for number in range(4)]
    room = await Room.open(apis, history, *people)
    restless = room.listen(people[0], restless=True)
    room.listen(people[1])
    room.listen(people[2])
    talk = Talk(room, people, 400)

    await talk.reaches(100)
    first = await owner_of(stack, room.conversation)
    await during(history, "master", lambda: stack.kill_part("redis_nodes", first))
    await talk.reaches(180)
    second = await replicated_owner_of(stack, room.conversation)
    with stack.stopped("redis_nodes", second):
        await another_owns(stack, room.conversation, second)
        await talk.reaches(280)
    await talk.ends()
    report = await judge([room], people[0])

    assert report.acknowledged == 400
    assert restless.connections > 10


async def test_presence_is_right_again_when_a_master_was_replaced(stack: StackProcess, apis: tuple[Api, Api]) -> None:
    *there, bob, eve = [await apis[number % 2].register() for number in range(6)]
    await is_(eve, bob, "OFFLINE")
    async with AsyncExitStack() as open_sockets:
        for each in there:
            await open_sockets.enter_async_context(each.socket())
        async with watching(eve.at(apis[1]), *there, bob) as seen:
            await until(lambda: {seen.last(each) for each in there} == {"ONLINE"}, "online")
            before = len(seen.frames)
            victim = await owner_of(stack, there[0].id)
            with stack.stopped("redis_nodes", victim):
                await another_owns(stack, there[0].id, victim)
                await until(
                    lambda: [seen.last(each) for each in (*there, bob)] == ["ONLINE"] * 4 + ["OFFLINE"],
                    "right",
                    BACK_SECONDS,
                )
            for api in apis:
                for each in there:
                    await is_(eve.at(api), each, "ONLINE", BACK_SECONDS)
            queried = await read(eve, *there, bob)

    assert [each["status"] for each in queried] == ["ONLINE"] * 4 + ["OFFLINE"]
    for each in there:
        assert "OFFLINE" not in [frame["status"] for _, frame in seen.frames[before:] if frame["userId"] == each.id]
