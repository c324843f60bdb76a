"""Any part may die at any time: nothing acknowledged is lost, doubled or out of order."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import combinations

import pytest
import redis.asyncio as redis

from parley.protocol import CloseCode
from tests.checker.history import Closed, FaultChanged, History
from tests.clients import SEND, Api, Person
from tests.faults.harness import PATIENCE_SECONDS, Room, judge, until
from tests.faults.kafka import Witness, all_arrive, counted
from tests.stack_process import StackProcess


class Talk:
    """People who talk in a room, one message after the other each."""

    def __init__(self, room: Room, people: list[Person], messages: int) -> None:
        self.acknowledged = 0
        self._room = room
        self._talking = asyncio.gather(*(self._say(person, messages // len(people)) for person in people))

    async def reaches(self, acknowledged: int) -> None:
        """Wait until so many messages were acknowledged."""
        await until(
            lambda: self.acknowledged >= acknowledged or self._talking.done(), f"{self.acknowledged} acknowledged"
        )

    @property
    def over(self) -> bool:
        return self._talking.done()

    async def ends(self) -> None:
        await self._talking

    async def _say(self, person: Person, messages: int) -> None:
        for number in range(messages):
            await self._room.say(person, f"{person.handle} {number}")
            self.acknowledged += 1


async def during(history: History, fault: str, cause: Callable[[], None]) -> None:
    """Cause a fault and wait until it is repaired, with both in the history."""
    history.add(FaultChanged(label=fault, active=True))
    await asyncio.to_thread(cause)
    history.add(FaultChanged(label=fault, active=False))


async def test_a_restless_subscriber_gets_everything_while_redis_dies(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    history = History()
    people = [await apis[number % 2].register() for number in range(4)]
    room = await Room.open(apis, history, *people)
    restless = room.listen(people[0], restless=True)
    room.listen(people[1])
    talk = Talk(room, people, 1_000)

    await talk.reaches(250)
    async with redis.Redis.from_url(fragile.url("redis")) as client:
        assert await client.client_kill_filter(_type="pubsub") >= 2
    await talk.reaches(500)
    await during(history, "Valkey", lambda: fragile.kill_part("redis"))
    await talk.ends()
    report = await judge([room], people[0])

    assert report.acknowledged == 1_000
    assert restless.connections > 50


PARTS = ("redis", "kafka", "mongo", "api", "workers")


@pytest.mark.slow
async def test_nothing_is_lost_when_any_part_or_any_two_are_killed(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    history = History()
    people = [await apis[number % 2].register() for number in range(5)]
    owner, *others = people
    room = await Room.open(apis, history, *people)
    for person in people:
        room.listen(person)
    talk = Talk(room, people[:4], 1_600)
    churn = asyncio.create_task(room.come_and_go(owner, others[-1], lambda: talk.over))
    faults = [(part,) for part in PARTS] + list(combinations(PARTS, 2))

    async with Witness(fragile.url("kafka")).watching() as witness:
        for number, parts in enumerate(faults):
            await talk.reaches((number + 1) * 100)
            await during(history, " and ".join(parts), partial(fragile.kill_parts, parts, number % 2))
        await talk.ends()
        await churn
        report = await judge([room], owner)
        await all_arrive(room, witness, room.listeners[0].sequence)

    assert report.acknowledged == 1_600
    said = Counter({person.id: 400 for person in people[:4]})
    await until(lambda: counted(fragile, room.conversation) == said, "every message is counted once")


async def test_a_kafka_that_lost_everything_is_filled_again(fragile: StackProcess, apis: tuple[Api, Api]) -> None:
    history = History()
    ann = await apis[0].register()
    room = await Room.open(apis, history, ann)
    for number in range(20):
        await room.say(ann, f"{number}")
    async with Witness(fragile.url("kafka")).watching() as before:
        await all_arrive(room, before, 21)

    await asyncio.to_thread(fragile.kill_part, "kafka")
    async with Witness(fragile.url("kafka")).watching() as after:
        await all_arrive(room, after, 21)

    await until(lambda: counted(fragile, room.conversation) == {ann.id: 20}, "every message is counted once")


async def test_a_rolling_restart_loses_nothing_and_sends_every_socket_away_with_1012(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    history = History()
    people = [await apis[number % 2].register() for number in range(4)]
    room = await Room.open(apis, history, *people)
    for person in people:
        room.listen(person)
    talk = Talk(room, people, 400)

    for round_ in range(2):
        for index in range(2):
            await talk.reaches(50 + 100 * round_ + 50 * index)
            await during(history, f"API {index}", partial(fragile.restart_part, "api", index))
    await talk.ends()
    report = await judge([room], people[0])

    closed = Counter(record.code for record in history.records if isinstance(record, Closed))
    assert report.acknowledged == 400
    assert closed[CloseCode.DRAINING] >= 4
    assert set(closed) == {CloseCode.DRAINING}


async def test_the_same_send_is_the_same_message_after_everything_was_restarted(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    ann = await apis[0].register()
    conversation = await ann.talk()
    sent = {"conversationId": conversation["id"], "body": "once", "clientMessageId": "the-id"}

    async def send(api: Api) -> str:
        """Return the id of the message, repeating the send for as long as the answer asks for that."""
        while True:
            response = await ann.at(api).post(SEND, {"input": sent})
            if "errors" not in response:
                return str(response["data"]["sendMessage"]["message"]["id"])
            assert response["errors"][0]["extensions"]["retryable"], response

    before = set(await asyncio.gather(*(send(apis[number % 2]) for number in range(20))))
    await asyncio.to_thread(fragile.stop)
    await asyncio.to_thread(fragile.start)
    async with asyncio.timeout(PATIENCE_SECONDS):
        after = set(await asyncio.gather(*(send(apis[number % 2]) for number in range(20))))

    assert len(before) == 1
    assert after == before
