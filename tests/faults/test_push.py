"""Whatever is killed: one push for each who misses a message, with one id, and none for anybody else."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from services.mongo import Document
from tests.clients import BLOCK, MUTE, Api
from tests.faults.harness import until
from tests.push_receiver import PUSH_SETTINGS, Receiver
from tests.stack_process import StackProcess, running_stack

MESSAGES = 80
FAULTS = (("workers",), ("kafka",), ("workers", "kafka"))  # what is killed at once
NOTED_SECONDS = 3.0  # what a worker may take, on a busy machine, from a push's arrival to the note of it


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack whose pushes come soon, with two workers to kill."""
    with running_stack(tmp_path_factory.mktemp("push"), replicas=1, workers=2, environment=PUSH_SETTINGS) as stack:
        yield stack


@pytest.mark.slow
async def test_each_who_misses_a_message_is_told_once_whichever_worker_dies_and_whatever_kafka_forgets(
    pushing: StackProcess,
) -> None:
    kills = list[float]()

    async with Api(pushing.urls[0]) as api, Receiver().running() as receiver:
        receiver.public_key = (await api.post("{ pushPublicKey }"))["data"]["pushPublicKey"]
        ann, bob, cid, online, muted, blocker = [await api.register() for _ in range(6)]
        room = await ann.talk(bob, cid, online, muted, blocker)
        for person in (ann, online, muted, blocker, cid):
            await receiver.webhook(person)
        await receiver.browser(bob)
        await muted.mutate(MUTE, conversationId=room["id"], until="2099-01-01T00:00:00Z")
        await blocker.mutate(BLOCK, userId=ann.id)
        messages = list[str]()

        async def talk() -> None:
            for number in range(MESSAGES):
                messages.append((await ann.send(room["id"], f"{number}"))["message"]["id"])
                await asyncio.sleep(0.1)  # so that there is always something due

        async with online.socket():
            talking = asyncio.create_task(talk())
            for number, parts in enumerate(FAULTS):
                share = (number + 1) * MESSAGES // (len(FAULTS) + 1)
                await until(lambda share=share: len(messages) >= share, "they talk")  # type: ignore[misc]
                if "workers" in parts:
                    kills.append(time.monotonic())
                await asyncio.to_thread(pushing.kill_parts, parts, number % 2)
            await talking
            wanted = {(person.id, message) for person in (bob, cid) for message in messages}
            await until(lambda: wanted <= receiver.counts().keys(), "everybody is told of everything")
            await asyncio.to_thread(_have_all_told_again, pushing)
            # What comes of it comes before what is told of this one.
            last = (await ann.send(room["id"], "the last"))["message"]["id"]
            wanted |= {(person.id, last) for person in (bob, cid)}
            await until(lambda: wanted <= receiver.counts().keys(), "and of the last")
            await asyncio.to_thread(_wait_until_nothing_waits, pushing)

    assert receiver.faults == []
    assert receiver.counts().keys() == wanted
    assert {len(found) for found in receiver.counts().values()} == {1}
    assert _unexplained(receiver, kills) == []


async def test_none_is_sent_for_what_kafka_says_again(pushing: StackProcess) -> None:
    async with Api(pushing.urls[0]) as api, Receiver().running() as receiver:
        ann, bob = [await api.register() for _ in range(2)]
        room = await ann.talk(bob)
        await receiver.webhook(bob)
        async with bob.socket():
            heard = (await ann.send(room["id"], "while there"))["message"]["id"]
            await asyncio.to_thread(_wait_until_decided, pushing, room["id"], 2)
        missed = (await ann.send(room["id"], "while away"))["message"]["id"]
        await until(lambda: (bob.id, missed) in receiver.counts(), "one is told of what came meanwhile")

        await asyncio.to_thread(_have_all_told_again, pushing)
        last = (await ann.send(room["id"], "after it all"))["message"]["id"]
        await until(lambda: (bob.id, last) in receiver.counts(), "and of what came after")
        await asyncio.to_thread(_wait_until_nothing_waits, pushing)

    assert (bob.id, heard) not in receiver.counts()
    assert {found.total() for found in receiver.counts().values()} == {1}


@pytest.mark.slow
async def test_who_dies_between_sending_and_noting_it_sends_again_under_the_same_id(pushing: StackProcess) -> None:
    async with Api(pushing.urls[0]) as api, Receiver().running() as receiver:
        ann, bob = [await api.register() for _ in range(2)]
        room = await ann.talk(bob)
        device = await receiver.webhook(bob)

        async def kill_whoever_it_is() -> None:
            for number in range(2):
                await asyncio.to_thread(pushing.kill_part, "workers", number)

        receiver.before_answer = kill_whoever_it_is
        await ann.send(room["id"], "Hello")
        await until(lambda: len(receiver.of(device)) == 2, "it is sent again")
        await asyncio.to_thread(_wait_until_nothing_waits, pushing)

    first, second = receiver.of(device)
    assert first.content == second.content


def _unexplained(receiver: Receiver, kills: list[float]) -> list[str]:
    """Return what was taken twice at one endpoint with no worker that died right after the first time."""
    taken: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for arrival in receiver.arrivals:
        taken[arrival.endpoint, arrival.id].append(arrival.at)
    return [
        f"{endpoint} {push_id}: {times}, killed {kills}"
        for (endpoint, push_id), times in taken.items()
        if not all(any(0 <= kill - at < NOTED_SECONDS for kill in kills) for at in times[:-1])
    ]


def _wait_until_decided(stack: StackProcess, conversation: str, sequence: int) -> None:
    client: MongoClient[Document] = MongoClient(stack.url("mongo"))
    with client:
        place = {"_id": f"{conversation}:{sequence:012d}", "after": None}
        stack.wait_for(lambda: client["parley"]["push_decisions"].find_one(place) is not None, 60)


def _have_all_told_again(stack: StackProcess) -> None:
    """Have Kafka lose everything, and wait until it has it again."""
    client: MongoClient[Document] = MongoClient(stack.url("mongo"))
    with client:
        known = client["parley"]["meta"]
        before = known.find_one({"_id": "kafka"})
        assert before is not None
        stack.kill_part("kafka")

        def is_refilled() -> bool:
            now = known.find_one({"_id": "kafka"})
            return now is not None and now["cluster"] != before["cluster"] and now["refilled"] is None

        stack.wait_for(is_refilled, 60)


def _wait_until_nothing_waits(stack: StackProcess) -> None:
    client: MongoClient[Document] = MongoClient(stack.url("mongo"))
    with client:
        stack.wait_for(lambda: client["parley"]["push_queue"].find_one({}) is None, 90)
