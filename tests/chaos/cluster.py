"""A Parley to be broken: the embedded servers, API processes and workers, with a link between any two of them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import psutil
import redis.asyncio as redis

from parley.stack.stack import Urls, free_port, kafka_child, mongo_child, our_child
from parley.stack.supervisor import Child, Supervisor
from parley.stack.valkey import redis_child
from tests.chaos.network import HOST, Network

BACK_SECONDS = 60.0  # within which what was killed serves again
START_SECONDS = 180.0  # for a process of Parley to be ready; many start at once
POLL_SECONDS = 0.02
SERVERS = ("mongo", "redis", "kafka")

# What is other than on the usual embedded stack. A drain as in production, but quicker; tokens that outlive the run.
ENVIRONMENT = {
    "PARLEY_RATE_LIMITS": "off",
    "PARLEY_ACCESS_TOKEN_SECONDS": "86400",
    "PARLEY_DRAIN_SECONDS": "0.5",
    "PARLEY_CLOSING_SECONDS": "4",
}


@dataclass(slots=True, kw_only=True)
class Cluster:
    """The processes, by name: `mongo`, `redis`, `kafka`, `api-0` and so on, `worker-0` and so on."""

    directory: Path
    apis: int
    workers: int
    clock_offsets: Mapping[str, float] = field(default_factory=dict)  # in seconds, of processes by name
    mutant: str | None = None  # planted into every API process
    say: Callable[[str], None] = print
    urls: list[str] = field(default_factory=list)  # of the API processes, through the network
    ghost_urls: list[str] = field(default_factory=list)  # of the same by links of their own
    servers: dict[str, str] = field(default_factory=dict)  # where MongoDB, Redis and Kafka are, past the network
    _children: dict[str, Child] = field(default_factory=dict)
    network: Network = field(init=False)
    _supervisor: Supervisor = field(init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Run everything until this ends."""
        for name in ("logs", "valkey"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        names = [*SERVERS, *self.api_names, *self.worker_names]
        links = [*SERVERS, *(f"{kind}-{index}" for kind in ("api", "ghost") for index in range(self.apis))]
        first = free_port(len(names) + len(links))
        ports = {name: first + number for number, name in enumerate(names)}
        listening = {name: first + len(names) + number for number, name in enumerate(links)}
        targets = ports | {f"ghost-{index}": ports[f"api-{index}"] for index in range(self.apis)}
        self.network = Network({name: (port, targets[name]) for name, port in listening.items()})
        self.urls = [f"http://{HOST}:{listening[name]}" for name in self.api_names]
        self.ghost_urls = [f"http://{HOST}:{listening[f'ghost-{index}']}" for index in range(self.apis)]
        self.servers = {
            "mongo": f"mongodb://{HOST}:{ports['mongo']}",
            "redis": f"redis://{HOST}:{ports['redis']}/0",
            "kafka": f"{HOST}:{listening['kafka']}",  # it sends everybody there
        }
        seen = Urls(
            apis=(),
            workers=(),
            mongo=f"mongodb://{HOST}:{listening['mongo']}",
            redis=f"redis://{HOST}:{listening['redis']}/0",
            kafka=self.servers["kafka"],
        )
        self._children = {
            "mongo": mongo_child(self.directory, ports["mongo"]),
            "redis": redis_child(self.directory, ports["redis"]),
            "kafka": kafka_child(ports["kafka"], advertised=listening["kafka"]),
            **{name: self._ours(name, ports[name], seen) for name in (*self.api_names, *self.worker_names)},
        }
        self._supervisor = Supervisor(
            [
                [self._children[name] for name in SERVERS],
                [child for name, child in self._children.items() if name not in SERVERS],
            ],
            logs=self.directory / "logs",
            restarted=lambda: None,
            say=self.say,
        )
        async with self.network.running(), self._supervisor.running():
            yield self

    @property
    def api_names(self) -> list[str]:
        return [f"api-{index}" for index in range(self.apis)]

    @property
    def worker_names(self) -> list[str]:
        return [f"worker-{index}" for index in range(self.workers)]

    def pid(self, name: str) -> int:
        """Return the process id of a part: of the one that died until its successor serves."""
        return self._supervisor.pid(self._children[name].name)

    def process(self, name: str) -> psutil.Process:
        return psutil.Process(self.pid(name))

    async def kill(self, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send parts a signal that ends them, all at once, and wait until their successors serve."""
        before = {name: self.pid(name) for name in names}
        for pid in before.values():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(number)
        async with asyncio.timeout(BACK_SECONDS):
            while any(self.pid(name) == pid for name, pid in before.items()):  # noqa: ASYNC110  # other processes'
                await asyncio.sleep(POLL_SECONDS)

    async def stop(self, *names: str, seconds: float) -> None:
        """Let parts stand still for a time, as SIGSTOP does."""
        processes = [self.process(name) for name in names]
        for process in processes:
            process.suspend()
        try:
            await asyncio.sleep(seconds)
        finally:
            for process in processes:
                process.resume()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator["redis.Redis"]:
        """Return a client of Redis itself."""
        async with redis.Redis.from_url(self.servers["redis"]) as client:
            yield client

    def _ours(self, name: str, port: int, urls: Urls) -> Child:
        command = name.partition("-")[0]
        child = our_child(command, self.directory, port, urls)
        changed = {**child.env, **ENVIRONMENT}
        if name in self.clock_offsets:
            changed["PARLEY_CLOCK_OFFSET_SECONDS"] = str(self.clock_offsets[name])
        if self.mutant is not None and command == "api":
            python, _, _, _, *arguments = child.argv
            child = replace(child, argv=(python, "-m", "tests.chaos.mutants", self.mutant, *arguments))
        # On a busy machine a process that yields to all others may not even start.
        return replace(child, env=changed, niceness=0, start_seconds=START_SECONDS)
