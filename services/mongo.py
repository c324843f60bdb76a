"""MongoDB as Parley uses it: durable writes, primary reads, `_id` and ranges of it, no multi-document transaction.

Every command has a deadline and goes through a circuit breaker, so a MongoDB that is away costs a caller at most five
seconds, and the callers after the first few nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from odmantic import Model
from pymongo import ReadPreference, ReturnDocument, WriteConcern
from pymongo.errors import AutoReconnect, ConnectionFailure, NetworkTimeout
from pymongo.read_concern import ReadConcern
from pymongo.results import UpdateResult

from services.breakers import Breaker, CircuitOpenError
from services.config import Settings
from services.retries import RetryBudget
from services.tracing import part

type Document = dict[str, Any]

# A cluster that has no primary is noticed within this time, so that a caller hears UNAVAILABLE and never hangs.
SELECTION_MS = 1_000
DUPLICATE_KEY = 11000  # the server's error code
READ_SECONDS = 2.0
WRITE_SECONDS = 4.5  # with what comes before and after it, whoever asks has an answer within 6 s


class Collection:
    """One collection; its methods raise PyMongoError, AutoReconnect among them when MongoDB does not answer in time."""

    def __init__(self, collection: AsyncIOMotorCollection[Document], breaker: Breaker, retries: RetryBudget) -> None:
        self.name = collection.name
        self._collection = collection
        self._breaker = breaker
        self._retries = retries

    async def find_one(self, query: Document) -> Document | None:
        """Return a document that fulfils the query."""
        return await self._read(lambda: self._collection.find_one(query))

    async def find(self, query: Document, *, limit: int = 0, descending: bool = False) -> list[Document]:
        """Return the documents that fulfil the query, in the order of their ids; at most `limit` if that is not 0."""

        def find() -> Awaitable[list[Document]]:
            cursor = self._collection.find(query).sort("_id", -1 if descending else 1).limit(limit)
            found: Awaitable[list[Document]] = cursor.to_list(None)
            return found

        return await self._read(find)

    async def find_many(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return the documents of these ids that exist, by id."""
        if not ids:
            return {}
        documents: list[Document] = await self._read(
            lambda: self._collection.find({"_id": {"$in": list(ids)}}).to_list(len(ids))
        )
        return {document["_id"]: document for document in documents}

    async def insert_one(self, document: Document) -> None:
        """Insert a document."""
        async with self._call("insert_one", WRITE_SECONDS):
            await self._collection.insert_one(document)

    async def insert_many(self, documents: Sequence[Document], *, ordered: bool) -> None:
        """Insert documents; ordered, the first that fails is the last that was tried."""
        async with self._call("insert_many", WRITE_SECONDS):
            await self._collection.insert_many(documents, ordered=ordered)

    async def update_one(self, query: Document, update: Document, *, upsert: bool = False) -> bool:
        """Change the document that fulfils the query; return whether there was one."""
        async with self._call("update_one", WRITE_SECONDS):
            result: UpdateResult = await self._collection.update_one(query, update, upsert=upsert)
            return result.matched_count == 1

    async def update_many(self, query: Document, update: Document) -> None:
        """Change every document that fulfils the query."""
        async with self._call("update_many", WRITE_SECONDS):
            await self._collection.update_many(query, update)

    async def replace_one(self, query: Document, document: Document, *, upsert: bool = False) -> bool:
        """Replace the document that fulfils the query; return whether there was one."""
        async with self._call("replace_one", WRITE_SECONDS):
            result: UpdateResult = await self._collection.replace_one(query, document, upsert=upsert)
            return result.matched_count == 1

    async def find_one_and_update(self, query: Document, update: Document, *, upsert: bool = False) -> Document | None:
        """Change the document that fulfils the query; return it as it is then."""
        async with self._call("find_one_and_update", WRITE_SECONDS):
            document: Document | None = await self._collection.find_one_and_update(
                query, update, upsert=upsert, return_document=ReturnDocument.AFTER
            )
            return document

    async def make_text_index(self, prefix: str, text: str) -> None:
        """Have texts found by their words as they are, among documents with one value of another field."""
        async with self._call("make_text_index", WRITE_SECONDS):
            await self._collection.create_index(
                [(prefix, 1), (text, "text")], name=f"{prefix}_{text}", default_language="none"
            )

    async def delete_one(self, query: Document) -> bool:
        """Delete the document that fulfils the query; return whether there was one."""
        async with self._call("delete_one", WRITE_SECONDS):
            return bool((await self._collection.delete_one(query)).deleted_count)

    async def _read[T](self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, and once more where the connection broke: a failover costs a moment, and an outage no second load."""
        async with self._call("find", READ_SECONDS):
            self._retries.note_call()
            try:
                return await read()
            except AutoReconnect:
                if not self._retries.take():
                    raise
            return await read()

    @asynccontextmanager
    async def _call(self, command: str, seconds: float) -> AsyncIterator[None]:
        try:
            with part(f"{command} {self.name}"), self._breaker.guard(seconds):
                try:
                    async with asyncio.timeout(seconds):
                        yield
                except TimeoutError:
                    raise NetworkTimeout(f"MongoDB did not answer within {seconds:g} s") from None
        except CircuitOpenError:
            raise AutoReconnect("MongoDB has lately not answered and was not asked") from None


class Database:
    """Parley's database, with what invariant 1 asks of every write: acknowledged means durable on a majority."""

    def __init__(self, settings: Settings) -> None:
        """Prepare a connection; the first command makes it."""
        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            settings.mongo_url,
            # Log appends settle a lost outcome themselves; a driver that retried behind their back would hide it.
            retryWrites=False,
            retryReads=False,  # nor reads: they have a budget for that
            serverSelectionTimeoutMS=SELECTION_MS,
            connectTimeoutMS=SELECTION_MS,
            socketTimeoutMS=int(WRITE_SECONDS * 1_000),
            maxPoolSize=32,
            waitQueueTimeoutMS=int(WRITE_SECONDS * 1_000),
        )
        self._database = self._client.get_database(
            settings.mongo_database,
            codec_options=CodecOptions(tz_aware=True),
            write_concern=WriteConcern(w="majority", j=True),
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
        )
        self._breaker = Breaker("mongodb", (ConnectionFailure,))
        self._retries = RetryBudget()

    def __getitem__(self, name: str) -> Collection:
        """Return a collection."""
        return Collection(self._database[name], self._breaker, self._retries)

    async def collection_names(self) -> list[str]:
        """Return the names of all collections that there are, in order.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        names: list[str] = await self._database.list_collection_names()
        return sorted(names)

    async def ping(self) -> None:
        """Ask MongoDB for a sign of life, whatever the breaker thinks of it.

        Raises:
            PyMongoError: there was none.
        """
        await self._database.command("ping")

    def close(self) -> None:
        """End the connections."""
        self._client.close()


def parsed[M: Model](model: type[M], document: Mapping[str, Any] | None) -> M | None:
    """Return the document as its model, or None where there is none."""
    return None if document is None else model.model_validate_doc(dict(document))
