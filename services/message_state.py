"""What a message has besides its text, and what later entries make of it: frozen values, and how they are stored."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file kept elsewhere."""

    name: str
    url: str
    media_type: str
    size_bytes: int

    def to_document(self) -> list[Any]:
        """Return the attachment as it is stored."""
        return [self.name, self.url, self.media_type, self.size_bytes]

    @classmethod
    def from_document(cls, document: list[Any]) -> "Attachment":
        """Return the attachment of a stored one."""
        name, url, media_type, size_bytes = document
        return cls(name=name, url=url, media_type=media_type, size_bytes=size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """One emoji on a message, and who reacted with it, the first one first."""

    emoji: str
    user_ids: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many reacted with it."""
        return len(self.user_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageState:
    """What the entries up to `applied` have made of a message since it was sent."""

    applied: int = 0  # sequence of the newest change, 0 for a message as it was sent
    version: int = 1
    newest_edit: int = 0  # sequence of the newest edit, 0 while there is none
    body: str | None = None  # of the newest edit; None while there is none, and once deleted
    mentions: tuple[str, ...] = ()  # of the newest edit
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    pinned_at: datetime | None = None  # None while it is not pinned
    reactions: tuple[Reaction, ...] = ()

    def reacted(self, emoji: str) -> tuple[str, ...]:
        """Return who reacted with this emoji."""
        return next((reaction.user_ids for reaction in self.reactions if reaction.emoji == emoji), ())

    def with_reaction(self, emoji: str, user_ids: tuple[str, ...]) -> "MessageState":
        """Return the state with these reactions of one emoji; its place stays, a new emoji is the last one."""
        reactions = {reaction.emoji: reaction for reaction in self.reactions}
        reactions[emoji] = Reaction(emoji=emoji, user_ids=user_ids)
        return replace(self, reactions=tuple(reaction for reaction in reactions.values() if reaction.user_ids))

    def to_document(self) -> dict[str, Any]:
        """Return the state as it is stored."""
        return {
            "applied": self.applied,
            "version": self.version,
            "newestEdit": self.newest_edit,
            "body": self.body,
            "mentions": list(self.mentions),
            "editedAt": self.edited_at,
            "deletedAt": self.deleted_at,
            "pinnedAt": self.pinned_at,
            "reactions": [[reaction.emoji, list(reaction.user_ids)] for reaction in self.reactions],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "MessageState":
        """Return the state of a stored one."""
        return cls(
            applied=document["applied"],
            version=document["version"],
            newest_edit=document["newestEdit"],
            body=document["body"],
            mentions=tuple(document["mentions"]),
            edited_at=document["editedAt"],
            deleted_at=document["deletedAt"],
            pinned_at=document["pinnedAt"],
            reactions=tuple(
                Reaction(emoji=emoji, user_ids=tuple(user_ids)) for emoji, user_ids in document["reactions"]
            ),
        )
