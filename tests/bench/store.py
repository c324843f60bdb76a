"""Measures the embedded MongoDB over the wire: `python -m tests.bench.store [--entries 1000 100000]`.

Prints a table and, for other programs, one line of JSON.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from tests.bench import results

type Document = dict[str, Any]
type Operation = Callable[[int], Awaitable[Any]]

CONVERSATIONS = 20
SMALL = 20  # entries of each conversation but the first, which holds the rest
REPEATS = 300
BATCH_REPEATS = 40
CONCURRENT = 16
CONCURRENT_SECONDS = 3
START_SECONDS = 30


def _entry(conversation: str, sequence: int) -> Document:
    body = "A message of usual length, which is about a hundred characters or so as people write them. " * 2
    state = {"body": body, "version": 1, "deleted": False, "pinned": False, "applied": sequence}
    return {
        "_id": f"{conversation}:{sequence:012}",
        "conversation": conversation,
        "sequence": sequence,
        "kind": "message",
        "actor": "01J0000000000000000000USER",
        "at": datetime.now(UTC),
        "sent": {"body": body, "attachments": [], "replyTo": None, "clientMessageId": f"client-{sequence}"},
        "state": {**state, "reactions": [{"emoji": "x", "users": ["one", "two"]}]},
    }


@asynccontextmanager
async def _serving(file: Path) -> AsyncIterator[tuple[int, float]]:
    """Run the server over a file; give its port and the seconds until it listened."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    arguments = ("-m", "parley.stack.mongodb", "--port", str(port), "--file", str(file))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    break
        yield port, time.perf_counter() - started
    finally:
        process.terminate()
        await process.wait()


async def _measure(operation: Operation, repeats: int) -> tuple[float, float]:
    """Give the median and the 99th percentile in milliseconds."""
    taken = []
    for number in range(repeats):
        started = time.perf_counter()
        await operation(number)
        taken.append((time.perf_counter() - started) * 1_000)
    taken.sort()
    return round(taken[repeats // 2], 2), round(taken[repeats * 99 // 100], 2)


async def _throughput(operation: Operation) -> int:
    """Count what some concurrent tasks of this one client process get done in a second."""
    until = time.perf_counter() + CONCURRENT_SECONDS
    done = 0

    async def work(worker: int) -> None:
        nonlocal done
        number = worker
        while time.perf_counter() < until:
            await operation(number)
            number += CONCURRENT
            done += 1

    async with asyncio.TaskGroup() as group:
        for worker in range(CONCURRENT):
            group.create_task(work(worker))
    return round(done / CONCURRENT_SECONDS)


def _operations(database: Any, entries: int) -> dict[str, tuple[int, Operation]]:
    log = database.entries
    last = entries - (CONVERSATIONS - 1) * SMALL

    def big(number: int) -> str:
        return f"big:{1 + number * 37 % last:012}"

    async def duplicate(_number: int) -> None:
        try:
            await log.insert_one(_entry("big", 1))
        except DuplicateKeyError:
            return

    def page(number: int, direction: int) -> Awaitable[Any]:
        middle = big(number + last // 2)
        span = {"$gt": middle, "$lte": "big:~"} if direction == 1 else {"$gt": "big:", "$lte": middle}
        found: Awaitable[Any] = log.find({"_id": span}).sort("_id", direction).limit(50).to_list(None)
        return found

    tails = [{"_id": {"$gt": f"c{n % 19 + 1}:{SMALL:012}", "$lte": f"c{n % 19 + 1}:~"}} for n in range(100)]
    raised = {"$set": {"state.pinned": True}, "$max": {"state.applied": 10**9}, "$inc": {"state.version": 1}}
    return {
        "ping": (REPEATS, lambda _: database.command("ping")),
        "find_one, hit": (REPEATS, lambda n: log.find_one({"_id": big(n)})),
        "find_one, miss": (REPEATS, lambda n: log.find_one({"_id": f"none:{n}"})),
        "page of 50": (REPEATS, lambda n: page(n, 1)),
        "page of 50, descending": (REPEATS, lambda n: page(n, -1)),
        "empty tail": (REPEATS, lambda _: log.find({"_id": {"$gt": f"big:{last:012}", "$lte": "big:~"}}).to_list(None)),
        "newest of a conversation": (
            REPEATS,
            lambda _: log.find({"_id": {"$gt": "big:", "$lte": "big:~"}}).sort("_id", -1).limit(1).to_list(None),
        ),
        "$in of 20": (
            REPEATS,
            lambda n: log.find({"_id": {"$in": [big(n * 20 + k) for k in range(20)]}}).to_list(None),
        ),
        "$in of 100": (
            BATCH_REPEATS,
            lambda n: log.find({"_id": {"$in": [big(n * 100 + k) for k in range(100)]}}).to_list(None),
        ),
        "$or of 100 empty tails": (BATCH_REPEATS, lambda _: log.find({"$or": tails}).to_list(None)),
        "insert_one": (REPEATS, lambda n: log.insert_one(_entry("one", n))),
        "insert_one, duplicate": (REPEATS, duplicate),
        "insert_many of 100, ordered": (
            BATCH_REPEATS,
            lambda n: log.insert_many([_entry("many", n * 100 + k) for k in range(100)]),
        ),
        "insert_many of 100, unordered": (
            BATCH_REPEATS,
            lambda n: log.insert_many([_entry("free", n * 100 + k) for k in range(100)], ordered=False),
        ),
        "update_one": (REPEATS, lambda n: log.update_one({"_id": big(n)}, {"$set": {"state.pinned": True}})),
        "update_one with a condition": (
            REPEATS,
            lambda n: log.update_one({"_id": f"one:{n:012}", "state.applied": {"$lt": 10**9}}, raised),
        ),
        "update_one, upsert": (
            REPEATS,
            lambda n: database.dirty.update_one({"_id": f"d:{n}"}, {"$set": {"until": n}}, upsert=True),
        ),
        "find_one_and_update": (
            REPEATS,
            lambda n: log.find_one_and_update({"_id": f"one:{n:012}"}, {"$inc": {"state.version": 1}}),
        ),
        "bulk_write of 20 updates": (
            BATCH_REPEATS,
            lambda n: log.bulk_write(
                [UpdateOne({"_id": big(n * 20 + k)}, {"$inc": {"state.version": 1}}) for k in range(20)]
            ),
        ),
        "delete_one": (REPEATS, lambda n: log.delete_one({"_id": f"one:{n:012}"})),
    }


async def _run(entries: int, directory: Path) -> Document:
    file = directory / f"{entries}.db"
    logs = [(f"c{n}", SMALL) for n in range(1, CONVERSATIONS)]
    logs.append(("big", entries - (CONVERSATIONS - 1) * SMALL))
    url = "mongodb://127.0.0.1:{}/?directConnection=true&retryWrites=false&w=majority&journal=true"
    async with _serving(file) as (port, _):
        client: Any = AsyncIOMotorClient(url.format(port))
        for conversation, count in logs:
            for first in range(1, count + 1, 500):
                batch = [_entry(conversation, sequence) for sequence in range(first, min(first + 500, count + 1))]
                await client.parley.entries.insert_many(batch)
        await asyncio.to_thread(client.close)
    async with _serving(file) as (port, start_seconds):
        client = AsyncIOMotorClient(url.format(port))
        database = client.parley
        milliseconds = {
            name: await _measure(operation, repeats)
            for name, (repeats, operation) in _operations(database, entries).items()
        }
        per_second = {
            "insert_one": await _throughput(lambda n: database.entries.insert_one(_entry("load", n))),
            "update_one": await _throughput(
                lambda n: database.entries.update_one({"_id": f"load:{n:012}"}, {"$inc": {"state.version": 1}})
            ),
        }
        await asyncio.to_thread(client.close)
    return {
        "entries": entries,
        "milliseconds": milliseconds,
        "per_second": per_second,
        "start_seconds": round(start_seconds, 2),
    }


def _table(runs: list[Document]) -> str:
    lines = [
        "| operation (ms, p50 / p99) | " + " | ".join(f"{run['entries']:,} entries" for run in runs) + " |",
        "|---|" + "---:|" * len(runs),
    ]
    for name in runs[0]["milliseconds"]:
        cells = ["{} / {}".format(*run["milliseconds"][name]) for run in runs]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name in runs[0]["per_second"]:
        cells = [f"{run['per_second'][name]:,}" for run in runs]
        lines.append(f"| {name} per second, {CONCURRENT} at once | {' | '.join(cells)} |")
    lines.append("| seconds until it listens | " + " | ".join(str(run["start_seconds"]) for run in runs) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000])
    sizes = parser.parse_args().entries
    with tempfile.TemporaryDirectory(prefix="parley-store-") as directory:
        runs = [asyncio.run(_run(entries, Path(directory))) for entries in sizes]
    print(_table(runs))
    results.keep("store", {"runs": runs})


if __name__ == "__main__":
    main()
