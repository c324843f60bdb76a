"""Entries of a conversation's log: frozen facts, in order, without holes; how they are stored and sent.

Those about the conversation and who is in it are here, those about messages in `services/message_entries.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, override

import bson

from services.entry import Entry, entry_id
from services.message_entries import (
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageSent,
    MessageUnpinned,
    ReactionAdded,
    ReactionRemoved,
)


class ConversationKind(StrEnum):
    DIRECT = "DIRECT"
    GROUP = "GROUP"
    CHANNEL = "CHANNEL"


class MemberRole(StrEnum):
    OWNER = "OWNER"
    MODERATOR = "MODERATOR"
    MEMBER = "MEMBER"


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

    def placed(self, conversation_id: str, sequence: int, *, key: str, at: datetime, control: int) -> Entry:
        """Return the entry for that place."""
        return self.type(
            conversation_id=conversation_id,
            sequence=sequence,
            key=key,
            actor_id=self.actor_id,
            at=at,
            control=control,
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
        **type_.fields(document),
    )


def to_bytes(entries: Sequence[Entry]) -> bytes:
    """Return a run of entries as one message between processes."""
    return bson.encode({"entries": [to_document(entry) for entry in entries]})


def entries_in(message: dict[str, Any]) -> list[Entry]:
    """Return the run of entries that a decoded message between processes has; none in one about something else."""
    return [from_document(document) for document in message.get("entries", ())]
