"""Thousands of sockets: they leave nothing behind, cost what they should, and never each other's messages."""

import asyncio
from contextlib import AsyncExitStack
from itertools import batched
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import orjson
import psutil
import pytest
import redis.asyncio as redis
from pymongo import monitoring

from parley.protocol import CloseCode
from parley.transport import OUTBOX_BYTES
from tests.clients import Api, Json, Person
from tests.faults.harness import PATIENCE_SECONDS, until
from tests.local_api import local_api
from tests.raw_socket import CLOSE, TEXT, RawSocket, follow
from tests.stack_process import StackProcess

SOCKETS = 2_000
AT_ONCE = 200  # connecting; more than the listen queue are dropped and tried again a second later


async def crowd(api: Api, person: Person, conversation: dict[str, Any], *, size: int, stack: AsyncExitStack) -> None:
    """Let a crowd follow a conversation until the exit stack ends, and then vanish without a word."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def come(_: int) -> None:
        async with gate:
            socket = await stack.enter_async_context(RawSocket.open(api))
            await follow(socket, person, conversation["id"])

    await asyncio.gather(*map(come, range(size)))


async def channels(redis_url: str) -> set[object]:
    async with redis.Redis.from_url(redis_url) as client:
        return set(await client.pubsub_channels("parley:log:*"))


async def until_channels(redis_url: str, expected: set[object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await channels(redis_url) != expected:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_two_thousand_sockets_that_vanish_leave_nothing_behind(stack: StackProcess, api: Api) -> None:
    ann = await api.register()
    conversations = [await ann.talk() for _ in range(2)]
    process = psutil.Process(stack.run()["api"][0]["pid"])
    before = await channels(stack.redis_url)
    memory = []

    for _ in range(5):
        async with AsyncExitStack() as exit_stack:
            for conversation in conversations:
                await crowd(api, ann, conversation, size=SOCKETS // 2, stack=exit_stack)
            during = await channels(stack.redis_url)
        await until_channels(stack.redis_url, before)
        memory.append(process.memory_info().rss)

    assert len(during - before) == 2
    # In bytes; while they are there each costs ten times as much.
    assert max(memory[2:]) - memory[1] < SOCKETS * 256


async def test_no_task_waits_for_a_socket_or_a_subscription(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        tasks = len(asyncio.all_tasks())
        async with AsyncExitStack() as exit_stack:
            await crowd(api, ann, conversation, size=50, stack=exit_stack)

            await until(lambda: len(asyncio.all_tasks()) <= tasks, "tasks")
            assert len(local.sockets.open) == 50
        await until(lambda: not local.sockets.open, "sockets")

        assert not local.fanout._rooms
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "tasks")


async def test_a_crowd_that_comes_back_with_cursors_costs_one_read_of_the_tail(stack: StackProcess, api: Api) -> None:
    reads: list[dict[str, Any]] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            if event.command_name == "find" and event.command["find"] == "entries":
                reads.append(event.command["filter"])

        def succeeded(self, event: object) -> None:
            pass

        def failed(self, event: object) -> None:
            pass

    monitoring.register(Listener())
    try:
        ann = await api.register()
        async with local_api(stack) as local, Api(local.url) as other:
            conversation = await ann.talk()
            for number in range(100):
                await ann.send(conversation["id"], f"{number}")
            async with AsyncExitStack() as exit_stack:
                sockets = [await exit_stack.enter_async_context(RawSocket.open(other)) for _ in range(200)]
                reads.clear()
                came = [
                    entries
                    for wave in batched(sockets, 100, strict=True)
                    for entries in await asyncio.gather(
                        *(follow(socket, ann, conversation["id"], conversation["cursor"]) for socket in wave)
                    )
                ]
    finally:
        monitoring._LISTENERS.command_listeners.clear()

    assert came == [100] * 200
    # The head and what was committed since, when the log is opened, and once the past, which is in no memory here.
    assert len([read for read in reads if "$or" not in read]) == 3


async def test_a_reader_that_stops_costs_a_megabyte_at_most_and_comes_back_whole(stack: StackProcess) -> None:
    messages, most = 160, 0
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with RawSocket.open(api) as fast, RawSocket.open(api) as slow:
            await follow(fast, ann, conversation["id"])
            await follow(slow, ann, conversation["id"])
            (stuck,) = [each for each in local.sockets.open if each._transport.get_extra_info("peername") == slow.name]
            for end, option in ((stuck._transport, SO_SNDBUF), (slow.writer, SO_RCVBUF)):
                end.get_extra_info("socket").setsockopt(SOL_SOCKET, option, 4_096)
            slow.pause()

            async def talk() -> None:
                for number in range(messages):
                    await ann.send(conversation["id"], f"{number}".ljust(10_000))

            async def hear() -> list[Json]:
                return [(await fast.message())["payload"]["data"]["conversationUpdates"] for _ in range(messages)]

            talking, hearing = asyncio.create_task(talk()), asyncio.create_task(hear())
            while not stuck._connection.closed:
                most = max(most, stuck._outbox._bytes if stuck._outbox else 0)
                await asyncio.sleep(0)
            slow.go_on()
            last = slow_frame = await slow.frame()
            while slow_frame[0] == TEXT:
                last, slow_frame = slow_frame, await slow.frame()
            await talking
            heard = await hearing
        cursor = orjson.loads(last[1])["payload"]["data"]["conversationUpdates"]["cursor"]
        seen = [update["cursor"] for update in heard].index(cursor) + 1
        async with RawSocket.open(api) as again:
            missed = await follow(again, ann, conversation["id"], cursor)

    assert [update["sequence"] for update in heard] == list(range(2, messages + 2))
    assert slow_frame == (CLOSE, CloseCode.TRY_AGAIN_LATER.to_bytes(2) + b"Too slow")
    assert OUTBOX_BYTES // 2 < most <= OUTBOX_BYTES
    assert seen + missed == messages
