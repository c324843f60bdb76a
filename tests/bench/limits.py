"""What it costs an API process to count one operation: `python -m tests.bench.limits`.

CPU of this process alone, for limits in Redis with several callers at once, as requests come; for the window of a
socket; and for the windows that stand in while Redis is away.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from parley.stack.stack import free_port
from parley.stack.valkey import redis_server
from services import ids
from services.limit_rules import Bucket, Rule, Rules
from services.limits import Allowance, Caller, Limits
from services.redis import Redis
from services.services import SCRIPTS
from services.windows import Window

CHECKS = 20_000
AT_ONCE = 32
RULES = Rules({bucket: Rule(100, 60) for bucket in Bucket})


async def measured(name: str, check: Callable[[int], Awaitable[object]]) -> None:
    """Print what a check costs, and what it takes."""
    cpu, clock = time.process_time(), time.perf_counter()
    for start in range(0, CHECKS, AT_ONCE):
        await asyncio.gather(*(check(number) for number in range(start, start + AT_ONCE)))
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    print(f"{name:32}{cpu / CHECKS * 1e6:7.1f} µs CPU a check, {CHECKS / clock:9,.0f} checks a second")


async def run(port: int) -> None:
    callers = [Caller(user_id=ids.user(), address="192.0.2.1") for _ in range(CHECKS // 50)]
    async with Redis(f"redis://127.0.0.1:{port}", SCRIPTS).running() as redis:
        await redis.up.wait()
        remote = Limits(redis, RULES)
        await measured("nothing", lambda _: asyncio.sleep(0))
        await measured("limit in Redis, admitted", lambda n: remote.count(Bucket.API, callers[n % len(callers)]))
        await measured("limit in Redis, mostly refused", lambda n: remote.count(Bucket.API, callers[n % 20]))
    away = Limits(Redis("redis://127.0.0.1:1"), RULES)
    await measured("limit while Redis is away", lambda n: away.count(Bucket.API, callers[n % len(callers)]))
    windows = [Window() for _ in callers]

    async def enter(number: int) -> None:
        caller, window = callers[number % len(callers)], windows[number % len(callers)]
        await Allowance(away, caller, window).enter(light=False)

    await measured("a socket's own limit", enter)


def main() -> None:
    """Measure on a Valkey of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory, subprocess.Popen(redis_server(Path(directory), port)) as server:
        try:
            asyncio.run(run(port))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
