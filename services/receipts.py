"""Receipts: how far each member has got, and has read, a conversation; nothing is counted, all is derived from them.

A member's markers are one document, `receipts/<conversation>:<user>`, and only move forward. They are not in the log:
the newest says it all, so what gets lost between processes is healed by reading again. Where there is no document the
markers stand at the joining.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import batched

import bson
from pymongo.errors import DuplicateKeyError

from services import ids
from services.cache import Grant, decoded
from services.clock import now
from services.delivery import DeliveryStatus, Floor
from services.errors import InvalidInput, NotFound
from services.gathering import Gathering
from services.log import Log, Logs
from services.membership import active_member
from services.mongo import Database, Document, parsed
from services.receipt_cache import DIGITS, ReceiptCache
from services.state import Member, member_id

READ_SIZE = 100  # documents in one read
WHOLE_GROUP = 100  # members; in a larger conversation each hears of its own markers only

_SEQUENCE = ("input", "upToSequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Where something stands, when it came there, and from where."""

    sequence: int
    at: datetime
    before: int  # where it stood before its newest move

    def moved_to(self, sequence: int, at: datetime) -> "Marker":
        """Return the marker at a place, or itself where that lies behind it."""
        return Marker(sequence=sequence, at=at, before=self.sequence) if sequence > self.sequence else self

    def time_at(self, sequence: int) -> datetime | None:
        """Return when the marker passed a place; None where that is no longer known, or it has not."""
        return self.at if self.before < sequence <= self.sequence else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """One member's markers."""

    conversation_id: str
    user_id: str
    joined_sequence: int
    delivered: Marker
    read: Marker

    def moved_to(self, sequence: int, *, read: bool, at: datetime) -> "Receipts":
        """Return the receipts with the delivered marker at a place, and the read marker too if `read`; not behind."""
        return replace(
            self,
            delivered=self.delivered.moved_to(sequence, at),
            read=self.read.moved_to(sequence, at) if read else self.read,
        )

    def to_document(self) -> Document:
        """Return the markers as they are stored."""
        return {
            "delivered": self.delivered.sequence,
            "deliveredAt": self.delivered.at,
            "deliveredBefore": self.delivered.before,
            "read": self.read.sequence,
            "readAt": self.read.at,
            "readBefore": self.read.before,
        }

    def to_bytes(self) -> bytes:
        """Return the receipts as Redis remembers them: what has moved further compares as greater."""
        places = (self.delivered.sequence, self.read.sequence, self.joined_sequence)
        return "".join(f"{place:0{DIGITS}d}" for place in places).encode() + bson.encode(self.to_document())

    @classmethod
    def from_bytes(cls, conversation_id: str, user_id: str, value: bytes) -> "Receipts":
        """Return what Redis remembers."""
        document = decoded(value[3 * DIGITS :])

        def marker(name: str) -> Marker:
            return Marker(sequence=document[name], at=document[f"{name}At"], before=document[f"{name}Before"])

        return cls(
            conversation_id=conversation_id,
            user_id=user_id,
            joined_sequence=int(value[2 * DIGITS : 3 * DIGITS]),
            delivered=marker("delivered"),
            read=marker("read"),
        )

    def status_of(self, sequence: int) -> DeliveryStatus:
        """Return how far a message has come with this member."""
        if self.read.sequence >= sequence:
            return DeliveryStatus.READ
        return DeliveryStatus.DELIVERED if self.delivered.sequence >= sequence else DeliveryStatus.SENT

    @property
    def moved(self) -> "ReceiptMoved":
        """What subscribers are told of them."""
        return ReceiptMoved(
            conversation_id=self.conversation_id,
            user_id=self.user_id,
            delivered_sequence=self.delivered.sequence,
            read_sequence=self.read.sequence,
            at=max(self.delivered.at, self.read.at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptMoved:
    """A member's markers as they are now."""

    conversation_id: str
    user_id: str
    delivered_sequence: int
    read_sequence: int
    at: datetime

    def is_beyond(self, other: "ReceiptMoved | None") -> bool:
        """Whether anything has moved since."""
        return (
            other is None
            or self.delivered_sequence > other.delivered_sequence
            or self.read_sequence > other.read_sequence
        )

    def to_document(self) -> Document:
        """Return it as one part of a message between processes."""
        return {
            "conversation": self.conversation_id,
            "user": self.user_id,
            "delivered": self.delivered_sequence,
            "read": self.read_sequence,
            "at": self.at,
        }

    @classmethod
    def from_document(cls, document: Document) -> "ReceiptMoved":
        """Return what another process has sent."""
        return cls(
            conversation_id=document["conversation"],
            user_id=document["user"],
            delivered_sequence=document["delivered"],
            read_sequence=document["read"],
            at=document["at"],
        )


def floor_of(members: Iterable[Receipts]) -> Floor:
    """Return where those stand who are the farthest behind."""
    return Floor.of(
        (member.user_id, member.delivered.sequence, member.read.sequence, member.joined_sequence) for member in members
    )


class ReceiptService:
    """Moves markers, and reads those of a conversation's active members."""

    def __init__(self, database: Database, logs: Logs, cache: ReceiptCache) -> None:
        self._receipts = database["receipts"]
        self._members = database["members"]
        self._logs = logs
        self._cache = cache
        self._reads: dict[str, Gathering[str, dict[str, Receipts]]] = {}  # of all members, by conversation
        self.on_moved: Callable[[ReceiptMoved], None] = lambda _: None  # called after markers were stored here

    async def mark(self, user_id: str, conversation_id: str, upto: int, *, read: bool) -> Receipts:
        """Move the user's delivered marker up to a place, and the read marker too if `read`; never backwards.

        Raises:
            NotFound: the user is not in such a conversation.
            InvalidInput: the log has not got so far.
            CommitUnknown: it is not sure that the next read shows it.
        """
        log, member = await self._member(user_id, conversation_id)
        if upto > log.sequence:
            await log.catch_up()
            if upto > log.sequence:
                raise InvalidInput("The conversation has not got so far.", _SEQUENCE)
        while True:
            stored = await self._receipts.find_one({"_id": member.id})
            before = receipts_of(member, stored)
            after = before.moved_to(upto, read=read, at=now())
            if after == before or await self._store(member.id, stored, after):
                break
        if after != before:
            self.on_moved(after.moved)
        # Also where nothing has moved: whoever stored it may have died before it was told.
        message = bson.encode({"receipt": after.moved.to_document()})
        await self._cache.tell(conversation_id, user_id, after.to_bytes(), message)
        return after

    async def of(self, conversation_id: str, user_ids: Sequence[str]) -> dict[str, Receipts]:
        """Return the receipts of those of these users who are active members, by user; from Redis where it can."""
        conversation = (await self._logs.get(conversation_id)).state.conversation
        is_small = conversation is not None and conversation.member_count <= WHOLE_GROUP
        found = await self._cache.some(conversation_id, user_ids, grantable=is_small)
        self._cache.counted(hit=isinstance(found, dict))
        if isinstance(found, dict):
            return {user_id: Receipts.from_bytes(conversation_id, user_id, value) for user_id, value in found.items()}
        if not is_small:
            return await self.stored(conversation_id, user_ids)
        everybody = await self._put_all(conversation_id, found)
        return {user_id: everybody[user_id] for user_id in user_ids if user_id in everybody}

    async def floor(self, conversation_id: str) -> Floor:
        """Return where those of all active members stand who are the farthest behind; from Redis where it can."""
        found = await self._cache.floor(conversation_id)
        self._cache.counted(hit=isinstance(found, Floor))
        return found if isinstance(found, Floor) else floor_of((await self._put_all(conversation_id, found)).values())

    async def _put_all(self, conversation_id: str, grant: Grant | None) -> dict[str, Receipts]:
        """Return the receipts of all active members from MongoDB, and have Redis remember them where that is granted.

        Whoever asks before a read begins is served by it.
        """
        reads = self._reads.get(conversation_id)
        if reads is None:

            async def read(_: list[str]) -> dict[str, dict[str, Receipts]]:
                return {conversation_id: await self.stored(conversation_id)}

            reads = self._reads[conversation_id] = Gathering(read, self._logs.spawn)
        try:
            stored = (await reads.get([conversation_id]))[conversation_id]
        finally:
            if reads.is_idle:
                self._reads.pop(conversation_id, None)
        if grant is not None:
            values = {user_id: receipts.to_bytes() for user_id, receipts in stored.items()}
            self._cache.put(conversation_id, grant, values)
        return stored

    async def stored(self, conversation_id: str, user_ids: Sequence[str] | None = None) -> dict[str, Receipts]:
        """Return the receipts of all active members, or of those that are named, by user; from MongoDB."""
        if user_ids is None:
            documents = await self._members.find({"_id": _range(conversation_id), "active": True})
        else:
            found = await self._members.find_many([member_id(conversation_id, user_id) for user_id in user_ids])
            documents = [document for document in found.values() if document["active"]]
        return await self.of_members([member for document in documents if (member := parsed(Member, document))])

    async def of_members(self, members: Sequence[Member]) -> dict[str, Receipts]:
        """Return the receipts of these members, by user."""
        stored: dict[str, Document] = {}
        for batch in batched(members, READ_SIZE, strict=False):
            stored |= await self._receipts.find_many([member.id for member in batch])
        return {member.user_id: receipts_of(member, stored.get(member.id)) for member in members}

    async def _member(self, user_id: str, conversation_id: str) -> tuple[Log, Member]:
        """Return the log and the user's membership, as of now where it was not there before."""
        if ids.kind(conversation_id) != "cnv":
            raise NotFound("There is no such conversation.", ("input", "conversationId"))
        log = await self._logs.get(conversation_id)
        if log.sequence and await log.member(user_id) is None:
            await log.catch_up()
        await log.load_members([user_id])
        _, member = active_member(log.state, user_id)
        return log, member

    async def _store(self, id_: str, stored: Document | None, after: Receipts) -> bool:
        """Store the markers unless they have moved meanwhile; return whether they had not."""
        if stored is None:
            try:
                await self._receipts.insert_one({"_id": id_, **after.to_document()})
            except DuplicateKeyError:
                return False
            return True
        unmoved = {"_id": id_, "delivered": stored["delivered"], "read": stored["read"]}
        return await self._receipts.update_one(unmoved, {"$set": after.to_document()})


def receipts_of(member: Member, stored: Document | None) -> Receipts:
    """Return a member's receipts, given their document; what was before the joining does not count."""
    joined = Marker(sequence=member.joined_sequence, at=member.joined_at, before=member.joined_sequence)

    def marker(name: str) -> Marker:
        if stored is None or stored[name] < joined.sequence:
            return joined
        return Marker(sequence=stored[name], at=stored[f"{name}At"], before=max(stored[f"{name}Before"], joined.before))

    return Receipts(
        conversation_id=member.conversation_id,
        user_id=member.user_id,
        joined_sequence=member.joined_sequence,
        delivered=marker("delivered"),
        read=marker("read"),
    )


def _range(conversation_id: str) -> dict[str, str]:
    return {"$gt": member_id(conversation_id, ""), "$lt": member_id(conversation_id, "~")}


class WatchedReceipts:
    """The receipts of a conversation that somebody in this process follows, as ReceiptMoved tells of them."""

    def __init__(self, log: Log, service: ReceiptService) -> None:
        self.version = 0  # grows with every move
        self.listeners: set[Callable[[], None]] = set()  # called after something has moved; they must not raise or wait
        self._log = log
        self._service = service
        self._moved: dict[str, tuple[int, ReceiptMoved]] = {}  # by user, with the version that brought it
        self._loaded: int | None = None  # the newest control entry when all were read; None: not yet, or never all
        self._loading = asyncio.Lock()

    def take(self, moved: ReceiptMoved) -> None:
        """Take what has moved, from whichever process; what is older is dropped."""
        known = self._moved.get(moved.user_id)
        if moved.is_beyond(known and known[1]):
            self.version += 1
            self._moved[moved.user_id] = (self.version, moved)
            for listener in tuple(self.listeners):
                listener()

    async def load(self, viewer_id: str) -> None:
        """Read the markers that a viewer hears of, where that was not done since somebody came or went.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        if self._is_large:
            await self._load([viewer_id])
            return
        async with self._loading:
            control = self._log.state.control
            if self._loaded != control:
                for user_id in self._moved.keys() - await self._load():
                    del self._moved[user_id]
                self._loaded = control

    async def load_again(self) -> None:
        """Read all markers that were read before, because moves may have been missed; what has moved is told.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        await self._load(tuple(self._moved))

    async def _load(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Read the markers of these members, or of all; return whose there are."""
        found = await self._service.stored(self._log.conversation_id, user_ids)
        for receipts in found.values():
            self.take(receipts.moved)
        return set(found)

    def since(self, version: int) -> list[ReceiptMoved]:
        """Return what has moved after a version."""
        return [moved for changed, moved in self._moved.values() if changed > version]

    def may_hear(self, viewer_id: str, moved: ReceiptMoved) -> bool:
        """Whether somebody is told of a move: in a large conversation each only of their own."""
        return viewer_id == moved.user_id or not self._is_large

    @property
    def _is_large(self) -> bool:
        conversation = self._log.state.conversation
        return conversation is not None and conversation.member_count > WHOLE_GROUP
