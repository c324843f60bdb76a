"""Messages on the real store: their rules, and a state that is always the fold of the log, whoever died in between."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, override

import pytest
from pymongo.errors import AutoReconnect, PyMongoError

from services import ids, log
from services.append import Decide
from services.blocks import Blocks
from services.cache import Cache
from services.clock import now
from services.content import MENTIONS, names_in
from services.entries import (
    ConversationCreated,
    ConversationKind,
    Draft,
    Entry,
    MemberRole,
    MessageChange,
    MessageDeleted,
    MessageEdited,
    MessageSent,
    ReactionAdded,
    to_document,
)
from services.entry_store import EntryStore
from services.errors import ChatError, Forbidden, InvalidInput
from services.events import Event
from services.log import Logs
from services.log_cache import LogCache
from services.membership import Unneeded
from services.message_rules import EMOJI, PINS, REACTIONS, deleting, editing, pinning, reacting, unpinning, unreacting
from services.message_state import MessageState, Reaction
from services.messages import Messages, _fingerprint
from services.mongo import Database
from services.paging import Window
from services.senders import Senders
from services.state import Projections, State
from services.users import Users
from tests.services.test_log import Nobody

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANN, BOB = ids.user(), ids.user()
CONVERSATION = ids.new_id("cnv")


@dataclass(frozen=True, slots=True)
class Process:
    """One process's view of everything."""

    logs: Logs
    messages: Messages


class Anybody(Senders):
    """Nobody is barred: these people have no accounts."""

    @override
    async def barred(self, sender_id: str, state: State) -> str | None:
        return None


@pytest.fixture
async def processes(mongo_database: Database, caches: list[Cache]) -> AsyncIterator[list[Process]]:
    """Three processes over one database."""
    async with AsyncExitStack() as stack:
        started: list[Process] = []
        for cache in caches:
            logs = await stack.enter_async_context(Logs(mongo_database, Nobody(), LogCache(cache), ()).running())
            users = Users(mongo_database)
            senders = Anybody(logs, users, Blocks(mongo_database, users))
            started.append(Process(logs, Messages(mongo_database, logs, users, senders, epoch=1)))
        yield started


async def made(process: Process, *members: str) -> str:
    """Return a new conversation of these members."""
    conversation = await process.logs.get(ids.new_id("cnv"))
    roles = tuple((member, MemberRole.OWNER) for member in members)
    fields = {"conversation_kind": ConversationKind.GROUP, "title": None, "roles": roles}
    await conversation.append("create", lambda _: Draft(ConversationCreated, members[0], fields), base=0, concerns=())
    return conversation.conversation_id


async def say(process: Process, conversation_id: str, body: str) -> str:
    """Return the id of a message that Ann has just sent."""
    sent = await process.messages.send(ANN, conversation_id, body=body, client_message_id=ids.new_id("m"))
    return sent.id


async def insert(database: Database, entry: Entry) -> None:
    """Do what a writer does that dies right after it."""
    await database["entries"].insert_one(to_document(entry))


async def document(database: Database, conversation_id: str, sequence: int) -> dict[str, object]:
    found = await database["entries"].find_one({"_id": f"{conversation_id}:{sequence:012d}"})
    assert found is not None
    return found


# ---------------------------------------------------------------- writers that die


async def test_what_a_writer_left_between_entry_and_state_is_shown(
    processes: list[Process], mongo_database: Database
) -> None:
    conversation_id = await made(processes[0], ANN, BOB)
    message = await say(processes[0], conversation_id, "first")
    edit = MessageEdited(
        conversation_id=conversation_id,
        sequence=3,
        key="edit",
        actor_id=ANN,
        at=now(),
        control=1,
        message=2,
        body="second",
        mentions=(),
        version=2,
        previous_edit=0,
    )
    await insert(mongo_database, edit)

    page = await processes[1].messages.page(BOB, conversation_id, Window(10, from_end=False, after=None, before=None))
    known = await processes[0].messages.visible(BOB, message)  # it has the message in memory, without the edit

    assert [(shown.body, shown.version) for _, shown in page.items] == [("second", 2)]
    assert known is not None
    assert known.body == "second"


async def test_the_words_that_a_dead_deleter_left_are_taken_away(
    processes: list[Process], mongo_database: Database
) -> None:
    conversation_id = await made(processes[0], ANN)
    message = await say(processes[0], conversation_id, "secret")
    for number in range(3):
        await processes[0].messages.edit(ANN, message, body=f"secret {number}", expected_version=None)
    deletion = MessageDeleted(
        conversation_id=conversation_id, sequence=6, key="d", actor_id=ANN, at=now(), control=5, message=2
    )
    await insert(mongo_database, deletion)

    await Projections(mongo_database).load(conversation_id)

    for sequence in (2, 3, 4, 5):
        assert "secret" not in str(await document(mongo_database, conversation_id, sequence))
    after = await processes[2].messages.visible(ANN, message)
    assert after is not None
    assert (after.body, after.version, after.deleted_at) == (None, 4, deletion.at)


async def test_a_change_whose_documents_could_not_be_written_is_read_all_the_same(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = await made(processes[0], ANN)
    message = await say(processes[0], conversation_id, "first")
    put_state, failures = EntryStore.put_state, iter([True])

    async def fail_at_first(store: EntryStore, changed: MessageSent) -> None:
        if next(failures, False):
            raise AutoReconnect("no answer")
        await put_state(store, changed)

    monkeypatch.setattr(EntryStore, "put_state", fail_at_first)
    answered = await processes[0].messages.edit(ANN, message, body="second", expected_version=1)
    elsewhere = await processes[1].messages.visible(ANN, message)

    assert answered.body == "second"
    assert elsewhere is not None
    assert elsewhere.body == "second"


@pytest.mark.parametrize("seed", range(12))
async def test_the_stored_state_is_the_fold_of_the_log_whoever_dies(
    seed: int, processes: list[Process], mongo_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = random.Random(seed)  # which interleaving is tried
    monkeypatch.setattr(log, "NEWEST", choice.choice([1, 4, 512]))  # soon nothing of it is in memory
    conversation_id = await made(processes[0], ANN, BOB)
    targets = [await say(processes[0], conversation_id, f"message {number}") for number in range(2)]
    write = Projections.write

    async def write_or_fail(projections: Projections, entry: Entry, state: State) -> None:
        fails = choice.random()
        if fails < 0.25:
            raise AutoReconnect("not written")
        await write(projections, entry, state)
        if fails < 0.5:
            raise AutoReconnect("written, but nobody hears it")

    async def act(process: Process, actor: str) -> None:
        messages, target = process.messages, choice.choice(targets)
        emoji = choice.choice(["👍", "🎉"])
        match choice.randrange(12):
            case 0 | 1:
                await messages.edit(ANN, target, body=f"edit {choice.random()}", expected_version=None)
            case 2 | 3 | 4 | 5:
                await messages.react(actor, target, emoji)
            case 6 | 7:
                await messages.unreact(actor, target, emoji)
            case 8 | 9:
                await messages.pin(actor, target)
            case 10:
                await messages.unpin(actor, target)
            case _:
                await messages.delete(actor, choice.choice(targets[1:]))

    async def live(process: Process) -> None:
        for _ in range(15):
            with suppress(ChatError, PyMongoError):
                await act(process, choice.choice([ANN, BOB]))

    with monkeypatch.context() as failing:
        failing.setattr(Projections, "write", write_or_fail)
        await asyncio.gather(*map(live, processes))
    state = await Projections(mongo_database).load(conversation_id)

    entries = await processes[0].logs.entries.read(conversation_id, after=0, limit=1_000)
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    folded = State()
    for entry in entries:
        folded = folded.after(entry)
    assert folded.conversation is not None
    assert state.conversation is not None
    assert state.conversation.pinned == folded.conversation.pinned
    for sent in entries[1:3]:
        assert isinstance(sent, MessageSent)
        expected = replace(sent, state=MessageState())
        for change in entries:
            if isinstance(change, MessageChange) and change.message == sent.sequence:
                expected = change.applied_to(expected)
        assert sent == expected
        for process in processes:
            shown = await process.messages.visible(ANN, sent.message_id)
            assert shown is not None
            assert (shown.body, shown.reactions) == (sent.current_body, sent.state.reactions)


async def test_a_slow_writer_does_not_undo_what_came_after_it(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = await made(processes[0], ANN, BOB)
    message = await say(processes[0], conversation_id, "hello")
    put_state, held, let_go = EntryStore.put_state, asyncio.Event(), asyncio.Event()

    async def hold_the_first(store: EntryStore, changed: MessageSent) -> None:
        if not held.is_set():
            held.set()
            await let_go.wait()
        await put_state(store, changed)

    monkeypatch.setattr(EntryStore, "put_state", hold_the_first)
    slow = asyncio.create_task(processes[0].messages.react(ANN, message, "👍"))
    await held.wait()
    await processes[1].messages.react(BOB, message, "👍")
    let_go.set()
    await slow

    shown = await processes[2].messages.visible(ANN, message)
    assert shown is not None
    assert shown.reactions == (Reaction(emoji="👍", user_ids=(ANN, BOB)),)


async def test_a_change_that_comes_while_its_message_is_read_is_not_missed(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "NEWEST", 1)
    conversation_id = await made(processes[0], ANN, BOB)
    message = await say(processes[0], conversation_id, "hello")
    here = await processes[1].logs.get(conversation_id)
    read, changed = EntryStore.messages, False

    async def read_and_be_overtaken(store: EntryStore, *arguments: Any) -> dict[int, MessageSent]:
        nonlocal changed
        found = await read(store, *arguments)
        if not changed and store is processes[1].logs.entries:
            changed = True
            await processes[0].messages.react(BOB, message, "👍")
            await here.catch_up()
        return found

    monkeypatch.setattr(EntryStore, "messages", read_and_be_overtaken)
    found = await here.messages([2])

    assert found[2].state.reacted("👍") == (BOB,)


async def test_a_change_that_comes_while_the_log_is_read_back_is_not_missed(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = await made(processes[0], ANN, BOB)
    message = await say(processes[0], conversation_id, "hello")
    here = await processes[1].logs.get(conversation_id)
    read, changed = EntryStore.read, False

    async def read_and_be_overtaken(store: EntryStore, *arguments: Any, **options: Any) -> list[Entry]:
        nonlocal changed
        found = await read(store, *arguments, **options)
        if not changed and store is processes[1].logs.entries:
            changed = True
            await processes[0].messages.react(BOB, message, "👍")
            await here.catch_up()
        return found

    monkeypatch.setattr(EntryStore, "read", read_and_be_overtaken)
    await here.entries(0, 2)
    found = await here.messages([2])

    assert changed
    assert found[2].state.reacted("👍") == (BOB,)


async def test_reactions_to_a_message_that_no_process_has_in_memory_all_survive(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "NEWEST", 1)
    people = [ids.user() for _ in range(8)]
    conversation_id = await made(processes[0], ANN, *people)
    message = await say(processes[0], conversation_id, "old")
    await say(processes[0], conversation_id, "new")

    await asyncio.gather(
        *(processes[number % 3].messages.react(person, message, "👍") for number, person in enumerate(people))
    )

    for process in processes:
        shown = await process.messages.visible(ANN, message)
        assert shown is not None
        assert [sorted(reaction.user_ids) for reaction in shown.reactions] == [sorted(people)]


# ---------------------------------------------------------------- rules


def state(
    *,
    kind: ConversationKind = ConversationKind.GROUP,
    archived: bool = False,
    pinned: int = 0,
    reactions: tuple[Reaction, ...] = (),
) -> State:
    """Return the state of a conversation in which Ann, an owner, has said something and Bob is a member."""
    roles = ((ANN, MemberRole.OWNER), (BOB, MemberRole.MEMBER))
    creation = Draft(ConversationCreated, ANN, {"conversation_kind": kind, "title": None, "roles": roles})
    sending = Draft(MessageSent, ANN, {"body": "hello", "client_message_id": "m"})
    sent = sending.placed(CONVERSATION, 2, key="m", at=AT, control=1)
    assert isinstance(sent, MessageSent)
    after = State().after(creation.placed(CONVERSATION, 1, key="create", at=AT, control=0))
    assert after.conversation is not None
    conversation = after.conversation.model_copy(
        update={"archived_at": AT if archived else None, "pinned": list(range(100, 100 + pinned))}
    )
    return replace(
        after,
        sequence=2,
        conversation=conversation,
        messages={2: replace(sent, state=MessageState(reactions=reactions))},
    )


def outcome(decide: Decide, before: State) -> str | type[ChatError]:
    """Return the kind of entry that a decision makes, or the error that refuses it."""
    try:
        return decide(before).type.kind
    except ChatError as error:
        return type(error)


def test_in_an_archive_words_are_only_taken_back() -> None:
    archive = state(archived=True)

    assert outcome(deleting(ANN, 2), archive) == "deleted"
    for decide in (
        editing(ANN, 2, barred=None, body="x", names=(), expected_version=None),
        reacting(ANN, 2, "👍"),
        unreacting(ANN, 2, "👍"),
        pinning(ANN, 2),
        unpinning(ANN, 2),
    ):
        assert outcome(decide, archive) is Forbidden


def test_pins_of_a_conversation_are_bounded() -> None:
    assert outcome(pinning(ANN, 2), state(pinned=PINS - 1)) == "pinned"
    assert outcome(pinning(ANN, 2), state(pinned=PINS)) is InvalidInput


def test_either_of_two_people_pins_and_in_a_group_its_owners() -> None:
    assert outcome(pinning(BOB, 2), state(kind=ConversationKind.DIRECT)) == "pinned"
    assert outcome(pinning(ANN, 2), state()) == "pinned"
    assert outcome(pinning(BOB, 2), state()) is Forbidden


def test_reactions_of_a_message_are_bounded() -> None:
    many = tuple(Reaction(emoji=f"{number}", user_ids=(BOB,)) for number in range(EMOJI))
    crowd = (Reaction(emoji="👍", user_ids=tuple(f"usr_{number}" for number in range(REACTIONS))),)

    assert outcome(reacting(ANN, 2, "👍"), state(reactions=many[:-1])) == "reaction_added"
    assert outcome(reacting(ANN, 2, "👍"), state(reactions=many)) is InvalidInput
    assert outcome(reacting(ANN, 2, "0"), state(reactions=many)) == "reaction_added"
    assert outcome(reacting(ANN, 2, "👍"), state(reactions=crowd)) is InvalidInput
    assert outcome(unreacting(BOB, 2, "0"), state(reactions=many)) == "reaction_removed"
    assert outcome(reacting(BOB, 2, "0"), state(reactions=many)) is Unneeded


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("@ada", [("ada",)]),
        ("hi @Ada.", [("ada.", "ada")]),
        ("@ada.lovelace, @ada; @ada!", [("ada.lovelace",), ("ada",)]),
        ("me@ada.org @@ada @a @ada@bob", []),
        (f"@{'x' * 33}", []),
        ("(@ada)\n@bob…", [("ada",), ("bob",)]),
    ],
)
def test_names_are_what_follows_an_at_sign(body: str, names: list[tuple[str, ...]]) -> None:
    assert names_in(body) == names


def test_at_most_fifty_names_of_a_body_are_looked_at() -> None:
    assert len(names_in(" ".join(f"@user{number}" for number in range(3_000)))) == MENTIONS


def test_the_fingerprint_of_a_plain_body_is_what_it_always_was() -> None:
    assert _fingerprint("hello", None, ()) == hashlib.sha256(b"hello").digest()
    assert _fingerprint("hello", "msg_1", ()) != _fingerprint("hello", None, ())


def test_an_event_names_the_changed_message_and_no_words() -> None:
    entry = ReactionAdded(
        conversation_id=CONVERSATION, sequence=3, key="k", actor_id=BOB, at=AT, control=1, message=2, emoji="👍"
    )

    event = Event.of(entry)

    assert (event.kind, event.message) == ("reaction_added", 2)
    assert Event.from_bytes(event.to_bytes()) == event
    assert b"emoji" not in event.to_bytes()
