"""Measures what monitoring costs: `parley bench monitoring [--rounds 30] [--subscribers 1000] [--events 50]`.

One API process does the same fan-out and the same requests with monitoring and without it (`tests/bench/switched.py`).
A round measures each kind of thing on, off, off and on, so that what drifts takes from both alike; what counts is how
the two differ in a round. The median of the rounds is the cost, and the interval around it holds the true one in 95 of
100 benches, however the noise is distributed. CPU is the API process's own.
"""

import asyncio
import itertools
import math
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx

from parley.stack.probes import HOST
from parley.stack.stack import free_port
from tests.bench import generator, machine, queries, results, servers, switched
from tests.bench.targets import Target, verdicts
from tests.clients import SEND
from tests.stack_process import running_stack

MOST: Final = 3.0  # percent
ORDER: Final = (True, False, False, True)  # whether monitoring is on, in the parts of a round
OUTSIDE: Final = 0.05  # the share of benches whose interval misses the true cost

type Work = Callable[[], int]  # does something so often


@dataclass(frozen=True, slots=True)
class Round:
    """The cost of one thing with monitoring and without, in CPU microseconds, measured at the same time."""

    kind: str  # `delivery`, or a kind of request
    on_us: float
    off_us: float

    @property
    def share(self) -> float:
        """How much more it is with monitoring, in percent."""
        return (self.on_us / self.off_us - 1) * 100


@dataclass(frozen=True, slots=True)
class Cost:
    """What monitoring adds to one kind of thing, in percent: the median, and between what it is."""

    kind: str
    on_us: float
    off_us: float
    share: float
    least: float
    most: float

    @classmethod
    def of(cls, kind: str, rounds: Iterable[Round]) -> "Cost":
        """Return the cost of one kind."""
        found = [each for each in rounds if each.kind == kind]
        shares = sorted(each.share for each in found)
        outer = outer_ranks(len(shares))
        return cls(
            kind,
            median(each.on_us for each in found),
            median(each.off_us for each in found),
            median(shares),
            shares[outer],
            shares[-1 - outer],
        )


def main(rounds: int, subscribers: int, events: int, requests: int, at_once: int) -> bool:
    """Measure and print the figures; return whether monitoring costs no more than it may."""
    found: list[Round] = []
    with machine.shared() as core, _running() as (server, address), httpx.Client(base_url=address) as client:
        if core is not None:
            machine.move(server.pid, core)
        with generator.running(server.speech, _say) as listeners:
            listeners.connect(subscribers)
            listeners.warm(events)
            _say(f"{subscribers:,} sockets are subscribed; process {server.pid} is measured")
            works: dict[str, Work] = {"delivery": lambda: int(listeners.publish(events)["delivered"])}
            works |= _requests(server.speech, requests, at_once)
            for work in works.values():
                work()
            for number in range(1, rounds + 1):
                found += [_round(kind, work, server.pid, client) for kind, work in works.items()]
                costs = [Cost.of(kind, found) for kind in works]
                _say(f"{number}/{rounds}: {', '.join(f'{cost.kind} {cost.share:+.1f} %' for cost in costs)}")
    print(verdicts(targets(costs)), table(costs), sep="\n\n")
    content = {"rounds": [asdict(each) for each in found], "costs": [asdict(cost) for cost in costs]}
    results.keep("monitoring", content)
    return all(target.verdict != "missed" for target in targets(costs))


def _round(kind: str, work: Work, pid: int, client: httpx.Client) -> Round:
    used, done = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for is_on in ORDER:
        client.post(switched.PATH, params="on" if is_on else "off").raise_for_status()
        before = machine.cpu_seconds(pid)
        done[is_on] += work()
        used[is_on] += machine.cpu_seconds(pid) - before
    return Round(kind, *(used[is_on] / done[is_on] * 1e6 for is_on in (True, False)))


@contextmanager
def _running() -> Iterator[tuple[servers.Server, str]]:
    """Run a stack, and beside its own API process the one that is measured."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as directory:
        data = Path(directory)
        with running_stack(data, replicas=1) as stack:
            settings = {
                "PARLEY_EMBEDDED": "1",
                "PARLEY_DATA": directory,
                "PARLEY_METRICS": "false",
                "PARLEY_RATE_LIMITS": "off",
                "PARLEY_ACCESS_TOKEN_SECONDS": str(servers.TOKEN_SECONDS),
                **{f"PARLEY_{part.upper()}_URL": stack.url(part) for part in ("mongo", "redis", "kafka")},
            }
            command = (sys.executable, "-m", "tests.bench.switched", str(port))
            with servers.process(command, port, settings) as process:
                address = f"http://{HOST}:{port}"
                speech = servers.speech(address)
                machine.wait_until_idle()
                yield servers.Server(process.pid, speech), address


def _requests(speech: Mapping[str, Any], requests: int, at_once: int) -> dict[str, Work]:
    """Return the kinds of requests, by their names; they are about another conversation than what is delivered."""
    url, token = speech["url"], speech["authorization"]
    other = servers.speech(url.removesuffix("/graphql"))
    room, author = other["variables"]["id"], other["authorization"]

    def send(number: int) -> bytes:
        body = f"message {number} of about a hundred characters {'.' * 60}"
        content = {"conversationId": room, "body": body, "clientMessageId": uuid.uuid4().hex}
        return queries.request(url, author, SEND, {"input": content})

    def asking(messages: Iterator[bytes], count: int) -> Work:
        def work() -> int:
            asyncio.run(queries.ask(url, messages, count, at_once))
            return count

        return work

    sends = map(send, itertools.count())
    asking(sends, queries.MESSAGES)()
    viewer = itertools.repeat(queries.request(url, token, queries.VIEWER, None))
    page = itertools.repeat(queries.request(url, author, queries.PAGE, {"id": room}))
    return {
        "viewer": asking(viewer, requests),
        "page": asking(page, max(requests // 4, 1)),
        "send": asking(sends, max(requests // 4, 1)),
    }


def outer_ranks(count: int) -> int:
    """Return how many of so many rounds lie outside of the interval at each end (the sign test's)."""
    below, outer = 0.0, 0
    for rank in range(count // 2):
        below += math.comb(count, rank) / 2**count
        if below > OUTSIDE / 2:
            break
        outer = rank
    return outer


def targets(costs: Iterable[Cost]) -> Sequence[Target]:
    """Return what is asked of the figures."""
    return [
        Target(f"CPU that monitoring costs, of a {cost.kind}", MOST, 1.0, round(cost.share, 2), " %") for cost in costs
    ]


def table(costs: Iterable[Cost]) -> str:
    """Return the figures as a table."""
    rows = (
        (
            cost.kind,
            f"{cost.on_us:,.1f}",
            f"{cost.off_us:,.1f}",
            f"{cost.share:+.2f} %",
            f"{cost.least:+.2f} to {cost.most:+.2f} %",
        )
        for cost in costs
    )
    return results.table(("what", "CPU µs, monitored", "CPU µs, not", "cost", "95 % interval"), rows)


def _say(line: str) -> None:
    print(f"monitoring {line}", flush=True)
