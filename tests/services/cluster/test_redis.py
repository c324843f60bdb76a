"""Redis as a cluster: commands and channels find their node, also when that is another one now."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import log_cache, presence_store, receipt_cache
from services.bus import Bus
from services.cache import Cache
from services.limit_rules import Bucket
from services.limits import _key as limit_key
from services.redis import Redis, RedisFailedError, channel_of
from services.redis_cluster import slot_of
from services.redis_line import Servers
from services.services import SCRIPTS
from services.typing import CHANNEL as TYPING
from services.typing import _keys as typing_keys
from tests.redis_nodes import RedisNodes, names_of_shards

HEALED_SECONDS = 60.0
TEST = "parley:test:"


@asynccontextmanager
async def process(url: str, name: str = "one") -> AsyncIterator[tuple[Redis, Bus]]:
    async with Redis(url, SCRIPTS).running() as redis, Bus(redis, name).running() as bus:
        async with asyncio.timeout(HEALED_SECONDS):
            await redis.up.wait()
            await bus.up.wait()
        yield redis, bus


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis(redis_url, SCRIPTS).running() as redis:
        async with asyncio.timeout(HEALED_SECONDS):
            await redis.up.wait()
        yield redis


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HEALED_SECONDS):
        while not condition():  # noqa: ASYNC110  # other processes' state
            await asyncio.sleep(0.02)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(key=st.one_of(st.text(max_size=20), st.text("{}ab", max_size=12)))
def test_slots_are_those_that_the_server_says(nodes: RedisNodes, key: str) -> None:
    try:
        name = key.encode()
    except UnicodeEncodeError:  # a surrogate, which no id has
        return

    assert slot_of(name) == slot_of(key) == nodes.ask(0, "CLUSTER", "KEYSLOT", key)


def test_what_one_step_touches_is_in_one_slot(redis_url: str) -> None:
    redis = Redis(redis_url)
    cache = Cache(redis, None, 7, "one")  # type: ignore[arg-type]  # nobody asks whether it is believed
    for name in ("cnv_1", "cnv_2"):
        steps = [
            [*log_cache.LogCache(cache)._keys(name), channel_of(log_cache.CHANNEL, name)],
            [*receipt_cache.ReceiptCache(cache)._keys(name), channel_of(log_cache.CHANNEL, name)],
            [*typing_keys(name), channel_of(TYPING, name)],
            [presence_store._user_key(name), channel_of(presence_store.CHANNEL, name)],
            [presence_store._LEASES, presence_store._ERA],
            [limit_key(Bucket.AUTHENTICATION, "account ada"), limit_key(Bucket.AUTHENTICATION, f"address {name}")],
        ]

        assert [len({slot_of(key) for key in step}) for step in steps] == [1] * len(steps)


def test_a_url_may_name_several_nodes() -> None:
    found = Servers.of("rediss://parley:p%40ss@a:7000,b,[::1]:7002/0")

    assert [tuple(address) for address in found.addresses] == [("a", 7000), ("b", 6379), ("::1", 7002)]
    assert found.url == "rediss://parley:p%40ss@a:7000/0"
    assert "p%40ss" not in repr(found)


async def test_one_node_is_enough_to_find_all(nodes: RedisNodes) -> None:
    async with process(nodes.url.partition(",")[0] + "/0") as (redis, _):
        assert len(redis.lines) == 3
        assert await asyncio.gather(*(redis.call("SET", f"{{{n}}}", n) for n in range(100))) == [b"OK"] * 100
        assert await asyncio.gather(*(redis.call("GET", f"{{{n}}}") for n in range(3))) == [b"0", b"1", b"2"]
        await redis.ping()


async def test_channels_are_heard_at_every_node(nodes: RedisNodes) -> None:
    heard: list[tuple[str, bytes]] = []
    names = [name for names in names_of_shards(5) for name in names]
    async with process(nodes.url) as (_, speaking), process(nodes.url, "two") as (_, listening):
        listening.listen(TEST, lambda name, data: heard.append((name, data)), lambda: None)
        assert await listening.subscribe(TEST, *names)
        for name in names:
            speaking.publish(TEST, name, b"1")
            speaking.publish(TEST, name, b"2")
        await until(lambda: len(heard) == 2 * len(names))
        await listening.unsubscribe(TEST, names[0])

    assert {name: [data for each, data in heard if each == name] for name in names} == {
        name: [b"1", b"2"] for name in names
    }


async def test_a_slot_that_moves_is_followed_by_commands_and_channels(nodes: RedisNodes) -> None:
    heard: list[bytes] = []
    name = names_of_shards(3)[0][2]
    key, other = f"parley:here:{{{name}}}", f"parley:there:{{{name}}}"
    source, target = nodes.owner_of(name), nodes.owner_of(names_of_shards()[1][0])
    async with process(nodes.url) as (redis, bus):
        loop = asyncio.get_running_loop()
        bus.listen(TEST, lambda _, data: heard.append(data), lambda: None)
        await bus.subscribe(TEST, name)
        await redis.call("SET", key, "old")

        def when_half() -> None:
            # What is there is read there; what is new goes to the other node already.
            found = asyncio.run_coroutine_threadsafe(asyncio.wait_for(both(), 10), loop).result()
            assert found == [b"old", b"OK"]

        async def both() -> list[object]:
            return list(await asyncio.gather(redis.call("GET", key), redis.call("SET", other, "new")))

        await asyncio.to_thread(nodes.move, name, target, when_half=when_half)
        found = list(await asyncio.gather(redis.call("GET", key), redis.call("GET", other)))
        line = redis.line_of(name)
        await until(bus.up.is_set)
        async with asyncio.timeout(HEALED_SECONDS):
            while not heard:
                bus.publish(TEST, name, b"again")
                await asyncio.sleep(0.05)
        await asyncio.to_thread(nodes.move, name, source)

    assert found == [b"old", b"new"]
    assert line is not None
    assert line.node is not None
    assert line.node.port == nodes.ports[target]


async def test_what_comes_while_a_slot_moves_is_done_in_order(nodes: RedisNodes) -> None:
    name = names_of_shards(4)[0][3]
    key, count = f"parley:list:{{{name}}}", 2_000
    source, target = nodes.owner_of(name), nodes.owner_of(names_of_shards()[2][0])
    async with process(nodes.url) as (redis, _):
        moving = asyncio.create_task(asyncio.to_thread(nodes.move, name, target))
        taken = 0
        while taken < count or not moving.done():
            # Refused (TRYAGAIN, or no answer in time) may be one; done twice, or before an earlier one, none.
            for _ in range(20):
                redis.send("RPUSH", key, taken)
                taken += 1
            await asyncio.sleep(0.001)
        await moving
        found = [int(value) for value in await redis.call("LRANGE", key, 0, -1)]
        await redis.call("DEL", key)
        await asyncio.to_thread(nodes.move, name, source)

    assert found == sorted(set(found))
    assert len(found) > taken / 2


async def test_a_killed_master_is_replaced_and_its_channels_are_heard_again(nodes: RedisNodes) -> None:
    heard: list[str] = []
    changes: list[bool] = []
    names = [names[0] for names in names_of_shards()]
    victim = nodes.owner_of(names[1])
    async with process(nodes.url) as (redis, bus):
        bus.listen(TEST, lambda name, _: heard.append(name), lambda: changes.append(bus.up.is_set()))
        await bus.subscribe(TEST, *names)
        before, keys = redis.run_id, [f"{{{name}}}" for name in names]
        runs = [redis.run_id_of(key) for key in keys]
        await asyncio.to_thread(nodes.kill, victim)
        await until(lambda: not bus.up.is_set() and not redis.up.is_set())
        while_away = await asyncio.gather(*(redis.call("SET", key, "x") for key in keys), return_exceptions=True)
        await until(lambda: redis.up.is_set() and bus.up.is_set())
        after = await asyncio.gather(*(redis.call("SET", key, "x") for key in keys))
        for name in names:
            bus.publish(TEST, name, b"")
        await until(lambda: set(heard) == set(names))
        told, afterwards = list(changes), (redis.run_id, [redis.run_id_of(key) for key in keys])
    await asyncio.to_thread(nodes.start, victim)
    await asyncio.to_thread(nodes.wait_until_whole)

    assert [type(reply) for reply in while_away] == [bytes, RedisFailedError, bytes]
    assert after == [b"OK"] * 3
    assert told[0] is False  # told that something may have been missed,
    assert told[-1] is True  # and that it is over
    assert afterwards[0] not in {before, None}
    assert [run == old for run, old in zip(afterwards[1], runs, strict=True)] == [True, False, True]


async def test_a_node_that_is_deaf_is_noticed_and_the_others_are_heard(nodes: RedisNodes) -> None:
    heard: list[str] = []
    names = [names[0] for names in names_of_shards()]
    victim = nodes.owner_of(names[2])
    async with process(nodes.url) as (_, bus):
        bus.listen(TEST, lambda name, _: heard.append(name), lambda: None)
        await bus.subscribe(TEST, *names)
        await asyncio.to_thread(nodes.ask, victim, "CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: not bus.up.is_set())
        for name in names[:2]:
            bus.publish(TEST, name, b"")
        await until(lambda: set(heard) == set(names[:2]))
        await until(bus.up.is_set)
        bus.publish(TEST, names[2], b"")
        await until(lambda: set(heard) == set(names))
