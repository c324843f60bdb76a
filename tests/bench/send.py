"""Measures sending: `parley bench send [--messages 4000] [--conversations 1 --conversations 20] [--at-once 64]`.

Each run starts a Parley of one API process, waits until it idles, lets people send, and prints what was acknowledged
per second, how long an acknowledgement took, and the CPU time that each part spent on a message. Prints a table and,
for other programs, one line of JSON.
"""

import asyncio
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

import psutil

from tests.bench import machine, results
from tests.clients import Api, Person
from tests.stack_process import StackProcess, running_stack

PEOPLE = 8
WARM_UP = 200
PARTS = ("api", "mongo", "redis", "kafka", "workers")  # as `run.json` names them
PROGRESS = 10  # lines of progress in a run


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run; CPU times in microseconds a message."""

    conversations: int
    messages: int
    at_once: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]


def main(messages: int, conversations: Sequence[int], at_once: int) -> None:
    """Run, and print the figures."""
    runs = []
    for count in conversations:
        with (
            tempfile.TemporaryDirectory() as directory,
            running_stack(Path(directory), replicas=1) as stack,
        ):
            runs.append(asyncio.run(_measure(stack, count, messages, at_once)))
    rows = (
        (
            f"{run.conversations}",
            f"{run.per_second:,.0f}",
            *(f"{value:,.1f}" for value in (run.p50_ms, run.p99_ms)),
            *(f"{run.cpu_us[part]:,.0f}" for part in PARTS),
        )
        for run in runs
    )
    head = ("conversations", "acknowledged/s", "p50 ms", "p99 ms", "CPU µs/message: API", *PARTS[1:])
    print(results.table(head, rows))
    results.keep("send", {"runs": [asdict(run) for run in runs]})


async def _measure(stack: StackProcess, conversations: int, messages: int, at_once: int) -> Run:
    async with Api(stack.urls[0]) as api:
        people = [await api.register() for _ in range(PEOPLE)]
        rooms = [(await people[0].talk(*people[1:]))["id"] for _ in range(conversations)]
        await _send(people, rooms, WARM_UP, at_once)
        await asyncio.to_thread(machine.wait_until_idle)
        before, started = _cpu_seconds(stack), time.perf_counter()
        times = await _send(people, rooms, messages, at_once, progress=messages // PROGRESS)
        seconds, after = time.perf_counter() - started, _cpu_seconds(stack)
    cuts = quantiles(times, n=100)
    return Run(
        conversations=conversations,
        messages=messages,
        at_once=at_once,
        per_second=round(messages / seconds, 1),
        p50_ms=round(cuts[49] * 1e3, 2),
        p99_ms=round(cuts[98] * 1e3, 2),
        cpu_us={part: round((after[part] - before[part]) / messages * 1e6, 1) for part in before},
    )


async def _send(
    people: Sequence[Person], rooms: Sequence[str], messages: int, at_once: int, progress: int = 0
) -> list[float]:
    """Send so many messages, so many at once; return the seconds that each took to be acknowledged."""
    numbers, times = iter(range(messages)), list[float]()

    async def send_in_turn() -> None:
        for number in numbers:
            started = time.perf_counter()
            payload = await people[number % len(people)].send(
                rooms[number % len(rooms)],
                f"message {number} of about a hundred characters {'.' * 60}",
                uuid.uuid4().hex,
            )
            assert payload["message"], payload
            times.append(time.perf_counter() - started)
            if progress and len(times) % progress == 0:
                print(f"{len(rooms)} conversations: {len(times)} of {messages} acknowledged", flush=True)

    await asyncio.gather(*(send_in_turn() for _ in range(at_once)))
    return times


def _cpu_seconds(stack: StackProcess) -> dict[str, float]:
    """Return the CPU time of each part; the embedded Kafka has a broker behind its first process."""
    run, seconds = stack.run(), {}
    for part in PARTS:
        entry = run[part][0] if isinstance(run[part], list) else run[part]
        processes = (entry["pid"], *(child.pid for child in psutil.Process(entry["pid"]).children()))
        seconds[part] = sum(map(machine.cpu_seconds, processes))
    return seconds
