"""Any part may die at any time: nothing acknowledged is lost, doubled or out of order."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import redis.asyncio as redis

from parley.protocol import CloseCode
from tests.checker.history import Closed, FaultChanged, History
from tests.clients import Api, Person
from tests.faults.harness import Room, judge, until
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
    async with redis.Redis.from_url(fragile.redis_url) as client:
        assert await client.client_kill_filter(_type="pubsub") >= 2
    await talk.reaches(500)
    await during(history, "Valkey", lambda: fragile.kill_part("redis"))
    await talk.ends()
    report = await judge([room], people[0])

    assert report.acknowledged == 1_000
    assert restless.connections > 50


@pytest.mark.parametrize(("part", "index"), [("mongo", 0), ("api", 0), ("api", 1)])
async def test_nothing_acknowledged_is_lost_when_a_part_is_killed(
    fragile: StackProcess, apis: tuple[Api, Api], part: str, index: int
) -> None:
    history = History()
    people = [await apis[number % 2].register() for number in range(4)]
    room = await Room.open(apis, history, *people)
    for person in people[:2]:
        room.listen(person)
    talk = Talk(room, people, 400)

    for acknowledged in (100, 200):
        await talk.reaches(acknowledged)
        await during(history, part, lambda: fragile.kill_part(part, index))
    await talk.ends()
    report = await judge([room], people[0])

    assert report.acknowledged == 400


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
    sends = [ann.at(apis[number % 2]).send(conversation["id"], "once", "the-id") for number in range(20)]
    before = {payload["message"]["id"] for payload in await asyncio.gather(*sends)}

    await asyncio.to_thread(fragile.stop)
    await asyncio.to_thread(fragile.start)
    sends = [ann.at(apis[number % 2]).send(conversation["id"], "once", "the-id") for number in range(20)]
    after = {payload["message"]["id"] for payload in await asyncio.gather(*sends)}

    assert len(before) == 1
    assert after == before
