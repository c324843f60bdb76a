"""One run: a Parley, people, a plan of faults, and the judgement of all that was seen."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pymongo import MongoClient
from websockets.exceptions import WebSocketException

from services.tasks import Tasks
from tests.bench import machine
from tests.chaos.cluster import Cluster
from tests.chaos.faults import cause
from tests.chaos.mutants import COUNTED
from tests.chaos.people import FREED_SECONDS, Crowd, Ghosts
from tests.chaos.schedule import APIS, KINDS, OUTAGES, WORKERS, Fault, plan
from tests.chaos.soak import Watch
from tests.checker.afterwards import SETTLED_SECONDS
from tests.checker.check import Report, check
from tests.checker.history import Closed, Effects, FaultChanged, History, SendAcked
from tests.clients import Api
from tests.faults.harness import head, until
from tests.faults.kafka import Witness

READ_SECONDS = 60.0  # between two readings of all logs in a long run
ANSWER_SECONDS = 8.0  # a client's patience with one request: longer than any answer may take
LONGEST_ANSWER_SECONDS = 60.0  # before and after the talk, when nothing is broken but the machine may be busy
CONNECTIONS = 500  # of HTTP to one process
SLOWEST_ANSWER_MS = 6_000.0  # while one part is away
FREED_WITHIN_SECONDS, OFFLINE_WITHIN_SECONDS = 45.0, 60.0
ARRIVING_SECONDS = 60.0  # for listeners to get what is left, after the last fault
QUICK_SECONDS = 15.0  # the same, where a mistake may keep it away for ever
EFFECTS_SECONDS = 90.0  # for Kafka and the jobs to have everything
BASE_SECONDS = 20.0  # after which a process that was started is what it is while nothing happens
CLOCK_OFFSET_SECONDS = 4.0  # of one process: less than the 5 s that instances may differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to run."""

    seed: int
    faults: int
    seconds: float
    clients: int = 200
    rooms: int = 12
    rate: float = 30.0  # messages a second
    kinds: tuple[str, ...] = KINDS
    mutant: str | None = None
    far_redis_seconds: float = 0.0  # that Redis is away, each way, all the time
    idle_seconds: float = 0.0  # of silence after it, for a look at what is left; 0: no look
    is_quick: bool = False  # whether it ends when everything has arrived: no presence, no effects


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    wish: Wish
    plan: list[Fault]
    history: History
    report: Report
    ghosts: Ghosts
    failures: list[str]  # what may not happen, besides the checker's violations
    slow: list[str]  # what took longer than it may
    seconds: float  # all of it
    soak: dict[str, Any] | None = None  # what the processes had, where that was asked for
    machine: dict[str, Any] = field(default_factory=machine.facts)

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not self.report.violations and not self.failures and not self.slow

    def summary(self) -> dict[str, Any]:
        """Return the figures, as JSON may hold them."""
        codes: dict[str, int] = {}
        for record in self.history.records:
            if isinstance(record, Closed):
                codes[str(record.code)] = codes.get(str(record.code), 0) + 1
        return {
            "wish": asdict(self.wish),
            "seconds": round(self.seconds, 1),
            "faults": len(self.plan),
            "sends": self.report.sends,
            "acknowledged": self.report.acknowledged,
            "deliveries": self.report.deliveries,
            "violations": [asdict(violation) for violation in self.report.violations[:200]],
            "violation_count": len(self.report.violations),
            "failures": self.failures[:50],
            "slow": self.slow,
            "latency": self.report.latency and asdict(self.report.latency),
            "latency_by_fault": {label: asdict(found) for label, found in self.report.latency_by_fault.items()},
            "latency_healed": {label: asdict(found) for label, found in self.report.latency_healed.items()},
            "answers_by_fault": {label: asdict(found) for label, found in self.report.answers_by_fault.items()},
            "ghosts": asdict(self.ghosts),
            "closes": codes,
            "soak": self.soak,
            "machine": self.machine,
        }


async def run(wish: Wish, directory: Path, say: Callable[[str], None]) -> Outcome:
    """Run one campaign on a stack of its own in an empty directory, and judge it."""
    random.seed(wish.seed)
    started = time.monotonic()
    faults = plan(wish.seed, faults=wish.faults, seconds=wish.seconds, kinds=wish.kinds)
    offset = random.choice((-1, 1)) * CLOCK_OFFSET_SECONDS
    cluster = Cluster(
        directory=directory,
        apis=APIS,
        workers=WORKERS,
        clock_offsets={f"api-{random.randrange(APIS)}": offset},
        mutant=COUNTED if wish.idle_seconds else wish.mutant,
        say=lambda _: None,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(cluster.running())
        apis = [await stack.enter_async_context(_api(url)) for url in cluster.urls]
        ghost_apis = [await stack.enter_async_context(_api(url)) for url in cluster.ghost_urls]
        witness = await stack.enter_async_context(Witness(cluster.servers["kafka"]).watching())
        watch = Watch(cluster)
        sampling = asyncio.create_task(watch.keep_sampling())
        stack.callback(sampling.cancel)
        await asyncio.sleep(min(wish.idle_seconds, BASE_SECONDS))
        await watch.note_keys("before")
        await cluster.network.tell("redis", "delay", wish.far_redis_seconds)
        say(f"{wish.clients} people come")
        crowd = await Crowd.gather(apis, ghost_apis, clients=wish.clients, rooms=wish.rooms)
        progress = Progress(crowd, faults, say)
        telling = asyncio.create_task(progress.tell())
        stack.callback(telling.cancel)
        breaking = asyncio.create_task(_break(cluster, crowd, faults, progress))
        async with Tasks() as reading:
            if wish.idle_seconds:
                reading.spawn(_keep_reading(crowd))
            _be_patient(apis, ANSWER_SECONDS)
            loaded_at = watch.now
            await crowd.talk(rate=wish.rate, seconds=wish.seconds)
            idle_at = watch.now
            _be_patient(apis, LONGEST_ANSWER_SECONDS)
            await breaking
        await _settle(cluster, crowd, witness, progress, is_quick=wish.is_quick)
        progress.doing = "idle"
        await asyncio.sleep(wish.idle_seconds)
        await watch.note_keys("after")
        telling.cancel()
        say("judging")
        report = await asyncio.to_thread(check, crowd.history)
    return Outcome(
        wish=wish,
        plan=faults,
        history=crowd.history,
        report=report,
        ghosts=crowd.ghosts,
        failures=crowd.failures,
        slow=_slow(report, crowd.ghosts),
        soak=watch.result(loaded_at, idle_at) if wish.idle_seconds else None,
        seconds=time.monotonic() - started,
    )


@dataclass(slots=True)
class Progress:
    """What somebody who waits is told."""

    crowd: Crowd
    plan: list[Fault]
    say: Callable[[str], None]
    doing: str = ""
    done: int = 0

    async def tell(self) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            crowd = self.crowd
            self.say(
                f"{time.monotonic() - started:5.0f} s  {crowd.acknowledged} acknowledged, {crowd.saying} waiting, "
                f"{len(crowd.history.records)} records, fault {self.done}/{len(self.plan)} {self.doing}"
            )


@asynccontextmanager
async def _api(url: str) -> AsyncIterator[Api]:
    async with Api(url, answer_seconds=LONGEST_ANSWER_SECONDS, connections=CONNECTIONS) as api:
        yield api


def _be_patient(apis: Sequence[Api], seconds: float) -> None:
    """Let clients wait so long for an answer: while people talk, no longer than answers may take."""
    for api in apis:
        api.answer_seconds, api.http.timeout = seconds, seconds


async def _break(cluster: Cluster, crowd: Crowd, faults: Sequence[Fault], progress: Progress) -> None:
    """Cause the faults of a plan, one after the other."""
    started = time.monotonic()

    async def half_open(index: int) -> None:
        await crowd.haunt(index, cluster.network.tell(f"ghost-{index}", "swallow", FREED_SECONDS))

    for fault in faults:
        await asyncio.sleep(max(0.0, started + fault.at - time.monotonic()))
        progress.done, progress.doing = progress.done + 1, fault.label
        crowd.history.add(FaultChanged(label=fault.label, active=True))
        try:
            await cause(cluster, fault, half_open)
        finally:
            crowd.history.add(FaultChanged(label=fault.label, active=False))
            progress.doing = ""


async def _keep_reading(crowd: Crowd) -> None:
    """Read on in every log: after an hour it would be too long to be read at once."""
    while True:
        await asyncio.sleep(READ_SECONDS)
        for room in crowd.all_rooms:
            for api in room.apis:
                with suppress(OSError, TimeoutError, WebSocketException):  # it is read the next time
                    await room.read_on(crowd.owner, api)


async def _settle(cluster: Cluster, crowd: Crowd, witness: Witness, progress: Progress, *, is_quick: bool) -> None:
    """Let everything arrive, and note the final state as every process shows it."""
    ended, progress.doing = time.monotonic(), "arriving"
    heads = [await head(room.conversation, crowd.owner) for room in crowd.all_rooms]

    def behind() -> int:
        return sum(
            listener.sequence < newest
            for room, newest in zip(crowd.all_rooms, heads, strict=True)
            for listener in room.listeners
        )

    patience = QUICK_SECONDS if cluster.mutant else ARRIVING_SECONDS
    with suppress(AssertionError):
        await until(lambda: not behind(), "everything arrives", patience)
    if count := behind():
        crowd.failures.append(f"{count} listeners were still behind {patience:g} s after the last fault")
    progress.doing = "reading everything everywhere"
    for room in crowd.all_rooms:
        await room.read_all(crowd.owner)
    if is_quick:
        for listener in crowd.listeners:
            await listener.end()
        return
    await crowd.tell_unread()
    progress.doing = "looking at who is there"
    # The first room's people have another device in another room.
    leaving = crowd.rooms[1].listeners[:3] if len(crowd.rooms) > 1 else []
    homes = {listener.person.id for listener in crowd.rooms[0].listeners}
    leaving = [listener for listener in leaving if listener.person.id not in homes]
    for listener in leaving:
        await listener.leave()
    staying = [listener.person for listener in crowd.rooms[-1].listeners[:-1] if not listener.restless][:10]
    deadline = max(ended, time.monotonic()) + SETTLED_SECONDS
    await crowd.tell_presence(staying, [listener.person for listener in leaving], deadline)
    await crowd.finish()
    progress.doing = "waiting for Kafka and the jobs"
    await _note_effects(cluster, crowd, witness, heads)
    for listener in crowd.listeners:
        await listener.end()


async def _note_effects(cluster: Cluster, crowd: Crowd, witness: Witness, heads: Sequence[int]) -> None:
    """Wait until Kafka and the jobs have everything, and note what they have."""
    newest = {room.conversation: head for room, head in zip(crowd.all_rooms, heads, strict=True)}
    messages: dict[str, set[int]] = {name: set() for name in newest}
    for record in crowd.history.records:
        if isinstance(record, SendAcked):
            messages[record.conversation].add(record.sequence)
    deadline = time.monotonic() + EFFECTS_SECONDS
    while True:
        counted = await asyncio.to_thread(_counted, cluster.servers["mongo"])
        published = _published(witness)
        whole = all(
            len(set(published.get(name, ()))) >= head and messages[name] <= set(counted.get(name, ()))
            for name, head in newest.items()
        )
        if whole or time.monotonic() > deadline:
            break
        await asyncio.sleep(1.0)
    for name in newest:
        for effect, on, once, found in (
            ("Kafka event", None, False, published),
            ("activity", "MessageSent", True, counted),
        ):
            crowd.history.add(
                Effects(name=effect, conversation=name, on=on, once=once, sequences=tuple(found.get(name, ())))
            )


def _published(witness: Witness) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in witness.seen:
        conversation, _, sequence = event.rpartition(":")
        found.setdefault(conversation, []).append(int(sequence))
    return found


def _counted(mongo_url: str) -> dict[str, list[int]]:
    """Return which messages of each conversation the job `activity` has counted."""
    found: dict[str, list[int]] = {}
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_url)
    with client:
        for document in client["parley"]["activity"].find({}):
            conversation = document["_id"].split(":")[2]
            found.setdefault(conversation, []).extend(document["sequences"])
    return found


def _slow(report: Report, ghosts: Ghosts) -> list[str]:
    """Return what took longer than it may."""
    broken = [
        f"an answer took {found.max_ms / 1_000:.1f} s while {label} was all that was wrong"
        for label, found in report.answers_by_fault.items()
        if label in OUTAGES and found.max_ms > SLOWEST_ANSWER_MS
    ]
    for name, seconds_each, longest in (
        ("half-open sockets were freed", ghosts.freed, FREED_WITHIN_SECONDS),
        ("people without a network were shown OFFLINE", ghosts.offline, OFFLINE_WITHIN_SECONDS),
    ):
        late = [seconds for seconds in seconds_each if seconds is None or seconds > longest]
        if late:
            broken.append(f"{len(late)} of {len(seconds_each)} {name} only after more than {longest:g} s")
    return broken


def save(outcome: Outcome, directory: Path) -> None:
    """Write the history as JSON lines and the figures as JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    outcome.history.write(directory / "history.jsonl")
    (directory / "summary.json").write_bytes(orjson.dumps(outcome.summary(), option=orjson.OPT_INDENT_2))
