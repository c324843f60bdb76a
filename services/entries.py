"""Entries of a conversation's log: frozen facts, in order, without holes; how they are stored and sent.

An entry's `_id` is `<conversation>:<sequence>`, so a page of the log is one range of ids. Each entry names in `control`
the newest entry before it that changed who may do what: following these links from the head gives a conversation's
state without reading what was said in between.

The document of a sent message has, beside the message as it was sent, a `state`: what later entries have made of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, override

import bson

from services import ids
from services.message_state import Attachment, MessageState
from services.origins import Headers
from services.tracing import TRACEPARENT

DIGITS = 12
MAX_SEQUENCE = 10**DIGITS - 1


class ConversationKind(StrEnum):
    DIRECT = "DIRECT"
    GROUP = "GROUP"
    CHANNEL = "CHANNEL"


class MemberRole(StrEnum):
    OWNER = "OWNER"
    MODERATOR = "MODERATOR"
    MEMBER = "MEMBER"


def entry_id(conversation_id: str, sequence: int) -> str:
    """Return the `_id` of a place in a log; the order of these strings is the order of the log."""
    return f"{conversation_id}:{sequence:0{DIGITS}d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One fact of a conversation."""

    kind: ClassVar[str]
    is_control: ClassVar[bool] = False  # whether it changes who may do what

    conversation_id: str
    sequence: int
    key: str  # who made it and under which id of theirs: equal keys are the same fact
    actor_id: str
    at: datetime
    control: int  # sequence of the newest control entry before this one, 0 where there is none
    # Of the request that made it, in the process that appended it; not part of the fact, and not stored.
    origin: Headers = field(default=(), compare=False, repr=False)

    def payload(self) -> dict[str, Any]:
        """Return what is special to this kind, as it is stored."""
        raise NotImplementedError

    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments that are special to this kind."""
        raise NotImplementedError

    @property
    def newest_control(self) -> int:
        """The sequence of the newest control entry up to and including this one."""
        return self.sequence if self.is_control else self.control


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationCreated(Entry):
    """Slot 1 of every log: the kind, the title and the first members."""

    kind = "created"
    is_control = True

    conversation_kind: ConversationKind
    title: str | None
    roles: tuple[tuple[str, MemberRole], ...]  # the first members' ids and roles, the creator first

    @override
    def payload(self) -> dict[str, Any]:
        roles = [[user_id, role.value] for user_id, role in self.roles]
        return {"conversationKind": self.conversation_kind.value, "title": self.title, "roles": roles}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {
            "conversation_kind": ConversationKind(document["conversationKind"]),
            "title": document["title"],
            "roles": tuple((user_id, MemberRole(role)) for user_id, role in document["roles"]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSent(Entry):
    """A message as it was sent, and what has become of it as far as that is known."""

    kind = "sent"

    body: str | None  # None once deleted
    client_message_id: str
    reply_to: int | None = None  # sequence of the quoted message; None where nothing is quoted
    mentions: tuple[str, ...] = ()  # ids of users, in the order of their names in the body; none once deleted
    attachments: tuple[Attachment, ...] = ()  # none once deleted
    state: MessageState = field(default_factory=MessageState)  # not part of the fact: later entries replace it

    @property
    def message_id(self) -> str:
        """The message's global id; it names this place in the log."""
        return ids.message(self.conversation_id, self.sequence)

    @property
    def current_body(self) -> str | None:
        """The body after the newest edit; None once deleted."""
        return self.state.body if self.state.newest_edit else self.body

    @property
    def current_mentions(self) -> tuple[str, ...]:
        """The mentions in that body."""
        return self.state.mentions if self.state.newest_edit else self.mentions

    @override
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {"body": self.body, "clientMessageId": self.client_message_id}
        # What most messages lack takes no room in them.
        if self.reply_to is not None:
            payload["replyTo"] = self.reply_to
        if self.mentions:
            payload["mentions"] = list(self.mentions)
        if self.attachments:
            payload["attachments"] = [attachment.to_document() for attachment in self.attachments]
        if self.state.applied:
            payload["state"] = self.state.to_document()
        return payload

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        state = document.get("state")
        return {
            "body": document["body"],
            "client_message_id": document["clientMessageId"],
            "reply_to": document.get("replyTo"),
            "mentions": tuple(document.get("mentions", ())),
            "attachments": tuple(map(Attachment.from_document, document.get("attachments", ()))),
            "state": MessageState.from_document(state) if state else MessageState(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChange(Entry):
    """An entry that changes a message of the same log; also what decides about the next change, so a control entry."""

    is_control = True

    message: int  # the message's sequence

    @property
    def message_id(self) -> str:
        """The changed message's global id."""
        return ids.message(self.conversation_id, self.message)

    def applied_to(self, sent: MessageSent) -> MessageSent:
        """Return the message after this entry; one that has it already is returned as it is."""
        if sent.state.applied >= self.sequence:
            return sent
        changed = self._changed(sent)
        return replace(changed, state=replace(changed.state, applied=self.sequence))

    def _changed(self, sent: MessageSent) -> MessageSent:
        raise NotImplementedError

    @override
    def payload(self) -> dict[str, Any]:
        return {"message": self.message}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {"message": document["message"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited(MessageChange):
    kind = "edited"

    body: str | None  # None once the message was deleted
    mentions: tuple[str, ...]  # none once it was deleted
    version: int
    previous_edit: int  # sequence of the edit before this one, 0 where there is none

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        state = replace(
            sent.state,
            body=self.body,
            mentions=self.mentions,
            version=self.version,
            newest_edit=self.sequence,
            edited_at=self.at,
        )
        return replace(sent, state=state)

    @override
    def payload(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "body": self.body,
            "mentions": list(self.mentions),
            "version": self.version,
            "previousEdit": self.previous_edit,
        }

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {
            "message": document["message"],
            "body": document["body"],
            "mentions": tuple(document["mentions"]),
            "version": document["version"],
            "previous_edit": document["previousEdit"],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted(MessageChange):
    """A message became a tombstone; it is no longer pinned, and nobody's reaction is left on it."""

    kind = "deleted"

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        state = replace(sent.state, body=None, mentions=(), reactions=(), deleted_at=self.at, pinned_at=None)
        return replace(sent, body=None, mentions=(), attachments=(), state=state)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePinned(MessageChange):
    kind = "pinned"

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        return replace(sent, state=replace(sent.state, pinned_at=self.at))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUnpinned(MessageChange):
    kind = "unpinned"

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        return replace(sent, state=replace(sent.state, pinned_at=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionChange(MessageChange):
    """The actor's reaction with one emoji came or went."""

    emoji: str

    @override
    def payload(self) -> dict[str, Any]:
        return {"message": self.message, "emoji": self.emoji}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {"message": document["message"], "emoji": document["emoji"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionAdded(ReactionChange):
    kind = "reaction_added"

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        who = (*sent.state.reacted(self.emoji), self.actor_id)
        return replace(sent, state=sent.state.with_reaction(self.emoji, who))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRemoved(ReactionChange):
    kind = "reaction_removed"

    @override
    def _changed(self, sent: MessageSent) -> MessageSent:
        who = tuple(user_id for user_id in sent.state.reacted(self.emoji) if user_id != self.actor_id)
        return replace(sent, state=sent.state.with_reaction(self.emoji, who))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAdded(Entry):
    kind = "member_added"
    is_control = True

    user_id: str
    role: MemberRole

    @override
    def payload(self) -> dict[str, Any]:
        return {"user": self.user_id, "role": self.role.value}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": document["user"], "role": MemberRole(document["role"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRemoved(Entry):
    """Somebody was removed, or left when the actor is the member."""

    kind = "member_removed"
    is_control = True

    user_id: str
    role: MemberRole  # the one that the member had

    @override
    def payload(self) -> dict[str, Any]:
        return {"user": self.user_id, "role": self.role.value}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": document["user"], "role": MemberRole(document["role"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoleChanged(Entry):
    """A member got another role; with all that makes up the membership, so that nobody has to know it from before."""

    kind = "member_role_changed"
    is_control = True

    user_id: str
    role: MemberRole
    previous_role: MemberRole
    joined_sequence: int
    joined_at: datetime

    @override
    def payload(self) -> dict[str, Any]:
        return {
            "user": self.user_id,
            "role": self.role.value,
            "previousRole": self.previous_role.value,
            "joinedSequence": self.joined_sequence,
            "joinedAt": self.joined_at,
        }

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {
            "user_id": document["user"],
            "role": MemberRole(document["role"]),
            "previous_role": MemberRole(document["previousRole"]),
            "joined_sequence": document["joinedSequence"],
            "joined_at": document["joinedAt"],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChanged(Entry):
    """The title or whether it is archived changed; both as they are then."""

    kind = "changed"
    is_control = True

    title: str | None
    archived: bool

    @override
    def payload(self) -> dict[str, Any]:
        return {"title": self.title, "archived": self.archived}

    @override
    @classmethod
    def fields(cls, document: dict[str, Any]) -> dict[str, Any]:
        return {"title": document["title"], "archived": document["archived"]}


_TYPES: dict[str, type[Entry]] = {
    type_.kind: type_
    for type_ in (
        ConversationCreated,
        MessageSent,
        MessageEdited,
        MessageDeleted,
        MessagePinned,
        MessageUnpinned,
        ReactionAdded,
        ReactionRemoved,
        MemberAdded,
        MemberRemoved,
        MemberRoleChanged,
        ConversationChanged,
    )
}


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that has been decided on but has no place in the log yet."""

    type: type[Entry]
    actor_id: str
    fields: dict[str, Any]

    def placed(
        self, conversation_id: str, sequence: int, *, key: str, at: datetime, control: int, origin: Headers = ()
    ) -> Entry:
        """Return the entry for that place."""
        return self.type(
            conversation_id=conversation_id,
            sequence=sequence,
            key=key,
            actor_id=self.actor_id,
            at=at,
            control=control,
            origin=origin,
            **self.fields,
        )


def to_document(entry: Entry) -> dict[str, Any]:
    """Return the entry as it is stored in MongoDB."""
    return {
        "_id": entry_id(entry.conversation_id, entry.sequence),
        "kind": entry.kind,
        "key": entry.key,
        "actor": entry.actor_id,
        "at": entry.at,
        "control": entry.control,
        **entry.payload(),
    }


def from_document(document: dict[str, Any]) -> Entry:
    """Return the entry of a stored document."""
    type_ = _TYPES[document["kind"]]
    conversation_id, _, sequence = document["_id"].partition(":")
    return type_(
        conversation_id=conversation_id,
        sequence=int(sequence),
        key=document["key"],
        actor_id=document["actor"],
        at=document["at"],
        control=document["control"],
        origin=((TRACEPARENT, document["trace"].encode()),) if "trace" in document else (),
        **type_.fields(document),
    )


def to_bytes(entries: Sequence[Entry]) -> bytes:
    """Return a run of entries as one message between processes."""
    return bson.encode({"entries": [to_document(entry) | _trace_of(entry) for entry in entries]})


def _trace_of(entry: Entry) -> dict[str, str]:
    """Return what other processes need to go on with the trace that an entry is of; nothing where it is of none."""
    trace = dict(entry.origin).get(TRACEPARENT)
    return {} if trace is None else {"trace": trace.decode()}


def entries_in(message: dict[str, Any]) -> list[Entry]:
    """Return the run of entries that a decoded message between processes has; none in one about something else."""
    return [from_document(document) for document in message.get("entries", ())]
