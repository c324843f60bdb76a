"""The rules of a conversation once more, as plainly as they can be said: what a call answers, and what it leaves.

Nothing here is Parley's: one conversation, one thread, everything kept. It can be read beside `docs/roles.md`. Times
are left out: what happened at a time has the sequence of its entry instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

type Json = dict[str, Any]
type Role = Literal["OWNER", "MODERATOR", "MEMBER"]
type Kind = Literal["DIRECT", "GROUP", "CHANNEL"]


class Refused(Exception):
    """A call is answered with an error of the caller's."""

    def __init__(self, code: str, part: str) -> None:
        super().__init__(code, part)
        self.code = code
        self.part = part  # of the input


@dataclass(slots=True)
class Member:
    role: Role
    joined: int
    delivered: int
    read: int


@dataclass(frozen=True, slots=True)
class Wording:
    """What a message said from a place in the log on."""

    sequence: int
    body: str
    mentions: list[str]


@dataclass(slots=True)
class Message:
    id: str  # empty until the answer has told it
    sequence: int
    sender: str
    client_id: str
    sent: Json  # all that makes a repetition the same
    wordings: list[Wording]  # the first as it was sent
    reactions: dict[str, list[str]] = field(default_factory=dict)
    deleted: int | None = None
    pinned: int | None = None

    @property
    def version(self) -> int:
        return len(self.wordings)

    @property
    def edited(self) -> int | None:
        return self.wordings[-1].sequence if self.version > 1 else None

    def version_at(self, sequence: int) -> int:
        return sum(wording.sequence <= sequence for wording in self.wordings)

    def words(self, version: int) -> Json:
        """Return what an event shows of one version: nothing once the message is deleted."""
        wording = self.wordings[version - 1]
        gone = self.deleted is not None
        return {
            "id": self.id,
            "version": version,
            "body": None if gone else wording.body,
            "mentions": [] if gone else wording.mentions,
            "attachments": [] if gone else self.sent["attachments"],
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in the log, as an event shows it."""

    name: str
    actor: str
    message: Message | None = None
    version: int = 0  # of the message; 0: the newest one
    fields: Json = field(default_factory=dict)

    def event(self, sequence: int) -> Json:
        event = {"__typename": self.name, "sequence": sequence, "actor": self.actor, **self.fields}
        if self.message is None:
            return event
        if self.name in {"MessageSent", "MessageEdited", "MessagePinned"}:
            return event | {"message": self.message.words(self.version or self.message.version)}
        return event | {"messageId": self.message.id}


class Room:
    """A conversation, with what people outside of its log have to do with it."""

    def __init__(self, kind: Kind, handles: dict[str, str], creator: str, others: Iterable[str]) -> None:
        self.kind = kind
        self.handles = handles  # of everybody, by id
        self.title: str | None = None
        self.archived: int | None = None
        self.log = [Entry("ConversationChanged", creator)]
        self.messages: dict[int, Message] = {}
        self.muted: set[str] = set()
        self.blocks: set[tuple[str, str]] = set()  # who has blocked whom
        self.members = {user_id: self._newcomer() for user_id in others}
        self.members[creator] = self._newcomer()
        for user_id, member in self.members.items():
            member.role = "OWNER" if kind == "DIRECT" or user_id == creator else "MEMBER"

    @property
    def sequence(self) -> int:
        return len(self.log)

    @property
    def markers(self) -> dict[str, tuple[int, int]]:
        return {user_id: (member.delivered, member.read) for user_id, member in self.members.items()}

    # ------------------------------------------------------------ saying

    def send(self, actor: str, client_id: str, body: str, reply_to: Message | None, attachments: list[Json]) -> Message:
        if not body.strip():
            raise Refused("INVALID_INPUT", "body")
        sent = {"body": body, "replyTo": reply_to and reply_to.id, "attachments": attachments}
        for message in self.messages.values():
            if (message.sender, message.client_id) == (actor, client_id):
                if message.sent != sent:
                    raise Refused("CONFLICT", "clientMessageId")
                return message
        member = self._member(actor)
        self._require_writer(member, "conversationId")
        self._require_unbarred(actor, "conversationId")
        if reply_to is not None and (reply_to.sequence < member.joined or reply_to.deleted is not None):
            raise Refused("NOT_FOUND", "replyToId")
        wording = Wording(self.sequence + 1, body, self._mentioned(body))
        message = Message("", self.sequence + 1, actor, client_id, sent, [wording])
        self.messages[message.sequence] = message
        self.log.append(Entry("MessageSent", actor, message, version=1))
        return message

    def edit(self, actor: str, message: Message, body: str, expected_version: int | None) -> None:
        if not body.strip():
            raise Refused("INVALID_INPUT", "body")
        member = self._seer(actor, message)
        if message.sender != actor:
            raise Refused("FORBIDDEN", "messageId")
        self._require_writer(member, "messageId")
        self._require_unbarred(actor, "messageId")
        self._require_there(message)
        if body == message.wordings[-1].body:
            return
        if expected_version not in {None, message.version}:
            raise Refused("CONFLICT", "expectedVersion")
        message.wordings.append(Wording(self.sequence + 1, body, self._mentioned(body)))
        self.log.append(Entry("MessageEdited", actor, message, version=message.version))

    def delete(self, actor: str, message: Message) -> None:
        member = self._seer(actor, message)
        if message.sender != actor and (self.kind == "DIRECT" or member.role == "MEMBER"):
            raise Refused("FORBIDDEN", "messageId")
        if message.deleted is None:
            message.deleted = self.sequence + 1
            message.pinned = None
            message.reactions.clear()
            self.log.append(Entry("MessageDeleted", actor, message))

    def react(self, actor: str, message: Message, emoji: str) -> None:
        self._require_changeable(actor, message)
        if actor not in message.reactions.setdefault(emoji, []):
            message.reactions[emoji].append(actor)
            self.log.append(Entry("ReactionAdded", actor, message, fields={"emoji": emoji}))

    def unreact(self, actor: str, message: Message, emoji: str) -> None:
        self._require_changeable(actor, message)
        if actor in message.reactions.get(emoji, []):
            message.reactions[emoji].remove(actor)
            if not message.reactions[emoji]:
                del message.reactions[emoji]
            self.log.append(Entry("ReactionRemoved", actor, message, fields={"emoji": emoji}))

    def pin(self, actor: str, message: Message) -> None:
        self._require_pinner(actor, message)
        if message.pinned is None:
            message.pinned = self.sequence + 1
            self.log.append(Entry("MessagePinned", actor, message))

    def unpin(self, actor: str, message: Message) -> None:
        self._require_pinner(actor, message)
        if message.pinned is not None:
            message.pinned = None
            self.log.append(Entry("MessageUnpinned", actor, message))

    # ------------------------------------------------------------ who is in

    def add(self, actor: str, user_ids: list[str]) -> None:
        self._manager(actor)
        if self.archived is not None:
            raise Refused("FORBIDDEN", "conversationId")
        if any((user_id, actor) in self.blocks for user_id in user_ids):
            raise Refused("NOT_FOUND", "userIds")
        for user_id in user_ids:
            if user_id not in self.members:
                self.log.append(Entry("MemberAdded", actor, fields={"user": user_id, "role": "MEMBER"}))
                self.members[user_id] = self._newcomer()

    def remove(self, actor: str, user_id: str) -> None:
        self._member(actor)
        if user_id == actor:
            raise Refused("INVALID_INPUT", "userId")
        manager = self._manager(actor)
        if user_id not in self.members:
            raise Refused("NOT_FOUND", "userId")
        if manager.role == "MODERATOR" and self.members[user_id].role != "MEMBER":
            raise Refused("FORBIDDEN", "userId")
        self._out(actor, user_id)

    def leave(self, actor: str) -> None:
        member = self._member(actor)
        if self.kind == "DIRECT" or (member.role == "OWNER" and self._owners == 1 and len(self.members) > 1):
            raise Refused("FORBIDDEN", "conversationId")
        self._out(actor, actor)

    def set_role(self, actor: str, user_id: str, role: Role) -> None:
        if self._manager(actor).role != "OWNER":
            raise Refused("FORBIDDEN", "conversationId")
        if user_id not in self.members:
            raise Refused("NOT_FOUND", "userId")
        member = self.members[user_id]
        if member.role == role:
            return
        if member.role == "OWNER" and self._owners == 1:
            raise Refused("FORBIDDEN", "role")
        member.role = role
        self.log.append(Entry("MemberRoleChanged", actor, fields={"user": user_id, "role": role}))

    def change(self, actor: str, changes: Json) -> None:
        if self._member(actor).role == "MEMBER":
            raise Refused("FORBIDDEN", "conversationId")
        if "title" in changes and self.kind == "DIRECT":
            raise Refused("FORBIDDEN", "title")
        title = changes.get("title", self.title)
        was_archived = self.archived is not None
        archived = changes.get("archived", was_archived)
        if (title, archived) != (self.title, was_archived):
            self.log.append(Entry("ConversationChanged", actor))
            self.title = title
            if archived != was_archived:
                self.archived = self.sequence if archived else None

    # ------------------------------------------------------------ everybody's own

    def mute(self, actor: str, *, muted: bool) -> None:
        self._member(actor)
        (self.muted.add if muted else self.muted.discard)(actor)

    def report(self, actor: str, message: Message) -> None:
        self._seer(actor, message)

    def block(self, actor: str, user_id: str, *, blocked: bool) -> None:
        if blocked and actor == user_id:
            raise Refused("INVALID_INPUT", "userId")
        (self.blocks.add if blocked else self.blocks.discard)((actor, user_id))

    def mark(self, actor: str, upto: int, *, read: bool) -> None:
        member = self._member(actor)
        if upto > self.sequence:
            raise Refused("INVALID_INPUT", "upToSequence")
        member.delivered = max(member.delivered, upto)
        if read:
            member.read = max(member.read, upto)

    # ------------------------------------------------------------ what follows from all that

    def visible(self, viewer: str) -> list[Message]:
        """Return the messages that a member may read, in order."""
        joined = self.members[viewer].joined
        return [message for message in self.messages.values() if message.sequence >= joined]

    def unread(self, viewer: str) -> int:
        member = self.members[viewer]
        return sum(
            message.sequence > max(member.read, member.joined) and message.sender != viewer and message.deleted is None
            for message in self.visible(viewer)
        )

    def counted(self, viewer: str) -> int:
        """Return what this conversation adds to all that somebody has not read."""
        if viewer not in self.members or viewer in self.muted or self.archived is not None:
            return 0
        return self.unread(viewer)

    def receipts(self, message: Message) -> dict[str, tuple[str, int | None]]:
        """Return for each member who counts how far a message has come, and in which version it was read."""

        def receipt(member: Member) -> tuple[str, int | None]:
            if member.read >= message.sequence:
                return "READ", message.version_at(member.read)
            return ("DELIVERED" if member.delivered >= message.sequence else "SENT"), None

        return {
            user_id: receipt(member)
            for user_id, member in self.members.items()
            if user_id != message.sender and member.joined < message.sequence
        }

    def status(self, message: Message) -> str:
        statuses = {status for status, _ in self.receipts(message).values()}
        return next((status for status in ("SENT", "DELIVERED", "READ") if status in statuses), "SENT")

    def pinned(self, viewer: str) -> list[Message]:
        """Return the pinned messages that a member may read, the newest pin first."""
        found = [message for message in self.visible(viewer) if message.pinned is not None]
        return sorted(found, key=lambda message: message.pinned or 0, reverse=True)

    def may_send(self, actor: str) -> bool:
        try:
            self._require_writer(self._member(actor), "")
            self._require_unbarred(actor, "")
        except Refused:
            return False
        return True

    def may_edit(self, actor: str, message: Message) -> bool:
        return message.sender == actor and message.deleted is None and self.may_send(actor)

    def may_delete(self, actor: str, message: Message) -> bool:
        moderates = self.kind != "DIRECT" and self.members[actor].role != "MEMBER"
        return message.deleted is None and (message.sender == actor or moderates)

    # ------------------------------------------------------------ parts

    def _newcomer(self) -> Member:
        return Member("MEMBER", self.sequence, self.sequence, self.sequence)

    @property
    def _owners(self) -> int:
        return sum(member.role == "OWNER" for member in self.members.values())

    def _out(self, actor: str, user_id: str) -> None:
        del self.members[user_id]
        self.log.append(Entry("MemberRemoved", actor, fields={"user": user_id}))

    def _member(self, actor: str) -> Member:
        if actor not in self.members:
            raise Refused("NOT_FOUND", "conversationId")
        return self.members[actor]

    def _manager(self, actor: str) -> Member:
        member = self._member(actor)
        if self.kind == "DIRECT" or member.role == "MEMBER":
            raise Refused("FORBIDDEN", "conversationId")
        return member

    def _seer(self, actor: str, message: Message) -> Member:
        if actor not in self.members or message.sequence < self.members[actor].joined:
            raise Refused("NOT_FOUND", "messageId")
        return self.members[actor]

    def _require_writer(self, member: Member, part: str) -> None:
        if self.archived is not None or (self.kind == "CHANNEL" and member.role == "MEMBER"):
            raise Refused("FORBIDDEN", part)

    def _require_unbarred(self, actor: str, part: str) -> None:
        if self.kind == "DIRECT" and any((user_id, actor) in self.blocks for user_id in self.members):
            raise Refused("FORBIDDEN", part)

    def _require_there(self, message: Message) -> None:
        if message.deleted is not None:
            raise Refused("FORBIDDEN", "messageId")

    def _require_changeable(self, actor: str, message: Message) -> Member:
        member = self._seer(actor, message)
        if self.archived is not None:
            raise Refused("FORBIDDEN", "messageId")
        self._require_there(message)
        return member

    def _require_pinner(self, actor: str, message: Message) -> None:
        if self._require_changeable(actor, message).role == "MEMBER":
            raise Refused("FORBIDDEN", "messageId")

    def _mentioned(self, body: str) -> list[str]:
        named = [word[1:] for word in body.split() if word.startswith("@")]
        users = [user_id for handle in named for user_id in self.members if self.handles[user_id] == handle]
        return list(dict.fromkeys(users))
