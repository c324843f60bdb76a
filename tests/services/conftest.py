"""The real stores, for tests of the services."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from services.config import Settings
from services.mongo import Database, Document


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded MongoDB that lives as long as the test run."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path_factory.mktemp("mongodb") / "data.sqlite"
    command = [sys.executable, "-m", "parley.stack.mongodb", "--port", str(port), "--file", str(file)]
    url = f"mongodb://127.0.0.1:{port}"
    with subprocess.Popen(command) as server:
        try:
            _wait_until_ready(url, server)
            yield url
        finally:
            server.terminate()


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


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    client: MongoClient[Document] = MongoClient(url, serverSelectionTimeoutMS=200)
    with client:
        while True:
            try:
                client.admin.command("ping")
            except PyMongoError:
                assert server.poll() is None, "the embedded MongoDB ended"
                assert time.monotonic() < deadline, "the embedded MongoDB does not answer"
            else:
                return
