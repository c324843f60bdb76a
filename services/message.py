"""A message as it is shown: now, as it was sent, or as one edit left it."""

from dataclasses import dataclass, replace
from datetime import datetime

from services.message_entries import MessageEdited, MessageSent
from services.message_state import Attachment, Reaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it is shown."""

    id: str
    conversation_id: str
    sequence: int
    sender_id: str
    body: str | None  # None once deleted
    client_message_id: str
    reply_to: int | None  # sequence of the quoted message; None where nothing is quoted
    attachments: tuple[Attachment, ...]
    mentions: tuple[str, ...]  # ids of users
    reactions: tuple[Reaction, ...]
    version: int
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    pinned_at: datetime | None  # None while it is not pinned


def message_of(sent: MessageSent) -> Message:
    """Return the message as it is now."""
    return Message(
        id=sent.message_id,
        conversation_id=sent.conversation_id,
        sequence=sent.sequence,
        sender_id=sent.actor_id,
        body=sent.current_body,
        client_message_id=sent.client_message_id,
        reply_to=sent.reply_to,
        attachments=sent.attachments,
        mentions=sent.current_mentions,
        reactions=sent.state.reactions,
        version=sent.state.version,
        created_at=sent.at,
        edited_at=sent.state.edited_at,
        deleted_at=sent.state.deleted_at,
        pinned_at=sent.state.pinned_at,
    )


def message_as_sent(sent: MessageSent) -> Message:
    """Return the message with the words that it was sent with, unless it is deleted; the rest is of now."""
    return replace(message_of(sent), body=sent.body, mentions=sent.mentions, version=1, edited_at=None)


def message_as_edited(message: Message, edit: MessageEdited) -> Message:
    """Return the message with the words of one edit, unless it is deleted; the rest is of now."""
    if message.deleted_at is not None:
        return replace(message, version=edit.version, edited_at=edit.at)
    return replace(message, body=edit.body, mentions=edit.mentions, version=edit.version, edited_at=edit.at)
