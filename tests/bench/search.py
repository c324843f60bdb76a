"""Measures search on the embedded MongoDB at 100 000 messages: `python -m tests.bench.search`.

How long building takes, and a search for words that few or many messages have, in one of ten conversations and in all.
"""

import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Final

import psutil

from parley.stack.stack import free_port
from services import ids
from services.blocks import Blocks
from services.bus import Bus
from services.cache import Cache, Trust
from services.config import Settings
from services.entries import ConversationCreated, ConversationKind, Entry, MemberRole, MessageSent
from services.entry_store import EntryStore
from services.inboxes import Inboxes
from services.leases import Leases
from services.log import Logs
from services.log_cache import LogCache
from services.messages import Messages
from services.migration import make_indexes
from services.mongo import Database
from services.paging import Window
from services.redis import Redis
from services.search import Search, SearchJob
from services.search_build import SearchBuild
from services.senders import Senders
from services.services import SCRIPTS
from services.state import Projections
from services.users import Users

MESSAGES: Final = 100_000
CONVERSATIONS: Final = 10
ASKS: Final = 50
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
QUERIES: Final = ("rare", "w17 w18", "common", "common rare", "nothing")


class Nobody:
    """Sends nothing to Kafka."""

    async def mark(self, conversation_id: str) -> None:
        pass

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        pass


def log_of(conversation_id: str, user_id: str, count: int) -> list[Entry]:
    """Return a conversation whose messages have words as language has them, all `common`, one of 2 000 `rare`."""
    vocabulary = [f"w{number}" for number in range(20_000)]
    weights = [1 / (number + 1) for number in range(20_000)]
    created = ConversationCreated(
        conversation_id=conversation_id,
        sequence=1,
        key="c",
        actor_id=user_id,
        at=START,
        control=0,
        conversation_kind=ConversationKind.GROUP,
        title=None,
        roles=((user_id, MemberRole.OWNER),),
    )
    words = random.choices(vocabulary, weights, k=12 * count)
    return [
        created,
        *(
            MessageSent(
                conversation_id=conversation_id,
                sequence=place,
                key=f"{place}",
                actor_id=user_id,
                at=START + timedelta(seconds=place),
                control=1,
                client_message_id=f"{place}",
                body=" ".join(words[12 * (place - 2) : 12 * (place - 1)])
                + (" common rare" if place % 2_000 == 0 else " common"),
            )
            for place in range(2, count + 2)
        ),
    ]


def cpu_ms(server: int) -> float:
    """Return how much CPU the server and this process have used; that does not depend on who else uses the machine."""
    times = [psutil.Process(pid).cpu_times() for pid in (server, os.getpid())]
    return 1_000 * sum(each.user + each.system for each in times)


async def measure(url: str, data: Path, server: int) -> None:
    """Fill a database, and search it."""
    database = Database(
        Settings(mongo_url=url, redis_url="redis://127.0.0.1:1", kafka_url="", embedded=True, data=data)
    )
    user_id, conversation_ids = ids.user(), [ids.new_id("cnv") for _ in range(CONVERSATIONS)]
    await make_indexes(database)
    store = EntryStore(database)
    for conversation_id in conversation_ids:
        entries = log_of(conversation_id, user_id, MESSAGES // CONVERSATIONS)
        for start in range(0, len(entries), 500):
            await store.insert(entries[start : start + 500])
        await Projections(database).load(conversation_id)
    started, cpu = time.monotonic(), cpu_ms(server)
    assert await SearchBuild(database, Leases(database, "bench")).build()
    cpu = (cpu_ms(server) - cpu) / MESSAGES
    print(f"built: {MESSAGES / (time.monotonic() - started):.0f} messages a second, CPU {cpu:.2f} ms each", flush=True)
    async with AsyncExitStack() as stack:
        redis = Redis("redis://127.0.0.1:1", SCRIPTS)
        cache = Cache(redis, Trust(database, redis), 1, "bench")
        logs = await stack.enter_async_context(Logs(database, Nobody(), LogCache(cache), ()).running())
        users = Users(database)
        messages = Messages(database, logs, users, Senders(logs, users, Blocks(database, users)), 1)
        search = Search(database, logs, Inboxes(database, Bus(redis, "bench")), messages)
        window = Window(50, from_end=False, after=None, before=None)
        for where in (conversation_ids[0], None):
            for query in QUERIES:
                times, found, cpu = list[float](), 0, cpu_ms(server)
                for _ in range(ASKS):
                    began = time.monotonic()
                    found = len((await search.messages(user_id, query, where, window)).items)
                    times.append(1_000 * (time.monotonic() - began))
                cuts = quantiles(times, n=100)
                place = "all" if where is None else "one"
                cpu = (cpu_ms(server) - cpu) / ASKS
                print(
                    f"{place}: {query!r}: {found} found, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f}, CPU {cpu:.1f} ms",
                    flush=True,
                )
    job = SearchJob(database)
    times = []
    for number in range(ASKS):
        began = time.monotonic()
        await job.show(conversation_ids[0], {number + 2: 0})
        times.append(1_000 * (time.monotonic() - began))
    print(f"a message again: p50 {quantiles(times, n=100)[49]:.1f} ms")
    database.close()


def main() -> None:
    """Run the measurement on an embedded MongoDB of its own."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        arguments = ("--port", str(port), "--file", f"{directory}/mongodb.sqlite")
        server = subprocess.Popen([sys.executable, "-m", "parley.stack.mongodb", *arguments])
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            asyncio.run(measure(f"mongodb://127.0.0.1:{port}", Path(directory), server.pid))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
