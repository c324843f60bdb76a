"""Unread counts on the real store: always what the log says, whatever of it is in memory."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from services import ids, log, unread
from services.blocks import Blocks
from services.bus import Bus
from services.cache import Cache
from services.conversations import Conversations
from services.entries import MessageSent
from services.entry_store import EntryStore
from services.inboxes import Inboxes
from services.log import Logs
from services.log_cache import LogCache
from services.messages import Messages
from services.mongo import Database
from services.mutes import Mutes
from services.receipt_cache import ReceiptCache
from services.receipts import ReceiptService
from services.unread import Unread
from services.users import Users
from tests.services.test_log import Nobody
from tests.services.test_messages import ANN, BOB, Anybody, Process, made

STEPS = 100
ALL = 1_000  # entries: more than there are
MANY = 20  # messages at once: more than are followed
NEAR = 10  # messages: most of those that are deleted are among so many newest ones


@dataclass(frozen=True, slots=True)
class Counting(Process):
    """One process, with what counts in it."""

    receipts: ReceiptService
    unread: Unread


@pytest.fixture
async def processes(mongo_database: Database, caches: list[Cache]) -> AsyncIterator[list[Counting]]:
    """Two processes over one database."""
    async with AsyncExitStack() as stack:
        started: list[Counting] = []
        for cache in caches[:2]:
            logs = await stack.enter_async_context(Logs(mongo_database, Nobody(), LogCache(cache), ()).running())
            users = Users(mongo_database)
            blocks = Blocks(mongo_database, users)
            receipts = ReceiptService(mongo_database, logs, ReceiptCache(cache))
            # Who counts in one conversation needs neither of these.
            inboxes = Inboxes(mongo_database, Bus(cache.redis, "nobody"))
            mutes = Mutes(mongo_database, Conversations(mongo_database, logs, users, blocks, epoch=1))
            messages = Messages(mongo_database, logs, users, Anybody(logs, users, blocks), epoch=1)
            started.append(Counting(logs, messages, receipts, Unread(logs, receipts, inboxes, mutes)))
        yield started


async def counted(database: Database, process: Counting, conversation_id: str, user_id: str) -> int:
    """Return what the log in the store says."""
    marker = (await process.receipts.of(conversation_id, [user_id]))[user_id].read.sequence
    entries = await EntryStore(database).read(conversation_id, after=0, limit=ALL)
    return sum(
        isinstance(entry, MessageSent)
        and entry.sequence > marker
        and entry.actor_id != user_id
        and entry.state.deleted_at is None
        for entry in entries
    )


async def asked(process: Counting, conversation_id: str, user_id: str) -> int:
    """Return what a process says that has just looked."""
    await (await process.logs.get(conversation_id)).catch_up()
    return await process.unread.of(user_id, conversation_id)


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_what_the_log_says(
    processes: list[Counting], mongo_database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    # Small, so that all that happens in a long log happens in a short one.
    monkeypatch.setattr(log, "NEWEST", dice.choice((2, 8, 512)))
    for name, value in {"MOST": 20, "PAGE": 5, "KEPT": dice.choice((12, 60)), "FARTHEST": 15}.items():
        monkeypatch.setattr(unread, name, value)
    conversation_id = await made(processes[0], ANN, BOB)
    sent: list[str] = []
    wrong = []
    for _ in range(STEPS):
        process, user_id = dice.choice(processes), dice.choice((ANN, BOB))
        match dice.choices(("send", "send many", "delete", "react", "read"), (50, 3, 20, 10, 5))[0]:
            case "send" | "send many" as what:
                for _ in range(1 if what == "send" else MANY):
                    message = await process.messages.send(
                        user_id, conversation_id, body="word", client_message_id=ids.new_id("m")
                    )
                    sent.append(message.id)
            case "delete" if sent:
                recent = sent[-NEAR:] if dice.random() < 0.8 else sent
                await process.messages.delete(user_id, dice.choice(recent))
            case "react" if sent and (message_id := sent[-1]):
                found = await process.messages.visible(user_id, message_id)
                assert found is not None
                if found.deleted_at is None:
                    await process.messages.react(user_id, message_id, "👍")
            case "read":
                head = (await process.logs.get(conversation_id)).sequence
                await process.receipts.mark(user_id, conversation_id, max(head - dice.randrange(30), 1), read=True)
        asking, reader = dice.choice(processes), dice.choice((ANN, BOB))
        found_count = await asked(asking, conversation_id, reader)
        expected = min(await counted(mongo_database, asking, conversation_id, reader), unread.MOST)
        if found_count != expected:
            wrong.append((found_count, expected))

    assert wrong == []


async def test_a_count_is_read_once_for_all_readers(processes: list[Counting], monkeypatch: pytest.MonkeyPatch) -> None:
    conversation_id = await made(processes[0], ANN, BOB)
    for number in range(20):
        await processes[0].messages.send(ANN, conversation_id, body=f"{number}", client_message_id=f"{number}")
    monkeypatch.setattr(log, "NEWEST", 2)
    process = processes[1]
    read = EntryStore.read
    reads = 0

    async def counting_read(store: EntryStore, *arguments: object, **options: object) -> object:
        nonlocal reads
        reads += 1
        return await read(store, *arguments, **options)  # type: ignore[arg-type]  # passed on as they are

    assert await asked(process, conversation_id, BOB) == 20
    monkeypatch.setattr(EntryStore, "read", counting_read)
    counts = [await process.unread.of(user_id, conversation_id) for user_id in (ANN, BOB, BOB)]

    assert counts == [0, 20, 20]
    assert reads == 0


async def test_who_is_not_in_has_nothing_unread(processes: list[Counting]) -> None:
    conversation_id = await made(processes[0], ANN)
    await processes[0].messages.send(ANN, conversation_id, body="word", client_message_id="m1")

    assert await processes[0].unread.of(BOB, conversation_id) == 0
    assert await processes[0].unread.of(BOB, ids.new_id("cnv")) == 0
