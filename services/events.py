"""Events as Kafka's consumers get them: where an entry stands in which log and what kind it is, never what was said.

An event's id is `<conversation>:<sequence>`. Consumers may get it again, and in any order; whoever needs more than it
has reads the log. Records have the conversation as key, so that one conversation's stay in one partition.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import orjson

from services.entries import ConversationCreated, Entry, MessageChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry of a log, as a fact for others."""

    conversation_id: str
    sequence: int
    kind: str  # as in `services/entries.py`
    actor_id: str
    at: datetime
    user_ids: tuple[str, ...]  # whom it is about besides the actor: members who came, went or changed
    message: int | None = None  # sequence of the message that was changed; None for entries that change none

    @property
    def id(self) -> str:
        """What makes it the same event, however often it comes."""
        return f"{self.conversation_id}:{self.sequence}"

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the event of an entry."""
        if isinstance(entry, ConversationCreated):
            user_ids = tuple(user_id for user_id, _ in entry.roles)
        else:
            user_id = getattr(entry, "user_id", None)
            user_ids = (user_id,) if user_id is not None else ()
        return cls(
            conversation_id=entry.conversation_id,
            sequence=entry.sequence,
            kind=entry.kind,
            actor_id=entry.actor_id,
            at=entry.at,
            user_ids=user_ids,
            message=entry.message if isinstance(entry, MessageChange) else None,
        )

    def to_bytes(self) -> bytes:
        """Return the value of its record: JSON, with a version so that consumers can tell later forms apart."""
        return orjson.dumps(
            {
                "version": 1,
                "id": self.id,
                "conversation": self.conversation_id,
                "sequence": self.sequence,
                "kind": self.kind,
                "actor": self.actor_id,
                "at": self.at,
                "users": self.user_ids,
                "message": self.message,
            },
            option=orjson.OPT_UTC_Z,
        )

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Return the event of a record.

        Raises:
            ValueError: the record is none.
        """
        try:
            content = orjson.loads(value)
            return cls(
                conversation_id=content["conversation"],
                sequence=int(content["sequence"]),
                kind=content["kind"],
                actor_id=content["actor"],
                at=datetime.fromisoformat(content["at"]),
                user_ids=tuple(content["users"]),
                message=content.get("message"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not an event: {error!r}") from error
