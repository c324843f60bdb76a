"""Whoever has an answer reads at least that much, on every process, whatever becomes of Redis meanwhile."""

import asyncio
import itertools
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.clients import MARK_READ, PROFILE, SEND, Api, Json, Person
from tests.faults.harness import until
from tests.faults.proxy import Proxy
from tests.local_api import LocalApi, local_api
from tests.stack_process import StackProcess

READ = """query ($id: ID!) { viewer { conversations(first: 1) { nodes { id } } }
  conversation(id: $id) { title viewerMembership { role readSequence user { displayName } }
  messages(last: 5) { nodes { id sequence clientMessageId body status reactions { emoji viewerHasReacted } } } } }"""
EDIT = """mutation ($input: EditMessageInput!) { editMessage(input: $input) {
  message { id } userErrors { code } } }"""
REACT = """mutation ($input: AddReactionInput!) { addReaction(input: $input) {
  message { id } userErrors { code } } }"""
ROUNDS = int(os.environ.get("PARLEY_TEST_ROUNDS", "1"))  # of each fault
WITHIN = 6.0  # seconds; the longest that an answer takes


@dataclass(slots=True)
class Reader:
    """Somebody who writes at one process, and looks at the other whether it is there."""

    person: Person
    friend: Person
    apis: tuple[Api, Api]
    conversations: Sequence[str]  # of both
    reads: int = 0
    unanswered: int = 0
    slowest: float = 0.0
    stale: list[str] = field(default_factory=list)

    async def go_on(self, over: asyncio.Event) -> None:
        """Write and look, at processes that take turns, until it is over."""
        for number in itertools.count():
            if over.is_set():
                return
            writer, reader = self.apis[number % 2], self.apis[(number // 2) % 2]
            await self._turn(number, writer, self.person.at(reader))

    async def _turn(self, number: int, at: Api, reader: Person) -> None:
        writer, friend = self.person.at(at), self.friend.at(at)
        name, room = f"{number}-{uuid.uuid4().hex}", self.conversations[number % len(self.conversations)]
        sent = await self._write(writer, SEND, conversationId=room, body=name, clientMessageId=name)
        if sent is None:
            return
        message = sent["message"]

        async def look(fact: str, shows: Callable[[Json], bool]) -> None:
            await self._look(reader, room, f"{name} {fact}", shows)

        await look("was sent", lambda found: name in _bodies(found) and _first(found) == room)
        if await self._write(writer, EDIT, messageId=message["id"], body=f"edited {name}"):
            await look("was edited", lambda found: f"edited {name}" in _bodies(found))
        if await self._write(writer, REACT, messageId=message["id"], emoji="🎉"):
            await look("was reacted to", lambda found: _has_reacted(found, message["id"]))
        marked = message["sequence"]
        if await self._write(writer, MARK_READ, conversationId=room, upToSequence=marked):
            await look("was read", lambda found: _membership(found)["readSequence"] >= marked)
        if await self._write(friend, MARK_READ, conversationId=room, upToSequence=marked):
            await look("was read by all", lambda found: _status(found, message["id"]) == "READ")
        if await self._write(writer, PROFILE, displayName=name[:30]):
            await look("is a name", lambda found: _membership(found)["user"]["displayName"] == name[:30])

    async def _write(self, writer: Person, mutation: str, **fields: object) -> Json | None:
        """Return the payload; None where it is not known what came of it."""
        response = await self._timed(writer, mutation, {"input": fields})
        if response.get("errors"):
            self.unanswered += 1
            return None
        (payload,) = response["data"].values()
        assert payload["userErrors"] == [], payload
        content: Json = payload
        return content

    async def _look(self, reader: Person, room: str, fact: str, shows: Callable[[Json], bool]) -> None:
        response = await self._timed(reader, READ, {"id": room})
        if response.get("errors"):
            self.unanswered += 1
            return
        self.reads += 1
        if not shows(response["data"]):
            self.stale.append(fact)

    async def _timed(self, person: Person, query: str, variables: Json) -> Json:
        started = time.monotonic()
        response = await person.post(query, variables)
        self.slowest = max(self.slowest, time.monotonic() - started)
        return response


def _nodes(found: Json) -> list[Json]:
    nodes: list[Json] = found["conversation"]["messages"]["nodes"]
    return nodes


def _bodies(found: Json) -> list[str]:
    return [node["body"] for node in _nodes(found)]


def _has_reacted(found: Json, message_id: str) -> bool:
    nodes = [node for node in _nodes(found) if node["id"] == message_id]
    return any(reaction["viewerHasReacted"] for node in nodes for reaction in node["reactions"])


def _status(found: Json, message_id: str) -> str | None:
    return next((node["status"] for node in _nodes(found) if node["id"] == message_id), None)


def _membership(found: Json) -> Json:
    membership: Json = found["conversation"]["viewerMembership"]
    return membership


def _first(found: Json) -> str:
    """Return the conversation that comes first in the list."""
    first: str = found["viewer"]["conversations"]["nodes"][0]["id"]
    return first


@dataclass(frozen=True, slots=True)
class Process:
    """An API process of the test's own, and its line to Redis."""

    local: LocalApi
    line: Proxy


@asynccontextmanager
async def process(stack: StackProcess) -> AsyncIterator[Process]:
    redis = urlsplit(stack.url("redis"))
    assert redis.hostname is not None
    assert redis.port is not None
    async with (
        Proxy(redis.hostname, redis.port).running() as line,
        local_api(stack, redis_url=f"redis://127.0.0.1:{line.port}/0") as local,
    ):
        yield Process(local, line)


type Fault = Callable[[StackProcess, Process], Awaitable[None]]


async def _killed(stack: StackProcess, _: Process) -> None:
    await asyncio.to_thread(stack.kill_part, "redis")


async def _stopped(stack: StackProcess, _: Process) -> None:
    with stack.stopped("redis"):
        await asyncio.sleep(1.0)  # shorter than it takes until nobody believes Redis any more


async def _flushed(stack: StackProcess, _: Process) -> None:
    await _command(stack, "FLUSHALL")


async def _without_scripts(stack: StackProcess, _: Process) -> None:
    await _command(stack, "SCRIPT", "FLUSH")


async def _cut_for_all(stack: StackProcess, _: Process) -> None:
    await _command(stack, "CLIENT", "KILL", "TYPE", "normal")
    await _command(stack, "CLIENT", "KILL", "TYPE", "pubsub")


async def _cut_for_one(_: StackProcess, process: Process) -> None:
    with process.line.closed():
        await asyncio.sleep(3.0)


async def _silent_for_one(_: StackProcess, process: Process) -> None:
    with process.line.silent():
        await asyncio.sleep(3.0)


async def _command(stack: StackProcess, *command: str) -> None:
    def execute() -> None:
        with Redis.from_url(stack.url("redis")) as redis:
            redis.execute_command(*command)

    await asyncio.to_thread(execute)


FAULTS: tuple[Fault, ...] = (
    _killed,
    _stopped,
    _flushed,
    _without_scripts,
    _cut_for_all,
    _cut_for_one,
    _silent_for_one,
)


@pytest.mark.slow
async def test_an_answer_is_read_everywhere_whatever_becomes_of_redis(fragile: StackProcess) -> None:
    async with (
        process(fragile) as one,
        process(fragile) as two,
        Api(one.local.url) as near,
        Api(two.local.url) as far,
    ):
        readers = []
        for _ in range(4):
            person, friend = await near.register(), await near.register()
            rooms = [(await person.talk(friend))["id"] for _ in range(2)]
            readers.append(Reader(person, friend, (near, far), rooms))

        async def go_on() -> None:
            """Wait until Redis is believed, and everybody has read from it for a while."""
            await until(lambda: one.local.believes_redis and two.local.believes_redis, "Redis is believed", 30)
            before = sum(reader.reads for reader in readers)
            await until(lambda: sum(reader.reads for reader in readers) > before + 60, "people go on", 30)

        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for reader in readers:
                tasks.create_task(reader.go_on(over))
            for fault in FAULTS * ROUNDS:
                await go_on()
                await fault(fragile, one)
            await go_on()
            over.set()
        hits = [process.local.services.cache.hits["logs"] for process in (one, two)]

    assert [fact for reader in readers for fact in reader.stale] == []
    assert sum(reader.unanswered for reader in readers) == 0
    assert max(reader.slowest for reader in readers) < WITHIN
    assert min(hits) > 20 * len(FAULTS)
