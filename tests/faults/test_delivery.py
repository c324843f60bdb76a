"""Every message exactly once, in order, at every subscriber, on every process: nothing breaks yet."""

import asyncio

from tests.checker.history import History
from tests.clients import Api
from tests.faults.harness import Room, judge

MESSAGES = 2_000
AT_ONCE = 64


async def test_two_thousand_messages_at_once_arrive_once_and_in_order_everywhere(api: Api, other_api: Api) -> None:
    apis, history = (api, other_api), History()
    people = [await (apis[number % 2]).register() for number in range(4)]
    rooms = [await Room.open(apis, history, *people) for _ in range(21)]
    for room in rooms:
        for person in people[:2]:
            room.listen(person)
    gate = asyncio.Semaphore(AT_ONCE)

    async def say(number: int) -> None:
        async with gate:
            room = rooms[0] if number % 2 else rooms[1 + number // 2 % 20]
            await room.say(people[number % 4], f"message {number}")

    await asyncio.gather(*(say(number) for number in range(MESSAGES)))

    report = await judge(rooms, people[0])

    assert report.acknowledged == MESSAGES
    assert report.deliveries >= 2 * MESSAGES
