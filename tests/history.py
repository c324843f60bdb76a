"""A conversation with a long past, put into the store at once: entries as the product makes them, with their documents.

What each message must look like is kept beside, told in the plainest way, so that whoever reads it through the API has
something to compare with. The records of sends are left out: nobody sends these messages again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import batched
from pathlib import Path
from typing import Any

from services import ids
from services.clock import now
from services.config import Settings
from services.entries import (
    ConversationCreated,
    ConversationKind,
    Draft,
    Entry,
    MemberAdded,
    MemberRole,
    MessageChange,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageSent,
    ReactionAdded,
    ReactionRemoved,
)
from services.entry_store import EntryStore
from services.mongo import Database
from services.outbox import Published
from services.positions import Position
from services.state import State, inbox_id, joined
from tests.stack_process import StackProcess

BATCH = 500  # entries in one insert
CHANGED = 0.3  # changes for each message
RECENT = 30  # most changes are of one of so many newest messages
LATE = 0.1  # but for this part, which are of any
PINS = 20
EMOJI = ("👍", "🎉", "😀")
CROWD_EMOJI = "🚀"


@dataclass(slots=True)
class Said:
    """A message as it must be shown."""

    sequence: int
    sender_id: str
    body: str | None
    version: int = 1
    reactions: dict[str, list[str]] = field(default_factory=dict)  # who reacted, by emoji, the first one first
    pinned: bool = False
    first_body: str | None = None  # as it was sent; None once deleted

    @property
    def shown(self) -> dict[str, Any]:
        """What the API says of it."""
        return {
            "sequence": self.sequence,
            "body": self.body,
            "version": self.version,
            "sender": {"id": self.sender_id},
            "reactions": [{"emoji": emoji, "count": len(who)} for emoji, who in self.reactions.items() if who],
        }


@dataclass(frozen=True, slots=True)
class History:
    """The conversation that was made."""

    conversation_id: str
    epoch: int
    head: int
    messages: Sequence[Said]  # in the order of the log
    joined: dict[str, int]  # the entry of joining, by user
    pinned: Sequence[int]  # sequences, the newest pin first
    crowd: int  # the message that many changes in a row follow at once

    def visible(self, user_id: str) -> list[Said]:
        """Return what somebody may read."""
        return [said for said in self.messages if said.sequence >= self.joined[user_id]]

    def cursor(self, sequence: int) -> str:
        """Return the cursor of a place."""
        return Position(self.conversation_id, self.epoch, sequence).cursor()

    def message_id(self, sequence: int) -> str:
        return ids.message(self.conversation_id, sequence)

    def unread_after(self, user_id: str, sequence: int) -> int:
        """Return how many messages above a place are somebody else's and not deleted."""
        return sum(
            said.sequence > sequence and said.sender_id != user_id and said.body is not None for said in self.messages
        )

    def place_before(self, user_id: str, unread: int) -> int:
        """Return up to where somebody has read who has so many unread messages."""
        left, place = unread, self.head
        for said in reversed(self.messages):
            if not left:
                break
            if said.sender_id != user_id and said.body is not None:
                left, place = left - 1, said.sequence - 1
        assert not left, "there are not that many"
        return place


class _Writer:
    """Makes up the log, and keeps what it comes to."""

    def __init__(self, user_ids: Sequence[str], seed: int) -> None:
        self.conversation_id = ids.new_id("cnv")
        self.owner_id = user_ids[0]
        self.entries: list[Entry] = []
        self.sent: dict[int, MessageSent] = {}  # as changed, by sequence
        self.said: dict[int, Said] = {}
        self.order: list[int] = []  # of the messages
        self.joined: dict[str, int] = {}
        self.pinned: list[int] = []
        self.state = State()
        self._edits: dict[int, list[int]] = {}  # by message
        self._random = random.Random(seed)
        self._people = list(user_ids)
        self._began = now() - timedelta(days=30)

    def append(self, type_: type[Entry], actor_id: str, **fields: object) -> Entry:
        sequence = len(self.entries) + 1
        entry = Draft(type_, actor_id, fields).placed(
            self.conversation_id,
            sequence,
            key=f"{actor_id}:history-{sequence}",
            at=self._began + timedelta(seconds=sequence),
            control=self.state.control,
        )
        self.entries.append(entry)
        if entry.is_control:
            self.state = self.state.after(entry)
        if isinstance(entry, MessageChange):
            self.sent[entry.message] = entry.applied_to(self.sent[entry.message])
        return entry

    def create(self, others: Sequence[str]) -> None:
        owner_id = self.owner_id
        roles = ((owner_id, MemberRole.OWNER), *((user_id, MemberRole.MEMBER) for user_id in others))
        self.append(
            ConversationCreated, owner_id, conversation_kind=ConversationKind.GROUP, title="Of old", roles=roles
        )
        self.joined = dict.fromkeys((owner_id, *others), 1)

    def add(self, user_id: str) -> None:
        self.joined[user_id] = self.append(MemberAdded, self.owner_id, user_id=user_id, role=MemberRole.MEMBER).sequence
        self._people.append(user_id)

    def send(self, number: int) -> int:
        sender_id = self._random.choice(self._people)
        body = f"message {number} of about a hundred characters {'.' * 60}"
        entry = self.append(MessageSent, sender_id, body=body, client_message_id=f"history-{number}")
        assert isinstance(entry, MessageSent)
        self.sent[entry.sequence] = entry
        self.said[entry.sequence] = Said(entry.sequence, sender_id, body, first_body=body)
        self.order.append(entry.sequence)
        return entry.sequence

    def change(self) -> None:
        """Append some change of some message."""
        late = self._random.random() < LATE
        said = self.said[self._random.choice(self.order if late else self.order[-RECENT:])]
        if said.body is None:
            return
        kind = self._random.choices((self.react, self.edit, self.delete, self.pin), (70, 20, 8, 2))[0]
        kind(said)

    def react(self, said: Said, emoji: str | None = None) -> None:
        """Add somebody's reaction, or take it away."""
        actor_id, emoji = self._random.choice(self._people), emoji or self._random.choice(EMOJI)
        if said.sequence < self.joined[actor_id]:
            return
        who = said.reactions.setdefault(emoji, [])
        if actor_id in who:
            who.remove(actor_id)
            if not who:
                del said.reactions[emoji]  # the next one of it comes last again
            self.append(ReactionRemoved, actor_id, message=said.sequence, emoji=emoji)
        else:
            who.append(actor_id)
            self.append(ReactionAdded, actor_id, message=said.sequence, emoji=emoji)

    def edit(self, said: Said) -> None:
        said.version += 1
        said.body = f"message {said.sequence}, {said.version} {'.' * 80}"
        edits = self._edits.setdefault(said.sequence, [0])
        entry = self.append(
            MessageEdited,
            said.sender_id,
            message=said.sequence,
            body=said.body,
            mentions=(),
            version=said.version,
            previous_edit=edits[-1],
        )
        edits.append(entry.sequence)

    def delete(self, said: Said) -> None:
        self.append(MessageDeleted, said.sender_id, message=said.sequence)
        said.body, said.first_body, said.reactions = None, None, {}
        if said.pinned:
            said.pinned = False
            self.pinned.remove(said.sequence)

    def pin(self, said: Said) -> None:
        if not said.pinned and len(self.pinned) < PINS:
            self.append(MessagePinned, self.owner_id, message=said.sequence)
            said.pinned = True
            self.pinned.append(said.sequence)

    def stored(self) -> list[Entry]:
        """Return the entries as they are after all changes: what a deletion took is gone."""
        gone = {
            edit for sequence, edits in self._edits.items() if self.said[sequence].body is None for edit in edits[1:]
        }
        return [
            self.sent.get(entry.sequence) or (_blank(entry) if entry.sequence in gone else entry)
            for entry in self.entries
        ]


def _blank(entry: Entry) -> Entry:
    assert isinstance(entry, MessageEdited)
    return replace(entry, body=None)


async def make(
    database: Database, user_ids: Sequence[str], *, late_id: str, messages: int, crowd: int, seed: int = 1
) -> History:
    """Store a conversation of so many messages; the first of these users owns it, another one joins in the middle.

    A third of the way through, one message is followed by so many changes of it, one after the other.
    """
    writer = _Writer(user_ids, seed)
    rolls = random.Random(seed)
    writer.create(user_ids[1:])
    crowd_at = 0
    for number in range(messages):
        if number == messages // 2:
            writer.add(late_id)
        sequence = writer.send(number)
        if number == messages // 3:
            crowd_at = sequence
            for _ in range(crowd):
                writer.react(writer.said[sequence], CROWD_EMOJI)
        if rolls.random() < CHANGED:
            writer.change()
    await _store(database, writer)
    epoch = await database["meta"].find_one({"_id": "epoch"})
    assert epoch is not None
    return History(
        conversation_id=writer.conversation_id,
        epoch=int(epoch["value"]),
        head=len(writer.entries),
        messages=list(writer.said.values()),
        joined=writer.joined,
        pinned=writer.pinned[::-1],
        crowd=crowd_at,
    )


async def _store(database: Database, writer: _Writer) -> None:
    """Write the entries, then the documents that follow from them."""
    store, conversation_id = EntryStore(database), writer.conversation_id
    for batch in batched(writer.stored(), BATCH, strict=False):
        await store.insert(batch)
    for user_id, sequence in writer.joined.items():
        entry = writer.entries[sequence - 1]
        role = MemberRole.OWNER if user_id == writer.owner_id else MemberRole.MEMBER
        await database["members"].insert_one(joined(entry, user_id, role).model_dump_doc())
        item = {"conversation": conversation_id, "active": True, "applied": sequence, "at": entry.at}
        await database["inbox"].insert_one({"_id": inbox_id(user_id, conversation_id), **item})
    assert writer.state.conversation is not None
    await database["conversations"].insert_one(writer.state.conversation.model_dump_doc())
    # Kafka is not told of what nobody has done: the relay has nothing to send.
    await Published(database).extend(conversation_id, 1, len(writer.entries))


def database_of(stack: StackProcess) -> Database:
    """Return the database of a running stack."""
    return Database(
        Settings(
            mongo_url=stack.url("mongo"),
            redis_url=stack.url("redis"),
            kafka_url=stack.url("kafka"),
            embedded=True,
            data=Path(stack.directory),
        )
    )
