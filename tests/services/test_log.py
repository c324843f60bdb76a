"""The log on the real store: no holes, one entry a key, and everything seen in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from services import append, ids, log
from services.append import Decide
from services.cache import Cache
from services.clock import now
from services.entries import (
    ConversationCreated,
    ConversationKind,
    Draft,
    Entry,
    MemberAdded,
    MemberRemoved,
    MemberRole,
    MessageSent,
    to_document,
)
from services.entry_store import EntryStore
from services.errors import CommitUnknown, NotFound
from services.log import Log, Logs
from services.log_cache import LogCache, Tail
from services.membership import addition, departure, role_change
from services.message_rules import reacting
from services.mongo import Database
from services.positions import Position
from services.state import State
from services.streams import FARTHEST, ConversationStream, ResyncReason, Streams
from tests.faults.harness import until


class Nobody:
    """Nobody listens, and nobody relays."""

    async def mark(self, conversation_id: str) -> None:
        pass


@pytest.fixture
async def processes(mongo_database: Database, caches: list[Cache]) -> AsyncIterator[list[Logs]]:
    """Three processes' logs over one database."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Logs(mongo_database, Nobody(), LogCache(cache), ()).running())
            for cache in caches
        ]


async def made(logs: Logs, *members: str, kind: ConversationKind = ConversationKind.GROUP) -> Log:
    """Return the log of a new conversation of these members."""
    conversation = await logs.get(ids.new_id("cnv"))
    roles = tuple((member, MemberRole.OWNER) for member in members)
    fields = {"conversation_kind": kind, "title": None, "roles": roles}
    await conversation.append("create", lambda _: Draft(ConversationCreated, members[0], fields), base=0, concerns=())
    return conversation


def saying(user_id: str, body: str) -> Decide:
    """Return the decision of a send that only members may make."""

    def decide(state: State) -> Draft:
        if state.members[user_id] is None:
            raise NotFound("gone")
        return Draft(MessageSent, user_id, {"body": body, "client_message_id": body})

    return decide


async def say(conversation: Log, user_id: str, body: str, base: int = 1) -> Entry:
    return await conversation.append(f"{user_id}:{body}", saying(user_id, body), base=base, concerns=(user_id,))


async def die_after(draft: Draft, conversation: Log, database: Database) -> None:
    """Append an entry as a writer does that dies before it writes anything else."""
    sequence, control = conversation.sequence + 1, conversation.state.control
    entry = draft.placed(conversation.conversation_id, sequence, key="died", at=now(), control=control)
    await database["entries"].insert_one(to_document(entry))


async def stored(logs: Logs, conversation: Log) -> list[Entry]:
    return await logs.entries.read(conversation.conversation_id, after=0, limit=10_000)


async def test_three_processes_append_at_once_without_a_hole(processes: list[Logs]) -> None:
    ann = ids.user()
    first = await made(processes[0], ann)
    conversations = [await logs.get(first.conversation_id) for logs in processes]

    placed = await asyncio.gather(
        *(say(conversations[number % 3], ann, f"{number}") for number in range(300)),
        *(say(conversations[(number + 1) % 3], ann, f"{number}") for number in range(300)),
    )

    entries = await stored(processes[0], first)
    assert [entry.sequence for entry in entries] == list(range(1, 302))
    assert len({entry.key for entry in entries}) == 301
    assert [entry.sequence for entry in placed[:300]] == [entry.sequence for entry in placed[300:]]


async def test_a_retry_finds_its_entry_however_far_the_log_went_on(processes: list[Logs]) -> None:
    ann = ids.user()
    conversation = await made(processes[0], ann)
    first = await say(conversation, ann, "first")
    await asyncio.gather(*(say(conversation, ann, f"{number}") for number in range(log.NEWEST + log.PAGE)))

    again = await say(await processes[1].get(conversation.conversation_id), ann, "first")

    assert again == first


async def test_a_reply_lost_after_the_commit_makes_no_second_entry(
    processes: list[Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = ids.user()
    logs = processes[0]
    conversation = await made(logs, ann)
    insert = EntryStore.insert
    lost: list[object] = []

    async def insert_and_lose(store: EntryStore, entries: Sequence[Entry]) -> None:
        await insert(store, entries)
        if not lost:
            lost.append(entries)
            raise AutoReconnect("the reply is lost")

    monkeypatch.setattr(EntryStore, "insert", insert_and_lose)
    placed = await asyncio.gather(*(say(conversation, ann, f"{number}") for number in range(5)))

    assert lost
    assert [entry.sequence for entry in placed] == [2, 3, 4, 5, 6]
    assert len(await stored(logs, conversation)) == 6


async def test_an_outcome_that_stays_unknown_is_said_to_be(
    processes: list[Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = ids.user()
    logs = processes[0]
    conversation = await made(logs, ann)

    async def lose(*_: Any, **__: Any) -> None:
        raise AutoReconnect("no reply")

    monkeypatch.setattr(append, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(append, "ATTEMPT_SECONDS", 0.5)
    with monkeypatch.context() as broken:
        broken.setattr(EntryStore, "insert", lose)
        with pytest.raises(CommitUnknown):
            await say(conversation, ann, "hello")
        await until(lambda: not conversation.busy, "the attempt ends")

    assert (await say(conversation, ann, "hello")).sequence == 2


async def test_whoever_was_removed_meanwhile_is_refused(processes: list[Logs]) -> None:
    ann, bob = ids.user(), ids.user()
    here = await made(processes[0], ann, bob)
    there = await processes[1].get(here.conversation_id)
    await say(there, bob, "still in")
    gone = Draft(MemberRemoved, ann, {"user_id": bob, "role": MemberRole.OWNER})
    await here.append("removal", lambda _: gone, base=1, concerns=())

    with pytest.raises(NotFound):
        await say(there, bob, "too late")

    assert [entry.kind for entry in await stored(processes[0], here)] == ["created", "sent", "member_removed"]


async def test_all_of_a_batch_hear_that_they_are_refused_after_a_lost_race(processes: list[Logs]) -> None:
    ann, bob = ids.user(), ids.user()
    here = await made(processes[0], ann, bob)
    there = await processes[1].get(here.conversation_id)
    assert await there.member(bob) is not None
    gone = Draft(MemberRemoved, ann, {"user_id": bob, "role": MemberRole.OWNER})
    await here.append("removal", lambda _: gone, base=1, concerns=())

    outcomes = await asyncio.gather(*(say(there, bob, f"{number}") for number in range(5)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {NotFound}


async def test_an_entry_that_overtook_others_waits_for_them(processes: list[Logs]) -> None:
    ann = ids.user()
    here = await made(processes[0], ann)
    there = await processes[1].get(here.conversation_id)
    entries = [await say(here, ann, f"{number}") for number in range(3)]

    there.see([entries[2], entries[1]])
    assert there.sequence == 1
    there.see([entries[0], entries[0]])

    assert there.sequence == 4
    assert await there.entries(1, 10) == entries


async def test_a_hole_that_nobody_fills_is_read_from_mongodb(processes: list[Logs]) -> None:
    ann = ids.user()
    here = await made(processes[0], ann)
    there = await processes[1].get(here.conversation_id)
    seen = asyncio.Event()
    there.watchers[seen.set] += 1
    entries = [await say(here, ann, f"{number}") for number in range(3)]

    there.see([entries[2]])
    async with asyncio.timeout(5):
        await seen.wait()

    assert there.sequence == 4


async def test_the_documents_of_a_writer_that_died_are_mended(processes: list[Logs], mongo_database: Database) -> None:
    ann, bob = ids.user(), ids.user()
    conversation = await made(processes[0], ann)
    await die_after(Draft(MemberAdded, ann, {"user_id": bob, "role": MemberRole.MEMBER}), conversation, mongo_database)

    there = await processes[1].get(conversation.conversation_id)

    assert there.state.conversation is not None
    assert there.state.conversation.member_count == 2
    inbox = await mongo_database["inbox"].find_one({"_id": f"{bob}:{conversation.conversation_id}"})
    assert inbox is not None
    assert inbox["active"]
    assert (await say(there, bob, "hello")).sequence == 3


async def test_a_refusal_rests_on_what_the_log_was_at_one_place(processes: list[Logs]) -> None:
    ann, bob = ids.user(), ids.user()
    here = await made(processes[0], ann)
    await here.append("add", addition(ann, bob), base=1, concerns=(ann, bob))
    there = await processes[1].get(here.conversation_id)
    # Bob's membership shows that he is an owner before the other process has seen that there are two.
    await here.append("role", role_change(ann, bob, MemberRole.OWNER), base=2, concerns=(ann, bob))
    assert there.sequence == 2

    left = await there.append("leave", departure(bob), base=2, concerns=(bob,))

    assert left.sequence == 4


async def test_a_message_is_shown_with_no_change_that_was_not_seen(processes: list[Logs]) -> None:
    ann = ids.user()
    here = await made(processes[0], ann)
    await say(here, ann, "first")
    there = await processes[1].get(here.conversation_id)
    await here.append("react", reacting(ann, 2, "👍"), base=2, concerns=(ann,), messages=(2,))
    assert there.sequence == 2

    message = (await there.messages([2]))[2]

    assert (message.state.applied, there.sequence) == (3, 3)


async def test_who_was_removed_is_out_everywhere_where_the_documents_could_not_be_written(
    processes: list[Logs], mongo_database: Database
) -> None:
    ann, bob = ids.user(), ids.user()
    here = await made(processes[0], ann, bob)
    there = await processes[1].get(here.conversation_id)
    await die_after(Draft(MemberRemoved, ann, {"user_id": bob, "role": MemberRole.OWNER}), here, mongo_database)
    await there.catch_up()
    from_redis = Tail(replace(there.state, members={}), [])

    third = Log(here.conversation_id, processes[2], from_redis)

    assert await third.member(bob) is None


async def test_who_is_too_far_behind_has_to_read_again(processes: list[Logs]) -> None:
    ann = ids.user()
    conversation = await made(processes[0], ann)
    gate = asyncio.Semaphore(append.WAITING // 2)

    async def say_in_turn(number: int) -> None:
        async with gate:
            await say(conversation, ann, f"{number}")

    await asyncio.gather(*(say_in_turn(number) for number in range(FARTHEST + 1)))
    streams = Streams(feeds=None, epoch=1)  # type: ignore[arg-type]  # where to begin needs no feed

    async def start(sequence: int) -> Any:
        place = Position(conversation.conversation_id, 1, sequence)
        return await streams.start(ConversationStream(ann, conversation.conversation_id, place), conversation, 0.0)

    served, refused = await start(2), await start(1)

    assert (served.sequence, served.notice) == (2, None)
    assert refused.notice.reason is ResyncReason.TOO_FAR_BEHIND
    assert refused.sequence == refused.notice.sequence == FARTHEST + 2


async def test_the_two_of_a_direct_conversation_are_known_where_its_document_lacks_them(
    processes: list[Logs], mongo_database: Database
) -> None:
    ann, bob = ids.user(), ids.user()
    made_id = (await made(processes[0], ann, bob, kind=ConversationKind.DIRECT)).conversation_id
    await mongo_database["conversations"].update_one({"_id": made_id}, {"$unset": {"pair": ""}})

    found = await processes[1].get(made_id)

    assert found.state.conversation is not None
    assert found.state.conversation.pair == [ann, bob]
