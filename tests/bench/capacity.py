"""Measures what operations cost each part, and reckons what a million a second take: `parley bench capacity`.

Costs are CPU time by part, of reads, pages and sends through nginx to one API process, and of a delivery to one of a
thousand subscribers. The model adds them up. It is checked by what 1, 2 and 4 processes behind nginx then do: it
foretells their throughput on this machine from the costs at one, and the difference is its error. Of MongoDB and Kafka
the embedded ones say nothing, so their nodes follow from the number of writes, and from rates that are assumptions.
"""

import asyncio
import itertools
import math
import os
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from tests.bench import fanout, machine, results
from tests.bench.queries import PAGE, VIEWER, ask, request
from tests.clients import SEND, Api, Person
from tests.deploy.nginx import Nginx, running_nginx
from tests.stack_process import StackProcess, running_stack

PROCESSES: Final = (1, 2, 4)
SHARES: Final = {"viewer": 0.60, "page": 0.35, "send": 0.05}  # of requests: what the model's people do
PARTS: Final = ("api", "nginx", "redis", "mongo", "kafka", "workers", "client")
AT_ONCE: Final = 16
IDLE_SECONDS: Final = 5.0  # for which it is watched what everything uses by itself
PEOPLE: Final = 8
MESSAGES: Final = 60
SUBSCRIBERS: Final = 1_000
BUSY: Final = 0.6  # of each core, so that one zone of three may go
ERROR: Final = 0.35  # of the model, at most, where it has to hold

# Assumptions: what is not measured here. Small documents, w=majority with j=true; small records, acks=all.
MONGO_WRITES: Final = 2.1  # of a send: its key, its entry, and a share of marks and markers
MONGO_SHARD: Final = 10_000  # writes a second of one shard's primary
KAFKA_BROKER: Final = 100_000  # records a second of one broker, with those that it copies
COPIES: Final = 3
REDIS_NODE_CORES: Final = 1  # it runs commands on one


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU microseconds, by kind of request and part, and of a delivery in the API."""

    requests: dict[str, dict[str, float]]
    delivery: float
    idle: float  # cores that all parts together use while nobody asks for anything


@dataclass(frozen=True, slots=True)
class Check:
    """Requests a second of one kind with so many API processes: foretold, and measured."""

    processes: int
    kind: str
    foretold: float
    measured: float

    @property
    def error(self) -> float:
        """By how much the model is off, as a share of what was measured; above zero it promised too much."""
        return self.foretold / self.measured - 1

    def is_fair(self, cores: int) -> bool:
        """Whether the model has to hold: of reads, where each process has a core.

        Sends measure the embedded MongoDB, one process, in which more writers to one conversation mean more lost races.
        """
        return self.kind != "send" and self.processes <= cores


@dataclass(frozen=True, slots=True)
class Need:
    """What a part needs."""

    part: str
    nodes: int
    cores: float  # that are busy; 0 where that is not known
    why: str


@dataclass(frozen=True, slots=True)
class _Load:
    per_second: float
    cpu_us: dict[str, float]  # of a request, by part, above what it uses idle
    idle: float


def main(requests: int, deliveries: int, load: int) -> bool:
    """Measure, reckon and print; return whether the model is any good."""
    loads = {count: _measured(count, load) for count in PROCESSES}
    delivery = fanout.measure("parley", SUBSCRIBERS, 50, 0, prefix="capacity").cpu_us
    first = loads[PROCESSES[0]]
    costs = Costs({kind: load.cpu_us for kind, load in first.items()}, delivery, first["viewer"].idle)
    checks = [
        Check(count, kind, foretold(costs.requests[kind], count, (os.cpu_count() or 1) - found.idle), found.per_second)
        for count, kinds in loads.items()
        for kind, found in kinds.items()
    ]
    need = needed(costs, requests, deliveries)
    print(table_of_costs(costs), table_of_checks(checks), table_of_needs(need), sep="\n\n")
    results.keep(
        "capacity",
        {
            "requests": requests,
            "deliveries": deliveries,
            "costs": asdict(costs),
            "checks": [asdict(check) for check in checks],
        },
    )
    return all(abs(check.error) <= ERROR for check in checks if check.is_fair(os.cpu_count() or 1))


def foretold(cpu_us: Mapping[str, float], processes: int, cores: float) -> float:
    """Return how many requests a second come out of a machine: as many as its cores, or its tightest part, can do."""
    alone = max(cpu_us[part] for part in ("redis", "mongo", "client"))  # on one core each
    return 1e6 * min(cores / sum(cpu_us.values()), processes / cpu_us["api"], 1 / alone)


def needed(costs: Costs, requests: float, deliveries: float) -> list[Need]:
    """Return what each part needs for so many requests and deliveries a second."""

    def cores(part: str) -> float:
        return requests * sum(share * costs.requests[kind][part] for kind, share in SHARES.items()) / 1e6

    sends = requests * SHARES["send"]
    api = cores("api") + deliveries * costs.delivery / 1e6
    redis = cores("redis")
    workers = cores("workers")
    brokers = max(COPIES, math.ceil(sends * COPIES / KAFKA_BROKER / BUSY))
    shards = math.ceil(sends * MONGO_WRITES / MONGO_SHARD / BUSY)
    return [
        Need("API", math.ceil(api / BUSY), api, "processes of one core"),
        Need("nginx", math.ceil(cores("nginx") / BUSY / 8), cores("nginx"), "machines of 8 cores"),
        Need("Redis", math.ceil(redis / BUSY / REDIS_NODE_CORES), redis, "nodes, each with commands on one core"),
        Need("workers", math.ceil(workers / BUSY), workers, "processes of one core; as many partitions at least"),
        Need("MongoDB", shards * COPIES, 0, f"{shards} shards of {COPIES}, at {MONGO_SHARD:,} writes/s (assumed)"),
        Need("Kafka", brokers, 0, f"brokers, at {KAFKA_BROKER:,} records/s (assumed), {COPIES} copies"),
    ]


def table_of_costs(costs: Costs) -> str:
    """Return the costs as a table."""
    rows = [(kind, *(f"{found[part]:,.0f}" for part in PARTS)) for kind, found in costs.requests.items()]
    rows.append(("delivery", f"{costs.delivery:,.1f}", *("" for _ in PARTS[1:])))
    idle = f"Beside that all of it uses {costs.idle:.2f} cores while nobody asks for anything."
    return f"{results.table(('CPU µs of', *PARTS), rows)}\n\n{idle}"


def table_of_checks(checks: Sequence[Check]) -> str:
    """Return what the model foretold, and what came."""
    rows = [
        (f"{each.processes}", each.kind, f"{each.foretold:,.0f}", f"{each.measured:,.0f}", f"{each.error:+.0%}")
        for each in checks
    ]
    return results.table(("API processes", "request", "foretold/s", "measured/s", "error"), rows)


def table_of_needs(need: Sequence[Need]) -> str:
    """Return what each part needs."""
    rows = [(each.part, f"{each.nodes:,}", f"{each.cores:,.0f}" if each.cores else "", each.why) for each in need]
    return results.table(("part", "nodes", "busy cores", "of what"), rows)


def _measured(processes: int, load: int) -> dict[str, _Load]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_stack(
            Path(directory), replicas=processes, environment={"PARLEY_TRUSTED_PROXIES": "127.0.0.0/8"}
        ) as stack,
        running_nginx(*(url.removeprefix("http://") for url in stack.urls)) as nginx,
    ):
        return asyncio.run(_loads(stack, nginx, processes, load))


async def _loads(stack: StackProcess, nginx: Nginx, processes: int, load: int) -> dict[str, _Load]:
    async with Api(stack.urls[0]) as api:
        people = [await api.register() for _ in range(PEOPLE)]
        rooms = [(await people[0].talk(*people[1:]))["id"] for _ in range(PEOPLE)]
        for number in range(MESSAGES):
            await asyncio.gather(*(person.send(room, f"{number}") for person, room in zip(people, rooms, strict=True)))
    await asyncio.to_thread(machine.wait_until_idle)
    before, started = _cpu(stack, nginx), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    seconds, after = time.perf_counter() - started, _cpu(stack, nginx)
    idle = {part: (after[part] - before[part]) / seconds for part in PARTS}
    found = {}
    for kind in SHARES:
        messages = _requests(kind, f"{nginx.url}/graphql", people, rooms)
        await ask(nginx.url, messages, load // 4, AT_ONCE)  # so that all of them have it in memory
        before, started = _cpu(stack, nginx), time.perf_counter()
        await ask(nginx.url, messages, load, AT_ONCE)
        seconds, after = time.perf_counter() - started, _cpu(stack, nginx)
        cpu_us = {
            part: round(max(after[part] - before[part] - idle[part] * seconds, 0) / load * 1e6, 1) for part in PARTS
        }
        found[kind] = _Load(round(load / seconds, 1), cpu_us, round(sum(idle.values()), 3))
        print(f"{processes} processes, {kind}: {load / seconds:,.0f}/s", flush=True)
    return found


def _requests(kind: str, url: str, people: Sequence[Person], rooms: Sequence[str]) -> Iterator[bytes]:
    """Yield requests, each of another address, as nginx limits each."""
    for number in itertools.count():
        person, room = people[number % PEOPLE], rooms[number % PEOPLE]
        variables: dict[str, Any] | None = None
        match kind:
            case "viewer":
                query = VIEWER
            case "page":
                query, variables = PAGE, {"id": room}
            case _:
                body = f"message {number} of about a hundred characters {'.' * 60}"
                message = {"conversationId": room, "body": body, "clientMessageId": uuid.uuid4().hex}
                query, variables = SEND, {"input": message}
        client = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
        yield request(url, f"Bearer {person.token}", query, variables, client=client)


def _cpu(stack: StackProcess, nginx: Nginx) -> dict[str, float]:
    """Return the CPU time of each part so far; of whoever asks too, which is this process."""
    run, found = stack.run(), {"client": time.process_time()}
    found["nginx"] = sum(map(machine.cpu_seconds, nginx.workers()))
    for part in ("api", "redis", "mongo", "kafka", "workers"):
        entries = run[part] if isinstance(run[part], list) else [run[part]]
        pids = [
            pid
            for entry in entries
            for pid in (entry["pid"], *(child.pid for child in psutil.Process(entry["pid"]).children()))
        ]
        found[part] = sum(map(machine.cpu_seconds, pids))
    return found
