"""What search knows is what the log says, in whatever order it heard of it."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import ids
from services.events import Event
from services.leases import Leases
from services.mongo import Database, Document
from services.search import SearchJob
from services.search_build import SearchBuild
from tests.services.test_messages import ANN, Process, made, processes, say  # noqa: F401  # `processes` is a fixture


async def talk(process: Process) -> str:
    """Return a conversation in which messages were sent, edited, reacted to and deleted."""
    conversation_id = await made(process, ANN)
    messages = [await say(process, conversation_id, f"Word {number}") for number in range(4)]
    for number in (1, 2):
        await process.messages.edit(ANN, messages[number], body=f"Other {number}", expected_version=None)
    await process.messages.edit(ANN, messages[1], body="Another", expected_version=None)
    await process.messages.react(ANN, messages[0], "🎉")
    for number in (2, 3):
        await process.messages.delete(ANN, messages[number])
    return conversation_id


async def events_of(process: Process, conversation_id: str) -> list[Event]:
    return [Event.of(entry) for entry in await process.logs.entries.read(conversation_id, after=0, limit=100)]


async def known(database: Database, conversation_id: str) -> list[Document]:
    return await database["search"].find({"_id": {"$gt": f"{conversation_id}:", "$lt": f"{conversation_id}:~"}})


async def forget(database: Database, conversation_id: str) -> None:
    for document in await known(database, conversation_id):
        await database["search"].delete_one({"_id": document["_id"]})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
async def test_events_in_any_order_and_however_often_give_the_same(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
    seed: int,
) -> None:
    conversation_id = await talk(processes[0])
    events, job, chance = await events_of(processes[0], conversation_id), SearchJob(mongo_database), random.Random(seed)
    await job.handle(events)
    expected = await known(mongo_database, conversation_id)
    assert [document["words"] for document in expected] == ["word 0", "another", "", ""]

    await forget(mongo_database, conversation_id)
    some = chance.choices(events, k=2 * len(events)) + events
    chance.shuffle(some)
    while some:
        size = chance.randint(1, 5)
        await job.handle(some[:size])
        del some[:size]

    assert await known(mongo_database, conversation_id) == expected


async def test_building_anew_gives_the_same_bytes(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
) -> None:
    conversation_ids = [await talk(processes[0]) for _ in range(3)]
    job, build = SearchJob(mongo_database), SearchBuild(mongo_database, Leases(mongo_database, ids.new_id("w")))
    for conversation_id in conversation_ids:
        await job.handle(await events_of(processes[0], conversation_id))
    expected = [await known(mongo_database, conversation_id) for conversation_id in conversation_ids]
    assert await build.build()

    assert [await known(mongo_database, conversation_id) for conversation_id in conversation_ids] == expected
    for conversation_id in conversation_ids:
        await forget(mongo_database, conversation_id)
    assert await build.build()
    assert await known(mongo_database, conversation_ids[0]) == []  # it was built before
    await mongo_database["meta"].delete_one({"_id": "search"})
    assert await build.build()
    assert [await known(mongo_database, conversation_id) for conversation_id in conversation_ids] == expected
