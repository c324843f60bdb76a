"""Search: a projection of what messages say, kept by a job, and found by a text index.

A message's document is `search/<conversation>:<time>:<sequence>`: newest first is the order of ids in a conversation,
and the conversations' lists can be merged. It carries the sequence of the change that it shows, and older news change
nothing; a deleted message leaves it without words. Whoever reads is shown the log: a document that is behind finds too
little for a moment, never something that was taken back.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Final

from pymongo.errors import BulkWriteError

from services import ids
from services.entries import MAX_SEQUENCE, MessageDeleted, MessageEdited, MessageSent
from services.entry_store import EntryStore
from services.errors import BadUserInput
from services.events import Event
from services.inboxes import Inboxes
from services.log import Logs
from services.messages import Message, Messages
from services.mongo import DUPLICATE_KEY, Database, Document, parsed
from services.paging import LARGEST_RUN, Page, Window, cursor_of, key_of, read_page
from services.state import Member, Projections, member_id
from services.tasks import gather_some
from services.words import has_phrases, phrases_of, words_of

QUERY_CHARACTERS: Final = 256
PHRASES: Final = 16
READ_SIZE: Final = 100
# Clocks of processes that are apart: a message may say that it is older than the entry after which it stands.
SKEW: Final = timedelta(minutes=1)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = frozenset({MessageSent.kind, MessageEdited.kind, MessageDeleted.kind})


class SearchJob:
    """The job that keeps the projection."""

    name = "search"

    def __init__(self, database: Database) -> None:
        self._search = database["search"]
        self._entries = EntryStore(database)
        self._projections = Projections(database)

    async def handle(self, events: Sequence[Event]) -> None:
        """Have the documents show the messages that these events are about, as they are now.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        changed: defaultdict[str, dict[int, int]] = defaultdict(dict)  # by conversation and message: the newest change
        for event in events:
            if event.kind in _KINDS:
                place = event.sequence if event.message is None else event.message
                messages = changed[event.conversation_id]
                messages[place] = max(messages.get(place, 0), event.sequence if event.message is not None else 0)
        for conversation_id, messages in changed.items():
            await self.show(conversation_id, messages)

    async def show(self, conversation_id: str, messages: dict[int, int]) -> None:
        """Have the documents show these messages, each with its changes at least up to a sequence."""
        for batch in batched(messages, READ_SIZE, strict=False):
            found = await self._entries.messages(conversation_id, batch)
            # An event may be here before what it changes shows it: its writer is not done, or has died.
            if behind := [messages[place] for place, sent in found.items() if sent.state.applied < messages[place]]:
                await self._projections.settle(conversation_id, max(behind))
                found = await self._entries.messages(conversation_id, batch)
            await self._put([document_of(sent) for sent in found.values()])

    async def _put(self, documents: Iterable[Document]) -> None:
        new = list(documents)
        if not new:
            return
        try:
            await self._search.insert_many(new, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if any(failure["code"] != DUPLICATE_KEY for failure in failures):
                raise
            for document in [new[failure["index"]] for failure in failures]:
                if document["applied"]:
                    older = {"_id": document["_id"], "applied": {"$lt": document["applied"]}}
                    change = {"words": document["words"], "applied": document["applied"]}
                    await self._search.update_one(older, {"$set": change})


class Search:
    """What viewers look for."""

    def __init__(self, database: Database, logs: Logs, inboxes: Inboxes, messages: Messages) -> None:
        self._database = database
        self._logs = logs
        self._inboxes = inboxes
        self._messages = messages

    async def messages(self, viewer_id: str, query: str, conversation_id: str | None, window: Window) -> Page[Message]:
        """Return a page of the messages that have all words of a query, the newest first, of those the viewer may read.

        Raises:
            BadUserInput: there is nothing to look for in the query, or too much; or a cursor is none.
        """
        phrases = _phrases(query)
        if conversation_id is None:
            among: Iterable[str] = await self._inboxes.of(viewer_id)
        else:
            among = [conversation_id] if ids.kind(conversation_id) == "cnv" else []
        members = await self._members(viewer_id, list(among))
        found = _Found(self._database, self._logs, self._messages, members, phrases)
        return await read_page(
            found,
            ("", "~"),
            window,
            key=_key,
            item=lambda document: (cursor_of(document["_id"]), document["message"]),
            newest_first=True,
        )

    async def _members(self, viewer_id: str, conversation_ids: Sequence[str]) -> list[Member]:
        stored: dict[str, Document] = {}
        for batch in batched(conversation_ids, READ_SIZE, strict=False):
            stored |= await self._database["members"].find_many([member_id(key, viewer_id) for key in batch])
        return [member for document in stored.values() if (member := parsed(Member, document)) and member.active]


class _Found:
    """What a viewer may read of what has all phrases: a collection with ids `<time>.<conversation>.<place>`."""

    def __init__(
        self, database: Database, logs: Logs, messages: Messages, members: Sequence[Member], phrases: list[list[str]]
    ) -> None:
        self._search = database["search"]
        self._logs = logs
        self._messages = messages
        self._members = {member.conversation_id: member for member in members}
        self._phrases = phrases
        self._text = " ".join(f'"{" ".join(phrase)}"' for phrase in phrases)
        self._joined: dict[str, int | None] = {}  # from where on each conversation is visible now; None: not at all

    async def find(self, query: Document, *, limit: int = 0, descending: bool = False) -> list[Document]:
        """Return the first or the last documents between two ids, each with its message."""
        bounds: dict[str, str] = query["_id"]
        found: list[Document] = []
        while len(found) < limit:
            wanted = limit - len(found)
            lists = await gather_some(
                self._of(member, bounds, wanted, descending=descending) for member in self._members.values()
            )
            candidates = sorted(
                (document for each in lists for document in each), key=lambda each: each["_id"], reverse=descending
            )[:wanted]
            found += await self._shown(candidates)
            if len(candidates) < wanted:
                break
            # Some may have turned out to be behind: go on after the last one that was looked at.
            end, replaced = ("$lt", "$lte") if descending else ("$gt", "$gte")
            kept = {name: bound for name, bound in bounds.items() if name != replaced}
            bounds = kept | {end: candidates[-1]["_id"]}
        return found

    async def _of(self, member: Member, bounds: dict[str, str], limit: int, *, descending: bool) -> list[Document]:
        """Return what one conversation has, under ids of all."""
        conversation_id = member.conversation_id
        span = {name: _bound(bound, conversation_id) for name, bound in bounds.items()}
        low = next((name for name in ("$gt", "$gte") if name in span), "$gt")
        first = f"{conversation_id}:{_moment(member.joined_at - SKEW)}"
        span[low] = max(span.get(low, ""), first)
        found: list[Document] = []
        size = limit
        while len(found) < limit:
            page = await self._search.find(
                {"conversation": conversation_id, "_id": span, "$text": {"$search": self._text}},
                limit=size,
                descending=descending,
            )
            for document in page:
                _, moment, sequence = document["_id"].split(":")
                # A text index finds parts of words as well, where they are more than one.
                if int(sequence) > member.joined_sequence and has_phrases(document["words"].split(), self._phrases):
                    found.append({"_id": f"{moment}.{conversation_id}.{sequence}"})
            if len(page) < size:
                break
            end, replaced = ("$lt", "$lte") if descending else ("$gt", "$gte")
            span = {name: bound for name, bound in span.items() if name != replaced} | {end: page[-1]["_id"]}
            size = min(2 * size, LARGEST_RUN)
        return found[:limit]

    async def _shown(self, candidates: list[Document]) -> list[Document]:
        """Return those of these that are in the log as they were found, and visible as of now."""
        places = {document["_id"]: _place(document["_id"]) for document in candidates}
        new = [key for key in dict.fromkeys(key for key, _ in places.values()) if key not in self._joined]
        self._joined |= zip(new, await gather_some(map(self._visible_from, new)), strict=True)
        visible = [
            (key, place)
            for key, place in places.items()
            if (joined := self._joined[place[0]]) is not None and place[1] > joined
        ]
        messages = await self._messages.get_many([place for _, place in visible])
        return [
            {"_id": key, "message": message}
            for key, place in visible
            if (message := messages.get(place))
            and message.body is not None
            and has_phrases(words_of(message.body), self._phrases)
        ]

    async def _visible_from(self, conversation_id: str) -> int | None:
        log = await self._logs.get(conversation_id)
        await log.refresh()
        member = await log.member(self._members[conversation_id].user_id)
        return None if member is None else member.joined_sequence


def _phrases(query: str) -> list[list[str]]:
    if len(query) > QUERY_CHARACTERS:
        raise BadUserInput(f"`query` has at most {QUERY_CHARACTERS} characters.")
    phrases = phrases_of(query)
    if not phrases:
        raise BadUserInput("`query` has at least one letter or digit.")
    if len(phrases) > PHRASES:
        raise BadUserInput(f"`query` has at most {PHRASES} words and phrases.")
    return phrases


def document_of(sent: MessageSent) -> Document:
    """Return what is stored of a message."""
    # Reactions and pins change no words, and after a deletion there is nothing newer.
    applied = sent.state.newest_edit if sent.state.deleted_at is None else MAX_SEQUENCE
    return {
        "_id": f"{sent.conversation_id}:{_moment(sent.at)}:{sent.sequence:012d}",
        "conversation": sent.conversation_id,
        "words": " ".join(words_of(sent.current_body or "")),
        "applied": applied,
    }


def _moment(time: datetime) -> str:
    return f"{(time - _EPOCH) // timedelta(milliseconds=1):013d}"


def _key(cursor: str, argument: str) -> str:
    key = key_of(cursor, argument)
    match key.split("."):
        case [moment, conversation_id, sequence] if (
            moment.isdigit() and ids.kind(conversation_id) == "cnv" and sequence.isdigit()
        ):
            return key
    raise BadUserInput(f"`{argument}` is not a cursor.")


def _place(key: str) -> tuple[str, int]:
    _, conversation_id, sequence = key.split(".")
    return conversation_id, int(sequence)


def _bound(bound: str, conversation_id: str) -> str:
    """Return the bound in one conversation's ids that cuts where this one cuts the ids of all."""
    if bound in {"", "~"}:
        return f"{conversation_id}:{bound}"
    moment, other, sequence = bound.split(".")
    if other == conversation_id:
        return f"{conversation_id}:{moment}:{sequence}"
    # Of the same moment is all or nothing: what is in a conversation before the other lies below its id.
    return f"{conversation_id}:{moment}:{'~' if conversation_id < other else ''}"
