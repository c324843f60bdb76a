"""The embedded stack on one data directory: its servers, the API processes and the workers, with URLs in `run.json`."""

import asyncio
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parley.stack.probes import HOST, answers
from parley.stack.supervisor import Child, StartError, Supervisor
from parley.stack.valkey import NODES, cluster_children, cluster_url, redis_child

# Below the ports that Linux and macOS give to outgoing connections: one of those could sit on the port of a server that
# is being restarted, even a client's that tries to reach it.
PORTS: Final = range(20_000, 32_000)
LOCK_SECONDS: Final = 1.0  # what a killed run's children may take to disappear
API_GRACE_SECONDS: Final = 35.0  # a drain takes up to 30
WORKER_NICENESS: Final = 10  # nobody waits for a worker

# OP_MSG {ping: 1, $db: "admin"}, and the {ok: 1.0} of its answer: this process needs no driver and no thread of one.
MONGO_PING: Final = (
    b"\x33\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0"
)
MONGO_OK: Final = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f"
# ApiVersions, version 0, without a client id; and its answer's correlation id and error code 0.
KAFKA_VERSIONS: Final = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff"
KAFKA_OK: Final = b"\0\0\0\x07\0\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where the parts of a running stack are."""

    apis: tuple[str, ...]
    workers: tuple[str, ...]
    mongo: str
    redis: str
    kafka: str  # the bootstrap server, `host:port`


def run(
    directory: Path,
    *,
    port: int,
    replicas: int,
    workers: int,
    redis_cluster: bool,
    ready: Callable[[Urls], None],
    say: Callable[[str], None],
) -> None:
    """Run the stack with `replicas` API processes on `port` and those after it, until SIGINT, SIGTERM or SIGHUP.

    With `redis_cluster` Redis is a cluster of three nodes with a replica each. A second signal kills what has not
    stopped yet.

    Raises:
        StartError: The stack does not start; nothing is left running.
    """
    with _locked(directory) as lock:
        (directory / "run.json").unlink(missing_ok=True)  # of a run that was killed
        api_ports = range(port, port + replicas)
        for api_port in api_ports:
            if not _is_free(api_port):
                raise StartError(f"Port {api_port} on {HOST} is taken; choose another with --port.")
        with suppress(asyncio.CancelledError):
            asyncio.run(
                _run(
                    directory,
                    lock,
                    api_ports,
                    worker_count=workers,
                    redis_cluster=redis_cluster,
                    ready=ready,
                    say=say,
                )
            )


def free_port(count: int = 1, *, taken: Iterable[int] = ()) -> int:
    """Return the first of `count` free ports in a row."""
    taken = frozenset(taken)
    for _ in range(1_000):
        first = PORTS.start + secrets.randbelow(len(PORTS) - count)
        ports = range(first, first + count)
        if taken.isdisjoint(ports) and all(map(_is_free, ports)):
            return first
    raise StartError(f"No port from {PORTS.start} to {PORTS.stop} on {HOST} is free.")


async def _run(
    directory: Path,
    lock: int,
    api_ports: Sequence[int],
    *,
    worker_count: int,
    redis_cluster: bool,
    ready: Callable[[Urls], None],
    say: Callable[[str], None],
) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)

    nodes = [f"redis-{number}" for number in range(NODES)] if redis_cluster else ["redis"]
    buses = [f"{node}-bus" for node in nodes] if redis_cluster else []
    ports = _server_ports(directory, ["mongo", "kafka", *nodes, *buses], taken=api_ports)
    first = free_port(worker_count, taken=[*api_ports, *ports.values()])
    worker_ports = range(first, first + worker_count)
    urls = Urls(
        apis=tuple(f"http://{HOST}:{port}" for port in api_ports),
        workers=tuple(f"http://{HOST}:{port}" for port in worker_ports),
        mongo=f"mongodb://{HOST}:{ports['mongo']}",
        redis=cluster_url([ports[node] for node in nodes]),
        kafka=f"{HOST}:{ports['kafka']}",
    )
    mongo, kafka = mongo_child(directory, ports["mongo"]), kafka_child(ports["kafka"])
    redis = (
        cluster_children(directory, [ports[node] for node in nodes], [ports[bus] for bus in buses])
        if redis_cluster
        else [redis_child(directory, ports["redis"])]
    )
    apis = [our_child("api", directory, port, urls) for port in api_ports]
    workers = [our_child("worker", directory, port, urls) for port in worker_ports]

    def running(url: str, child: Child) -> dict[str, str | int]:
        return {"url": url, "pid": supervisor.pid(child.name)}

    def write() -> None:
        _write_json(
            directory / "run.json",
            {
                "api": [running(url, api) for url, api in zip(urls.apis, apis, strict=True)],
                "workers": [running(url, worker) for url, worker in zip(urls.workers, workers, strict=True)],
                "mongo": running(urls.mongo, mongo),
                "redis": running(urls.redis, redis[0]),
                "kafka": running(urls.kafka, kafka),
                **(
                    {"redis_nodes": [running(cluster_url([ports[node.name]]), node) for node in redis]} if buses else {}
                ),
            },
        )

    supervisor = Supervisor(
        [[mongo, *redis, kafka], [*apis, *workers]], logs=directory / "logs", restarted=write, say=say, inherited=[lock]
    )
    try:
        async with supervisor.running():
            write()
            ready(urls)
            await supervisor.forever()
    finally:
        (directory / "run.json").unlink(missing_ok=True)


def mongo_child(directory: Path, port: int) -> Child:
    """Return the embedded MongoDB."""
    return Child(
        name="mongo",
        argv=(
            *_python("parley.stack.mongodb", "parley.stack.mongodb:main"),
            *("--port", str(port), "--file", str(directory / "mongodb.sqlite")),
        ),
        ready=answers(port, MONGO_PING, MONGO_OK),
        spare=True,
    )


def kafka_child(port: int, *, advertised: int | None = None) -> Child:
    """Return the embedded Kafka; clients are told to come to another port where one is advertised."""
    return Child(
        name="kafka",
        argv=(
            *_python("parley.stack.kafka", "parley.stack.kafka:main"),
            *("--port", str(port), "--advertised-port", str(advertised or port)),
        ),
        ready=answers(port, KAFKA_VERSIONS, KAFKA_OK),
        spare=True,
    )


def our_child(command: str, directory: Path, port: int, urls: Urls) -> Child:
    """Return an API process or a worker: the command of that name serves HTTP."""
    return Child(
        name=f"{command}-{port}",
        argv=(*_python(f"parley.{command}", "parley.cli:main"), command, "--host", HOST, "--port", str(port)),
        env={
            "PARLEY_EMBEDDED": "1",
            "PARLEY_DATA": str(directory),
            "PARLEY_MONGO_URL": urls.mongo,
            "PARLEY_REDIS_URL": urls.redis,
            "PARLEY_KAFKA_URL": urls.kafka,
            # No load balancer has to hear of it, and clients have nowhere else to rush to.
            "PARLEY_DRAIN_SECONDS": "0",
            "PARLEY_CLOSING_SECONDS": "0",
            "PYTHONUNBUFFERED": "1",  # what is logged before a kill is in the log
        },
        ready=answers(
            port, b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200"
        ),
        spare=True,
        grace_seconds=API_GRACE_SECONDS,
        niceness=WORKER_NICENESS if command == "worker" else 0,
    )


def _python(module: str, entry: str) -> tuple[str, ...]:
    # -P: a directory `services` where the person happens to be is not ours.
    return (sys.executable, "-P", "-m", "parley.stack.standby", module, entry)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Prepare the directory and hold it; the children inherit the lock, so it is free when none of them is left."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("logs", "valkey"):
            (directory / name).mkdir(exist_ok=True)
        lock = (directory / "lock").open("a+")
    except OSError as error:
        raise StartError(f"Cannot write to {directory}: {error.strerror}") from error
    with lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _lock(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                raise StartError(
                    f"Parley already runs on {directory} (pid {lock.read()}); stop it, or choose another with --data."
                )
            time.sleep(0.02)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock.fileno()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _server_ports(directory: Path, names: Iterable[str], *, taken: Iterable[int]) -> dict[str, int]:
    """Return a port for each server: the one of the last run if it is free, so that its URL stays."""
    file = directory / "ports.json"
    remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = remembered.get(name)
        others = {*taken, *ports.values()}
        ports[name] = port if port and port not in others and _is_free(port) else free_port(taken=others)
    _write_json(file, remembered | ports)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that linger after a server has gone are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _write_json(file: Path, value: object) -> None:
    """Replace the file as a whole: nobody reads half of it."""
    fresh = file.with_suffix(".fresh")
    fresh.write_text(json.dumps(value, indent=2))
    fresh.replace(file)
