"""The entries of all logs in MongoDB: appended, and read by ranges of their ids; never changed here."""

from collections.abc import Mapping, Sequence

from services.entries import MAX_SEQUENCE, Entry, entry_id, from_document, to_document
from services.mongo import Database, Document


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

    async def head(self, conversation_id: str) -> Entry | None:
        """Return the newest entry, or None where there is no such log."""
        newest = await self.read(conversation_id, after=0, limit=1, newest=True)
        return newest[0] if newest else None


def _range(conversation_id: str, after: int, upto: int) -> Document:
    return {"_id": {"$gt": entry_id(conversation_id, after), "$lte": entry_id(conversation_id, upto)}}
