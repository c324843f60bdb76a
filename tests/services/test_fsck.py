"""What `fsck` knows, each planted and found by its name; and what `rebuild` makes of it, byte for byte."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import bson
import pytest

from services.activity import Activity
from services.clock import now
from services.entries import MemberAdded, MemberRemoved, MemberRole, MemberRoleChanged, MessageDeleted, entry_id
from services.events import Event
from services.fold import Fold, Part
from services.fsck import Code, Fsck
from services.mongo import Database, Document
from services.rebuild import Rebuild, refill_kafka
from services.search import SearchJob
from services.state import inbox_id, member_id
from tests.services.test_messages import ANN, BOB, Process, insert, made, processes, say  # noqa: F401

PROJECTIONS = ("conversations", "members", "inbox", "search", "activity")
CID = "conversation"


async def talk(process: Process, database: Database) -> str:
    """Return a conversation in which all happened that can, and which every job has heard of."""
    conversation_id = await made(process, ANN, BOB)
    log = await process.logs.get(conversation_id)
    messages = [await say(process, conversation_id, f"Word {number}") for number in range(4)]
    await process.messages.edit(ANN, messages[0], body="Other 0", expected_version=None)
    await process.messages.edit(ANN, messages[0], body="Another", expected_version=None)
    await process.messages.react(BOB, messages[0], "🎉")
    await process.messages.edit(ANN, messages[1], body="Gone", expected_version=None)
    await process.messages.delete(ANN, messages[1])
    await process.messages.pin(ANN, messages[2])
    await say(process, conversation_id, "The end")
    events = [Event.of(entry) for entry in await process.logs.entries.read(conversation_id, after=0, limit=100)]
    await SearchJob(database).handle(events)
    await Activity(database).handle(events)
    await database["meta"].replace_one({"_id": "search"}, {"_id": "search", "version": 1, "after": None}, upsert=True)
    kafka: Document = {"_id": "kafka", "cluster": "c", "ends": {}, "refilled": None, "compared": now()}
    await database["meta"].replace_one({"_id": "kafka"}, kafka, upsert=True)
    await database["published"].insert_one({"_id": conversation_id, "sequence": log.sequence})
    receipts = {"deliveredAt": now(), "deliveredBefore": 1, "readAt": now(), "readBefore": 1}
    await database["receipts"].insert_one(
        {"_id": member_id(conversation_id, BOB), "delivered": 4, "read": 3, **receipts}
    )
    return conversation_id


@pytest.fixture
async def conversation(processes: list[Process], mongo_database: Database, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    # What was said is old: jobs that have not counted it never will.
    monkeypatch.setattr("services.fsck.GRACE", timedelta(0))
    return await talk(processes[0], mongo_database)


async def codes(database: Database) -> set[str]:
    return {violation.code async for violation in Fsck(database, pause_seconds=0).sweep()}


type Damage = Callable[[Database, str], Awaitable[object]]


def change(collection: str, id_: Callable[[str], str], **fields: object) -> Damage:
    return lambda database, key: database[collection].update_one({"_id": id_(key)}, {"$set": fields})


def remove(collection: str, id_: Callable[[str], str]) -> Damage:
    return lambda database, key: database[collection].delete_one({"_id": id_(key)})


def place(sequence: int) -> Callable[[str], str]:
    return lambda key: entry_id(key, sequence)


def conversation_itself(key: str) -> str:
    return key


def ann(key: str) -> str:
    return member_id(key, ANN)


def bob(key: str) -> str:
    return member_id(key, BOB)


def bobs_item(key: str) -> str:
    return inbox_id(BOB, key)


async def stored(database: Database, name: str, conversation_id: str) -> list[Document]:
    return [each for each in await database[name].find({}) if conversation_id in each["_id"]]


async def swap_keys(database: Database, key: str) -> None:
    first = await database["entries"].find_one({"_id": entry_id(key, 2)})
    assert first is not None
    await database["entries"].update_one({"_id": entry_id(key, 5)}, {"$set": {"key": first["key"]}})


async def lose_send(database: Database, key: str) -> None:
    (record, *_) = await stored(database, "sends", key)
    await database["sends"].delete_one({"_id": record["_id"]})


async def raise_base(database: Database, key: str) -> None:
    (record, *_) = await stored(database, "sends", key)
    await database["sends"].update_one({"_id": record["_id"]}, {"$set": {"base": 9}})


async def far_base(database: Database, key: str) -> None:
    await database["sends"].insert_one({"_id": f"{key}:{ANN}:never", "base": 99, "fingerprint": b""})


async def copy(database: Database, name: str, old: str, new: str, **fields: object) -> None:
    document = await database[name].find_one({"_id": old})
    assert document is not None
    await database[name].insert_one({**document, "_id": new, **fields})


async def first_of(database: Database, name: str, key: str) -> str:
    return str((await stored(database, name, key))[0]["_id"])


async def lose_search(database: Database, key: str) -> None:
    await database["search"].delete_one({"_id": await first_of(database, "search", key)})


async def wrong_search(database: Database, key: str) -> None:
    await database["search"].update_one({"_id": await first_of(database, "search", key)}, {"$set": {"words": "no"}})


async def old_search(database: Database, key: str) -> None:
    await database["search"].update_one({"_id": await first_of(database, "search", key)}, {"$set": {"applied": 0}})


async def extra_search(database: Database, key: str) -> None:
    first = await first_of(database, "search", key)
    await copy(database, "search", first, first[:-2] + "99")


async def lose_count(database: Database, key: str) -> None:
    await database["activity"].update_one(
        {"_id": await first_of(database, "activity", key)}, {"$pop": {"sequences": 1}}
    )


async def wrong_count(database: Database, key: str) -> None:
    id_ = await first_of(database, "activity", key)
    await database["activity"].update_one({"_id": id_}, {"$push": {"sequences": 1}})


async def extra_count(database: Database, key: str) -> None:
    first = await first_of(database, "activity", key)
    await copy(database, "activity", first, first.replace(ANN, BOB))


async def extra_member(database: Database, key: str) -> None:
    await copy(database, "members", ann(key), member_id(key, "usr_0"), user="usr_0")


async def extra_item(database: Database, key: str) -> None:
    await database["inbox"].insert_one(
        {"_id": inbox_id("usr_0", key), "conversation": key, "active": True, "applied": 1}
    )


async def extra_receipt(database: Database, key: str) -> None:
    await copy(database, "receipts", bob(key), member_id(key, "usr_0"))


async def bury(database: Database, key: str) -> None:
    """Leave a conversation's document without a log."""
    await copy(database, "conversations", key, "cnv_0")


PLANTED: dict[Code, tuple[Damage, bool]] = {  # and whether rebuilding mends it
    Code.ENTRY_UNREADABLE: (change("entries", place(12), kind="nonsense"), False),
    Code.LOG_HOLE: (remove("entries", place(4)), False),
    Code.LOG_BEGINNING: (change("entries", place(1), kind="changed", archived=False), False),
    Code.KEY_TWICE: (swap_keys, False),
    Code.CONTROL_LINK: (change("entries", place(4), control=0), False),
    Code.CHANGE_WITHOUT_MESSAGE: (change("entries", place(11), message=1), False),
    Code.SENDER_NOT_MEMBER: (change("entries", place(5), actor="usr_0"), False),
    Code.SEND_MISSING: (lose_send, False),
    Code.SEND_BASE: (raise_base, False),
    Code.CONVERSATION_MISSING: (remove("conversations", conversation_itself), True),
    Code.CONVERSATION_WRONG: (change("conversations", conversation_itself, memberCount=7), True),
    Code.CONVERSATION_BEHIND: (change("conversations", conversation_itself, pinned=[], applied=10), True),
    Code.CONVERSATION_EXTRA: (bury, True),
    Code.MEMBER_MISSING: (remove("members", ann), True),
    Code.MEMBER_WRONG: (change("members", ann, role="MEMBER"), True),
    Code.MEMBER_EXTRA: (extra_member, True),
    Code.INBOX_MISSING: (remove("inbox", bobs_item), True),
    Code.INBOX_WRONG: (change("inbox", bobs_item, active=False), True),
    Code.INBOX_EXTRA: (extra_item, True),
    Code.MESSAGE_WRONG: (change("entries", place(2), **{"state.body": "never said"}), True),
    Code.WORDS_LEFT: (change("entries", place(9), body="Gone"), True),
    Code.SEARCH_MISSING: (lose_search, True),
    Code.SEARCH_WRONG: (wrong_search, True),
    Code.SEARCH_BEHIND: (old_search, True),
    Code.SEARCH_EXTRA: (extra_search, True),
    Code.ACTIVITY_MISSING: (lose_count, True),
    Code.ACTIVITY_WRONG: (wrong_count, True),
    Code.ACTIVITY_EXTRA: (extra_count, True),
    Code.RECEIPT_BEYOND: (change("receipts", bob, delivered=99), False),
    Code.RECEIPT_ORDER: (change("receipts", bob, delivered=2), False),
    Code.RECEIPT_EXTRA: (extra_receipt, False),
    Code.PUBLISHED_BEYOND: (change("published", conversation_itself, sequence=99), False),
    Code.PUBLISHED_BEHIND: (change("published", conversation_itself, sequence=3), False),
}
ELSEWHERE = {Code.MEMBER_BEHIND, Code.INBOX_BEHIND, Code.MESSAGE_BEHIND}


def test_everything_that_is_known_is_planted() -> None:
    assert PLANTED.keys() | ELSEWHERE == set(Code)


async def everything(database: Database) -> bytes:
    """Return all projections, the states of messages among them, as bytes."""
    names = (*PROJECTIONS, "entries")
    return b"".join([bson.encode(document) for name in names for document in await database[name].find({})])


async def test_what_was_planted_is_found_by_name_and_mended(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.fsck.GRACE", timedelta(0))
    assert await codes(mongo_database) == set()
    for code, (damage, is_mended) in PLANTED.items():
        conversation_id = await talk(processes[0], mongo_database)
        assert await codes(mongo_database) == set(), code
        before = await everything(mongo_database)
        await damage(mongo_database, conversation_id)
        found = await codes(mongo_database)

        assert code in found, f"{code}: {found}"
        if is_mended:
            assert {each.code for each in await Rebuild(mongo_database).all()} == set(), code
            assert await everything(mongo_database) == before, code
        for name in (*PROJECTIONS, "entries", "sends", "receipts", "published"):
            for document in await mongo_database[name].find({}):
                await mongo_database[name].delete_one({"_id": document["_id"]})


async def test_sends_that_look_above_the_end_are_found(mongo_database: Database, conversation: str) -> None:
    await far_base(mongo_database, conversation)

    assert await codes(mongo_database) == {Code.SEND_BASE}


async def test_all_projections_are_rebuilt_byte_for_byte(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
    conversation: str,
) -> None:
    other = await talk(processes[1], mongo_database)
    before = await everything(mongo_database)
    for name in PROJECTIONS:
        for document in await mongo_database[name].find({}):
            await mongo_database[name].delete_one({"_id": document["_id"]})
    for key in (conversation, other):
        change_ = {"$set": {"state.body": "no", "state.version": 9, "state.reactions": []}}
        await mongo_database["entries"].update_one({"_id": entry_id(key, 2)}, change_)
    assert await codes(mongo_database) >= {Code.CONVERSATION_MISSING, Code.MESSAGE_WRONG}
    left = await Rebuild(mongo_database).all()

    assert left == []
    assert await everything(mongo_database) == before
    assert await codes(mongo_database) == set()


async def test_what_a_dead_writer_left_counts_only_without_its_mark(
    mongo_database: Database, conversation: str
) -> None:
    head = (await mongo_database["entries"].find({}, limit=1, descending=True))[0]
    control = 11
    sequence = int(head["_id"].rpartition(":")[2]) + 1
    entries = (
        MemberRoleChanged(
            conversation_id=conversation,
            sequence=sequence,
            key="role",
            actor_id=ANN,
            at=now(),
            control=control,
            user_id=BOB,
            role=MemberRole.MEMBER,
            previous_role=MemberRole.OWNER,
            joined_sequence=1,
            joined_at=(await mongo_database["entries"].find({}, limit=1))[0]["at"],
        ),
        MemberRemoved(
            conversation_id=conversation,
            sequence=sequence + 1,
            key="leave",
            actor_id=BOB,
            at=now(),
            control=sequence,
            user_id=BOB,
            role=MemberRole.MEMBER,
        ),
        MessageDeleted(
            conversation_id=conversation,
            sequence=sequence + 2,
            key="delete",
            actor_id=ANN,
            at=now(),
            control=sequence + 1,
            message=2,
        ),
    )
    for entry in entries:
        await insert(mongo_database, entry)
    await mongo_database["published"].update_one({"_id": conversation}, {"$set": {"sequence": sequence + 2}})
    await mongo_database["dirty"].insert_one({"_id": conversation, "until": now()})
    assert await codes(mongo_database) == set()

    await mongo_database["dirty"].delete_one({"_id": conversation})
    assert await codes(mongo_database) == {Code.CONVERSATION_BEHIND, Code.SEARCH_BEHIND}

    # A document that says that all others are written, and they are not, is healed by nobody.
    change_ = {"$set": {"applied": sequence + 2, "memberCount": 1, "ownerCount": 1}}
    await mongo_database["conversations"].update_one({"_id": conversation}, change_)
    found = await codes(mongo_database)
    assert found >= {Code.MEMBER_BEHIND, Code.INBOX_BEHIND, Code.MESSAGE_BEHIND}

    assert await Rebuild(mongo_database).all() == []
    assert await codes(mongo_database) == set()


def test_a_fold_of_more_than_fits_is_made_in_parts() -> None:
    entries = [
        MemberAdded(
            conversation_id="cnv",
            sequence=number,
            key=f"{number}",
            actor_id=ANN,
            at=now(),
            control=number - 1,
            user_id=f"usr_{number:03d}",
            role=MemberRole.MEMBER,
        )
        for number in range(1, 100)
    ]
    part: Part | None = Part()
    found: list[str] = []
    while part is not None:
        fold = Fold(part, 0, most=10)
        for entry in entries:
            fold.take(entry)
        assert len(fold.lives) <= 10
        found += sorted(fold.lives)
        part = fold.part.rest

    assert found == [f"usr_{number:03d}" for number in range(1, 100)]


async def test_beside_living_writers_nothing_is_called_wrong_and_rebuilding_does_no_harm(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
) -> None:
    conversation_id = await made(processes[0], ANN, BOB)
    is_over = asyncio.Event()

    async def write(process: Process, name: str) -> None:
        number = 0
        while not is_over.is_set() and number < 20:
            number += 1
            message = await say(process, conversation_id, f"{name} {number}")
            await process.messages.edit(ANN, message, body=f"{name} {number} again", expected_version=None)
            await process.messages.react(ANN, message, "🎉")
            if number % 2:
                await process.messages.delete(ANN, message)

    found: list[object] = []
    async with asyncio.TaskGroup() as group:
        for number, process in enumerate(processes):
            group.create_task(write(process, f"{number}"))
        for _ in range(2):
            found += [violation async for violation in Fsck(mongo_database, pause_seconds=0.1).sweep()]
            found += await Rebuild(mongo_database).all()
        is_over.set()

    assert found == []
    assert await codes(mongo_database) == set()
    log = await processes[0].logs.get(conversation_id)
    assert log.sequence > 10


async def test_kafka_is_filled_again_when_that_is_asked_for(mongo_database: Database, conversation: str) -> None:
    assert await mongo_database["meta"].find_one({"_id": "kafka"}) is not None
    await refill_kafka(mongo_database)

    # The relay takes a Kafka that nobody has noted for a new one, and fills it: see test_relay.
    assert await mongo_database["meta"].find_one({"_id": "kafka"}) is None
    assert await codes(mongo_database) == set()
    assert conversation
