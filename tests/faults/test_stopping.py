"""A part that stands still: everybody hears so in time, and nothing is lost or doubled."""

import asyncio
import time

import pytest

from services.kafka import ACK_SECONDS
from tests.checker.history import History
from tests.clients import SEND, Api, Running
from tests.faults.harness import Room, judge, until
from tests.faults.kafka import Witness, all_arrive, counted
from tests.stack_process import StackProcess

READ = "query ($id: ID!) { conversation(id: $id) { lastMessage { body } } }"


@pytest.mark.slow
async def test_delivery_goes_on_while_redis_stands_still(fragile: StackProcess, apis: tuple[Api, Api]) -> None:
    ann, bob = await apis[0].register(), await apis[1].register()
    conversation = await ann.talk(bob)

    async def seconds_to(updates: Running, body: str) -> float:
        started = time.monotonic()
        await ann.send(conversation["id"], body)
        update = await updates.update()
        assert update["message"]["body"] == body
        return time.monotonic() - started

    async with bob.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        during: list[float] = []
        with fragile.stopped("redis"):
            stopped = time.monotonic()
            while time.monotonic() - stopped < 20:
                during.append(await seconds_to(updates, f"during {len(during)}"))
        resumed = time.monotonic()
        after = [await seconds_to(updates, "after 0")]
        while after[-1] > 0.3 and time.monotonic() - resumed < 10:
            after.append(await seconds_to(updates, f"after {len(after)}"))

    assert max(during) < 3.0  # 2 s for the delivery, and what the send itself takes on a busy machine
    assert after[-1] <= 0.3


async def test_nobody_hangs_while_mongodb_stands_still_and_retries_double_nothing(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    history = History()
    ann = await apis[0].register()
    room = await Room.open(apis, history, ann)
    listener = room.listen(ann)
    await room.say(ann, "before", "before")
    # Or it would be late by the outage, of which the history says nothing.
    await until(lambda: listener.is_caught_up and listener.sequence == 2, "the listener is live")

    async def attempt(number: int) -> tuple[str, float]:
        started = time.monotonic()
        fields = {"conversationId": room.conversation, "body": f"{number}", "clientMessageId": f"{number}"}
        response = await ann.at(apis[number % 2]).post(SEND, {"input": fields})
        (error,) = response["errors"]
        assert error["extensions"]["retryable"]
        return error["extensions"]["code"], time.monotonic() - started

    with fragile.stopped("mongo"):
        sends = asyncio.gather(*(attempt(number) for number in range(10)))
        read = asyncio.create_task(ann.post(READ, {"id": room.conversation}))
        outcomes = await sends
        answer = await read

    assert {code for code, _ in outcomes} <= {"UNAVAILABLE", "COMMIT_UNKNOWN"}
    assert max(seconds for _, seconds in outcomes) < 6
    # What is in memory is read on where Redis says that it is the newest.
    assert "errors" not in answer or answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    for number in range(10):
        await room.say(ann, f"{number}", f"{number}")
    report = await judge([room], ann)
    assert report.acknowledged == 11


async def test_sends_do_not_wait_for_kafka_and_it_gets_everything_later(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    history = History()
    ann = await apis[0].register()
    room = await Room.open(apis, history, ann)
    room.listen(ann)
    seconds: list[float] = []

    async with Witness(fragile.url("kafka")).watching() as witness:
        with fragile.stopped("kafka"):
            for number in range(40):
                started = time.monotonic()
                await room.say(ann, f"{number}")
                seconds.append(time.monotonic() - started)
        report = await judge([room], ann)
        await all_arrive(room, witness, 41)

    assert report.acknowledged == 40
    assert max(seconds) < ACK_SECONDS / 2  # nobody waited for an acknowledgement that did not come
    await until(lambda: counted(fragile, room.conversation) == {ann.id: 40}, "every message is counted once")
