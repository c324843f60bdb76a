"""How each fault is caused, and when it is over."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import RedisError

from tests.chaos.cluster import Cluster
from tests.chaos.schedule import Fault

DELAY_SECONDS = 0.05  # each way
READERS, BYTES_PER_SECOND = 10, 1024


async def cause(cluster: Cluster, fault: Fault, half_open: Callable[[int], Awaitable[None]]) -> None:
    """Let it happen, and wait until what can be repaired is: one after the other starts, all of it ends.

    Args:
        cluster: What is broken.
        fault: How.
        half_open: Loses clients of one API process without a word.
    """
    killed = [_named(cluster, kind, fault.index) for kind in fault.kinds if kind.split()[0] in {"kill", "wipe"}]
    async with asyncio.TaskGroup() as tasks:
        if killed:
            tasks.create_task(cluster.kill(*killed))
        for kind in fault.kinds:
            if kind.split()[0] not in {"kill", "wipe"}:
                tasks.create_task(_cause(cluster, kind, fault, half_open))


async def _cause(cluster: Cluster, kind: str, fault: Fault, half_open: Callable[[int], Awaitable[None]]) -> None:
    network, api = cluster.network, f"api-{fault.index % cluster.apis}"
    verb, _, part = kind.partition(" ")
    match kind:
        case "flush redis":
            await _tell_redis(cluster, "FLUSHALL")
        case "deafen":
            await _tell_redis(cluster, "CLIENT", "KILL", "TYPE", "pubsub")
        case "half-open":
            await half_open(fault.index % cluster.apis)
        case "roll":
            for name in cluster.api_names:
                await cluster.kill(name, number=signal.SIGTERM)
        case "cut clients":
            await network.tell(api, "cut")
        case "cut answers":
            await network.tell(api, "cut answers", True)
            await asyncio.sleep(fault.seconds)
            await network.tell(api, "cut answers", False)
        case "slow readers":
            await network.tell(api, "throttle", READERS, BYTES_PER_SECOND)
            await asyncio.sleep(fault.seconds)
            await network.tell(api, "throttle", 0, 0)
        case "hold clients":
            await _held(cluster, api, fault.seconds)
        case _ if verb == "stop":
            await cluster.stop(_named(cluster, kind, fault.index), seconds=fault.seconds)
        case _ if verb == "hold":
            await _held(cluster, part, fault.seconds)
        case _ if verb == "delay":
            await network.tell(part, "delay", DELAY_SECONDS)
            await asyncio.sleep(fault.seconds)
            await network.tell(part, "delay", 0.0)
        case _ if verb == "cut":
            await network.tell(part, "close")
            await asyncio.sleep(fault.seconds)
            await network.tell(part, "open")
        case _:
            raise ValueError(kind)


async def _held(cluster: Cluster, link: str, seconds: float) -> None:
    await cluster.network.tell(link, "hold")
    await asyncio.sleep(seconds)
    await cluster.network.tell(link, "flow")


async def _tell_redis(cluster: Cluster, *command: str) -> None:
    with suppress(RedisError, OSError):  # another fault may have taken it away
        async with cluster.redis() as client:
            await client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py's own gap


def _named(cluster: Cluster, kind: str, index: int) -> str:
    part = kind.split()[1]
    count = {"api": cluster.apis, "worker": cluster.workers}.get(part)
    return part if count is None else f"{part}-{index % count}"
