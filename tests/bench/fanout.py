"""Measures fan-out: `parley bench fanout [--subscribers 1000] [--events 50] [--rate 4] [--against plain] [--runs 3]`.

All subscribers are in one room, each on a socket of its own. A run sends real mutations, each when the one before is
acknowledged or at a rate, and counts what each subscriber gets. CPU is the server process's own, user and kernel, over
all its threads, so it has the mutations, the store's driver and Redis in it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.bench import generator, machine, results, servers

WARM_UP = 5  # events


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run, or the medians of several."""

    server: str
    subscribers: int
    events: int
    rate: float  # events per second; 0: each when the one before is acknowledged
    per_cpu_second: float  # deliveries
    cpu_us: float  # of a delivery
    p50_ms: float
    p99_ms: float
    max_ms: float
    lost: int
    doubled: int
    disordered: int
    strange: int  # messages that nobody asked for, failed mutations among them
    frame_bytes: int
    memory_kib: float  # growth of the server for each subscriber, from before it came until after the deliveries
    generator_busy: float  # share of its core; near 1 the latencies are the generator's own


def main(subscribers: Sequence[int], events: int, rate: float, against: Sequence[str], runs: int) -> bool:
    """Measure and print the figures; return whether Parley delivered all of it, once and in order."""
    found = [run for count in subscribers for run in compare(("parley", *against), count, events, rate, runs)]
    print(table(found))
    if compared := ratios(found):
        print(compared)
    results.keep("fanout", {"runs": runs, "medians": [asdict(run) for run in found]})
    return all(faultless(run) for run in found if run.server == "parley")


def compare(names: Sequence[str], subscribers: int, events: int, rate: float, runs: int) -> list[Run]:
    """Return the medians for each server; they take turns, so that what else the machine does is shared."""
    found: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(1, runs + 1):
        for name in names:
            run = measure(name, subscribers, events, rate, prefix=f"fanout {number}/{runs}, {name} x {subscribers:,}")
            found[name].append(run)
    return [results.medians(found[name]) for name in names]


def measure(name: str, subscribers: int, events: int, rate: float, prefix: str) -> Run:
    """Run one server and drive it once."""

    def say(line: str) -> None:
        print(f"{prefix}: {line}", flush=True)

    with servers.running(name) as server, generator.running(server.speech, say) as clients:
        memory = machine.memory_kib(server.pid)
        seconds = clients.connect(subscribers)["seconds"]
        clients.warm(WARM_UP)
        say(f"subscribed in {seconds:.1f} s; process {server.pid} is measured")
        cpu = machine.cpu_seconds(server.pid)
        counted = clients.publish(events, rate)
        cpu = machine.cpu_seconds(server.pid) - cpu
        memory = machine.memory_kib(server.pid) - memory
    run = Run(
        server=name,
        subscribers=subscribers,
        events=events,
        rate=rate,
        per_cpu_second=round(counted["delivered"] / cpu),
        cpu_us=round(cpu / max(counted["delivered"], 1) * 1e6, 2),
        p50_ms=round(counted["p50_ms"], 1),
        p99_ms=round(counted["p99_ms"], 1),
        max_ms=round(counted["max_ms"], 1),
        lost=counted["lost"],
        doubled=counted["doubled"],
        disordered=counted["disordered"],
        strange=counted["strange"],
        frame_bytes=counted["frame_bytes"],
        memory_kib=round(memory / subscribers, 1),
        generator_busy=round(counted["generator_cpu_seconds"] / counted["seconds"], 2),
    )
    say(f"{run.per_cpu_second:,} deliveries per CPU second, p99 {run.p99_ms} ms, {run.lost} lost")
    return run


def faultless(run: Run) -> bool:
    """Whether every subscriber got every event once, in order, and nothing else."""
    return not (run.lost or run.doubled or run.disordered or run.strange)


def table(found: Sequence[Run]) -> str:
    """Return the figures as a table."""
    head = ("server", "subscribers x events", "deliveries per CPU s", "CPU µs each", "p50 ms", "p99 ms", "max ms")
    rows = (
        (
            run.server,
            f"{run.subscribers:,} x {run.events}" + (f", {run.rate:g}/s" if run.rate else ""),
            f"{run.per_cpu_second:,.0f}",
            f"{run.cpu_us:.1f}",
            *(f"{value:,.1f}" for value in (run.p50_ms, run.p99_ms, run.max_ms)),
            f"{run.lost} / {run.doubled} / {run.disordered}",
            f"{run.frame_bytes:.0f}",
            f"{run.memory_kib:.1f}",
            f"{run.generator_busy:.0%}",
        )
        for run in found
    )
    return results.table((*head, "lost / doubled / disordered", "frame bytes", "KiB each", "generator busy"), rows)


def ratios(found: Sequence[Run]) -> str:
    """Return how Parley compares with each peer, and with itself where it had more subscribers."""
    lines = []
    ours = [run for run in found if run.server == "parley"]
    for own in ours:
        peers = (run for run in found if run.server != "parley" and run.subscribers == own.subscribers)
        for peer in (run for run in peers if run.per_cpu_second):  # else it has delivered nothing
            times, share = own.per_cpu_second / peer.per_cpu_second, own.p99_ms / peer.p99_ms
            lines.append(f"{own.subscribers:,}: {times:.2f} x {peer.server}'s deliveries, {share:.2f} x its p99")
    for own in ours[1:]:
        times = own.cpu_us / ours[0].cpu_us
        lines.append(f"a delivery to {own.subscribers:,} costs {times:.2f} x one to {ours[0].subscribers:,}")
    return "\n".join(lines)
