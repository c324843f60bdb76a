"""What a prefix of a conversation's log amounts to: its metadata, who is in it, what its messages have become.

It is kept in documents: `conversations`, `members`, `inbox` and the `state` of sent messages are projections. Each
says in `applied` up to which control entry it is right; what is missing is read from the log through the entries'
`control` links. So a writer that died between its entry and its projections leaves nothing wrong, only something to be
caught up with.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.entries import (
    ConversationChanged,
    ConversationCreated,
    ConversationKind,
    Entry,
    MemberAdded,
    MemberRemoved,
    MemberRole,
    MemberRoleChanged,
    MessageChange,
    MessageDeleted,
    MessagePinned,
    MessageSent,
    MessageUnpinned,
)
from services.entry_store import EntryStore
from services.mongo import DUPLICATE_KEY, Collection, Database, Document, parsed


class Conversation(Model):
    """A conversation's metadata after the control entry `applied`."""

    id: str = Field(primary_field=True)
    kind: ConversationKind
    title: str | None
    pair: list[str] | None = None  # the two users of a DIRECT conversation, who never change; None for other kinds
    created_at: datetime = Field(key_name="createdAt")
    archived_at: datetime | None = Field(default=None, key_name="archivedAt")
    member_count: int = Field(key_name="memberCount")
    owner_count: int = Field(key_name="ownerCount")
    pinned: list[int] = Field(default_factory=list)  # sequences of the pinned messages, the newest pin last
    applied: int

    model_config = ODMConfigDict(collection="conversations")


class Member(Model):
    """One user's membership; it stays, inactive, after the user has gone, so that nothing older can bring it back."""

    id: str = Field(primary_field=True)
    conversation_id: str = Field(key_name="conversation")
    user_id: str = Field(key_name="user")
    role: MemberRole
    active: bool
    joined_sequence: int = Field(key_name="joinedSequence")
    joined_at: datetime = Field(key_name="joinedAt")
    applied: int

    model_config = ODMConfigDict(collection="members")


def member_id(conversation_id: str, user_id: str) -> str:
    """Return the `_id` of a membership; the members of one conversation are one range."""
    return f"{conversation_id}:{user_id}"


def inbox_id(user_id: str, conversation_id: str) -> str:
    """Return the `_id` of an inbox item; the conversations of one user are one range."""
    return f"{user_id}:{conversation_id}"


@dataclass(frozen=True, slots=True)
class State:
    """A conversation at exactly `sequence`: the fold of its log's prefix.

    `members` holds the memberships that somebody asked for; None stands for a user who is not in. `messages` holds the
    messages that somebody asked for, by sequence.
    """

    sequence: int = 0
    control: int = 0  # sequence of the newest control entry
    conversation: Conversation | None = None  # None before slot 1
    members: Mapping[str, Member | None] = field(default_factory=dict)
    messages: Mapping[int, MessageSent] = field(default_factory=dict)

    def after(self, entry: Entry) -> "State":
        """Return the state one entry later."""
        if not entry.is_control:
            return replace(self, sequence=entry.sequence)
        return State(
            sequence=entry.sequence,
            control=entry.sequence,
            conversation=self._conversation_after(entry),
            members={**self.members, **self._members_after(entry)},
            messages=self._messages_after(entry),
        )

    def with_members(self, members: Mapping[str, Member | None]) -> "State":
        """Return the state with these memberships known as well; what the log already said stands."""
        return replace(self, members={**members, **self.members})

    def _conversation_after(self, entry: Entry) -> Conversation:
        if isinstance(entry, ConversationCreated):
            return Conversation(
                id=entry.conversation_id,
                kind=entry.conversation_kind,
                title=entry.title,
                pair=_pair(entry),
                created_at=entry.at,
                member_count=len(entry.roles),
                owner_count=sum(role is MemberRole.OWNER for _, role in entry.roles),
                applied=entry.sequence,
            )
        assert self.conversation is not None  # slot 1 came first
        change: dict[str, object] = {"applied": entry.sequence}
        match entry:
            case MemberAdded():
                change["member_count"] = self.conversation.member_count + 1
                change["owner_count"] = self.conversation.owner_count + (entry.role is MemberRole.OWNER)
            case MemberRemoved():
                change["member_count"] = self.conversation.member_count - 1
                change["owner_count"] = self.conversation.owner_count - (entry.role is MemberRole.OWNER)
            case MemberRoleChanged():
                gained = (entry.role is MemberRole.OWNER) - (entry.previous_role is MemberRole.OWNER)
                change["owner_count"] = self.conversation.owner_count + gained
            case ConversationChanged():
                change["title"] = entry.title
                change["archived_at"] = (self.conversation.archived_at or entry.at) if entry.archived else None
            case MessagePinned():
                change["pinned"] = [*self.conversation.pinned, entry.message]
            case MessageUnpinned() | MessageDeleted():
                change["pinned"] = [sequence for sequence in self.conversation.pinned if sequence != entry.message]
        return self.conversation.model_copy(update=change)

    def _members_after(self, entry: Entry) -> dict[str, Member | None]:
        match entry:
            case ConversationCreated() | MemberAdded():
                return {member.user_id: member for member in _joining(entry)}
            case MemberRoleChanged():
                return {entry.user_id: with_role(entry)}
            case MemberRemoved():
                return {entry.user_id: None}
        return {}

    def _messages_after(self, entry: Entry) -> Mapping[int, MessageSent]:
        if isinstance(entry, MessageChange) and entry.message in self.messages:
            return {**self.messages, entry.message: entry.applied_to(self.messages[entry.message])}
        return self.messages


def joined(entry: Entry, user_id: str, role: MemberRole) -> Member:
    """Return the membership that begins with an entry."""
    return Member(
        id=member_id(entry.conversation_id, user_id),
        conversation_id=entry.conversation_id,
        user_id=user_id,
        role=role,
        active=True,
        joined_sequence=entry.sequence,
        joined_at=entry.at,
        applied=entry.sequence,
    )


def with_role(entry: MemberRoleChanged) -> Member:
    """Return the membership that an entry gave another role."""
    return Member(
        id=member_id(entry.conversation_id, entry.user_id),
        conversation_id=entry.conversation_id,
        user_id=entry.user_id,
        role=entry.role,
        active=True,
        joined_sequence=entry.joined_sequence,
        joined_at=entry.joined_at,
        applied=entry.sequence,
    )


def _joining(entry: ConversationCreated | MemberAdded) -> list[Member]:
    roles = entry.roles if isinstance(entry, ConversationCreated) else ((entry.user_id, entry.role),)
    return [joined(entry, user_id, role) for user_id, role in roles]


class Projections:
    """Reads states from the documents and the log, and writes the documents after the log."""

    def __init__(self, database: Database) -> None:
        self._entries = EntryStore(database)
        self._conversations: Collection = database["conversations"]
        self._members: Collection = database["members"]
        self._inbox: Collection = database["inbox"]

    async def load(self, conversation_id: str) -> State:
        """Return the state at the head of the log, mending the documents where they are behind."""
        # The document first: then the head, read later, cannot be older than what the document has applied.
        conversation = await self._conversation(conversation_id)
        head = await self._entries.head(conversation_id)
        if head is None:
            return State()
        applied = conversation.applied if conversation else 0
        state = State(sequence=applied, control=applied, conversation=conversation)
        for entry in await self._control_entries(conversation_id, after=applied, newest=head.newest_control):
            state = state.after(entry)
            await self.write(entry, state)
        return replace(state, sequence=head.sequence)

    async def members(self, conversation_id: str, user_ids: Iterable[str]) -> tuple[dict[str, Member | None], int]:
        """Return the active memberships of these users, None for whoever is not in; and the newest entry in them."""
        wanted = list(user_ids)
        found = await self._members.find_many([member_id(conversation_id, user_id) for user_id in wanted])
        members = [parsed(Member, found.get(member_id(conversation_id, user_id))) for user_id in wanted]
        active = {
            user_id: member if member and member.active else None
            for user_id, member in zip(wanted, members, strict=True)
        }
        return active, max((member.applied for member in members if member), default=0)

    async def settle(self, conversation_id: str, control: int) -> None:
        """See to it that the documents have applied everything up to a control entry."""
        conversation = await self._conversation(conversation_id)
        if conversation is None or conversation.applied < control:
            await self.load(conversation_id)

    async def write(self, entry: Entry, state: State) -> None:
        """Bring the documents up to a control entry, given the state right after it; repeating it changes nothing."""
        conversation = state.conversation
        assert conversation is not None
        await self._write_members(entry)
        if isinstance(entry, MessageChange):
            await self._write_message(entry, state)
        document = conversation.model_dump_doc()
        if isinstance(entry, ConversationCreated):
            await _insert_missing(self._conversations, [document])
            return
        del document["_id"]
        if await self._conversations.update_one({"_id": conversation.id, "applied": entry.control}, {"$set": document}):
            return
        stored = await self._conversation(conversation.id)
        if stored is None or stored.applied < entry.control:
            # Somebody died between an earlier entry and its documents: those come first.
            await self.load(conversation.id)

    async def _write_members(self, entry: Entry) -> None:
        match entry:
            case ConversationCreated():
                members = [member.model_dump_doc() for member in _joining(entry)]
                await _insert_missing(self._members, members)
                await _insert_missing(
                    self._inbox, [inbox_item(entry, user_id, active=True) for user_id, _ in entry.roles]
                )
            case MemberAdded():
                (member,) = _joining(entry)
                await _put_newer(self._members, member.model_dump_doc())
                await _put_newer(self._inbox, inbox_item(entry, entry.user_id, active=True))
            case MemberRoleChanged():
                await self._change_member(entry, {"role": entry.role.value})
            case MemberRemoved():
                await self._change_member(entry, {"active": False})
                await _put_newer(self._inbox, inbox_item(entry, entry.user_id, active=False))

    async def _change_member(self, entry: MemberRoleChanged | MemberRemoved, change: Document) -> None:
        """Change a stored membership unless a newer entry was applied to it."""
        await self._members.update_one(
            {"_id": member_id(entry.conversation_id, entry.user_id), "applied": {"$lt": entry.sequence}},
            {"$set": {**change, "applied": entry.sequence}},
        )

    async def _write_message(self, entry: MessageChange, state: State) -> None:
        # Whoever decided on the entry knows the message; whoever follows the links reads it, and has then applied all
        # changes before this one. So what is stored is always the fold up to this entry.
        message = state.messages.get(entry.message)
        if message is None:
            message = (await self._entries.messages(entry.conversation_id, [entry.message]))[entry.message]
        message = entry.applied_to(message)
        await self._entries.put_state(message)
        if isinstance(entry, MessageDeleted):
            edit = message.state.newest_edit
            while edit:
                edit = await self._entries.blank_edit(entry.conversation_id, edit)

    async def _conversation(self, conversation_id: str) -> Conversation | None:
        conversation = parsed(Conversation, await self._conversations.find_one({"_id": conversation_id}))
        if conversation is None or conversation.kind is not ConversationKind.DIRECT or conversation.pair is not None:
            return conversation
        # The document is from before pairs were kept, and without one no block would be seen.
        created = await self._entries.at(conversation_id, 1)
        assert isinstance(created, ConversationCreated)  # slot 1 of every log
        return conversation.model_copy(update={"pair": _pair(created)})

    async def _control_entries(self, conversation_id: str, *, after: int, newest: int) -> list[Entry]:
        """Return the control entries above `after`, in order, by their links."""
        entries: list[Entry] = []
        sequence = newest
        while sequence > after:
            entry = await self._entries.at(conversation_id, sequence)
            assert entry is not None  # a link names an entry that was committed before it
            entries.append(entry)
            sequence = entry.control
        return entries[::-1]


def _pair(entry: ConversationCreated) -> list[str] | None:
    if entry.conversation_kind is not ConversationKind.DIRECT:
        return None
    return [user_id for user_id, _ in entry.roles]


def inbox_item(entry: Entry, user_id: str, *, active: bool) -> Document:
    """Return the inbox item after an entry by which a user came or went."""
    return {
        "_id": inbox_id(user_id, entry.conversation_id),
        "conversation": entry.conversation_id,
        "active": active,
        "applied": entry.sequence,
        "at": entry.at,
    }


async def _put_newer(collection: Collection, document: Document) -> None:
    """Store the document unless a newer entry was applied to it."""
    with contextlib.suppress(DuplicateKeyError):  # the stored one is as new: the upsert tried to insert beside it
        await collection.replace_one(
            {"_id": document["_id"], "applied": {"$lt": document["applied"]}}, document, upsert=True
        )


async def _insert_missing(collection: Collection, documents: list[Document]) -> None:
    """Insert the documents that are not there yet."""
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
            raise
