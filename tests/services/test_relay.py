"""Whatever dies and whenever: every entry of every log reaches Kafka.

Writers and relays stop before and after all that they ask of MongoDB and Kafka, and hypothesis decides who goes on,
who dies, how much time passes, and what Kafka does meanwhile. The code and the store are real; Kafka is a set.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo.errors import BulkWriteError

from services import ids
from services.clock import now
from services.config import Settings
from services.entries import ConversationCreated, ConversationKind, Draft, Entry, MemberRole, MessageSent
from services.entry_store import EntryStore
from services.events import Event
from services.kafka import Extent, KafkaAwayError, Producer, Record
from services.leases import Leases
from services.mongo import Collection, Database
from services.outbox import Outbox
from services.relay import Relay

ATTEMPT = timedelta(seconds=35)  # what an attempt to append lives at most, its last write included
RETENTION = timedelta(days=7)
STEP_SECONDS = 10.0

_acting: ContextVar["Actor | None"] = ContextVar("acting", default=None)


def database_of(mongo_url: str) -> Database:
    """Return a database that nobody has used."""
    return Database(
        Settings(
            mongo_url=mongo_url,
            mongo_database=f"test_{uuid.uuid4().hex}",
            redis_url="",
            kafka_url="",
            embedded=True,
            data=Path(),
        )
    )


class Clock:
    """The time that everybody in the test goes by."""

    def __init__(self) -> None:
        self.time = now()

    def __call__(self) -> datetime:
        return self.time


class Kafka(Producer):
    """A broker that may be away, and may lose everything and come back as another cluster."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.up = True
        self.cluster = 1
        self.held: set[str] = set()

    async def send(self, records: Sequence[Record]) -> None:
        await stop()
        if not self.up:
            raise KafkaAwayError("down")
        self.held |= {Event.from_bytes(record.value or b"").id for record in records}
        await stop()

    async def extent(self) -> Extent:
        await stop()
        if not self.up:
            raise KafkaAwayError("down")
        return Extent(str(self.cluster), {0: len(self.held)})

    def wipe(self) -> None:
        self.cluster += 1
        self.held.clear()


class Actor:
    """Somebody who goes on only when told to, one step at a time."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._may_go = asyncio.Event()
        self._stopped = asyncio.Event()
        token = _acting.set(self)
        self._task = asyncio.create_task(work)
        _acting.reset(token)

    async def stop_here(self) -> None:
        self._stopped.set()
        await self._may_go.wait()
        self._may_go.clear()

    async def step(self) -> bool:
        """Let it go to its next stop; return whether it has not ended."""
        stopping = asyncio.ensure_future(self._stopped.wait())
        async with asyncio.timeout(STEP_SECONDS):
            await asyncio.wait([stopping, self._task], return_when=asyncio.FIRST_COMPLETED)
            self._stopped.clear()
            self._may_go.set()
            stopping.cancel()
            stopping = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait([stopping, self._task], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        if self._task.done():
            with suppress(KafkaAwayError, asyncio.CancelledError):
                self._task.result()
        return not self._task.done()

    async def die(self) -> None:
        self._task.cancel()
        with suppress(KafkaAwayError, asyncio.CancelledError):
            await self._task


async def stop() -> None:
    actor = _acting.get()
    if actor is not None:
        await actor.stop_here()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make actors stop before and after each command to MongoDB."""
    call = Collection._call

    @asynccontextmanager
    async def stopping_call(collection: Collection, command: str, seconds: float) -> AsyncIterator[None]:
        await stop()
        async with call(collection, command, seconds):
            yield
        await stop()

    monkeypatch.setattr(Collection, "_call", stopping_call)


class World:
    """Two conversations, two writers to each of them, two relays."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.kafka = Kafka()
        self.entries = EntryStore(database)
        self.conversations = [ids.new_id("cnv"), ids.new_id("cnv")]
        self.began: dict[int, datetime] = {}  # when each writer's attempt did
        self._database = database
        self._outboxes = [self._outbox() for _ in range(2)]
        self.relays = [self._relay() for _ in range(2)]
        self.actors: list[Actor] = []

    def start(self) -> None:
        self.actors = [self._actor(number) for number in range(6)]

    def _outbox(self) -> Outbox:
        return Outbox(self._database, self.kafka, clock=self.clock)

    def _relay(self) -> Relay:
        leases = Leases(self._database, uuid.uuid4().hex)
        return Relay(self._database, self.kafka, leases, self.kafka.extent, retention=RETENTION, clock=self.clock)

    def _actor(self, number: int) -> Actor:
        if number < 4:
            return Actor(self._write(number))
        return Actor(self._relaying(self.relays[number - 4]))

    async def go_on(self, number: int) -> None:
        if not await self.actors[number].step():
            self.actors[number] = self._actor(number)

    async def die(self, number: int) -> None:
        """End a process; its successor knows nothing."""
        if number < 4:
            process = number % 2
            self._outboxes[process] = self._outbox()
            numbers = [process, process + 2]
        else:
            self.relays[number - 4] = self._relay()
            numbers = [number]
        for other in numbers:
            await self.actors[other].die()
            self.began.pop(other, None)
            self.actors[other] = self._actor(other)

    async def end_late_attempts(self) -> None:
        for number, began in list(self.began.items()):
            if self.clock() - began > ATTEMPT:
                await self.die(number)

    async def _write(self, number: int) -> None:
        """Append one entry, as a log does it, then send and note it."""
        outbox, conversation_id = self._outboxes[number % 2], self.conversations[number // 2]
        head = await self.entries.head(conversation_id)
        await outbox.mark(conversation_id)
        self.began[number] = self.clock()
        entry = self._next(conversation_id, head)
        with suppress(BulkWriteError):  # the other writer has the place
            await self.entries.insert([entry])
            outbox.publish(conversation_id, [entry])
        self.began.pop(number, None)
        if outbox._outgoing:
            await outbox._send_run()
        await outbox._note_all()

    def _next(self, conversation_id: str, head: Entry | None) -> Entry:
        if head is None:
            roles = (("usr_ann", MemberRole.OWNER),)
            fields = {"conversation_kind": ConversationKind.GROUP, "title": None, "roles": roles}
            draft = Draft(ConversationCreated, "usr_ann", fields)
        else:
            draft = Draft(MessageSent, "usr_ann", {"body": "hello", "client_message_id": "id"})
        return draft.placed(
            conversation_id,
            head.sequence + 1 if head else 1,
            key=uuid.uuid4().hex,
            at=self.clock(),
            control=head.newest_control if head else 0,
        )

    @staticmethod
    async def _relaying(relay: Relay) -> None:
        await relay.refill()
        await relay.sweep()

    async def settle(self, *, compare: bool) -> None:
        """Let everybody die, and one relay work until it has nothing left to do."""
        for actor in self.actors:
            await actor.die()
        self.kafka.up = True
        if compare:
            self.clock.time += timedelta(days=1, minutes=1)
        for _ in range(20):
            self.clock.time += timedelta(seconds=30)
            await self._relaying(self.relays[0])
            if await self._database["dirty"].find_one({}) is None:
                return
        raise AssertionError("some marks are never lifted")

    async def logged(self) -> set[str]:
        return {
            Event.of(entry).id
            for conversation_id in self.conversations
            for entry in await self.entries.read(conversation_id, after=0, limit=1_000)
        }


# Mostly somebody goes on; sometimes somebody dies, time passes, or something happens to Kafka.
ACTIONS = st.one_of(
    *[st.tuples(st.just("go"), st.integers(0, 5), st.integers(1, 12))] * 4,
    st.tuples(st.just("die"), st.integers(0, 5), st.just(1)),
    st.tuples(st.just("time"), st.sampled_from([5, 20, 50, 100, 200]), st.just(1)),
    st.tuples(st.sampled_from(["down", "up", "wipe"]), st.just(0), st.just(1)),
)


async def play(world: World, actions: Sequence[tuple[str, int, int]], *, late: bool) -> None:
    world.start()
    for action, what, count in actions:
        match action:
            case "go":
                for _ in range(count):
                    await world.go_on(what)
            case "die":
                await world.die(what)
            case "time":
                world.clock.time += timedelta(seconds=what)
                if not late:
                    await world.end_late_attempts()
            case "wipe":
                world.kafka.wipe()
            case _:
                world.kafka.up = action == "up"


@pytest.mark.slow
@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("late", [False, True], ids=["attempts end in time", "attempts may be late"])
@example(actions=[("go", 0, 9), ("die", 0, 1), ("wipe", 0, 1), ("go", 4, 4)])  # died between noting a wipe and the rest
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, min_size=5, max_size=40))
async def test_every_entry_reaches_kafka_whatever_dies_and_whenever(
    mongo_url: str, late: bool, actions: list[tuple[str, int, int]]
) -> None:
    database = database_of(mongo_url)
    try:
        world = World(database)
        await play(world, actions, late=late)
        await world.settle(compare=late)
        logged = await world.logged()
    finally:
        database.close()

    assert world.kafka.held == logged
