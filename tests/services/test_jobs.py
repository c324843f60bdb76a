"""Jobs on a real broker: each effect once, and what cannot be handled is put aside."""

import asyncio
import os
import sys
import time
import uuid
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect

from services import dead_letters, ids
from services.activity import BLOCK, Activity
from services.events import Event
from services.jobs import EVENT_STREAM, TRIES, Consumer, Job
from services.kafka import Extents, Producer, Record
from services.mongo import Database
from services.topics import DEAD_LETTERS, EVENTS, PARTITIONS
from tests.faults.harness import until

AT = datetime(2026, 11, 24, 23, 59, 59, 999000, tzinfo=UTC)


def sent(conversation_id: str, sequence: int, user_id: str = "usr_ann", at: datetime = AT) -> Event:
    return Event(conversation_id=conversation_id, sequence=sequence, kind="sent", actor_id=user_id, at=at, user_ids=())


class Noting:
    """A job that notes what it gets of one conversation, and fails where it is told to."""

    def __init__(self, conversation_id: str, *, fails: int = 0, error: Exception | None = None) -> None:
        self.name = f"test-{uuid.uuid4().hex}"
        self.seen: Counter[int] = Counter()
        self.tries: Counter[int] = Counter()
        self._conversation_id = conversation_id
        self._fails = fails  # how often each third event fails
        self._error = error or RuntimeError("poison")

    async def handle(self, events: Sequence[Event]) -> None:
        mine = [event.sequence for event in events if event.conversation_id == self._conversation_id]
        for sequence in mine:
            self.tries[sequence] += 1
            if sequence % 3 == 0 and self.tries[sequence] <= self._fails:
                raise self._error
        self.seen.update(mine)


class Broker:
    """The broker of the test run, and how to reach it."""

    def __init__(self, servers: str, producer: Producer, stack: AsyncExitStack) -> None:
        self.servers = servers
        self.producer = producer
        self._stack = stack

    async def send(self, events: Iterable[Event]) -> None:
        records = [Record(EVENTS, event.conversation_id.encode(), event.to_bytes()) for event in events]
        await self.producer.send(records)

    async def run(self, job: Job[Event]) -> None:
        await self._stack.enter_async_context(Consumer(self.servers, EVENT_STREAM, job, self.producer).running())

    async def letters_of(self, job: Job[Event], key: str) -> list[dead_letters.DeadLetter]:
        letters = await dead_letters.waiting(self.servers)
        return [letter for letter in letters if (letter.job, letter.key) == (job.name, key.encode())]


@pytest.fixture
async def broker(kafka_servers: str) -> AsyncIterator[Broker]:
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(Producer(kafka_servers).running())
        await until(lambda: producer.connected, "the producer is connected")
        yield Broker(kafka_servers, producer, stack)


async def test_the_topics_are_there_when_the_broker_answers(kafka_servers: str) -> None:
    extents = Extents(kafka_servers)
    found = [await extents.of(topic) for topic in (EVENTS, DEAD_LETTERS)]
    await extents.close()

    assert [len(extent.ends) for extent in found] == [PARTITIONS[EVENTS], PARTITIONS[DEAD_LETTERS]]
    assert found[0].cluster == found[1].cluster


@pytest.mark.slow  # the embedded broker takes five seconds to let anybody into a group
async def test_an_event_that_fails_five_times_is_put_aside_and_the_others_go_on(broker: Broker) -> None:
    job = Noting(ids.new_id("cnv"), fails=100)
    await broker.run(job)

    await broker.send(sent(job._conversation_id, sequence) for sequence in range(1, 8))
    await until(lambda: job.seen.keys() == {1, 2, 4, 5, 7} and job.tries[6] >= TRIES, "the others are handled")
    letters = await _letters(broker, job, job._conversation_id, 2)

    assert [Event.from_bytes(letter.value or b"").sequence for letter in letters] == [3, 6]
    assert {letter.reason for letter in letters} == {"RuntimeError: poison"}
    assert {letter.topic for letter in letters} == {EVENTS}


@pytest.mark.slow
async def test_what_was_put_aside_is_handled_when_it_is_tried_again_later(broker: Broker, tmp_path: Path) -> None:
    job = Noting(ids.new_id("cnv"), fails=TRIES + 1)  # five tries by itself, after one with the others
    await broker.run(job)
    await broker.send([sent(job._conversation_id, 3)])
    await _letters(broker, job, job._conversation_id, 1)

    async def parley(command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley", "dead-letters", command, "--data", str(tmp_path)),
            env={**os.environ, "PARLEY_KAFKA_URL": broker.servers},
            stdout=PIPE,
        )
        output, _ = await process.communicate()
        return output.decode()

    assert f"{job.name}\t{EVENTS}\t{job._conversation_id}\tRuntimeError: poison\n" in await parley("list")
    assert "tried again" in await parley("replay")
    await until(lambda: job.seen == {3: 1}, "it is handled")

    assert await parley("list") == ""
    assert await broker.letters_of(job, job._conversation_id) == []


@pytest.mark.slow
async def test_a_record_that_is_no_event_is_put_aside(broker: Broker) -> None:
    job = Noting(ids.new_id("cnv"))
    await broker.run(job)

    await broker.producer.send([Record(EVENTS, job.name.encode(), b"no event")])
    (letter,) = await _letters(broker, job, job.name, 1)

    assert letter.value == b"no event"
    assert letter.reason.startswith("ValueError: not an event")


@pytest.mark.slow
async def test_while_mongodb_is_away_a_job_waits_and_puts_nothing_aside(broker: Broker) -> None:
    job = Noting(ids.new_id("cnv"), fails=TRIES + 3, error=AutoReconnect("away"))
    await broker.run(job)

    await broker.send([sent(job._conversation_id, 3)])
    await until(lambda: job.seen == {3: 1}, "it is handled when MongoDB is back")

    assert job.tries[3] == TRIES + 4
    assert await broker.letters_of(job, job._conversation_id) == []


@pytest.mark.slow
async def test_what_was_done_but_not_committed_is_done_again_and_counts_once(
    broker: Broker, mongo_database: Database
) -> None:
    conversation_id, ann = ids.new_id("cnv"), ids.user()

    class Counting(Activity):
        """Dies between the effect and the commit of its offset, the first time."""

        name = f"test-{uuid.uuid4().hex}"
        effects = 0
        dies = True

        async def handle(self, events: Sequence[Event]) -> None:
            await super().handle(events)
            if any(event.conversation_id == conversation_id for event in events):
                self.effects += 1
                if self.dies:
                    await asyncio.Event().wait()

    job = Counting(mongo_database)
    async with Consumer(broker.servers, EVENT_STREAM, job, broker.producer).running():
        await broker.send(sent(conversation_id, sequence, ann) for sequence in range(1, 11))
        await until(lambda: job.effects == 1, "the effect is there")
    job.dies = False
    await broker.run(job)
    await until(lambda: job.effects == 2, "it comes again")

    assert await job.messages(ann, AT.date()) == 10


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=st.lists(st.integers(1, 2 * BLOCK + 5), max_size=12), size=st.integers(1, 5))
async def test_activity_is_the_same_in_any_order_and_however_often(
    mongo_database: Database, sequences: list[int], size: int
) -> None:
    activity, conversation_id, ann = Activity(mongo_database), ids.new_id("cnv"), ids.user()

    for start in range(0, len(sequences), size):
        await activity.handle([sent(conversation_id, number, ann) for number in sequences[start : start + size]])

    assert await activity.messages(ann, AT.date()) == len(set(sequences))


async def test_a_day_is_one_of_utc_and_only_messages_count(mongo_database: Database) -> None:
    activity, conversation_id, ann = Activity(mongo_database), ids.new_id("cnv"), ids.user()
    east = AT.astimezone(timezone(timedelta(hours=9)))

    await activity.handle([sent(conversation_id, 1, ann), sent(conversation_id, 2, ann, at=east)])
    await activity.handle([replace(sent(conversation_id, 3, ann), kind="member_added")])
    await activity.handle([sent(conversation_id, 4, ann, at=AT + timedelta(milliseconds=1))])

    assert [await activity.messages(ann, date(2026, 11, day)) for day in (23, 24, 25)] == [0, 2, 1]


async def test_a_job_begins_again_where_another_cluster_answers(broker: Broker, mongo_database: Database) -> None:
    conversation_id, ann = ids.new_id("cnv"), ids.new_id("usr")
    cluster, times = "lost", Counter[int]()

    class Noting(Activity):
        name = f"noting-{uuid.uuid4().hex}"

        async def handle(self, events: Sequence[Event]) -> None:
            times.update(event.sequence for event in events if event.conversation_id == conversation_id)

    job = Noting(mongo_database)
    async with Consumer(broker.servers, EVENT_STREAM, job, broker.producer, lambda: cluster).running():
        await broker.send([sent(conversation_id, 1, ann)])
        await until(lambda: times[1] == 1, "it is handled")
        cluster = "found"
        await broker.send([sent(conversation_id, 2, ann)])
        await until(lambda: times[1] == 2 and times[2] >= 1, "all come again")


@pytest.mark.slow
async def test_jobs_that_stop_while_they_commit_miss_nothing_and_leave_no_failure_behind(broker: Broker) -> None:
    # Not in each of them the commit is still under way when it stops. A failure that nobody asks for fails this test.
    seen = await asyncio.gather(*(_stopped_and_started(broker) for _ in range(8)))

    assert [set(each) for each in seen] == [{1, 2}] * 8


async def _stopped_and_started(broker: Broker) -> Counter[int]:
    """Stop a job the moment that it has handled an event; return how often it saw that one, and the next."""
    conversation_id, handled = ids.new_id("cnv"), asyncio.Event()

    class Telling(Noting):
        async def handle(self, events: Sequence[Event]) -> None:
            await super().handle(events)
            if self.seen:
                handled.set()

    job = Telling(conversation_id)
    async with Consumer(broker.servers, EVENT_STREAM, job, broker.producer).running():
        await broker.send([sent(conversation_id, 1)])
        await handled.wait()
    await broker.send([sent(conversation_id, 2)])
    async with Consumer(broker.servers, EVENT_STREAM, job, broker.producer).running():
        await until(lambda: job.seen[2] > 0, "the next one is handled")
    return job.seen


async def _letters(broker: Broker, job: Job[Event], key: str, count: int) -> list[dead_letters.DeadLetter]:
    """Wait until a job has so many dead letters."""
    deadline = time.monotonic() + 60
    while len(letters := await broker.letters_of(job, key)) < count:
        assert time.monotonic() < deadline, "the dead letters do not come"
    return letters
