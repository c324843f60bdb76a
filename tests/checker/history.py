"""What clients saw, as records of one host's monotonic clock; kept in memory, written and read as JSON lines."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something that happened; `at` is in monotonic nanoseconds."""

    at: int = field(default_factory=time.monotonic_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a conversation's log as it was read."""

    sequence: int
    kind: str
    client_message_id: str | None = None  # None: no message, or not shown to this reader
    body: str | None = None  # None: no body, or changed since
    edits: int | None = None  # the place of the message that this gives another body; None: it is no edit


@dataclass(frozen=True, slots=True, kw_only=True)
class SendInvoked(Record):
    """A send left; the same id comes again when it is retried. Ids are unique in a conversation."""

    client: str
    user: str
    conversation: str
    client_message_id: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAcked(Record):
    """A send was acknowledged."""

    client: str
    conversation: str
    client_message_id: str
    sequence: int
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFailed(Record):
    """A send was refused for certain: this attempt stored nothing."""

    client: str
    conversation: str
    client_message_id: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUnknown(Record):
    """A send ended without an answer that says what became of it."""

    client: str
    conversation: str
    client_message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditInvoked(Record):
    """An edit of the message at `sequence` left; the same again when it is retried."""

    client: str
    conversation: str
    sequence: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditAcked(Record):
    """An edit was acknowledged."""

    client: str
    conversation: str
    sequence: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Record):
    """A request that left at `invoked_at` has ended: done (code None), with an error, or without any answer (`""`)."""

    invoked_at: int
    client: str
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed(Record):
    """A subscriber asked for a conversation's entries above `after`; after a reconnect it is another connection.

    A subscriber is one logical reader of one conversation, which drops what is at or below the newest it has.
    """

    connection: str
    subscriber: str
    client: str
    user: str
    conversation: str
    after: int | None  # None: from now on


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Record):
    """An entry came on a connection."""

    connection: str
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp(Record):
    """A connection was told that everything up to `sequence` was sent."""

    connection: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resynced(Record):
    """A connection was told to read the conversation again; it goes on above `sequence`."""

    connection: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Record):
    """A subscription ended: the server completed it, as after a removal (code None), or it was closed."""

    connection: str
    code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Record):
    """All entries above `after` were asked for at `invoked_at`, and `entries` was the answer.

    `final`: a read of the whole log when nothing moved any more, by somebody who was a member all the time.
    """

    invoked_at: int
    client: str
    user: str
    instance: str
    conversation: str
    after: int
    entries: tuple[Entry, ...]
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadCounted(Record):
    """In the end a user was told how many messages are unread after `read`; counts are cut at `most`."""

    user: str
    instance: str
    conversation: str
    read: int
    count: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceShown(Record):
    """An instance showed whether a user is there: ONLINE, AWAY, OFFLINE, or UNKNOWN."""

    user: str
    instance: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects(Record):
    """In the end an effect of a conversation's entries was found at these places, `once`: and may be nowhere twice.

    `on`: the kind of entry that has the effect; None: every entry.
    """

    name: str
    conversation: str
    on: str | None
    once: bool
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChanged(Record):
    """A user's membership began (`joined`) or ended with the entry at `sequence`."""

    conversation: str
    user: str
    sequence: int
    joined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultChanged(Record):
    """A fault began (`active`) or ended."""

    label: str
    active: bool


_TYPES = {type_.__name__: type_ for type_ in Record.__subclasses__()}


class History:
    """Records in the order in which they were added; any task or thread may add."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records = list(records)

    def add(self, record: Record) -> None:
        """Append a record; its time was taken when it was made."""
        self.records.append(record)  # atomic, so no lock

    def write(self, path: Path) -> None:
        """Write one JSON object a line."""
        with path.open("wb") as file:
            for record in tuple(self.records):
                file.write(orjson.dumps({type(record).__name__: record}, option=orjson.OPT_APPEND_NEWLINE))

    @classmethod
    def read(cls, path: Path) -> "History":
        """Read what `write` wrote."""
        with path.open("rb") as file:
            return cls(_record(orjson.loads(line)) for line in file)


def _record(line: dict[str, dict[str, Any]]) -> Record:
    [(name, members)] = line.items()
    match members:
        case {"entry": entry}:
            members["entry"] = Entry(**entry)
        case {"entries": entries}:
            members["entries"] = tuple(Entry(**entry) for entry in entries)
        case {"sequences": sequences}:
            members["sequences"] = tuple(sequences)
    return _TYPES[name](**members)
