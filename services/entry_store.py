"""The entries of all logs in MongoDB: appended, and read by their ids.

An entry never changes, but for the `state` beside a sent message, and for the words that a deletion takes away.
"""

from collections.abc import Iterable, Mapping, Sequence

from services.entries import MAX_SEQUENCE, Entry, MessageEdited, MessageSent, entry_id, from_document, to_document
from services.mongo import Database, Document
from services.paging import find_items


class EntryStore:
    """Every method raises PyMongoError when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._entries = database["entries"]

    async def insert(self, entries: Sequence[Entry]) -> None:
        """Insert entries in order.

        Raises:
            BulkWriteError: a place is taken; those before it were inserted, it and those after it were not.
        """
        await self._entries.insert_many([to_document(entry) for entry in entries], ordered=True)

    async def read(
        self, conversation_id: str, *, after: int, limit: int, upto: int = MAX_SEQUENCE, newest: bool = False
    ) -> list[Entry]:
        """Return up to `limit` of the first entries in (after, upto], or of the last ones; in order."""
        documents = await self._entries.find(_range(conversation_id, after, upto), limit=limit, descending=newest)
        entries = [from_document(document) for document in documents]
        return entries[::-1] if newest else entries

    async def tails(self, after: Mapping[str, int], *, limit: int) -> list[Entry]:
        """Return up to `limit` entries above these sequences, by conversation and in order."""
        ranges = [_range(conversation_id, sequence, MAX_SEQUENCE) for conversation_id, sequence in after.items()]
        return [from_document(document) for document in await self._entries.find({"$or": ranges}, limit=limit)]

    async def at(self, conversation_id: str, sequence: int) -> Entry | None:
        """Return the entry at a place, or None where the log has not got so far."""
        document = await self._entries.find_one({"_id": entry_id(conversation_id, sequence)})
        return from_document(document) if document else None

    async def messages(self, conversation_id: str, sequences: Iterable[int]) -> dict[int, MessageSent]:
        """Return those of these places that are messages, by sequence."""
        found = await self._entries.find_many([entry_id(conversation_id, sequence) for sequence in sequences])
        entries = (from_document(document) for document in found.values())
        return {entry.sequence: entry for entry in entries if isinstance(entry, MessageSent)}

    async def put_state(self, message: MessageSent) -> None:
        """Store what has become of a message, unless what is stored is as new."""
        change: Document = {"state": message.state.to_document()}
        if message.state.deleted_at is not None:
            change |= {"body": None, "mentions": [], "attachments": []}
        # `$not` and not `$lt`, which is false where nothing is stored yet.
        older = {"state.applied": {"$not": {"$gte": message.state.applied}}}
        await self._entries.update_one(
            {"_id": entry_id(message.conversation_id, message.sequence), **older}, {"$set": change}
        )

    async def blank_edit(self, conversation_id: str, sequence: int) -> int:
        """Take the words out of an edit of a deleted message; return the sequence of the edit before it, or 0."""
        document = await self._entries.find_one_and_update(
            {"_id": entry_id(conversation_id, sequence)}, {"$set": {"body": None, "mentions": []}}
        )
        assert document is not None  # a message names its newest edit, and each edit the one before it
        edit = from_document(document)
        assert isinstance(edit, MessageEdited)
        return edit.previous_edit

    async def newest_message(self, conversation_id: str, *, after: int) -> MessageSent | None:
        """Return the newest message above a place, or None where there is none."""
        bounds = _range(conversation_id, after, MAX_SEQUENCE)["_id"]
        found = await find_items(self._entries, bounds, 1, descending=True, is_item=is_sent)
        entry = from_document(found[0]) if found else None
        assert entry is None or isinstance(entry, MessageSent)
        return entry

    async def head(self, conversation_id: str) -> Entry | None:
        """Return the newest entry, or None where there is no such log."""
        newest = await self.read(conversation_id, after=0, limit=1, newest=True)
        return newest[0] if newest else None


def is_sent(document: Document) -> bool:
    """Whether a document is a message's."""
    return bool(document["kind"] == MessageSent.kind)


def _range(conversation_id: str, after: int, upto: int) -> Document:
    return {"_id": {"$gt": entry_id(conversation_id, after), "$lte": entry_id(conversation_id, upto)}}
