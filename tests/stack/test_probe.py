"""`parley probe`, the health check of containers."""

import asyncio
import os
import subprocess
import sys

from parley.stack.stack import free_port
from tests.faults.harness import until
from tests.local_api import local_api
from tests.stack_process import StackProcess


def probe(*arguments: object) -> subprocess.CompletedProcess[str]:
    # A container may have been given a proxy for what is outside.
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, "-m", "parley", "probe", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


def test_an_api_process_and_a_worker_are_found_well(stack: StackProcess) -> None:
    urls = [stack.urls[0], stack.run()["workers"][0]["url"]]

    assert [probe("--port", port_of(url)).returncode for url in urls] == [0, 0]


def test_where_nobody_listens_nobody_is_well() -> None:
    found = probe("--port", free_port())

    assert found.returncode == 1
    assert "is not well" in found.stderr
    assert "Traceback" not in found.stderr


def test_what_is_not_found_is_not_well(stack: StackProcess) -> None:
    assert probe("--port", port_of(stack.urls[0]), "--path", "/nothing").returncode == 1


async def test_a_process_that_drains_is_not_well(stack: StackProcess) -> None:
    async with local_api(stack, drain_seconds=10.0) as local:
        before = await asyncio.to_thread(probe, "--port", port_of(local.url))
        local.stop()
        await until(lambda: local.services.health.draining, "draining")
        after = await asyncio.to_thread(probe, "--port", port_of(local.url))
        local.server._hurry.set()

    assert (before.returncode, after.returncode) == (0, 1)
