"""What a log amounts to, from its entries alone: every version that a document of it has had, in order.

A log may have more members and more changed messages than fit into memory. So a fold is of a part of them: it begins
above a user id and above a place, and gives up the end of its part when it holds too many. Another pass takes the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from services.entries import (
    MAX_SEQUENCE,
    ConversationCreated,
    Entry,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    MessageChange,
    MessageDeleted,
    MessageEdited,
    MessageSent,
)
from services.message_state import MessageState
from services.mongo import Document
from services.state import Conversation, Member, State, inbox_item, joined, with_role

MOST: Final = 10_000  # members, and changed messages, that one pass holds
LAST: Final = "~"  # sorts after every user id


@dataclass(slots=True)
class Life:
    """What became of one user in a conversation: all versions of the two documents, the oldest first."""

    members: list[Document] = field(default_factory=list)
    inbox: list[Document] = field(default_factory=list)
    now: Member | None = None  # the membership as it is, active or not


@dataclass(slots=True)
class Changed:
    """A message that was changed: as it is stored, and as the log says."""

    stored: MessageSent
    folded: MessageSent
    as_of_stored: MessageSent | None  # the fold up to what the stored one has applied; None: that is no change of it
    needed: int = 0  # the newest change up to the place that documents are known to show
    wordy: list[int] = field(default_factory=list)  # its edits that still have their words


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which members and messages a pass is about: those above the first, up to the last of each."""

    after_user: str = ""
    last_user: str = LAST
    after_message: int = 0
    last_message: int | None = None  # None: up to the end

    def has_user(self, user_id: str) -> bool:
        """Whether a user belongs to it."""
        return self.after_user < user_id <= self.last_user

    def has_message(self, sequence: int) -> bool:
        """Whether a message belongs to it."""
        return self.after_message < sequence and (self.last_message is None or sequence <= self.last_message)

    @property
    def rest(self) -> "Part | None":
        """What another pass is to be about; None where this is all."""
        if self.last_user == LAST and self.last_message is None:
            return None
        nobody = self.last_user == LAST
        return Part(
            after_user=LAST if nobody else self.last_user,
            after_message=MAX_SEQUENCE if self.last_message is None else self.last_message,
        )


def as_sent(message: MessageSent) -> MessageSent:
    """Return a message without what became of it; the words of a deleted one are gone for good."""
    return replace(message, state=MessageState())


class Fold:
    """The state of a conversation after the entries that it was given, and the lives of a part of what is in it."""

    def __init__(self, part: Part, settled: int, most: int = MOST) -> None:
        """Begin before slot 1; `settled` is up to which control entry all documents are said to be written."""
        self.part = part
        self.state = State()
        self.lives: dict[str, Life] = {}
        self.changed: dict[int, Changed] = {}
        self._settled = settled
        self._most = most

    @property
    def conversation(self) -> Conversation | None:
        """The metadata; None before slot 1."""
        return self.state.conversation

    def take(self, entry: Entry) -> None:
        """Go on by an entry of the log; a change of a message that is not held needs `hold` first."""
        if self.state.conversation is not None or isinstance(entry, ConversationCreated):
            self.state = replace(self.state.after(entry), members={}, messages={})
        match entry:
            case ConversationCreated():
                for user_id, role in entry.roles:
                    self._came(entry, joined(entry, user_id, role))
            case MemberAdded():
                self._came(entry, joined(entry, entry.user_id, entry.role))
            case MemberRoleChanged():
                if (life := self._life(entry.user_id)) is not None:
                    self._became(life, with_role(entry))
            case MemberRemoved():
                life = self._life(entry.user_id)
                if life is not None and life.now is not None:
                    self._became(life, life.now.model_copy(update={"active": False, "applied": entry.sequence}))
                    life.inbox.append(inbox_item(entry, entry.user_id, active=False))
            case MessageSent():
                if entry.state.applied and self.part.has_message(entry.sequence):
                    self.hold(entry)
            case MessageChange():
                self._change(entry)

    def hold(self, message: MessageSent) -> None:
        """Follow a message from as it was sent."""
        self.changed[message.sequence] = Changed(message, as_sent(message), None)
        if len(self.changed) > self._most:
            places = sorted(self.changed)
            last = places[len(places) // 2]
            self.part = replace(self.part, last_message=last)
            self.changed = {place: changed for place, changed in self.changed.items() if place <= last}

    def lacks(self, entry: Entry) -> bool:
        """Whether an entry changes a message of this part that is not held."""
        return (
            isinstance(entry, MessageChange)
            and self.part.has_message(entry.message)
            and entry.message not in self.changed
        )

    def _change(self, entry: MessageChange) -> None:
        changed = self.changed.get(entry.message)
        if changed is None:
            return
        changed.folded = entry.applied_to(changed.folded)
        if entry.sequence == changed.stored.state.applied:
            changed.as_of_stored = changed.folded
        if entry.sequence <= self._settled:
            changed.needed = entry.sequence
        if isinstance(entry, MessageEdited) and entry.body is not None:
            changed.wordy.append(entry.sequence)
        if isinstance(entry, MessageDeleted) and entry.sequence > self._settled:
            changed.wordy.clear()  # its writer may not be done

    def _life(self, user_id: str) -> Life | None:
        if not self.part.has_user(user_id):
            return None
        self.lives.setdefault(user_id, Life())
        if len(self.lives) > self._most:
            users = sorted(self.lives)
            last = users[len(users) // 2]
            self.part = replace(self.part, last_user=last)
            self.lives = {key: kept for key, kept in self.lives.items() if key <= last}
        return self.lives.get(user_id)

    def _came(self, entry: ConversationCreated | MemberAdded, member: Member) -> None:
        life = self._life(member.user_id)
        if life is not None:
            self._became(life, member)
            life.inbox.append(inbox_item(entry, member.user_id, active=True))

    def _became(self, life: Life, member: Member) -> None:
        life.now = member
        life.members.append(member.model_dump_doc())

    def active(self) -> Iterator[Member]:
        """Yield the memberships of this part that last."""
        for user_id in sorted(self.lives):
            member = self.lives[user_id].now
            if member is not None and member.active:
                yield member
