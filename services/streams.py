"""What a subscriber of a conversation gets: the log from a position, `CaughtUp`, then the log as it grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Never

from services import ids
from services.alerts import AlertStream
from services.entries import Entry
from services.errors import BadUserInput, Missing
from services.feeds import Feeds
from services.log import Log
from services.positions import Position, position
from services.receipts import ReceiptMoved
from services.session_notices import SessionStream

INBOX_CURSORS = 500
FARTHEST = 5_000  # entries that are replayed at most; further behind, reading the conversation anew is cheaper


class ResyncReason(StrEnum):
    TOO_FAR_BEHIND = "TOO_FAR_BEHIND"
    EPOCH_CHANGED = "EPOCH_CHANGED"
    NOT_VISIBLE = "NOT_VISIBLE"


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All of the past has been sent, up to and including `sequence`."""

    conversation_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class ResyncRequired:
    """The position asked for cannot be served; the stream goes on after `sequence`."""

    conversation_id: str
    reason: ResyncReason
    sequence: int


type Update = Entry | ReceiptMoved | CaughtUp | ResyncRequired


@dataclass(frozen=True, slots=True)
class ConversationStream:
    """A subscription that may begin: who asks for which conversation, and from where (None: from now)."""

    viewer_id: str
    conversation_id: str
    after: Position | None

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for; who serves streams shares them instead of iterating."""
        raise TypeError("a stream is served, not iterated")


@dataclass(frozen=True, slots=True)
class InboxStream:
    """A subscription to all of a viewer's conversations; those that are named begin after these positions."""

    viewer_id: str
    epoch: int
    after: dict[str, Position]

    def conversation(self, conversation_id: str, *, joined: int | None = None) -> ConversationStream:
        """Return the stream of one of them; one that was joined meanwhile begins with the entry of joining."""
        if joined is not None:
            return ConversationStream(
                self.viewer_id, conversation_id, Position(conversation_id, self.epoch, joined - 1)
            )
        return ConversationStream(self.viewer_id, conversation_id, self.after.get(conversation_id))

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for."""
        raise TypeError("a stream is served, not iterated")


@dataclass(frozen=True, slots=True)
class PresenceStream:
    """A subscription to the presence of some users."""

    user_ids: tuple[str, ...]

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for."""
        raise TypeError("a stream is served, not iterated")


@dataclass(frozen=True, slots=True)
class TypingStream:
    """A subscription to who is typing in a conversation."""

    viewer_id: str
    conversation_id: str

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for."""
        raise TypeError("a stream is served, not iterated")


@dataclass(frozen=True, slots=True)
class MetricsStream:
    """A subscription to the figures of the deployment."""

    every_seconds: int

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for."""
        raise TypeError("a stream is served, not iterated")


type Stream = (
    AlertStream | MetricsStream | ConversationStream | InboxStream | PresenceStream | TypingStream | SessionStream
)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins: after `sequence`, with a notice first when that is not where it was asked to."""

    sequence: int
    notice: ResyncRequired | None = None


class Streams:
    """Decides whether and from where a viewer may follow a conversation."""

    def __init__(self, feeds: Feeds, epoch: int) -> None:
        self.feeds = feeds
        self._epoch = epoch

    def conversation(self, viewer_id: str, conversation_id: str, after: str | None) -> ConversationStream:
        """Return the stream that was asked for.

        Raises:
            BadUserInput: `after` is no cursor of this conversation.
            Missing: there cannot be such a conversation.
        """
        if ids.kind(conversation_id) != "cnv":
            raise Missing("There is no such conversation.")
        place = position(after, "after") if after is not None else None
        if place is not None and place.conversation_id != conversation_id:
            raise BadUserInput("`after` is a cursor of another conversation.")
        return ConversationStream(viewer_id, conversation_id, place)

    def typing(self, viewer_id: str, conversation_id: str) -> TypingStream:
        """Return the stream that was asked for; whether its viewer is a member is seen when it begins.

        Raises:
            Missing: there cannot be such a conversation.
        """
        if ids.kind(conversation_id) != "cnv":
            raise Missing("There is no such conversation.")
        return TypingStream(viewer_id, conversation_id)

    def inbox(self, viewer_id: str, after: Sequence[str]) -> InboxStream:
        """Return the stream that was asked for.

        Raises:
            BadUserInput: a cursor is none, there are too many, or two are of the same conversation.
        """
        if len(after) > INBOX_CURSORS:
            raise BadUserInput(f"`after` holds at most {INBOX_CURSORS} cursors.")
        places = [position(cursor, "after") for cursor in after]
        named = {place.conversation_id: place for place in places}
        if len(named) < len(places):
            raise BadUserInput("`after` holds at most one cursor for each conversation.")
        return InboxStream(viewer_id, self._epoch, named)

    async def start(self, stream: ConversationStream, log: Log, asked_at: float) -> Start:
        """Return where the stream begins that was asked for at `asked_at`, given its watched log.

        Raises:
            Missing: there is no such conversation for this viewer.
            BadUserInput: the cursor names a position that the log has not reached.
            PyMongoError: MongoDB did not answer.
        """
        member, after = await log.member(stream.viewer_id), stream.after
        # A watched log is behind for a moment at most, and replaying from a cursor makes up for that: however many come
        # back at once, they cost no read each. Saying "from now", or no, needs the newest.
        if member is None or after is None or after.sequence > log.sequence:
            await log.catch_up(asked_at)
            member = await log.member(stream.viewer_id)
        if member is None:
            raise Missing("There is no such conversation.")
        head = log.sequence
        if after is None:
            return Start(head)
        if after.epoch != self._epoch:
            return _resync(stream, ResyncReason.EPOCH_CHANGED, head)
        if after.sequence > head:
            raise BadUserInput("`after` is a cursor of another conversation.")
        if after.sequence < member.joined_sequence - 1:
            return _resync(stream, ResyncReason.NOT_VISIBLE, head)
        if head - after.sequence > FARTHEST:
            return _resync(stream, ResyncReason.TOO_FAR_BEHIND, head)
        return Start(after.sequence)


def _resync(stream: ConversationStream, reason: ResyncReason, head: int) -> Start:
    return Start(head, ResyncRequired(stream.conversation_id, reason, head))
