"""A real Parley for tests: `parley up` in a directory of its own, on free loopback ports."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from parley.stack.stack import free_port

START_SECONDS = 120.0
STOP_SECONDS = 60.0
REDIS_IS_CLUSTER = os.environ.get("PARLEY_TEST_REDIS") == "cluster"  # of every stack that does not say otherwise


class StackProcess:
    """A running `parley up`."""

    def __init__(
        self,
        directory: Path,
        replicas: int,
        workers: int = 1,
        environment: dict[str, str] | None = None,
        *,
        redis_cluster: bool = REDIS_IS_CLUSTER,
    ) -> None:
        self.directory = directory
        self._port = free_port(replicas)
        self._replicas = replicas
        self._workers = workers
        self._redis_cluster = redis_cluster
        self._environment = {**os.environ, "PARLEY_RATE_LIMITS": "off", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        options = {
            "--data": self.directory,
            "--port": self._port,
            "--replicas": self._replicas,
            "--workers": self._workers,
        }
        arguments = [str(part) for option in options.items() for part in option]
        if self._redis_cluster:
            arguments.append("--redis-cluster")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "parley", "up", *arguments], env=self._environment, stdout=subprocess.DEVNULL
        )
        self.wait_for((self.directory / "run.json").exists, START_SECONDS)

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill the parent, as `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self._process = None

    def run(self) -> dict[str, Any]:
        """Return what `run.json` says."""
        content: dict[str, Any] = json.loads((self.directory / "run.json").read_text())
        return content

    @property
    def urls(self) -> list[str]:
        """Where the API processes listen."""
        return [f"http://127.0.0.1:{self._port + index}" for index in range(self._replicas)]

    @property
    def redis_nodes(self) -> list[dict[str, Any]]:
        """The servers that Redis is: one, or the nodes of a cluster."""
        run = self.run()
        nodes: list[dict[str, Any]] = run.get("redis_nodes", [run["redis"]])
        return nodes

    def url(self, part: str) -> str:
        """Return where a server is."""
        return str(self.run()[part]["url"])

    def kill_part(self, part: str, index: int = 0) -> None:
        """Kill one child as `kill -9` does, and wait until its successor runs."""
        self._signal(signal.SIGKILL, [part], index)

    def kill_parts(self, parts: Sequence[str], index: int = 0) -> None:
        """Kill one child of each of these parts at once; of those that there are several of, the one with the index."""
        self._signal(signal.SIGKILL, parts, index)

    def restart_part(self, part: str, index: int = 0) -> None:
        """End one child as a rolling restart does, with SIGTERM, and wait until its successor runs."""
        self._signal(signal.SIGTERM, [part], index)

    def _signal(self, number: signal.Signals, parts: Sequence[str], index: int) -> None:
        before = {part: self._pid(part, index) for part in parts}
        for pid in before.values():
            psutil.Process(pid).send_signal(number)
        self.wait_for(lambda: all(self._pid(part, index) != pid for part, pid in before.items()), START_SECONDS)

    @contextlib.contextmanager
    def stopped(self, part: str, index: int = 0) -> Iterator[None]:
        """Let one child stand still, as SIGSTOP does, for as long as the block lasts; Redis with all of its nodes."""
        pids = [node["pid"] for node in self.redis_nodes] if part == "redis" else [self._pid(part, index)]
        processes = [psutil.Process(pid) for pid in pids]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def _pid(self, part: str, index: int) -> int:
        entry = self.run()[part]
        return int((entry[index] if isinstance(entry, list) else entry)["pid"])

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds; the stack must stay alive meanwhile."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, "parley up ended"
            assert time.monotonic() < deadline, "that took too long"
            time.sleep(0.02)


@contextlib.contextmanager
def running_stack(
    directory: Path,
    *,
    replicas: int,
    workers: int = 1,
    environment: dict[str, str] | None = None,
    redis_cluster: bool = REDIS_IS_CLUSTER,
) -> Iterator[StackProcess]:
    """Run a stack for as long as the block lasts."""
    stack = StackProcess(directory, replicas, workers, environment, redis_cluster=redis_cluster)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
