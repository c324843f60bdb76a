"""A backup that was taken while people write is restored whole, and what does not fit changes nothing."""

import asyncio
import gzip
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.backup import BackupError, back_up, restore
from services.config import Settings
from services.entries import MessageSent
from services.entry_store import EntryStore
from services.epoch import epoch_of
from services.fsck import Fsck, Violation
from services.mongo import Database
from services.replay import Replay
from tests.services.test_fsck import conversation, everything, talk  # noqa: F401
from tests.services.test_messages import ANN, BOB, Process, processes, say  # noqa: F401


@pytest.fixture
async def empty_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.model_copy(update={"mongo_database": f"test_{uuid.uuid4().hex}"}))
    yield database
    database.close()


async def violations(database: Database) -> list[Violation]:
    return [violation async for violation in Fsck(database, pause_seconds=0).sweep()]


async def test_what_was_acknowledged_before_a_backup_began_is_in_it(
    mongo_database: Database,
    empty_database: Database,
    processes: list[Process],  # noqa: F811
    conversation: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    epoch = await epoch_of(mongo_database)
    await mongo_database["users"].insert_one({"_id": ANN, "handle": "ann"})
    others = [await talk(process, mongo_database) for process in processes]
    told = [await say(processes[0], conversation, f"Before {number}") for number in range(250)]
    is_over = False

    async def write(process: Process, conversation_id: str) -> None:
        number = 0
        while not is_over:
            number += 1
            message = await say(process, conversation_id, f"Meanwhile {number}")
            if number % 2:
                await process.messages.edit(ANN, message, body=f"Edited {number}", expected_version=None)
            if number % 3 == 0:
                await process.messages.delete(ANN, message)

    async with asyncio.TaskGroup() as group:
        for process, other in zip(processes, (conversation, *others), strict=False):
            group.create_task(write(process, other))
        summary = await back_up(mongo_database, tmp_path / "backup")
        is_over = True
    restored = await restore(empty_database, tmp_path / "backup")

    assert restored == summary
    assert summary.conversations == 4
    assert await violations(empty_database) == []
    assert await empty_database["users"].find_one({"_id": ANN}) == {"_id": ANN, "handle": "ann"}
    assert await epoch_of(empty_database) != epoch
    entries = await EntryStore(empty_database).read(conversation, after=0, limit=10_000)
    assert set(told) <= {entry.message_id for entry in entries if isinstance(entry, MessageSent)}
    assert await empty_database["meta"].find_one({"_id": "kafka"}) is None  # so the relay fills whatever Kafka it finds


@pytest.mark.usefixtures("conversation")
async def test_what_stands_still_comes_back_byte_for_byte(
    mongo_database: Database,
    empty_database: Database,
    tmp_path: Path,
) -> None:
    await back_up(mongo_database, tmp_path / "backup")
    await restore(empty_database, tmp_path / "backup")

    assert await everything(empty_database) == await everything(mongo_database)
    with pytest.raises(BackupError, match="empty"):
        await restore(empty_database, tmp_path / "backup")


@pytest.mark.usefixtures("conversation")
async def test_a_damaged_backup_changes_nothing(
    mongo_database: Database,
    empty_database: Database,
    tmp_path: Path,
) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    await back_up(mongo_database, whole)
    content = gzip.decompress(whole.read_bytes())
    damaged = {
        "cut off": whole.read_bytes()[:-200],
        "half its records": gzip.compress(content[: len(content) // 2]),
        "another word": gzip.compress(content.replace(b"The end", b"The And")),
        "of another version": gzip.compress(content.replace(b"\x10version\x00\x01", b"\x10version\x00\x02", 1)),
        "no backup": b"no backup",
        "nothing": gzip.compress(b""),
    }
    for reason, broken in damaged.items():
        other.write_bytes(broken)
        with pytest.raises(BackupError):
            await restore(empty_database, other)
        assert await empty_database.collection_names() == [], reason


async def test_a_conversation_can_be_seen_as_of_any_entry(
    mongo_database: Database,
    processes: list[Process],  # noqa: F811
    conversation: str,  # noqa: F811
) -> None:
    head = (await processes[0].logs.get(conversation)).sequence
    now, then = Replay(mongo_database, conversation, head), Replay(mongo_database, conversation, 6)
    messages = {message["sequence"]: message async for message in now.messages()}

    assert await now.conversation() == await mongo_database["conversations"].find_one({"_id": conversation})
    for sequence, message in messages.items():
        stored = (await EntryStore(mongo_database).messages(conversation, [sequence]))[sequence]
        assert (message["body"], message["state"]) == (stored.current_body, stored.state.to_document())
    earlier = {message["sequence"]: message["body"] async for message in then.messages()}
    assert earlier == {2: "Other 0", 3: None, 4: "Word 2", 5: "Word 3"}  # the words of 3 were deleted later
    assert [member["user"] async for member in then.members()] == sorted([ANN, BOB])
    assert await then.unread(BOB) == {"user": BOB, "joinedSequence": 1, "readSequence": 3, "unread": 2}
    assert await Replay(mongo_database, conversation, head + 1).conversation() is None
