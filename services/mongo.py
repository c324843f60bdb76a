"""MongoDB as Parley uses it: durable writes, primary reads, `_id` and ranges of it, no multi-document transaction."""

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from odmantic import Model
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from services.config import Settings

type Document = dict[str, Any]
type Database = AsyncIOMotorDatabase[Document]
type Collection = AsyncIOMotorCollection[Document]

# A cluster that has no primary is noticed within this time, so that a caller hears UNAVAILABLE and never hangs.
SELECTION_MS = 1_000
DUPLICATE_KEY = 11000  # the server's error code
WRITE_SECONDS = 5.0


def open_client(settings: Settings) -> AsyncIOMotorClient[Document]:
    """Return a client; it connects with its first command."""
    return AsyncIOMotorClient(
        settings.mongo_url,
        # Log appends settle a lost outcome themselves; a driver that retried behind their back would hide it.
        retryWrites=False,
        retryReads=True,
        serverSelectionTimeoutMS=SELECTION_MS,
        connectTimeoutMS=SELECTION_MS,
        socketTimeoutMS=int(WRITE_SECONDS * 1_000),
        maxPoolSize=32,
        waitQueueTimeoutMS=int(WRITE_SECONDS * 1_000),
    )


def open_database(client: AsyncIOMotorClient[Document], settings: Settings) -> Database:
    """Return the database, with what invariant 1 asks of every write: acknowledged means durable on a majority."""
    return client.get_database(
        settings.mongo_database,
        codec_options=CodecOptions(tz_aware=True),
        write_concern=WriteConcern(w="majority", j=True),
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
    )


def parsed[M: Model](model: type[M], document: Mapping[str, Any] | None) -> M | None:
    """Return the document as its model, or None where there is none."""
    return None if document is None else model.model_validate_doc(dict(document))


async def read_many(collection: Collection, ids: list[str]) -> dict[str, Document]:
    """Return the documents of these ids that exist, by id."""
    documents = await collection.find({"_id": {"$in": ids}}).to_list(len(ids)) if ids else []
    return {document["_id"]: document for document in documents}
