"""Entries about messages: what was said, and what later entries make of it.

The document of a sent message has, beside the message as it was sent, a `state`: what later entries have made of it.
"""

from dataclasses import dataclass, field, replace
from typing import Any, override

from services import ids
from services.entry import Entry
from services.message_state import Attachment, MessageState


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
