"""Whether what is stored agrees with itself: every log with its own rules, and everything that follows from it with it.

It only reads, a page at a time, and beside a Parley that runs. So what it finds may be something that just moves: it
counts once it was found three times. `services/rebuild.py` writes what the same comparison says should be there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import batched
from typing import Final

from services.activity import BLOCK, activity_id
from services.clock import now
from services.entries import (
    ConversationCreated,
    Entry,
    MessageChange,
    MessageSent,
    entry_id,
    from_document,
)
from services.fold import Changed, Fold, Part
from services.mongo import Collection, Database, Document
from services.search import document_of
from services.state import inbox_id, member_id

PAGE: Final = 200
LOOKS: Final = 3
PAUSE_SECONDS: Final = 1.0  # between two looks at the same
KEYS: Final = 4_096  # of the newest entries, which are compared with each other
MOST: Final = 1_000  # violations of one conversation that are told in one look
# Jobs that live have counted an entry by then, and its writer has noted that Kafka has it.
GRACE: Final = timedelta(seconds=60)


class Code(StrEnum):
    """What can be wrong. The words behind it are for whoever reads the report."""

    ENTRY_UNREADABLE = "ENTRY_UNREADABLE"  # a document of the log that is no entry
    LOG_HOLE = "LOG_HOLE"  # a place without an entry before one with
    LOG_BEGINNING = "LOG_BEGINNING"  # place 1 is not the creation, or another place is
    KEY_TWICE = "KEY_TWICE"  # one key at two places
    CONTROL_LINK = "CONTROL_LINK"  # `control` is not the newest control entry before
    CHANGE_WITHOUT_MESSAGE = "CHANGE_WITHOUT_MESSAGE"  # it changes a place that holds no message
    SENDER_NOT_MEMBER = "SENDER_NOT_MEMBER"  # who sent it was not in
    SEND_MISSING = "SEND_MISSING"  # a message without its send record: a retry would store it twice
    SEND_BASE = "SEND_BASE"  # the record's base is not below its message, or beyond the log
    CONVERSATION_MISSING = "CONVERSATION_MISSING"
    CONVERSATION_WRONG = "CONVERSATION_WRONG"
    CONVERSATION_BEHIND = "CONVERSATION_BEHIND"
    CONVERSATION_EXTRA = "CONVERSATION_EXTRA"
    MEMBER_MISSING = "MEMBER_MISSING"
    MEMBER_WRONG = "MEMBER_WRONG"
    MEMBER_BEHIND = "MEMBER_BEHIND"
    MEMBER_EXTRA = "MEMBER_EXTRA"
    INBOX_MISSING = "INBOX_MISSING"
    INBOX_WRONG = "INBOX_WRONG"
    INBOX_BEHIND = "INBOX_BEHIND"
    INBOX_EXTRA = "INBOX_EXTRA"
    MESSAGE_WRONG = "MESSAGE_WRONG"
    MESSAGE_BEHIND = "MESSAGE_BEHIND"
    WORDS_LEFT = "WORDS_LEFT"  # an edit of a deleted message still has its words
    SEARCH_MISSING = "SEARCH_MISSING"
    SEARCH_WRONG = "SEARCH_WRONG"
    SEARCH_BEHIND = "SEARCH_BEHIND"
    SEARCH_EXTRA = "SEARCH_EXTRA"
    ACTIVITY_MISSING = "ACTIVITY_MISSING"
    ACTIVITY_WRONG = "ACTIVITY_WRONG"
    ACTIVITY_EXTRA = "ACTIVITY_EXTRA"
    RECEIPT_BEYOND = "RECEIPT_BEYOND"  # a marker beyond the end of the log
    RECEIPT_ORDER = "RECEIPT_ORDER"  # read further than delivered
    RECEIPT_EXTRA = "RECEIPT_EXTRA"  # of somebody who was never in
    PUBLISHED_BEYOND = "PUBLISHED_BEYOND"  # Kafka is noted to have more than there is
    PUBLISHED_BEHIND = "PUBLISHED_BEHIND"  # Kafka lacks entries, and no mark leads the relay there


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A document as it should be, in place of what was found."""

    collection: str
    stored: Document | None  # None where there was none
    expected: Document | None  # None where there should be none


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that is not as it should be."""

    code: Code
    conversation_id: str
    id: str  # of the document
    detail: str
    repair: Repair | None = field(default=None, compare=False)  # None for what only people can mend
    behind: bool = False  # whether a mark, or a job that is late, will mend it
    moving: bool = False  # whether it is ahead of what was looked at: right, unless it is the same in the next look

    def is_still(self, before: "Violation | None") -> bool:
        """Whether it was the same in the look before."""
        if before is None or self.repair is None or not (self.moving or self.behind):
            return before is not None
        return before.repair is not None and self.repair.stored == before.repair.stored

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same when it is found again."""
        return self.code, self.id


@dataclass(slots=True)
class _Look:
    """One look at one conversation."""

    conversation_id: str
    conversation: Document | None
    settled: int  # up to which control entry all documents should be written
    head: int  # the newest place that is looked at
    young: datetime  # what happened after this may not have reached the jobs
    searches: bool  # whether all of search was built
    found: dict[tuple[str, str], Violation] = field(default_factory=dict)

    def add(
        self,
        code: Code,
        id_: str,
        detail: str = "",
        *,
        repair: Repair | None = None,
        behind: bool = False,
        moving: bool = False,
    ) -> None:
        """Note a violation."""
        violation = Violation(
            code=code,
            conversation_id=self.conversation_id,
            id=id_,
            detail=detail,
            repair=repair,
            behind=behind,
            moving=moving,
        )
        if len(self.found) < MOST:
            self.found.setdefault(violation.key, violation)

    def compare(
        self, kind: str, collection: str, id_: str, stored: Document | None, versions: Sequence[Document]
    ) -> None:
        """Compare a document that says in `applied` which version it is with all that it had, the oldest first."""
        newest = versions[-1] if versions else None
        repair = Repair(collection=collection, stored=stored, expected=newest)
        if stored is None:
            if newest is not None and versions[0]["applied"] <= self.settled:
                self.add(Code(f"{kind}_MISSING"), id_, repair=repair)
            return
        applied = stored["applied"]
        if newest is None:
            self.add(Code(f"{kind}_EXTRA"), id_, "the log does not say so", repair=repair, moving=applied > self.head)
            return
        if applied > self.head:
            self.add(Code(f"{kind}_WRONG"), id_, f"applied {applied} is beyond the log", repair=repair, moving=True)
            return
        version = next((version for version in versions if version["applied"] == applied), None)
        if version is None:
            self.add(Code(f"{kind}_WRONG"), id_, f"applied {applied} is no change of it", repair=repair)
        elif version != stored:
            wrong = sorted(name for name in version.keys() | stored if version.get(name) != stored.get(name))
            self.add(Code(f"{kind}_WRONG"), id_, ", ".join(wrong), repair=repair)
        else:
            needed = max((each["applied"] for each in versions if each["applied"] <= self.settled), default=0)
            if version["applied"] < needed:
                self.add(Code(f"{kind}_BEHIND"), id_, f"applied {applied} of {needed}", repair=repair)


class Fsck:
    """Looks at all logs."""

    def __init__(self, database: Database, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._database = database
        self._pause = pause_seconds
        # Whose ids begin with the conversation's.
        self._by_conversation = [
            database[name]
            for name in ("entries", "conversations", "members", "receipts", "published", "sends", "search")
        ]

    async def sweep(self) -> AsyncIterator[Violation]:
        """Yield what is wrong anywhere.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        async for conversation_id in self.conversation_ids():
            for violation in await self.conversation(conversation_id):
                yield violation
        async for violation in self.strays():
            yield violation

    async def conversation_ids(self) -> AsyncIterator[str]:
        """Yield every conversation that anything is stored of; raises as `sweep`."""
        after = ""
        while True:
            firsts = [await collection.find({"_id": {"$gt": after}}, limit=1) for collection in self._by_conversation]
            ids = [first[0]["_id"].partition(":")[0] for first in firsts if first]
            if not ids:
                return
            yield min(ids)
            after = f"{min(ids)}:~"

    async def conversation(self, conversation_id: str) -> list[Violation]:
        """Return what is wrong with one conversation, however often one looks; raises as `sweep`."""
        found = await self.look(conversation_id)
        for _ in range(LOOKS - 1):
            if not found:
                break
            await asyncio.sleep(self._pause)
            again = await self.look(conversation_id)
            found = {key: violation for key, violation in again.items() if violation.is_still(found.get(key))}
        return [found[key] for key in sorted(found)]

    async def look(self, conversation_id: str, *, strictly: bool = False) -> dict[tuple[str, str], Violation]:
        """Return what is not as it should be at first sight; strictly, what will be mended by itself counts as well.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        # In this order: whoever writes the conversation's document has written all others, and lifts the mark then.
        published = await self._database["published"].find_one({"_id": conversation_id})
        conversation = await self._database["conversations"].find_one({"_id": conversation_id})
        newest = await self._database["entries"].find(_range(conversation_id), limit=1, descending=True)
        head = _place(newest[0]["_id"]) if newest else 0
        applied = conversation["applied"] if conversation is not None else 0
        built = await self._database["meta"].find_one({"_id": "search"})
        look = _Look(
            conversation_id=conversation_id,
            conversation=conversation,
            settled=head if strictly else min(applied, head),
            head=head,
            young=now() if strictly else now() - GRACE,
            searches=strictly or (built is not None and built["after"] is None),
        )
        part: Part | None = Part()
        is_first = True
        while part is not None:
            part = await self._pass(look, part, is_first=is_first)
            is_first = False
        await self._receipts(look)
        await self._sends(look)
        await self._found(look)
        await self._published(look, published)
        if not strictly and any(violation.behind for violation in look.found.values()):
            marked = await self._database["dirty"].find_one({"_id": conversation_id}) is not None
            look.found = {key: each for key, each in look.found.items() if not (each.behind and marked)}
        return look.found

    # ------------------------------------------------------------ one pass over a log

    async def _pass(self, look: _Look, part: Part, *, is_first: bool) -> Part | None:
        """Compare a part of a conversation; return what is left for another pass."""
        fold = Fold(part, look.settled)
        log = _LogRules(look)
        activity = _Counted(look)
        as_of_document: Document | None = None
        applied = look.conversation["applied"] if look.conversation is not None else None
        async for documents in self._pages("entries", look.conversation_id, upto=look.head):
            entries = [entry for document in documents if (entry := _entry(look, document, told=is_first))]
            if is_first:
                await self._messages(look, log, [entry for entry in entries if isinstance(entry, MessageSent)])
            for entry in entries:
                if is_first:
                    log.take(entry)
                    if activity.is_beyond(entry):
                        await self._activity(activity)
                        activity = _Counted(look)
                    activity.take(entry)
                if fold.lacks(entry):
                    assert isinstance(entry, MessageChange)
                    message = (await self._messages_at(look, {entry.message})).get(entry.message)
                    if message is not None:
                        fold.hold(message)
                    elif is_first:
                        look.add(Code.CHANGE_WITHOUT_MESSAGE, _id(entry), f"place {entry.message} is no message")
                if is_first and isinstance(entry, MessageSent) and fold.part.has_user(entry.actor_id):
                    life = fold.lives.get(entry.actor_id)
                    if life is None or life.now is None or not life.now.active:
                        look.add(Code.SENDER_NOT_MEMBER, _id(entry), entry.actor_id)
                fold.take(entry)
                if entry.sequence == applied and entry.is_control and fold.conversation is not None:
                    as_of_document = fold.conversation.model_dump_doc()
        if is_first:
            await self._activity(activity)
            self._conversation(look, fold, as_of_document)
        await self._lives(look, fold)
        for sequence, changed in fold.changed.items():
            self._message(look, sequence, changed)
        await self._searched(look, [changed.folded for changed in fold.changed.values()])
        return fold.part.rest

    def _conversation(self, look: _Look, fold: Fold, as_of_document: Document | None) -> None:
        expected = None if fold.conversation is None else fold.conversation.model_dump_doc()
        stored, id_ = look.conversation, look.conversation_id
        repair = Repair(collection="conversations", stored=stored, expected=expected)
        if stored is None:
            if expected is not None:
                look.add(Code.CONVERSATION_MISSING, id_, repair=repair, behind=True)
        elif expected is None:
            look.add(Code.CONVERSATION_EXTRA, id_, "it has no log", repair=repair)
        elif as_of_document is None:
            look.add(Code.CONVERSATION_WRONG, id_, f"applied {stored['applied']} is no change of it", repair=repair)
        elif stored != as_of_document:
            wrong = sorted(name for name in as_of_document if as_of_document[name] != stored.get(name))
            look.add(Code.CONVERSATION_WRONG, id_, ", ".join(wrong), repair=repair)
        elif stored["applied"] < expected["applied"]:
            detail = f"applied {stored['applied']} of {expected['applied']}"
            look.add(Code.CONVERSATION_BEHIND, id_, detail, repair=repair, behind=True)

    async def _lives(self, look: _Look, fold: Fold) -> None:
        """Compare the memberships and the inbox items of a part."""
        part = fold.part
        if part.after_user == part.last_user:
            return
        unseen = set(fold.lives)
        first, last = (member_id(look.conversation_id, user_id) for user_id in (part.after_user, part.last_user))
        async for documents in _pages(self._database["members"], {"$gt": first, "$lte": last}):
            for document in documents:
                user_id = document["_id"].partition(":")[2]
                unseen.discard(user_id)
                life = fold.lives.get(user_id)
                look.compare("MEMBER", "members", document["_id"], document, life.members if life else ())
        for user_id in unseen:
            id_ = member_id(look.conversation_id, user_id)
            look.compare("MEMBER", "members", id_, None, fold.lives[user_id].members)
        for batch in batched(fold.lives.items(), PAGE, strict=False):
            ids = {user_id: inbox_id(user_id, look.conversation_id) for user_id, _ in batch}
            found = await self._database["inbox"].find_many(list(ids.values()))
            for user_id, life in batch:
                look.compare("INBOX", "inbox", ids[user_id], found.get(ids[user_id]), life.inbox)

    def _message(self, look: _Look, sequence: int, changed: Changed) -> None:
        """Compare a message that was changed, and its edits."""
        id_ = entry_id(look.conversation_id, sequence)
        stored, folded, then = changed.stored, changed.folded, changed.as_of_stored
        repair = Repair(
            collection="entries",
            stored={"_id": id_, "applied": stored.state.applied},
            expected={"state": folded.state.to_document(), "deleted": folded.state.deleted_at is not None},
        )
        applied = stored.state.applied
        if applied and then is None:
            detail = f"applied {applied} is no change of it"
            look.add(Code.MESSAGE_WRONG, id_, detail, repair=repair, moving=applied > look.head)
        elif then is not None and (then.state != stored.state or (then.state.deleted_at and stored.body is not None)):
            look.add(Code.MESSAGE_WRONG, id_, f"not as the log says at {applied}", repair=repair)
        elif applied < changed.needed:
            look.add(Code.MESSAGE_BEHIND, id_, f"applied {applied} of {changed.needed}", repair=repair)
        if folded.state.deleted_at is not None:
            for edit in changed.wordy:
                edit_id = entry_id(look.conversation_id, edit)
                blank = Repair(collection="entries", stored={"_id": edit_id}, expected=None)
                look.add(Code.WORDS_LEFT, edit_id, f"of message {sequence}", repair=blank)

    async def _messages(self, look: _Look, log: "_LogRules", messages: Sequence[MessageSent]) -> None:
        """Compare messages with their send records, and those that nobody has changed with what search has."""
        ids = {message.sequence: f"{look.conversation_id}:{message.key}" for message in messages}
        for batch in batched(messages, PAGE, strict=False):
            records = await self._database["sends"].find_many([ids[message.sequence] for message in batch])
            for message in batch:
                record = records.get(ids[message.sequence])
                if record is None:
                    look.add(Code.SEND_MISSING, _id(message), message.key)
                elif record["base"] >= message.sequence:
                    look.add(Code.SEND_BASE, _id(message), f"base {record['base']}")
                elif record["base"] < log.first_known:
                    await self._look_back(look, message, record["base"], log.first_known)
        await self._searched(look, [message for message in messages if not message.state.applied])

    async def _look_back(self, look: _Look, message: MessageSent, base: int, upto: int) -> None:
        """Look for the key of a message between its base and what is compared anyway."""
        async for documents in self._pages("entries", look.conversation_id, after=base, upto=upto):
            for document in documents:
                if document.get("key") == message.key and _place(document["_id"]) != message.sequence:
                    look.add(Code.KEY_TWICE, _id(message), f"also at {_place(document['_id'])}")

    async def _searched(self, look: _Look, messages: Iterable[MessageSent]) -> None:
        """Compare what search has of messages with what they say."""
        if not look.searches:
            return
        for batch in batched(messages, PAGE, strict=False):
            expected = {
                document["_id"]: (document, message) for message in batch for document in [document_of(message)]
            }
            found = await self._database["search"].find_many(list(expected))
            for id_, (document, message) in expected.items():
                stored = found.get(id_)
                repair = Repair(collection="search", stored=stored, expected=document)
                changed_at = message.state.deleted_at or message.state.edited_at or message.at
                if stored is None:
                    if changed_at < look.young:
                        look.add(Code.SEARCH_MISSING, id_, repair=repair, behind=True)
                elif stored["applied"] < document["applied"]:
                    if changed_at < look.young:
                        detail = f"applied {stored['applied']} of {document['applied']}"
                        look.add(Code.SEARCH_BEHIND, id_, detail, repair=repair, behind=True)
                elif stored != document:
                    moving = stored["applied"] > document["applied"]
                    look.add(Code.SEARCH_WRONG, id_, repair=repair, moving=moving)

    async def _activity(self, counted: "_Counted") -> None:
        """Compare what was counted of a thousand places."""
        look = counted.look
        for batch in batched(counted.sequences, PAGE, strict=False):
            found = await self._database["activity"].find_many(list(batch))
            for id_ in batch:
                said, stored = counted.sequences[id_], found.get(id_)
                expected: Document = {"_id": id_, "sequences": sorted(said)}
                repair = Repair(collection="activity", stored=stored, expected=expected)
                has = set(stored["sequences"]) if stored is not None else set()
                if extra := {place for place in has if place <= look.head} - said.keys():
                    look.add(Code.ACTIVITY_WRONG, id_, f"counts {sorted(extra)[:5]}", repair=repair)
                elif any(said[place] < look.young for place in said.keys() - has):
                    detail = f"lacks {len(said.keys() - has)}"
                    look.add(Code.ACTIVITY_MISSING, id_, detail, repair=repair, behind=True)

    # ------------------------------------------------------------ what stands beside a log

    async def _receipts(self, look: _Look) -> None:
        """See that markers lie within the log, of people who are or were in."""
        async for documents in self._pages("receipts", look.conversation_id):
            members = await self._database["members"].find_many([document["_id"] for document in documents])
            for document in documents:
                if document["_id"] not in members:
                    look.add(Code.RECEIPT_EXTRA, document["_id"], "never a member")
                if max(document["delivered"], document["read"]) > look.head:
                    look.add(Code.RECEIPT_BEYOND, document["_id"], f"the log ends at {look.head}")
                if document["read"] > document["delivered"]:
                    look.add(Code.RECEIPT_ORDER, document["_id"])

    async def _sends(self, look: _Look) -> None:
        """See that no record says to look above the end of the log."""
        async for documents in self._pages("sends", look.conversation_id):
            for document in documents:
                if document["base"] > look.head:
                    look.add(Code.SEND_BASE, document["_id"], f"base {document['base']} is beyond the log")

    async def _found(self, look: _Look) -> None:
        """See that search has nothing that is no message."""
        if not look.searches:
            return
        async for documents in self._pages("search", look.conversation_id):
            places = {document["_id"]: int(document["_id"].rpartition(":")[2]) for document in documents}
            messages = await self._messages_at(look, set(places.values()))
            for document in documents:
                message = messages.get(places[document["_id"]])
                if message is None or document_of(message)["_id"] != document["_id"]:
                    repair = Repair(collection="search", stored=document, expected=None)
                    look.add(Code.SEARCH_EXTRA, document["_id"], "no such message", repair=repair)

    async def _published(self, look: _Look, published: Document | None) -> None:
        sequence = published["sequence"] if published is not None else 0
        if sequence > look.head:
            look.add(Code.PUBLISHED_BEYOND, look.conversation_id, f"{sequence}; the log ends at {look.head}")
            return
        kafka = await self._database["meta"].find_one({"_id": "kafka"})
        if kafka is None or kafka["refilled"] is not None:
            return  # everything is about to be sent again
        first = await self._database["entries"].find_one({"_id": entry_id(look.conversation_id, sequence + 1)})
        if first is not None and first["at"] < look.young:
            detail = f"{sequence} of {look.head}"
            look.add(Code.PUBLISHED_BEHIND, look.conversation_id, detail, behind=True)

    async def strays(self) -> AsyncIterator[Violation]:
        """Yield what users have and no log speaks of: inbox items and counts, whose ids do not begin with the log's.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        async for documents in _pages(self._database["inbox"], {"$gt": ""}):
            members = {
                each["_id"]: member_id(each["conversation"], each["_id"].partition(":")[0]) for each in documents
            }
            found = await self._database["members"].find_many(list(members.values()))
            for document in documents:
                if members[document["_id"]] not in found:
                    yield _stray(Code.INBOX_EXTRA, document["conversation"], "inbox", document)
        async for documents in _pages(self._database["activity"], {"$gt": ""}):
            firsts = {
                each["_id"]: entry_id(each["_id"].split(":")[2], each["sequences"][0])
                for each in documents
                if each["sequences"]
            }
            found = await self._database["entries"].find_many(list(firsts.values()))
            for document in documents:
                entry = found.get(firsts.get(document["_id"], ""))
                if entry is None or entry["kind"] != MessageSent.kind or _counting(entry) != document["_id"]:
                    yield _stray(Code.ACTIVITY_EXTRA, document["_id"].split(":")[2], "activity", document)

    async def _messages_at(self, look: _Look, sequences: set[int]) -> dict[int, MessageSent]:
        """Return those of these places that are messages."""
        ids = [entry_id(look.conversation_id, sequence) for sequence in sequences]
        found = await self._database["entries"].find_many(ids)
        entries = [_entry(look, document, told=False) for document in found.values()]
        return {entry.sequence: entry for entry in entries if isinstance(entry, MessageSent)}

    async def _pages(
        self, name: str, conversation_id: str, *, after: int | None = None, upto: int | None = None
    ) -> AsyncIterator[list[Document]]:
        span = dict(_range(conversation_id)["_id"])
        if after is not None:
            span["$gt"] = entry_id(conversation_id, after)
        if upto is not None:
            del span["$lt"]
            span["$lte"] = entry_id(conversation_id, upto)
        async for documents in _pages(self._database[name], span):
            yield documents


class _LogRules:
    """What holds between the entries of one log."""

    def __init__(self, look: _Look) -> None:
        self._look = look
        self._last = 0
        self._control = 0
        self._keys: dict[str, int] = {}  # of the newest entries, with their places
        self._order: deque[str] = deque()

    @property
    def first_known(self) -> int:
        """The place from which on all keys are compared."""
        return self._keys[self._order[0]] if self._order else 0

    def take(self, entry: Entry) -> None:
        """Compare an entry with those before it."""
        look = self._look
        if entry.sequence != self._last + 1:
            missing = f"{self._last + 1} to {entry.sequence - 1}"
            look.add(Code.LOG_HOLE, entry_id(look.conversation_id, self._last + 1), missing)
        if (entry.sequence == 1) is not isinstance(entry, ConversationCreated):
            look.add(Code.LOG_BEGINNING, _id(entry), entry.kind)
        if entry.control != self._control:
            look.add(Code.CONTROL_LINK, _id(entry), f"{entry.control} instead of {self._control}")
        if entry.key in self._keys:
            look.add(Code.KEY_TWICE, _id(entry), f"also at {self._keys[entry.key]}")
        else:
            self._order.append(entry.key)
            self._keys[entry.key] = entry.sequence
            if len(self._order) > KEYS:
                del self._keys[self._order.popleft()]
        self._last = entry.sequence
        self._control = entry.sequence if entry.is_control else self._control


class _Counted:
    """The messages of a thousand places, by the documents that count them, each with its time."""

    def __init__(self, look: _Look) -> None:
        self.look = look
        self.sequences: dict[str, dict[int, datetime]] = {}
        self._block: int | None = None

    def is_beyond(self, entry: Entry) -> bool:
        """Whether an entry belongs to the next thousand."""
        return self._block is not None and entry.sequence // BLOCK != self._block

    def take(self, entry: Entry) -> None:
        """Count an entry if it is a message."""
        self._block = entry.sequence // BLOCK
        if isinstance(entry, MessageSent):
            id_ = activity_id(entry.actor_id, entry.at, entry.conversation_id, entry.sequence)
            self.sequences.setdefault(id_, {})[entry.sequence] = entry.at


def _entry(look: _Look, document: Document, *, told: bool) -> Entry | None:
    try:
        return from_document(document)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        if told:
            look.add(Code.ENTRY_UNREADABLE, document["_id"], f"{type(error).__name__}: {error}")
        return None


def _id(entry: Entry) -> str:
    return entry_id(entry.conversation_id, entry.sequence)


def _place(id_: str) -> int:
    return int(id_.rpartition(":")[2])


def _range(conversation_id: str) -> Document:
    return {"_id": {"$gt": f"{conversation_id}:", "$lt": f"{conversation_id}:~"}}


def _counting(document: Mapping[str, object]) -> str:
    entry = from_document(dict(document))
    return activity_id(entry.actor_id, entry.at, entry.conversation_id, entry.sequence)


def _stray(code: Code, conversation_id: str, collection: str, document: Document) -> Violation:
    return Violation(
        code=code,
        conversation_id=conversation_id,
        id=document["_id"],
        detail="the log does not say so",
        repair=Repair(collection=collection, stored=document, expected=None),
    )


async def _pages(collection: Collection, span: Mapping[str, str]) -> AsyncIterator[list[Document]]:
    """Yield the documents between two ids, in order."""
    after = dict(span)
    while page := await collection.find({"_id": after}, limit=PAGE):
        yield page
        after = {**after, "$gt": page[-1]["_id"]}
