"""Measures presence: `parley bench presence [--connections 10000] [--users 1000] [--watchers 1000] [--hold 10]`.

First how many commands a second Redis runs, those inside of scripts included, for a process with ten sockets and for
the same with many, each of a user of its own, all of them idle but for their pings. Then many users come online at
once, all of whom each of many subscribers watches, by subscriptions of 200 of them: what each subscriber gets, how many
executions it takes, and how many changes go together. The last two are counted in another API process, the bench's own,
which a few of the subscribers use.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import batched
from pathlib import Path
from typing import Any

import orjson
import redis.asyncio as redis

from services.clock import now
from services.config import Settings
from services.mongo import Database
from services.presence import USERS
from services.tokens import Tokens, open_tokens
from services.users import Role, Users
from tests.bench import machine, results, servers
from tests.clients import Api
from tests.faults.harness import until
from tests.local_api import local_api, new_accounts
from tests.raw_socket import TEXT, RawSocket, frame
from tests.stack_process import StackProcess, running_stack

FEW = 10
AT_ONCE = 200  # connecting
WAVE = 20  # subscribing
NEAR = 10  # subscribers at the process of which executions are counted
SETTLE_SECONDS = 5.0  # everything that connecting costs has been done
READ_SIZE = 1 << 13  # of a socket: the process that is counted has its turn before all have been read
PONG = frame(TEXT, b'{"type":"pong"}')
WATCH = "subscription ($ids: [ID!]!) { presence(userIds: $ids) { userId status asOf validUntil connectionCount } }"


@dataclass(frozen=True, slots=True)
class Idle:
    """The figures of idle connections."""

    connections: int
    stayed: int
    commands_per_second: float


@dataclass(frozen=True, slots=True)
class Change:
    """The figures of many changes at once."""

    users: int
    watchers: int  # each of all users
    frames: int  # that have come, after those with which each subscription began
    frames_per_change_and_watcher: float
    missing: int  # changes that a watcher was not told of
    executions_per_change: float  # for all subscribers of a process
    changes_per_write: float  # that went together to a subscriber
    seconds: float  # from the first connection until the last frame


class Client:
    """A socket that answers pings and counts what comes of its subscriptions."""

    def __init__(self, socket: RawSocket) -> None:
        self.socket = socket
        self.frames = 0
        self.seen: set[str] = set()  # users who were said to be ONLINE
        self.is_open = True

    async def read(self) -> None:
        data = b""
        while part := await self._part():
            data = self._taken(data + part)
        self.is_open = False

    async def _part(self) -> bytes:
        try:
            return await self.socket.reader.read(READ_SIZE)
        except OSError:
            return b""

    def _taken(self, data: bytes) -> bytes:
        """Take the whole frames; return what is left."""
        begin = 0
        while len(data) >= begin + 4:
            length, head = data[begin + 1], begin + 2
            if length >= 126:
                head += 2 if length == 126 else 8
                length = int.from_bytes(data[begin + 2 : head])
            if len(data) < head + length:
                break
            if data[begin] & 0xF == TEXT:
                self._take(orjson.loads(data[head : head + length]))
            begin = head + length
        return data[begin:]

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "ping":
            self.socket.send(PONG)
        elif message["type"] == "next":
            self.frames += 1
            presence = message["payload"]["data"]["presence"]
            if presence["status"] == "ONLINE":
                self.seen.add(presence["userId"])


def main(connections: int, users: int, watchers: int, hold: float) -> bool:
    """Measure and print the figures; return whether all stayed, and nothing was missing or doubled."""
    if connections > machine.most_sockets():
        raise SystemExit(f"parley: a process may hold {machine.most_sockets()} sockets here: raise `ulimit -Hn`.")
    environment = {"PARLEY_ACCESS_TOKEN_SECONDS": str(servers.TOKEN_SECONDS)}
    with (
        machine.shared() as core,
        tempfile.TemporaryDirectory(prefix="parley-bench-") as directory,
        running_stack(Path(directory), replicas=1, workers=1, environment=environment) as stack,
    ):
        if core is not None:
            machine.move(stack.run()["api"][0]["pid"], core)
        idle, change = asyncio.run(_measure(stack, connections, users, watchers, hold))
    print(table(idle, change))
    results.keep("presence", {"idle": [asdict(run) for run in idle], "change": asdict(change)})
    return all(run.stayed == run.connections for run in idle) and not change.missing


def table(idle: Sequence[Idle], change: Change) -> str:
    """Return the figures as two tables."""
    held = results.table(
        ("idle sockets of a process", "stayed", "Redis commands/s"),
        ((f"{run.connections:,}", f"{run.stayed:,}", f"{run.commands_per_second:.1f}") for run in idle),
    )
    told = results.table(
        (
            "users who come",
            "subscribers to all of them",
            "frames",
            "a change and subscriber",
            "missing",
            "executions a change",
            "changes a write",
            "seconds until all are told",
        ),
        [
            (
                f"{change.users:,}",
                f"{change.watchers:,}",
                f"{change.frames:,}",
                f"{change.frames_per_change_and_watcher:.3f}",
                f"{change.missing}",
                f"{change.executions_per_change:.3f}",
                f"{change.changes_per_write:.1f}",
                f"{change.seconds:.1f}",
            )
        ],
    )
    return f"{held}\n\n{told}"


async def _measure(
    stack: StackProcess, connections: int, users: int, watchers: int, hold: float
) -> tuple[list[Idle], Change]:
    settings = Settings(
        mongo_url=stack.url("mongo"),
        redis_url=stack.url("redis"),
        kafka_url=stack.url("kafka"),
        embedded=True,
        data=stack.directory,
        access_token_seconds=servers.TOKEN_SECONDS,
    )
    tokens = open_tokens(settings)
    people = await _people(settings, users)
    await asyncio.to_thread(machine.wait_until_idle)
    async with Api(stack.urls[0]) as api, redis.Redis.from_url(stack.url("redis")) as client:
        # Presence needs no account: those who only connect have none.
        strangers = [f"usr_{number:026d}" for number in range(connections)]
        idle = [await hold_idle(api, client, tokens, strangers[:count], hold) for count in (FEW, connections)]
    return idle, await _change(stack, tokens, people, watchers)


async def _people(settings: Settings, count: int) -> list[str]:
    """Return the ids of so many new accounts without a password."""
    database = Database(settings)
    made = await new_accounts(Users(database), count)
    database.close()
    return made


async def _told(clients: Sequence[Client], people: int) -> None:
    await until(lambda: all(client.frames >= people for client in clients), "the present states")


async def _connect(api: Api, tokens: Tokens, user_ids: Sequence[str], stack: AsyncExitStack) -> list[Client]:
    """Connect each of these users once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def come(user_id: str) -> Client:
        session_id = user_id.replace("usr_", "ses_") + "_" + "0" * 26
        token, _ = tokens.issue(user_id=user_id, session_id=session_id, roles=[Role.USER], now=now())
        async with gate:
            socket = await stack.enter_async_context(RawSocket.open(api))
            await socket.enter(token)
        client = Client(socket)
        reading = asyncio.create_task(client.read())
        stack.callback(reading.cancel)
        return client

    return await asyncio.gather(*(come(user_id) for user_id in user_ids))


async def hold_idle(api: Api, client: "redis.Redis", tokens: Tokens, user_ids: Sequence[str], hold: float) -> Idle:
    """Hold these users' sockets, and count what Redis is asked meanwhile."""
    async with AsyncExitStack() as stack:
        clients = await _connect(api, tokens, user_ids, stack)
        await asyncio.sleep(SETTLE_SECONDS)
        before, began = await _commands(client), time.monotonic()
        await asyncio.sleep(hold)
        commands, seconds = await _commands(client) - before, time.monotonic() - began
        stayed = sum(each.is_open for each in clients)
    await asyncio.sleep(SETTLE_SECONDS)
    return Idle(len(user_ids), stayed, round(commands / seconds, 1))


async def _commands(client: "redis.Redis") -> int:
    return int((await client.info("stats"))["total_commands_processed"])


async def _change(stack: StackProcess, tokens: Tokens, people: Sequence[str], watchers: int) -> Change:
    """Bring all these people online while they are watched."""
    async with (
        local_api(stack, access_token_seconds=servers.TOKEN_SECONDS) as local,
        Api(local.url) as near,
        Api(stack.urls[0]) as api,
        AsyncExitStack() as exit_stack,
    ):
        those = [f"usr_{'z' * 16}{number:010d}" for number in range(watchers)]
        clients = await _connect(near, tokens, those[:NEAR], exit_stack)
        clients += await _connect(api, tokens, those[NEAR:], exit_stack)
        for wave in batched(clients, WAVE, strict=False):  # a process that is late refuses presence first
            for client in wave:
                for number, ids in enumerate(batched(people, USERS, strict=False)):
                    payload = {"query": WATCH, "variables": {"ids": ids}}
                    client.socket.tell({"id": f"{number}", "type": "subscribe", "payload": payload})
            await _told(wave, len(people))
        await asyncio.sleep(SETTLE_SECONDS)
        for client in clients:
            client.frames = 0
            client.seen.clear()
        lane = local.fanout.latest.presence
        executions, writes, began = lane.executions, lane.writes, time.monotonic()
        await _connect(api, tokens, people, exit_stack)
        await until(lambda: all(len(client.seen) == len(people) for client in clients), "all changes", 300)
        seconds = time.monotonic() - began
        frames, made = sum(client.frames for client in clients), lane.executions - executions
        near_frames, written = sum(client.frames for client in clients[:NEAR]), lane.writes - writes
    return Change(
        users=len(people),
        watchers=len(clients),
        frames=frames,
        frames_per_change_and_watcher=round(frames / (len(clients) * len(people)), 4),
        missing=sum(len(people) - len(client.seen) for client in clients),
        executions_per_change=round(made / len(people), 4),
        changes_per_write=round(near_frames / written, 1),
        seconds=round(seconds, 2),
    )
