"""The embedded MongoDB: mongoeco's wire server on one SQLite file, made fast where Parley reads and writes by `_id`.

As it comes, mongoeco visits all documents of a collection for an insert and for most reads. Two things change that, and
neither assumes anything about the data; `docs/decisions/0001-embedded-mongodb.md` has the figures.

1. A document with a string `_id` is stored under a key that sorts as MongoDB sorts strings, so that the primary key of
   the library's table is an ordered index on `_id`.
2. Commands that name string ids, or ranges of them, are answered straight from SQLite: one statement for a range, one
   transaction for a command. Any other shape is the library's to answer, and so is whatever goes wrong, as if nothing
   had been tried.
"""

import argparse
import asyncio
import json
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mongoeco.api.operations import compile_update_operation
from mongoeco.compat import MONGODB_DIALECT_70
from mongoeco.core.codec import DocumentCodec
from mongoeco.core.filtering import QueryEngine
from mongoeco.core.projections import apply_projection
from mongoeco.core.query_plan import compile_filter
from mongoeco.core.upserts import seed_upsert_document
from mongoeco.engines._sqlite_write_scope import sqlite_write_scope
from mongoeco.engines.sqlite import SQLiteEngine
from mongoeco.wire.executor import WireCommandExecutor
from mongoeco.wire.proxy import AsyncMongoEcoProxyServer

from parley.stack.text import TextIndex, text_index

type Document = dict[str, Any]

KEY: Final = "s"  # before a string `_id` in a storage key; the keys that the library makes begin with a bracket
AFTER_KEYS: Final = "t"  # sorts after the storage key of every string
MARKER: Final = DocumentCodec._MARKER  # noqa: SLF001  # the field that makes a stored document a tagged value
DIALECT: Final = MONGODB_DIALECT_70
ROWS: Final = 5_000  # an answer of more documents than this is left to the library

# What a command may say for us to answer it; anything else may change its meaning.
FIELDS: Final = {
    "find": {"find", "filter", "sort", "limit", "projection", "batchSize", "singleBatch"},
    "insert": {"insert", "documents", "ordered"},
    "update": {"update", "updates", "ordered"},
    "delete": {"delete", "deletes", "ordered"},
    "findAndModify": {"findAndModify", "query", "update", "upsert", "new"},
}
FIELDS_WITHOUT_EFFECT: Final = {"writeConcern", "readConcern", "maxTimeMS", "comment"}
TRANSACTION_FIELDS: Final = {"txnNumber", "startTransaction", "autocommit"}
OPERATORS: Final = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not"}
BOUNDS: Final = {"$gt": "> ?", "$gte": ">= ?", "$lt": "< ?", "$lte": "<= ?"}

SELECT: Final = "SELECT storage_key, document FROM documents WHERE db_name = ? AND coll_name = ? AND storage_key "
INSERT: Final = (
    "INSERT INTO documents (db_name, coll_name, storage_key, document) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
UPDATE: Final = "UPDATE documents SET document = ? WHERE db_name = ? AND coll_name = ? AND storage_key = ?"
DELETE: Final = "DELETE FROM documents WHERE db_name = ? AND coll_name = ? AND storage_key = ?"


class NotByIdError(Exception):
    """The command is the library's to answer."""


class Place(NamedTuple):
    """A collection."""

    database: str
    collection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a filter names: spans of storage keys, and the plan of the filter if it has conditions on other fields."""

    spans: list[tuple[str, list[str]]]
    plan: object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an update did to one document; `before` is None where there was none, `after` where there is none."""

    before: str | None = None
    after: Document | None = None
    modified: bool = False
    duplicate: bool = False


class Engine(SQLiteEngine):  # type: ignore[misc]  # untyped library
    """mongoeco's SQLite engine with ordered keys for string ids, and answers for the commands that use them."""

    def _create_sqlite_connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._create_sqlite_connection()
        # What is acknowledged is on the disk, as `journal=true` says; the library's NORMAL lets power loss undo it.
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _storage_key(self, value: Any) -> str:
        return KEY + value if type(value) is str else str(super()._storage_key(value))

    def _serialize_document(self, document: Document) -> str:
        return json.dumps(_encoded(document), separators=(",", ":"))

    def _deserialize_document(self, payload: str, *, preserve_bson_wrappers: bool = True) -> Document:
        # As the library does it, but for asking the codec for its signature each time.
        document: Document = json.loads(payload)
        if MARKER not in payload:
            return document
        decoded: Document = DocumentCodec.decode(document, preserve_bson_wrappers=preserve_bson_wrappers)
        return decoded

    def _validate_document_against_unique_indexes(
        self,
        db_name: str,
        coll_name: str,
        document: Document,
        *,
        exclude_storage_key: str | None = None,
        skip_id_check: bool = False,
        scan_payload_id: bool = False,
    ) -> None:
        super()._validate_document_against_unique_indexes(
            db_name,
            coll_name,
            document,
            exclude_storage_key=exclude_storage_key,
            skip_id_check=skip_id_check,
            # The scan looks for an equal `_id` under another key, which a string cannot have.
            scan_payload_id=scan_payload_id and type(document.get("_id")) is not str,
        )

    def answer(self, context: Any) -> Document:
        """Answer a command of the wire, or raise with nothing done."""
        command: Document = context.command_document
        name: str = context.command_name
        if name not in FIELDS or command.keys() - FIELDS[name] - FIELDS_WITHOUT_EFFECT:
            raise NotByIdError
        place = Place(context.db_name, command[name])
        if (
            place.collection.startswith("system.")
            or context.raw_body.keys() & TRANSACTION_FIELDS
            or command.get("writeConcern", {}).get("w") == 0
            or any(command.get(items) == [] for items in ("documents", "updates", "deletes"))
        ):
            raise NotByIdError
        writes = {
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "findAndModify": self._find_and_modify,
        }
        with self._lock:
            conn: sqlite3.Connection = self._require_connection()  # refuses while a session has a transaction
            if self._collection_options_or_empty_sync(conn, *place):
                raise NotByIdError  # a validator, a collation, a view
            if name == "find" and "$text" not in command.get("filter", {}):
                self._purge_expired_documents_sync(conn, *place, context=None, now=self._ttl_now())
                return self._find(conn, place, command)
            index = self._text_index(place)
            if name == "find":
                return self._find_text(conn, place, command, index)
            with sqlite_write_scope(
                conn,
                begin_write=lambda conn: self._begin_write(conn, None),
                commit_write=lambda conn: self._commit_write(conn, None),
                rollback_write=lambda conn: self._rollback_write(conn, None),
            ):
                self._invalidate_collection_features_cache(*place)
                if index is not None:
                    index.prepare(conn)
                return writes[name](conn, place, command, context.execution_context)

    def _text_index(self, place: Place) -> TextIndex | None:
        """Return the collection's text index, if it has one; any others the library keeps the entries of."""
        indexes = self._load_indexes(*place)
        if self._load_search_index_rows(*place):
            raise NotByIdError
        index = text_index(*place, indexes)
        if indexes and index is None:
            raise NotByIdError
        return index

    def _find_text(
        self, conn: sqlite3.Connection, place: Place, command: Document, index: TextIndex | None
    ) -> Document:
        sort, limit, query = command.get("sort"), command.get("limit", 0), command["filter"]
        if (
            index is None
            or query.keys() != {index.prefix, "_id", "$text"}
            or sort not in ({"_id": 1}, {"_id": -1})
            or type(limit) is not int
            or not 0 < limit <= ROWS
            or command.get("projection")
        ):
            raise NotByIdError
        index.prepare(conn)
        order = "DESC" if sort["_id"] == -1 else "ASC"
        found = index.find(conn, query, _span(query["_id"]), limit=limit, order=order)
        documents = [self._deserialize_document(document) for _, document in found]
        return {"cursor": {"firstBatch": documents, "id": 0, "ns": ".".join(place)}, "ok": 1.0}

    def _find(self, conn: sqlite3.Connection, place: Place, command: Document) -> Document:
        sort = command.get("sort") or {"_id": 1}
        limit = command.get("limit", 0)
        projection = command.get("projection") or {}
        if (
            sort not in ({"_id": 1}, {"_id": -1})
            or type(limit) is not int
            or limit < 0
            or any(type(shown) not in {bool, int} or "$" in path for path, shown in projection.items())
        ):
            raise NotByIdError
        selection = self._selection(command.get("filter", {}))
        found = self._documents(conn, place, selection, limit=limit, descending=sort["_id"] == -1)
        documents = [document for _, document in found]
        if projection:
            documents = [apply_projection(document, projection, dialect=DIALECT) for document in documents]
        return {"cursor": {"firstBatch": documents, "id": 0, "ns": ".".join(place)}, "ok": 1.0}

    def _insert(self, conn: sqlite3.Connection, place: Place, command: Document, _variables: object) -> Document:
        inserted = 0
        errors = []
        for index, document in enumerate(command["documents"]):
            if self._put(conn, place, document):
                inserted += 1
                continue
            errors.append(_duplicate(place, index, document["_id"]))
            if command.get("ordered", True):
                break
        return {"n": inserted, **({"writeErrors": errors} if errors else {}), "ok": 1.0}

    def _update(self, conn: sqlite3.Connection, place: Place, command: Document, variables: object) -> Document:
        matched = modified = 0
        upserted = []
        errors = []
        for index, entry in enumerate(command["updates"]):
            if entry.keys() - {"q", "u", "upsert", "multi"} or entry.get("multi", False) is not False:
                raise NotByIdError
            upsert = entry.get("upsert", False)
            change = self._change(conn, place, entry["q"], entry["u"], upsert=upsert, variables=variables)
            if change.duplicate:
                errors.append(_duplicate(place, index, entry["q"]["_id"]))
                if command.get("ordered", True):
                    break
            elif change.before is not None:
                matched += 1
                modified += change.modified
            elif change.after is not None:
                upserted.append({"index": index, "_id": change.after["_id"]})
        return {
            "n": matched + len(upserted),
            "nModified": modified,
            **({"upserted": upserted} if upserted else {}),
            **({"writeErrors": errors} if errors else {}),
            "ok": 1.0,
        }

    def _find_and_modify(
        self, conn: sqlite3.Connection, place: Place, command: Document, variables: object
    ) -> Document:
        upsert = command.get("upsert", False)
        change = self._change(conn, place, command["query"], command["update"], upsert=upsert, variables=variables)
        if change.duplicate:
            raise NotByIdError  # here it is an error of the command, and the library words it
        last: Document = {"n": int(change.after is not None), "updatedExisting": change.before is not None}
        before = None if change.before is None else self._deserialize_document(change.before)
        if before is None and change.after is not None:
            last["upserted"] = change.after["_id"]
        return {"lastErrorObject": last, "value": change.after if command.get("new", False) else before, "ok": 1.0}

    def _delete(self, conn: sqlite3.Connection, place: Place, command: Document, _variables: object) -> Document:
        deleted = 0
        for entry in command["deletes"]:
            if entry.keys() != {"q", "limit"} or entry["limit"] != 1 or type(entry["q"].get("_id")) is not str:
                raise NotByIdError
            for key, _ in self._documents(conn, place, self._selection(entry["q"]), limit=1):
                deleted += conn.execute(DELETE, (*place, key)).rowcount
        return {"n": deleted, "ok": 1.0}

    def _put(self, conn: sqlite3.Connection, place: Place, document: Document) -> bool:
        """Insert a document unless its `_id` is taken."""
        if type(document.get("_id")) is not str:
            raise NotByIdError
        row = (*place, KEY + document["_id"], self._serialize_document(document))
        if conn.execute(INSERT, row).rowcount == 0:
            return False
        if self._lookup_collection_id(conn, *place) is None:
            self._ensure_collection_row(conn, *place)
        return True

    def _change(
        self,
        conn: sqlite3.Connection,
        place: Place,
        query: Document,
        update: Any,
        *,
        upsert: bool,
        variables: object,
    ) -> Change:
        """Apply update operators to the document that the query names."""
        document_id = query.get("_id")
        if (
            type(document_id) is not str
            or not _is_plain(query)
            or type(update) is not dict
            or not update
            or not all(operator.startswith("$") for operator in update)
        ):
            raise NotByIdError
        operation = compile_update_operation(
            DocumentCodec.to_internal(query), update_spec=DocumentCodec.to_internal(update), dialect=DIALECT
        )
        row = conn.execute(SELECT + "= ?", (*place, KEY + document_id)).fetchone()
        if row is not None:
            key, before = row
            document = self._deserialize_document(before)
            if len(query) == 1 or QueryEngine.match_plan(document, operation.plan, dialect=DIALECT):
                if (pushing := _as_push(update, document)) is not None:
                    operation = compile_update_operation(operation.filter_spec, update_spec=pushing, dialect=DIALECT)
                modified = operation.compiled_update_plan.apply(document, variables=variables)
                if document.get("_id") != document_id:
                    raise NotByIdError
                if modified:
                    conn.execute(UPDATE, (self._serialize_document(document), *place, key))
                return Change(before=before, after=document, modified=modified)
        if not upsert:
            return Change()
        new: Document = {}
        seed_upsert_document(new, operation.filter_spec)
        operation.compiled_upsert_plan.apply(new, variables=variables)
        if new.get("_id") != document_id:
            raise NotByIdError
        return Change(after=new, duplicate=not self._put(conn, place, new))

    def _documents(
        self, conn: sqlite3.Connection, place: Place, selection: Selection, *, limit: int, descending: bool = False
    ) -> Iterator[tuple[str, Document]]:
        """Read the selected documents in the order of their ids, at most `limit` of them if that is not 0."""
        enough = limit if limit and selection.plan is None else ROWS + 1
        order = f" ORDER BY storage_key {'DESC' if descending else 'ASC'} LIMIT {enough}"
        rows: dict[str, str] = {}
        for where, keys in selection.spans:
            rows.update(conn.execute(SELECT + where + order, (*place, *keys)).fetchall())
            if len(rows) > ROWS:
                raise NotByIdError
        matching = 0
        for key in rows if len(selection.spans) == 1 else sorted(rows, reverse=descending):
            document = self._deserialize_document(rows[key])
            if selection.plan is None or QueryEngine.match_plan(document, selection.plan, dialect=DIALECT):
                yield key, document
                matching += 1
                if matching == limit:
                    return

    def _selection(self, query: Document) -> Selection:
        if query.keys() == {"$or"}:
            if not query["$or"] or any(branch.keys() != {"_id"} for branch in query["$or"]):
                raise NotByIdError
            return Selection(spans=[_span(branch["_id"]) for branch in query["$or"]])
        spans = [_span(query.get("_id"))]
        if len(query) == 1:
            return Selection(spans=spans)
        if not _is_plain(query):
            raise NotByIdError
        return Selection(spans=spans, plan=compile_filter(DocumentCodec.to_internal(query), dialect=DIALECT))


def _span(condition: Any) -> tuple[str, list[str]]:
    """Turn a condition on `_id` into SQL on the storage key, with its values."""
    if type(condition) is str:
        return "= ?", [KEY + condition]
    if type(condition) is not dict:
        raise NotByIdError
    if condition.keys() == {"$in"}:
        ids = condition["$in"]
        if type(ids) is not list or len(ids) > ROWS or any(type(document_id) is not str for document_id in ids):
            raise NotByIdError
        return f"IN ({','.join('?' * len(ids))})", [KEY + document_id for document_id in ids]
    low = [operator for operator in condition if operator in {"$gt", "$gte"}]
    high = [operator for operator in condition if operator in {"$lt", "$lte"}]
    if (
        any(type(bound) is not str for bound in condition.values())
        or len(low) > 1
        or len(high) > 1
        or not 0 < len(condition) == len(low) + len(high)
    ):
        raise NotByIdError
    # A bound compares with strings only, so the other side ends where the strings do.
    above, first = (BOUNDS[low[0]], KEY + condition[low[0]]) if low else (">= ?", KEY)
    below, last = (BOUNDS[high[0]], KEY + condition[high[0]]) if high else ("< ?", AFTER_KEYS)
    return f"{above} AND storage_key {below}", [first, last]


def _as_push(update: Document, document: Document) -> Document | None:
    """Return `$addToSet` of several values as the `$push` of those that are new; None where that may not be the same.

    The library compares every value with every other, by the rules for all types: a second for some hundred of them. Of
    values that are all integers, or all strings, Python's own set knows as much.
    """
    adding = update.get("$addToSet")
    if len(update) > 1 or not isinstance(adding, dict) or len(adding) != 1:
        return None
    ((field, given),) = adding.items()
    present = document.get(field)
    if not isinstance(present, list) or not isinstance(given, dict) or given.keys() != {"$each"}:
        return None
    kinds = {type(value) for value in (*present, *given["$each"])}
    if kinds not in ({int}, {str}):
        return None
    known = set(present)
    return {"$push": {field: {"$each": [value for value in dict.fromkeys(given["$each"]) if value not in known]}}}


def _is_plain(query: Document) -> bool:
    """Whether all conditions compare one field with values, so that a document alone decides them."""
    return not any(
        field.startswith("$")
        or (isinstance(condition, dict) and any(name.startswith("$") and name not in OPERATORS for name in condition))
        for field, condition in query.items()
    )


def _encoded(value: Any) -> Any:
    """Encode a value as the library's codec does, which checks every subtree once for each level above it."""
    kind = type(value)
    if kind is str or kind is bool or value is None or (kind is int and abs(value) < 1 << 63):
        return value
    if kind is list:
        return [_encoded(item) for item in value]
    if kind is dict and MARKER not in value and all(type(name) is str for name in value):
        return {name: _encoded(item) for name, item in value.items()}
    return DocumentCodec.encode(value)


def _duplicate(place: Place, index: int, document_id: str) -> Document:
    keys = f'_id: "{document_id}"'
    return {
        "index": index,
        "code": 11000,
        "keyPattern": {"_id": 1},
        "keyValue": {"_id": document_id},
        "errmsg": f"E11000 duplicate key error collection: {'.'.join(place)} index: _id_ dup key: {{ {keys} }}",
    }


class Executor(WireCommandExecutor):  # type: ignore[misc]  # untyped library
    """Lets the engine answer what it can, and the library the rest."""

    def __init__(self, engine: Engine, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._engine = engine

    async def execute_prepared(self, context: Any) -> Document:
        try:
            reply = self._engine.answer(context)
        except Exception:  # noqa: BLE001  # nothing was done, and an error is the library's to find and to word
            answer: Document = await super().execute_prepared(context)
            return answer
        page: Document = self._cursor_store.materialize_command_result(
            context.command_document, reply, lsid=context.raw_body.get("lsid"), connection=context.connection
        )
        return page


class Server(AsyncMongoEcoProxyServer):  # type: ignore[misc]  # untyped library
    """The wire server over one file, for this machine only and without passwords."""

    def __init__(self, *, port: int, file: str) -> None:
        engine = Engine(file)
        super().__init__(engine=engine, host="127.0.0.1", port=port, mongodb_dialect=DIALECT)
        self._executor = Executor(
            engine,
            self._client,
            self._cursor_store,
            self._session_store,
            surface=self._surface,
            auth=self._auth,
        )


async def serve(port: int, file: str) -> None:
    """Serve the file until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Server(port=port, file=file):
        await stop.wait()


def main() -> None:
    """Run the server as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m parley.stack.mongodb", description="The embedded MongoDB.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.file))


if __name__ == "__main__":
    main()
