"""An API process that is the test's own, on the stack's servers: what is inside can be seen."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from parley.api import server
from parley.draining import DrainingServer
from parley.fanout import Fanout
from parley.stack.stack import free_port
from parley.transport import Sockets
from services.clock import now
from services.config import Settings
from services.mongo import Collection
from services.services import Services
from services.tasks import gather_some
from services.users import Role, Users
from tests.stack_process import START_SECONDS, StackProcess


@dataclass(frozen=True, slots=True)
class LocalApi:
    """A server in this event loop."""

    url: str
    server: DrainingServer
    running: "asyncio.Task[None]"

    @property
    def sockets(self) -> Sockets:
        sockets: Sockets = self.server.lifespan.state["sockets"]
        return sockets

    @property
    def services(self) -> Services:
        return self.sockets.services

    @property
    def fanout(self) -> Fanout:
        return self.sockets.fanout

    @property
    def believes_redis(self) -> bool:
        """Whether it takes what Redis remembers for the newest."""
        return self.services.cache.trust.generation("any") is not None

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        self.server.should_exit = True


async def new_accounts(users: Users, count: int) -> list[str]:
    """Return the ids of so many new accounts without a password, which cost no hash."""
    made = await gather_some(
        users.create(
            handle=f"u{uuid.uuid4().hex[:20]}", display_name=None, password_hash="", roles=[Role.USER], now=now()
        )
        for _ in range(count)
    )
    return [user.id for user in made]


@asynccontextmanager
async def local_api(stack: StackProcess, **changes: float | str) -> AsyncIterator[LocalApi]:
    """Serve until the block ends."""
    run, port = stack.run(), free_port()
    settings = Settings(
        mongo_url=run["mongo"]["url"],
        kafka_url=run["kafka"]["url"],
        embedded=True,
        data=stack.directory,
        **{
            "redis_url": run["redis"]["url"],
            "drain_seconds": 0.0,
            "closing_seconds": 0.0,
            "rate_limits": "off",
            **changes,
        },
    )
    served = server(settings, host="127.0.0.1", port=port)
    api = LocalApi(f"http://127.0.0.1:{port}", served, asyncio.create_task(served._serve()))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not served.started:
                assert not api.running.done()
                await asyncio.sleep(0.01)
        yield api
    finally:
        api.stop()
        await api.running


@contextmanager
def counted_reads() -> Iterator[Counter[str]]:
    """Count how often this process reads each of MongoDB's collections, but for what it reads by the clock."""
    counts: Counter[str] = Counter()

    def counting(method: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def read(self: Collection, *arguments: Any, **options: Any) -> object:
            counts[self.name] += self.name not in {"meta", "revocations", "dirty"}
            return await method(self, *arguments, **options)

        return read

    with ExitStack() as stack:
        for name in ("find", "find_one", "find_many"):
            stack.enter_context(patch.object(Collection, name, counting(getattr(Collection, name))))
        yield counts
