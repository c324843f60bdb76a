"""Measures coming back: `parley bench reconnect [--sockets 2000] [--events 20] [--runs 3]`.

All connections are cut at once, some messages are sent, and all clients come back at once, each with the cursor of the
last update that it had. A client has caught up when the server says `CaughtUp` and it has every message, once and in
order. A refused client tries again within a second, as clients' libraries do.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench import generator, machine, results, servers

WARM_UP = 5  # events


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run, or the medians of several."""

    sockets: int
    events: int
    caught_up: int
    seconds: float  # until all had caught up
    p50_ms: float  # until one had
    p99_ms: float
    retries: int
    lost: int
    doubled: int
    disordered: int
    strange: int
    cpu_seconds: float  # of the API process, with the connections' end and the sending
    mongo_cpu_seconds: float  # grows with the sockets, unless those of one room share its reads


def main(sockets: int, events: int, runs: int) -> bool:
    """Measure and print the figures; return whether all caught up, and got each message once and in order."""
    found = compare(sockets, events, runs)
    print(table([found]))
    results.keep("reconnect", {"runs": runs, "medians": [asdict(found)]})
    return found.caught_up == sockets and not (found.lost or found.doubled or found.disordered)


def compare(sockets: int, events: int, runs: int) -> Run:
    """Return the medians."""
    return results.medians([measure(sockets, events, f"reconnect {run}/{runs}") for run in range(1, runs + 1)])


def measure(sockets: int, events: int, prefix: str) -> Run:
    """Run a Parley and let all its clients come back once."""

    def say(line: str) -> None:
        print(f"{prefix}: {line}", flush=True)

    with servers.running("parley") as server:
        assert server.mongo_pid is not None
        speech = {**server.speech, "subscription": servers.UPDATES_WITH_CURSORS, "cursors": True}
        with generator.running(speech, say) as clients:
            seconds = clients.connect(sockets)["seconds"]
            clients.warm(WARM_UP)
            say(f"{sockets} subscribed in {seconds:.1f} s; process {server.pid} is measured")
            cpu, mongo_cpu = machine.cpu_seconds(server.pid), machine.cpu_seconds(server.mongo_pid)
            counted = clients.reconnect(events)
            cpu, mongo_cpu = machine.cpu_seconds(server.pid) - cpu, machine.cpu_seconds(server.mongo_pid) - mongo_cpu
    run = Run(
        sockets=sockets,
        events=events,
        caught_up=counted["caught_up"],
        seconds=round(counted["seconds"], 2),
        p50_ms=round(counted["p50_ms"]),
        p99_ms=round(counted["p99_ms"]),
        retries=counted["retries"],
        lost=counted["lost"],
        doubled=counted["doubled"],
        disordered=counted["disordered"],
        strange=counted["strange"],
        cpu_seconds=round(cpu, 2),
        mongo_cpu_seconds=round(mongo_cpu, 2),
    )
    say(f"{run.caught_up} of {sockets} have caught up after {run.seconds} s")
    return run


def table(found: Sequence[Run]) -> str:
    """Return the figures as a table."""
    head = ("sockets", "messages missed", "caught up", "seconds until all have", "p50 ms", "p99 ms", "tries again")
    rows = (
        (
            f"{run.sockets:,}",
            f"{run.events}",
            f"{run.caught_up:,}",
            f"{run.seconds:.2f}",
            f"{run.p50_ms:,.0f}",
            f"{run.p99_ms:,.0f}",
            f"{run.retries:.0f}",
            f"{run.lost} / {run.doubled} / {run.disordered}",
            f"{run.cpu_seconds:.2f}",
            f"{run.mongo_cpu_seconds:.2f}",
        )
        for run in found
    )
    return results.table((*head, "lost / doubled / disordered", "API CPU s", "MongoDB CPU s"), rows)
