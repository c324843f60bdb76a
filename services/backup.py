"""Backups: everything that cannot be made from something else, in one file, and back into an empty database.

A backup is taken while people write. A log only grows, so a range of it, read up to where it ended, is the log as of
then; what is read beside it is read in the order that makes it fit. Projections are not in the file: they are made from
the logs again. What was restored has a new epoch, so that no client goes on from a place that means something else now.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import IO, Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from ulid import ULID

from services.clock import now
from services.entries import MessageDeleted, MessageEdited, MessageSent, entry_id
from services.epoch import epoch_of
from services.migration import make_indexes
from services.mongo import Database, Document
from services.rebuild import project
from services.search_build import VERSION as SEARCH_VERSION

FORMAT: Final = "parley-backup"
VERSION: Final = 1
PAGE: Final = 200  # documents in one record

_LOGS: Final = ("entries", "sends", "receipts", "published")
# Made again from the logs, or of no meaning for other processes than those that made them.
_LEFT_OUT: Final = frozenset(
    {"conversations", "members", "inbox", "search", "activity", "dirty", "leases", "push_queue", "alerts", *_LOGS}
)
_LEFT_OUT_META: Final = frozenset({"epoch", "kafka", "search", "cache", "fsck"})
_CODEC = CodecOptions[dict[str, Any]](tz_aware=True)


class BackupError(Exception):
    """A file that is no whole backup, or a database that is not empty; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a backup holds."""

    conversations: int
    documents: int


class _Writer:
    """Writes records to a file that is there under its name once it is whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6)
        self._digest = hashlib.sha256()
        self.documents = 0

    def put(self, record: Document) -> None:
        data = bson.encode(record)
        self._digest.update(data)
        self._zip.write(data)

    def documents_of(self, collection: str, documents: list[Document]) -> None:
        if documents:
            self.documents += len(documents)
            self.put({"collection": collection, "documents": documents})

    def end(self) -> None:
        end = {"end": True, "documents": self.documents, "sha256": self._digest.digest()}
        self._zip.write(bson.encode(end))
        self._zip.close()


async def back_up(database: Database, path: Path) -> Summary:
    """Write a backup to a file, beside a Parley that runs. It has every message that was acknowledged before.

    Raises:
        PyMongoError: MongoDB did not answer; there is no file.
        OSError: the file cannot be written.
    """
    draft = path.with_name(f"{path.name}.part")
    try:
        with _opened(draft) as file:
            writer = _Writer(file)
            writer.put({"format": FORMAT, "version": VERSION, "epoch": await epoch_of(database), "at": now()})
            conversations = 0
            async for conversation_id in _conversation_ids(database):
                await _back_up_log(database, conversation_id, writer)
                conversations += 1
            # After the logs: whoever is named there was an account before.
            for name in await database.collection_names():
                if name not in _LEFT_OUT:
                    async for page in _pages(database, name, ""):
                        keep = [each for each in page if name != "meta" or each["_id"] not in _LEFT_OUT_META]
                        writer.documents_of(name, keep)
            writer.end()
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return Summary(conversations=conversations, documents=writer.documents)


def _opened(path: Path) -> BufferedWriter:
    """Return a new file that only its owner may read."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


async def _back_up_log(database: Database, conversation_id: str, writer: _Writer) -> None:
    """Write a log and what stands beside it."""
    # Before the log: so neither is beyond its end.
    published = await database["published"].find_one({"_id": conversation_id})
    receipts = [page async for page in _pages(database, "receipts", f"{conversation_id}:")]
    head = await _back_up_entries(database, conversation_id, writer)
    # After it: so each of its messages has its record. Of a message that came later the record may lie anywhere.
    async for page in _pages(database, "sends", f"{conversation_id}:"):
        writer.documents_of("sends", [{**record, "base": min(record["base"], head)} for record in page])
    for page in receipts:
        writer.documents_of("receipts", page)
    writer.documents_of("published", [published] if published else [])
    writer.put({"log": conversation_id})


async def _back_up_entries(database: Database, conversation_id: str, writer: _Writer) -> int:
    """Write the entries up to where the log ended when this began, or a little further; return up to where."""
    first, last = f"{conversation_id}:", f"{conversation_id}:~"
    newest = await database["entries"].find({"_id": {"$gt": first, "$lt": last}}, limit=1, descending=True)
    upto = int(newest[0]["_id"].rpartition(":")[2])
    wordless: set[int] = set()  # messages of whose edits the words are gone: their deletion has to be in it as well
    head = 0
    while page := await database["entries"].find(
        {"_id": {"$gt": entry_id(conversation_id, head), "$lt": last}}, limit=PAGE
    ):
        kept: list[Document] = []
        for document in page:
            if head >= upto and not wordless:
                break
            kept.append(document)
            head = int(document["_id"].rpartition(":")[2])
            if document["kind"] == MessageSent.kind and document.get("state"):
                upto = max(upto, document["state"]["applied"])  # it shows a change: that has to be in it as well
            elif document["kind"] == MessageEdited.kind and document["body"] is None:
                wordless.add(document["message"])
            elif document["kind"] == MessageDeleted.kind:
                wordless.discard(document["message"])
        writer.documents_of("entries", kept)
        if len(kept) < len(page):
            break
    return head


async def restore(database: Database, path: Path) -> Summary:
    """Restore a backup into an empty database, with all projections and a new epoch.

    Raises:
        BackupError: the file is no whole backup, or the database is not empty; nothing was changed.
        PyMongoError: MongoDB did not answer; what is there is a part, to be dropped before the next try.
        OSError: the file cannot be read.
    """
    header, documents = _verified(path)
    if not await _is_empty(database):
        raise BackupError("There is something in the database already; restore into an empty one.")
    await make_indexes(database)
    conversations = 0
    for record in _records(path):
        if "collection" in record:
            await database[record["collection"]].insert_many(record["documents"], ordered=True)
        elif "log" in record:
            await project(database, record["log"])
            conversations += 1
    built = {"_id": "search", "version": SEARCH_VERSION, "after": None}
    await database["meta"].replace_one({"_id": "search"}, built, upsert=True)
    epoch = {"_id": "epoch", "value": _epoch_after(header["epoch"])}
    await database["meta"].replace_one({"_id": "epoch"}, epoch, upsert=True)
    return Summary(conversations=conversations, documents=documents)


def _epoch_after(epoch: int) -> int:
    """Return another epoch; also than that of another restoring of the same file."""
    value = ULID().milliseconds & 0x7FFFFFFF
    return value if value != epoch else value ^ 1


async def _is_empty(database: Database) -> bool:
    """Whether nobody has used the database; a migration may have prepared it."""
    for name in await database.collection_names():
        if name not in {"meta", "leases"} and await database[name].find({}, limit=1):
            return False
    return True


def _verified(path: Path) -> tuple[Document, int]:
    """Return the header of a whole backup, and how many documents there are."""
    header: Document | None = None
    digest, documents = hashlib.sha256(), 0
    for data in _raw(path):
        record: Document = bson.decode(data, _CODEC)
        if header is None:
            if record.get("format") != FORMAT:
                raise BackupError("This is no backup of Parley.")
            if record["version"] != VERSION:
                raise BackupError(f"This backup has version {record['version']}; only {VERSION} can be restored.")
            header = record
        if "end" in record:
            if record["sha256"] != digest.digest() or record["documents"] != documents:
                raise BackupError("The backup is damaged: its checksum is another one.")
            return header, documents
        digest.update(data)
        documents += len(record.get("documents", ()))
    raise BackupError("The backup is cut off.")


def _records(path: Path) -> Iterator[Document]:
    for data in _raw(path):
        yield bson.decode(data, _CODEC)


def _raw(path: Path) -> Iterator[bytes]:
    """Yield the records of a file as they are stored."""
    try:
        with gzip.open(path, "rb") as file:
            while size := file.read(4):
                data = size + file.read(int.from_bytes(size, "little") - 4)
                bson.decode(data, _CODEC)
                yield data
    except (gzip.BadGzipFile, EOFError, zlib.error, InvalidBSON) as error:
        raise BackupError(f"This is no whole backup of Parley: {error}") from None


async def _conversation_ids(database: Database) -> AsyncIterator[str]:
    after = ""
    while first := await database["entries"].find({"_id": {"$gt": after}}, limit=1):
        conversation_id = first[0]["_id"].partition(":")[0]
        yield conversation_id
        after = f"{conversation_id}:~"


async def _pages(database: Database, name: str, prefix: str) -> AsyncIterator[list[Document]]:
    """Yield the documents whose ids begin with something, in order."""
    after = prefix
    while page := await database[name].find({"_id": {"$gt": after, "$lt": f"{prefix}~"}}, limit=PAGE):
        yield page
        after = page[-1]["_id"]
