"""The embedded MongoDB: the semantics that Parley relies on, and that no hot operation visits more than it names."""

import asyncio
import inspect
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from mongoeco.engines.sqlite import SQLiteEngine
from mongoeco.wire.executor import WireCommandExecutor
from mongoeco.wire.proxy import AsyncMongoEcoProxyServer
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError

from parley.stack.mongodb import Engine, Executor, NotByIdError, Server

type Document = dict[str, Any]

START_SECONDS = 20  # of which the imports take 1 to 3
BIG = 400  # entries, more than a scan could visit unnoticed


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Any]:
    client: Any = AsyncIOMotorClient(
        f"mongodb://127.0.0.1:{port}/?directConnection=true&retryWrites=false&w=majority&journal=true",
        serverSelectionTimeoutMS=2_000,
        socketTimeoutMS=10_000,
    )
    try:
        yield client.parley
    finally:
        await asyncio.to_thread(client.close)  # it says goodbye to a server that may run on this event loop


def _entry(conversation: str, sequence: int) -> Document:
    return {"_id": f"{conversation}:{sequence:012}", "sequence": sequence, "at": datetime(2026, 1, 1, tzinfo=UTC)}


@asynccontextmanager
async def _serving(file: Path) -> AsyncIterator[tuple[Server, Any]]:
    async with Server(port=0, file=str(file)) as server, _connected(server.address.port) as database:
        yield server, database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Any]:
    async with _serving(tmp_path / "mongo.db") as (_, database):
        yield database


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every SQL statement of every connection, with the values in it."""
    statements: list[str] = []
    create = Engine._create_sqlite_connection

    def traced(engine: Engine) -> sqlite3.Connection:
        connection = create(engine)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(Engine, "_create_sqlite_connection", traced)
    return statements


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the commands that were left to the library."""
    names: list[str] = []
    execute = WireCommandExecutor.execute_prepared

    async def recorded(executor: Any, context: Any) -> Document:
        names.append(context.command_name)
        result: Document = await execute(executor, context)
        return result

    monkeypatch.setattr(WireCommandExecutor, "execute_prepared", recorded)
    return names


# What is overridden


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (
            Engine,
            SQLiteEngine,
            {
                "_create_sqlite_connection",
                "_storage_key",
                "_serialize_document",
                "_deserialize_document",
                "_validate_document_against_unique_indexes",
            },
        ),
        (Executor, WireCommandExecutor, {"execute_prepared"}),
    ],
)
def test_each_override_still_has_something_to_override_with_the_same_parameters(
    ours: type, theirs: type, expected: set[str]
) -> None:
    overridden = {
        name
        for name, member in vars(ours).items()
        if inspect.isfunction(member) and name != "__init__" and hasattr(theirs, name)
    }

    assert overridden == expected
    for name in overridden:
        assert list(inspect.signature(getattr(ours, name)).parameters) == list(
            inspect.signature(getattr(theirs, name)).parameters
        )


def test_the_server_takes_what_we_give_it_and_keeps_what_we_replace() -> None:
    assert {"engine", "host", "port", "mongodb_dialect"} <= inspect.signature(
        AsyncMongoEcoProxyServer
    ).parameters.keys()
    assert "self._executor" in inspect.getsource(AsyncMongoEcoProxyServer)


# Text


async def test_a_text_index_answers_as_the_library_does_whoever_wrote(database: Any, passed_on: list[str]) -> None:
    found = database.found
    await found.create_index([("room", 1), ("words", "text")], default_language="none")
    await found.insert_many(
        [
            {"_id": f"{room}:{number}", "room": room, "words": f"hello w{number} foo bar"}
            for room in "ab"
            for number in range(9)
        ]
    )
    await found.update_one({"_id": "a:3"}, {"$set": {"words": "changed"}})
    await found.update_one({"_id": "a:x", "n": {"$lt": 1}}, {"$set": {"room": "a", "words": "foo new"}}, upsert=True)
    await found.delete_one({"_id": "a:4"})
    await found.replace_one({"_id": "a:5"}, {"room": "a", "words": "bar foo hello"})  # this is the library's to do
    await found.delete_many({"_id": {"$in": ["a:6", "a:7"]}})  # and this
    passed_on.clear()

    async def ids(text: str, *, order: int = -1, limit: int = 3) -> list[str]:
        query = {"room": "a", "_id": {"$gt": "a:", "$lt": "a:~"}, "$text": {"$search": text}}
        ours = [each["_id"] async for each in found.find(query).sort("_id", order).limit(limit)]
        assert passed_on == []
        theirs = [each["_id"] async for each in found.find(query, {"_id": 1}).sort("_id", order).limit(limit)]
        assert passed_on != []
        passed_on.clear()
        assert ours == theirs
        return ours

    assert await ids('"hello"') == ["a:8", "a:5", "a:2"]
    assert await ids('"hello"', order=1, limit=9) == ["a:0", "a:1", "a:2", "a:5", "a:8"]
    assert await ids('"hello" "foo bar"') == ["a:8", "a:2", "a:1"]
    assert await ids('"foo"', limit=1) == ["a:x"]
    assert await ids('"changed"') == ["a:3"]
    assert await ids('"nowhere"') == []
    assert await ids('"w4"') == await ids('"w6"') == []


async def test_a_text_index_finds_what_was_there_before_it_and_after_a_restart(tmp_path: Path) -> None:
    query = {"room": "a", "_id": {"$gt": "a:", "$lt": "a:~"}, "$text": {"$search": '"hello"'}}
    async with _serving(tmp_path / "mongo.db") as (_, database):
        await database.found.insert_one({"_id": "a:1", "room": "a", "words": "hello you"})
        await database.found.create_index([("room", 1), ("words", "text")], default_language="none")
    async with _serving(tmp_path / "mongo.db") as (_, database):
        await database.found.create_index([("room", 1), ("words", "text")], default_language="none")
        await database.found.insert_one({"_id": "a:2", "room": "a", "words": "hello again"})

        assert [each["_id"] async for each in database.found.find(query).sort("_id", 1).limit(5)] == ["a:1", "a:2"]


# What the hot operations cost

TAIL = {"$gt": f"big:{BIG - 50:012}", "$lte": "big:~"}
HOT: dict[str, tuple[int, Any]] = {
    # name: (statements at most, operation)
    "hit": (5, lambda entries: entries.find_one({"_id": f"big:{7:012}"})),
    "miss": (5, lambda entries: entries.find_one({"_id": "big:none"})),
    "page": (5, lambda entries: entries.find({"_id": TAIL}).sort("_id", 1).limit(50).to_list(None)),
    "page back": (5, lambda entries: entries.find({"_id": {"$lt": "big:~"}}).sort("_id", -1).limit(50).to_list(None)),
    "empty tail": (5, lambda entries: entries.find({"_id": {"$gt": "big:~", "$lte": "big:~~"}}).to_list(None)),
    "newest": (5, lambda entries: entries.find({"_id": TAIL}).sort("_id", -1).limit(1).to_list(None)),
    "projection": (5, lambda entries: entries.find({"_id": TAIL}, {"sequence": 1}).limit(50).to_list(None)),
    "many by id": (
        5,
        lambda entries: entries.find({"_id": {"$in": [f"big:{n:012}" for n in range(50)]}}).to_list(None),
    ),
    "tails": (25, lambda entries: entries.find({"$or": [{"_id": TAIL}] * 20}).to_list(None)),
    "insert": (10, lambda entries: entries.insert_one(_entry("new", 1))),
    "duplicate": (10, lambda entries: entries.insert_one(_entry("big", 1))),
    "batch": (110, lambda entries: entries.insert_many([_entry("batch", n) for n in range(100)])),
    "unordered batch": (110, lambda entries: entries.insert_many([_entry("un", n) for n in range(100)], ordered=False)),
    "update": (10, lambda entries: entries.update_one({"_id": f"big:{7:012}"}, {"$set": {"pinned": True}})),
    "conditional update": (
        10,
        lambda entries: entries.update_one(
            {"_id": f"big:{7:012}", "sequence": {"$lt": 9}}, {"$max": {"sequence": 9}, "$inc": {"edits": 1}}
        ),
    ),
    "update unless newer": (
        10,
        lambda entries: entries.update_one(
            {"_id": f"big:{7:012}", "state.applied": {"$not": {"$gte": 9}}}, {"$set": {"state": {"applied": 9}}}
        ),
    ),
    "upsert": (10, lambda entries: entries.update_one({"_id": "dirty/x"}, {"$set": {"until": 1}}, upsert=True)),
    "find and update": (10, lambda entries: entries.find_one_and_update({"_id": "big:none"}, {"$inc": {"edits": 1}})),
    "bulk": (
        30,
        lambda entries: entries.bulk_write(
            [UpdateOne({"_id": f"big:{n:012}"}, {"$inc": {"edits": 1}}) for n in range(1, 11)]
        ),
    ),
    "delete": (10, lambda entries: entries.delete_one({"_id": f"big:{7:012}"})),
}


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_operation_seeks_what_it_names_in_few_statements(
    name: str, tmp_path: Path, statements: list[str], passed_on: list[str]
) -> None:
    most, operation = HOT[name]
    file = tmp_path / "mongo.db"
    async with _serving(file) as (_, database):
        await database.entries.insert_many([_entry("big", sequence) for sequence in range(1, BIG + 1)])
        passed_on.clear()
        statements.clear()
        try:
            await operation(database.entries)
        except DuplicateKeyError:
            assert name == "duplicate"
        seen = list(statements)

    assert not set(passed_on) & {"find", "insert", "update", "delete", "findAndModify"}
    assert 0 < len(seen) <= most
    with closing(sqlite3.connect(file)) as connection:
        for statement in seen:
            if " documents" in statement and not statement.startswith("INSERT"):
                plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
                assert "storage_key" in plan, statement
                assert "SCAN" not in plan
                assert "TEMP B-TREE" not in plan


async def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    async with _serving(tmp_path / "mongo.db") as (server, _):
        connection = server._client._engine._connection

        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


# What the operations mean


async def test_a_taken_id_is_refused_with_code_11000_and_keeps_its_document(database: Any) -> None:
    await database.entries.insert_one({"_id": "a:1", "body": "first"})

    with pytest.raises(DuplicateKeyError) as refused:
        await database.entries.insert_one({"_id": "a:1", "body": "second"})

    assert refused.value.code == 11000
    assert refused.value.details is not None
    assert refused.value.details["keyValue"] == {"_id": "a:1"}
    assert await database.entries.find_one({"_id": "a:1"}) == {"_id": "a:1", "body": "first"}


async def test_an_ordered_batch_stops_at_a_duplicate_with_a_contiguous_prefix(database: Any) -> None:
    await database.entries.insert_one(_entry("a", 4))

    with pytest.raises(BulkWriteError) as refused:
        await database.entries.insert_many([_entry("a", sequence) for sequence in range(1, 9)])

    assert refused.value.details["nInserted"] == 3
    assert [(error["index"], error["code"]) for error in refused.value.details["writeErrors"]] == [(3, 11000)]
    assert [entry["sequence"] async for entry in database.entries.find({"_id": {"$gt": "a:"}})] == [1, 2, 3, 4]


async def test_an_unordered_batch_inserts_all_but_the_duplicates(database: Any) -> None:
    await database.entries.insert_many([_entry("a", 2), _entry("a", 4)])

    with pytest.raises(BulkWriteError) as refused:
        await database.entries.insert_many([_entry("a", sequence) for sequence in range(1, 6)], ordered=False)

    assert [error["index"] for error in refused.value.details["writeErrors"]] == [1, 3]
    assert [entry["sequence"] async for entry in database.entries.find({"_id": {"$gt": "a:"}})] == [1, 2, 3, 4, 5]


async def test_a_conditional_update_applies_once_and_only_while_its_condition_holds(database: Any) -> None:
    await database.entries.insert_one({"_id": "a:1", "applied": 1, "edits": 0})
    update = {"$set": {"applied": 5}, "$inc": {"edits": 1}}

    results = [await database.entries.update_one({"_id": "a:1", "applied": {"$lt": 5}}, update) for _ in range(2)]

    assert [(result.matched_count, result.modified_count) for result in results] == [(1, 1), (0, 0)]
    assert await database.entries.find_one({"_id": "a:1"}) == {"_id": "a:1", "applied": 5, "edits": 1}


async def test_an_upsert_whose_condition_fails_is_a_duplicate(database: Any) -> None:
    await database.marks.update_one({"_id": "m", "until": {"$lt": 9}}, {"$set": {"until": 9}}, upsert=True)

    with pytest.raises(DuplicateKeyError):
        await database.marks.update_one({"_id": "m", "until": {"$lt": 9}}, {"$set": {"until": 9}}, upsert=True)

    assert await database.marks.find({}).to_list(None) == [{"_id": "m", "until": 9}]


async def test_ranges_are_in_the_byte_order_of_their_ids_and_within_their_conversation(database: Any) -> None:
    ids = ["a:1", "a:2", "aé:1", "a'\"\\:1", "a\x00:1", "b:1", "A:1", "z😀", "z\uffff"]
    await database.entries.insert_many([{"_id": entry_id} for entry_id in ids])
    await database.entries.insert_many([{"_id": 1}, {"_id": ObjectId()}])  # a range between strings names strings only
    everything = database.entries.find({"_id": {"$gte": ""}})

    assert [entry["_id"] async for entry in everything.clone().sort("_id", 1)] == sorted(ids, key=str.encode)
    assert [entry["_id"] async for entry in everything.clone().sort("_id", -1)] == sorted(
        ids, key=str.encode, reverse=True
    )
    assert [entry["_id"] async for entry in database.entries.find({"_id": {"$gt": "a:1", "$lte": "a:~"}})] == ["a:2"]


async def test_concurrent_clients_append_without_a_hole(tmp_path: Path) -> None:
    async def append(entries: Any, actor: int) -> None:
        for _ in range(20):
            while True:
                newest = await entries.find({"_id": {"$gt": "a:", "$lt": "a:~"}}).sort("_id", -1).to_list(1)
                sequence = newest[0]["sequence"] + 1 if newest else 1
                try:
                    await entries.insert_one({**_entry("a", sequence), "actor": actor})
                    break
                except DuplicateKeyError:
                    continue

    async with AsyncExitStack() as stack:
        server, first = await stack.enter_async_context(_serving(tmp_path / "mongo.db"))
        others = [await stack.enter_async_context(_connected(server.address.port)) for _ in range(2)]
        async with asyncio.TaskGroup() as group:
            for actor, database in enumerate([first, *others]):
                group.create_task(append(database.entries, actor))
        log = await first.entries.find({}).sort("_id", 1).to_list(None)

    assert [entry["sequence"] for entry in log] == list(range(1, 61))
    assert sorted(entry["actor"] for entry in log) == sorted([0, 1, 2] * 20)


# That an answer of ours is the library's answer

EVERY_TYPE: Document = {
    "_id": "every:type",
    "text": "é😀\x00",
    "whole": 7,
    "long": Int64(7),
    "huge": 2**62,
    "real": 1.5,
    "yes": True,
    "nothing": None,
    "at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "object": ObjectId("0" * 24),
    "bytes": b"\x00\xff",
    "binary": Binary(b"x", 5),
    "decimal": Decimal128("1.10"),
    "regex": Regex("a", "i"),
    "timestamp": Timestamp(1, 2),
    "nested": {"list": [1, [2, {"deep": None}], {}], "$mongoeco": {"type": "int32", "value": 1}},
}
NOT_BY_ID: Document = {"_id": {"$type": "string"}}
COMMANDS: list[Document] = [
    {"insert": "c", "documents": [EVERY_TYPE, *(_entry("a", sequence) for sequence in range(1, 7))]},
    {"insert": "c", "documents": [_entry("a", 7), _entry("a", 3), _entry("a", 8)]},
    {"insert": "c", "documents": [_entry("a", 3), _entry("a", 9), {"_id": 'q"\\'}, {"_id": 'q"\\'}], "ordered": False},
    {"insert": "mixed", "documents": [{"_id": 5}, {"_id": ObjectId("1" * 24)}, {"_id": {"x": 1}}, {"_id": "5"}]},
    {"insert": "mixed", "documents": [{"_id": "6"}, {"_id": 5}]},
    {"find": "mixed", "filter": {"_id": 5}},
    {"find": "mixed", "filter": {"_id": {"$in": [5, "5", "none"]}}, "sort": {"_id": 1}},
    {"find": "mixed", "filter": {}, "sort": {"_id": 1}},
    {"insert": "c", "documents": []},
    {"insert": "c", "documents": [{"_id": ["array"]}]},
    {"find": "c", "filter": {"_id": "every:type"}},
    {"find": "c", "filter": {"_id": "none"}},
    {"find": "none", "filter": {"_id": "none"}},
    {"find": "c", "filter": {"_id": {"$gte": "a:", "$lt": "b"}}, "sort": {"_id": 1}, "limit": 4},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}}, "sort": {"_id": -1}},
    {"find": "c", "filter": {"_id": {"$lte": "b"}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": 3}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": "a:", "$gte": "b"}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}, "sequence": {"$gte": 3, "$ne": 4}}, "sort": {"_id": 1}, "limit": 2},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}, "sequence": {"$mod": [2, 0]}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}, "$expr": {"$gt": ["$sequence", 3]}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}}, "projection": {"sequence": 1}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": "every:type"}, "projection": {"nested.list": 0, "at": 0}},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}}, "sort": {"sequence": -1, "_id": 1}},
    {"find": "c", "filter": {"_id": {"$gt": "a:"}}, "sort": {"_id": 1}, "skip": 2},
    {"find": "c", "filter": {"_id": {"$in": []}}},
    {"find": "c", "filter": {"_id": {"$in": ["every:type", "none", f"a:{2:012}"]}}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$in": "every"}}},
    {
        "find": "c",
        "filter": {"$or": [{"_id": {"$gt": f"a:{4:012}", "$lt": "b"}}, {"_id": {"$gt": f"a:{2:012}", "$lt": "b"}}]},
        "sort": {"_id": -1},
        "limit": 5,
    },
    {"find": "c", "filter": {"$or": [{"_id": f"a:{2:012}"}, {"sequence": 3}]}, "sort": {"_id": 1}},
    {"find": "c", "filter": {"_id": {"$exists": True}}, "sort": {"_id": 1}},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$set": {"whole": 8, "new": [{"at": 1}]}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$set": {"whole": 8}, "$unset": {"new": 1}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$set": {"whole": 8}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$inc": {"whole": 1, "huge": 1, "real": 1}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$inc": {"text": 1}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$set": {"_id": "other"}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$push": {"tags": {"$each": ["x", "y"]}}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type", "tags": "y"}, "u": {"$set": {"tags.$": "z"}}}]},
    {"update": "c", "updates": [{"q": {"_id": "every:type"}, "u": {"$addToSet": {"tags": "x"}}}]},
    *[
        {
            "update": "c",
            "updates": [{"q": {"_id": "set"}, "u": {"$addToSet": {field: {"$each": each}}}, "upsert": True}],
        }
        for field, each in (
            ("n", [3, 1, 3]),
            ("n", [1, 9, 9, 2]),
            ("n", [9, 3]),
            ("n", []),
            ("n", [4, 2.0, True, 2**40]),
            ("n", [2, 5]),
            ("t", ["b", "a"]),
            ("t", ["c", "a", "c"]),
            ("t.u", ["c"]),
        )
    ],
    {"find": "c", "filter": {"_id": "set"}},
    {"findAndModify": "c", "query": {"_id": "set"}, "update": {"$addToSet": {"t": {"$each": ["d", "a"]}}}, "new": True},
    {"findAndModify": "c", "query": {"_id": "set"}, "update": {"$addToSet": {"t": {"$each": ["d", "a"]}}}},
    {"update": "c", "updates": [{"q": {"_id": "every:type", "whole": {"$lt": 9}}, "u": {"$max": {"whole": 90}}}]},
    *[
        {
            "update": "c",
            "updates": [{"q": {"_id": "every:type", "s.n": {"$not": {"$gte": n}}}, "u": {"$set": {"s": {"n": n}}}}],
        }
        for n in (4, 4, 3, 5)
    ],
    {"find": "c", "filter": {"_id": {"$gt": "a:"}, "sequence": {"$not": {"$gte": 4}}}, "sort": {"_id": 1}},
    {
        "update": "c",
        "updates": [{"q": {"_id": "up", "x.y": 1, "n": {"$lt": 3}}, "u": {"$inc": {"n": 4}}, "upsert": True}],
    },
    {"update": "c", "updates": [{"q": {"_id": "up", "n": {"$lt": 3}}, "u": {"$set": {"n": 4}}, "upsert": True}]},
    {"update": "c", "updates": [{"q": {"_id": "so"}, "u": {"$setOnInsert": {"n": 4}}, "upsert": True}]},
    {"update": "c", "updates": [{"q": {"_id": "so"}, "u": {"$setOnInsert": {"n": 5}}, "upsert": True}]},
    {"update": "c", "updates": [{"q": {"_id": "so"}, "u": {"n": 1}}, {"q": {"_id": "so"}, "u": {"$set": {"m": 1}}}]},
    {"update": "c", "updates": [{"q": {"_id": "so"}, "u": [{"$set": {"n": {"$add": ["$n", 1]}}}]}]},
    {
        "update": "c",
        "updates": [{"q": {"_id": "so"}, "u": {"$set": {"n": 7}}}, {"q": {"_id": "so"}, "u": {"$bad": {"n": 7}}}],
    },
    {"update": "c", "updates": [{"q": {"sequence": {"$gt": 3}}, "u": {"$set": {"late": True}}, "multi": True}]},
    {"update": "none", "updates": [{"q": {"_id": "x"}, "u": {"$set": {"n": 1}}}]},
    {"findAndModify": "c", "query": {"_id": "up"}, "update": {"$inc": {"n": 1}}},
    {"findAndModify": "c", "query": {"_id": "up"}, "update": {"$inc": {"n": 1}}, "new": True},
    {"findAndModify": "c", "query": {"_id": "up", "n": 0}, "update": {"$inc": {"n": 1}}, "new": True},
    {"findAndModify": "c", "query": {"_id": "up", "n": 0}, "update": {"$inc": {"n": 1}}, "upsert": True},
    {"findAndModify": "c", "query": {"_id": "fam"}, "update": {"$inc": {"n": 1}}, "upsert": True},
    {"findAndModify": "c", "query": {"_id": "fam2"}, "update": {"$inc": {"n": 1}}, "upsert": True, "new": True},
    {"findAndModify": "c", "query": {"_id": "fam2"}, "remove": True},
    {"delete": "c", "deletes": [{"q": {"_id": f"a:{1:012}"}, "limit": 1}, {"q": {"_id": "none"}, "limit": 1}]},
    {"delete": "c", "deletes": [{"q": {"_id": f"a:{2:012}", "sequence": 9}, "limit": 1}]},
    {"delete": "c", "deletes": [{"q": {"sequence": {"$lt": 5}}, "limit": 0}]},
    {"createIndexes": "c", "indexes": [{"key": {"sequence": 1}, "name": "sequence"}]},
    {"insert": "c", "documents": [_entry("z", 1)]},
    {"update": "c", "updates": [{"q": {"_id": f"z:{1:012}"}, "u": {"$set": {"sequence": 70}}}]},
    {"find": "c", "filter": {"sequence": 70}, "sort": {"_id": 1}},
    {"delete": "c", "deletes": [{"q": {"_id": f"z:{1:012}"}, "limit": 1}]},
    {"find": "c", "filter": {"sequence": 70}, "sort": {"_id": 1}},
    {"find": "c", "filter": NOT_BY_ID, "sort": {"_id": 1}},
    {"find": "c", "filter": {}, "sort": {"_id": 1}},
    {"drop": "c"},
    {"find": "c", "filter": {"_id": "every:type"}},
    {"insert": "c", "documents": [_entry("a", 1)]},
    {"create": "checked", "validator": {"sequence": {"$gt": 5}}},
    {"insert": "checked", "documents": [_entry("a", 1)]},
    {"insert": "checked", "documents": [_entry("a", 6)]},
    {"update": "checked", "updates": [{"q": {"_id": f"a:{6:012}"}, "u": {"$set": {"sequence": 1}}}]},
    {"find": "checked", "filter": {"_id": {"$gt": ""}}},
]


async def _replies(file: Path) -> list[Document]:
    replies = []
    async with _serving(file) as (_, database):
        for command in COMMANDS:
            try:
                reply = await database.command(command)
            except OperationFailure as error:
                reply = dict(error.details or {})
            replies.append(reply)
    return replies


async def test_every_command_is_answered_as_the_library_answers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed_on: list[str]
) -> None:
    ours = await _replies(tmp_path / "ours.db")
    library_had_to_answer = len(passed_on)

    def answer(_engine: Engine, _context: object) -> Document:
        raise NotByIdError

    monkeypatch.setattr(Engine, "answer", answer)
    theirs = await _replies(tmp_path / "theirs.db")

    assert library_had_to_answer < len(passed_on) - library_had_to_answer
    for command, our, their in zip(COMMANDS, ours, theirs, strict=True):
        assert our == their, command


# What survives


class _Child:
    """The server as a child process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    async def start(self) -> asyncio.subprocess.Process:
        arguments = ("-m", "parley.stack.mongodb", "--port", str(self.port), "--file", str(self.file))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return process
        pytest.fail("the server ended before it listened")


@pytest.fixture
def child(tmp_path: Path) -> _Child:
    return _Child(tmp_path / "mongo.db")


async def test_kill_9_during_inserts_loses_nothing_acknowledged_and_leaves_no_hole(child: _Child) -> None:
    process = await child.start()
    acknowledged = {"a": 0, "b": 0}
    enough = asyncio.Event()

    async def append(conversation: str) -> None:
        async with _connected(child.port) as database:
            try:
                while True:
                    await database.entries.insert_one(_entry(conversation, acknowledged[conversation] + 1))
                    acknowledged[conversation] += 1
                    if min(acknowledged.values()) >= 100:
                        enough.set()
            except PyMongoError:
                assert enough.is_set()  # the kill ends the task, nothing else may

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for conversation in acknowledged:
            group.create_task(append(conversation))
        await enough.wait()
        process.kill()
        await process.wait()

    process = await child.start()
    async with _connected(child.port) as database:
        for conversation, count in acknowledged.items():
            found = database.entries.find({"_id": {"$gt": f"{conversation}:", "$lt": f"{conversation}:~"}})
            sequences = [entry["sequence"] async for entry in found]

            assert sequences == list(range(1, len(sequences) + 1))
            assert len(sequences) in {count, count + 1}  # one may be written and not acknowledged
    process.terminate()
    assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_cleanly_with_clients_connected(child: _Child, number: signal.Signals) -> None:
    process = await child.start()
    async with _connected(child.port) as database:
        await database.entries.insert_one(_entry("a", 1))
        process.send_signal(number)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
