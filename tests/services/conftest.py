"""The real stores, for tests of the services."""

import random
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from parley.stack.stack import free_port
from parley.stack.valkey import redis_server
from services.cache import Cache, Trust
from services.config import Settings
from services.mongo import Database, Document
from services.redis import Redis
from services.services import SCRIPTS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded MongoDB that lives as long as the test run."""
    port, file = free_port(), tmp_path_factory.mktemp("mongodb") / "data.sqlite"
    url = f"mongodb://127.0.0.1:{port}"
    client: MongoClient[Document] = MongoClient(url, serverSelectionTimeoutMS=200)

    def answers() -> bool:
        with suppress(PyMongoError):
            return bool(client.admin.command("ping"))
        return False

    with client, _running("mongodb", "--port", str(port), "--file", str(file), answers=answers):
        yield url


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[str]:
    """An embedded Kafka that lives as long as the test run."""
    port = free_port()

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    with _running("kafka", "--port", str(port), answers=answers):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def settings(mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an embedded stack with a database and keys of its own."""
    return Settings(
        mongo_url=mongo_url,
        mongo_database=f"test_{uuid.uuid4().hex}",
        redis_url="redis://127.0.0.1:1",
        kafka_url="127.0.0.1:1",
        embedded=True,
        data=tmp_path_factory.mktemp("data"),
    )


@pytest.fixture
async def mongo_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings)
    yield database
    database.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded Valkey that lives as long as the test run."""
    port = free_port()
    with subprocess.Popen(redis_server(tmp_path_factory.mktemp("valkey"), port)) as server:
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@pytest.fixture
async def caches(mongo_database: Database, redis_url: str) -> AsyncIterator[list[Cache]]:
    """What Redis remembers of one database, for three processes."""
    epoch = random.getrandbits(31)
    async with AsyncExitStack() as stack:
        found: list[Cache] = []
        for number in range(3):
            redis = await stack.enter_async_context(Redis(redis_url, SCRIPTS).running())
            trust = await stack.enter_async_context(Trust(mongo_database, redis).running())
            cache = await stack.enter_async_context(Cache(redis, trust, epoch, f"{number}").running())
            await redis.up.wait()
            found.append(cache)
        yield found


@contextmanager
def _running(name: str, *arguments: str, answers: Callable[[], bool]) -> Iterator[None]:
    """Run an embedded server; the block begins when it answers."""
    with subprocess.Popen([sys.executable, "-m", f"parley.stack.{name}", *arguments]) as server:
        try:
            deadline = time.monotonic() + 60
            while not answers():
                assert server.poll() is None, f"the embedded {name} ended"
                assert time.monotonic() < deadline, f"the embedded {name} does not answer"
                time.sleep(0.02)
            yield
        finally:
            server.terminate()
