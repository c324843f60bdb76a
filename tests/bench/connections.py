"""Measures idle connections: `parley bench connections [--idle 5000] [--hold 60] [--against graphql-ws] [--runs 1]`.

Opens so many subscribed sockets, answers their pings for a while, and says what each takes of the server's memory, how
many stayed, and what keeping them costs. One event at the end shows that they are not just open.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench import generator, machine, results, servers

FIRST = 20  # sockets before the memory is looked at: what the first ones load is not theirs
WARM_UP = 5  # events
STEPS = 10  # lines of progress while they connect
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run, or the medians of several."""

    server: str
    idle: int
    stayed: int
    memory_kib: float  # growth of the server for each connection
    connect_seconds: float
    hold_seconds: float
    pings: int  # answered while they were held; those of the WebSocket protocol are not counted
    cpu_percent: float  # of a core, while nothing but pings is sent
    event_ms: float  # until the event at the end had come to all
    lost: int  # of it
    strange: int


def main(idle: Sequence[int], hold: float, against: Sequence[str], runs: int) -> bool:
    """Measure and print the figures; return whether all sockets of Parley stayed and got the event."""
    found = [run for count in idle for run in compare(("parley", *against), count, hold, runs)]
    print(table(found))
    if compared := ratios(found):
        print(compared)
    results.keep("connections", {"runs": runs, "medians": [asdict(run) for run in found]})
    return all(run.stayed == run.idle and not run.lost for run in found if run.server == "parley")


def compare(names: Sequence[str], idle: int, hold: float, runs: int) -> list[Run]:
    """Return the medians for each server; they take turns.

    Raises:
        SystemExit: The machine does not let a process have so many open files.
    """
    if idle > machine.most_sockets():
        raise SystemExit(f"parley: a process may hold {machine.most_sockets()} sockets here: raise `ulimit -Hn`.")
    found: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(1, runs + 1):
        for name in names:
            found[name].append(measure(name, idle, hold, prefix=f"connections {number}/{runs}, {name} x {idle:,}"))
    return [results.medians(found[name]) for name in names]


def measure(name: str, idle: int, hold: float, prefix: str) -> Run:
    """Run one server with so many idle subscribers."""

    def say(line: str) -> None:
        print(f"{prefix}: {line}", flush=True)

    with servers.running(name) as server, generator.running(server.speech, say) as clients:
        clients.connect(FIRST)
        clients.warm(WARM_UP)
        memory, started = machine.memory_kib(server.pid), time.perf_counter()
        for step in range(STEPS):
            opened = clients.connect(idle * (step + 1) // STEPS - idle * step // STEPS)["ready"]
            say(f"{opened - FIRST:,} connected")
        connect_seconds = time.perf_counter() - started
        time.sleep(SETTLE_SECONDS)
        memory = machine.memory_kib(server.pid) - memory

        say(f"held for {hold:g} s; process {server.pid} is measured")
        before, cpu = clients.status(), machine.cpu_seconds(server.pid)
        time.sleep(hold)
        cpu = machine.cpu_seconds(server.pid) - cpu
        after = clients.status()
        last = clients.publish(1)
    run = Run(
        server=name,
        idle=idle,
        stayed=after["ready"] - FIRST,
        memory_kib=round(memory / idle, 1),
        connect_seconds=round(connect_seconds, 1),
        hold_seconds=hold,
        pings=after["pings"] - before["pings"],
        cpu_percent=round(cpu / hold * 100, 1),
        event_ms=round(last["max_ms"]),
        lost=last["lost"],
        strange=last["strange"],
    )
    say(f"{run.stayed} of {idle} stayed, {run.memory_kib} KiB each, {run.cpu_percent} % of a core")
    return run


def table(found: Sequence[Run]) -> str:
    """Return the figures as a table."""
    head = ("server", "idle", "stayed", "KiB each", "connecting s", "held s", "pings answered", "CPU % of a core")
    rows = (
        (
            run.server,
            f"{run.idle:,}",
            f"{run.stayed:,}",
            f"{run.memory_kib:.1f}",
            f"{run.connect_seconds:.1f}",
            f"{run.hold_seconds:g}",
            f"{run.pings:,}",
            f"{run.cpu_percent:.1f}",
            f"{run.event_ms:,.0f}",
        )
        for run in found
    )
    return results.table((*head, "event to all ms"), rows)


def ratios(found: Sequence[Run]) -> str:
    """Return how Parley's memory compares with each peer's."""
    ours = {run.idle: run for run in found if run.server == "parley"}
    return "\n".join(
        f"{run.idle:,}: {ours[run.idle].memory_kib / run.memory_kib:.2f} x {run.server}'s memory"
        for run in found
        if run.server != "parley"
    )
