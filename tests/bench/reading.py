"""Measures reading: `parley bench read [--conversations 200] [--reads 2000] [--at-once 8]`.

People read the newest 50 messages of conversations, with senders, statuses and their own membership, over HTTP, each
conversation as likely as another: at a process that has them in memory, at one that has just started, and at both kinds
while Valkey stands still. The API process is in the bench's own, so that its cache can be asked for its counts; the CPU
of the bench's client is therefore in its figures, in all rows alike.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

from services.tasks import gather_some
from tests.bench import machine, results
from tests.clients import Api, Person
from tests.faults.harness import until
from tests.local_api import LocalApi, counted_reads, local_api
from tests.stack_process import StackProcess, running_stack

PEOPLE = 8
MESSAGES = 60  # in each conversation
RECENT = """query ($id: ID!) { conversation(id: $id) { title lastSequence cursor viewerUnreadCount
  viewerMembership { role readSequence }
  messages(last: 50) { pageInfo { hasPreviousPage } nodes { id sequence body status sender { handle displayName }
    reactions { emoji count viewerHasReacted } } } } }"""


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one kind of reading; CPU times in microseconds a read."""

    kind: str
    reads: int
    p50_ms: float
    p99_ms: float
    hit_ratio: float
    mongo_reads: float  # reads of MongoDB's collections in one read, but those by the clock
    cpu_us: float
    mongo_cpu_us: float


def main(conversations: int, reads: int, at_once: int) -> None:
    """Run, and print the figures."""
    with tempfile.TemporaryDirectory() as directory, running_stack(Path(directory), replicas=1) as stack:
        runs = asyncio.run(_measure(stack, conversations, reads, at_once))
    print(table(runs))
    results.keep("read", {"conversations": conversations, "at_once": at_once, "runs": [asdict(run) for run in runs]})


def table(runs: Sequence[Run]) -> str:
    """Return the figures as a table."""
    rows = (
        (
            run.kind,
            f"{run.reads:,}",
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
            f"{run.hit_ratio:.3f}",
            f"{run.mongo_reads:.2f}",
            f"{run.cpu_us:,.0f}",
            f"{run.mongo_cpu_us:,.0f}",
        )
        for run in runs
    )
    head = (
        *("read from", "reads", "p50 ms", "p99 ms", "hit ratio", "MongoDB commands each"),
        *("CPU µs each: API and client", "MongoDB"),
    )
    return results.table(head, rows)


async def _measure(stack: StackProcess, conversations: int, reads: int, at_once: int) -> list[Run]:
    async with Api(stack.urls[0]) as api:
        people = [await api.register() for _ in range(PEOPLE)]
        rooms = [(await people[0].talk(*people[1:]))["id"] for _ in range(conversations)]
        for number in range(MESSAGES):
            await gather_some(people[number % PEOPLE].send(room, f"{number} {'.' * 90}") for room in rooms)
    await asyncio.to_thread(machine.wait_until_idle)
    every = [(person, room) for room in rooms for person in people]
    some = random.Random(1).choices(every, k=reads)  # the same in every run
    once = list(zip(people * conversations, rooms, strict=False))
    runs = []
    for away in (False, True):
        where = "MongoDB, Valkey away" if away else "Redis"
        with stack.stopped("redis") if away else nullcontext():
            async with _reader(stack, believes=not away) as local:
                if not away:
                    async with _reader(stack, believes=True) as first:
                        await _read(stack, first, once, at_once, "")  # so that Redis has them
                runs.append(await _read(stack, local, once, at_once, f"{where}, process just started"))
                await _read(stack, local, every, at_once, "")
                runs.append(await _read(stack, local, some, at_once, f"memory and {where}"))
    return runs


@asynccontextmanager
async def _reader(stack: StackProcess, *, believes: bool) -> AsyncIterator[LocalApi]:
    async with local_api(stack) as local:
        if believes:
            trust = local.services.cache.trust
            await until(lambda: trust.generation("any") is not None, "Redis is believed", 30)
        yield local


async def _read(
    stack: StackProcess, local: LocalApi, wanted: Sequence[tuple[Person, str]], at_once: int, kind: str
) -> Run:
    """Have these people read these conversations."""
    cache, mongo = local.services.cache, stack.run()["mongo"]["pid"]
    cache.hits.clear()
    cache.misses.clear()
    left, times = iter(wanted), list[float]()
    async with Api(local.url) as api:

        async def read_in_turn() -> None:
            for person, room in left:
                started = time.perf_counter()
                response = await person.at(api).post(RECENT, {"id": room})
                times.append(time.perf_counter() - started)
                assert len(response["data"]["conversation"]["messages"]["nodes"]) == 50, response

        before, mongo_before = time.process_time(), machine.cpu_seconds(mongo)
        with counted_reads() as mongo_reads:
            await asyncio.gather(*(read_in_turn() for _ in range(at_once)))
        seconds, mongo_seconds = time.process_time() - before, machine.cpu_seconds(mongo) - mongo_before
    cuts = quantiles(times, n=100)
    hits, misses = cache.hits.total(), cache.misses.total()
    return Run(
        kind=kind,
        reads=len(times),
        p50_ms=round(cuts[49] * 1e3, 2),
        p99_ms=round(cuts[98] * 1e3, 2),
        hit_ratio=round(hits / max(1, hits + misses), 4),
        mongo_reads=round(mongo_reads.total() / len(times), 2),
        cpu_us=round(seconds / len(times) * 1e6, 1),
        mongo_cpu_us=round(mongo_seconds / len(times) * 1e6, 1),
    )
