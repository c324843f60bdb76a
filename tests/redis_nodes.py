"""An embedded Redis Cluster of a test's own, whose nodes it may kill and whose slots it may move."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from parley.stack.stack import free_port
from parley.stack.valkey import MASTERS, NODES, cluster_servers, cluster_url
from services.redis_cluster import slot_of

START_SECONDS = 60.0


class RedisNodes:
    """The nodes: masters first, then the replica of each."""

    def __init__(self, directory: Path) -> None:
        first = free_port(2 * NODES)
        self.ports = range(first, first + NODES)
        self._commands = cluster_servers(directory, self.ports, range(first + NODES, first + 2 * NODES))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Where all of them are."""
        return cluster_url(self.ports)

    @contextmanager
    def running(self) -> Iterator["RedisNodes"]:
        """Run them until the block ends."""
        self._processes = [subprocess.Popen(command) for command in self._commands]
        try:
            self.wait_until_whole()
            yield self
        finally:
            for process in self._processes:
                process.terminate()
                process.wait()

    def ask(self, node: int, *arguments: str | int) -> Any:
        """Ask one of them, in RESP2 and without interpretation; ConnectionError where it does not answer."""
        with redis.Redis(port=self.ports[node], protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*arguments)

    def owner_of(self, key: str, *, seen_by: int = 0) -> int:
        """Return which node has a key, as one of them says."""
        slot = slot_of(key)
        ranges = self.ask(seen_by, "CLUSTER", "SLOTS")
        port = next(node[1] for first, last, node, *_ in ranges if first <= slot <= last)
        return self.ports.index(port)

    def kill(self, node: int) -> None:
        """Kill one, as `kill -9` does; nobody starts it again."""
        self._processes[node].kill()
        self._processes[node].wait()

    def start(self, node: int) -> None:
        """Start one again that was killed."""
        self._processes[node] = subprocess.Popen(self._commands[node])

    def wait_until_whole(self) -> None:
        """Wait until every node says that all is well, and each master has its replica again."""
        self._wait(lambda: all(self._is_well(node) for node in range(NODES)))

    def move(self, key: str, target: int, *, when_half: Callable[[], None] = lambda: None) -> None:
        """Move the slot of a key to another master, as an operator does: one key after the other."""
        slot, source = slot_of(key), self.owner_of(key)
        ids = [self.ask(node, "CLUSTER", "MYID").decode() for node in range(NODES)]
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        when_half()
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            for each in keys:
                self.ask(source, "MIGRATE", "127.0.0.1", self.ports[target], each, 0, 5_000)
        for node in (target, source):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    def _is_well(self, node: int) -> bool:
        try:
            info = self.ask(node, "CLUSTER", "INFO").decode()
            role, *rest = self.ask(node, "ROLE")
        except redis.RedisError:
            return False
        replicated = bool(rest[1]) if role == b"master" else rest[2] == b"connected"
        return "cluster_state:ok" in info and "cluster_nodes_fail:0" in info and replicated

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the cluster does not become whole"
            time.sleep(0.05)


def names_of_shards(count: int = 1) -> list[list[str]]:
    """Return for each master and its replica so many names that lie there as tags, where no slot has moved."""
    found: list[list[str]] = [[] for _ in range(MASTERS)]
    number = 0
    while any(len(names) < count for names in found):
        name = f"name{number}"
        owner = found[slot_of(name) * MASTERS // 16_384]
        if len(owner) < count:
            owner.append(name)
        number += 1
    return found
