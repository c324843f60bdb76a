"""Measures what monitoring costs: `parley bench monitoring [--subscribers 1000] [--events 50] [--runs 3]`.

The same fan-out and the same queries by a Parley that counts and reports, and by one that does neither
(`PARLEY_METRICS=false`). They take turns, so that what else the machine does is shared. CPU is the server's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from tests.bench import fanout, queries, results
from tests.bench.servers import UNWATCHED
from tests.bench.targets import Target, verdicts

ON: Final = "parley"
MOST: Final = 3.0  # percent


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of one thing at one server, or the median of several."""

    server: str
    kind: str  # `delivery`, or a kind of request
    cpu_us: float


def main(subscribers: int, events: int, requests: int, at_once: int, runs: int) -> bool:
    """Measure and print the figures; return whether monitoring costs no more than it may."""
    every: dict[tuple[str, str], list[Run]] = {}
    for number in range(runs):
        # Who is first changes: a machine that slows down is no cost of whoever comes later.
        for server in (ON, UNWATCHED) if number % 2 == 0 else (UNWATCHED, ON):
            told = fanout.measure(server, subscribers, events, 0, prefix=f"monitoring {number + 1}/{runs}, {server}")
            asked = queries.measured(server, requests, at_once)
            found = [Run(server, "delivery", told.cpu_us), *(Run(server, run.kind, run.cpu_us) for run in asked)]
            for run in found:
                every.setdefault((run.server, run.kind), []).append(run)
    medians = [results.medians(found) for found in every.values()]
    asked_for = targets(medians)
    print(verdicts(asked_for), table(medians), sep="\n\n")
    results.keep("monitoring", {"runs": runs, "medians": [asdict(run) for run in medians]})
    return all(target.verdict != "missed" for target in asked_for)


def shares(runs: Iterable[Run]) -> dict[str, float]:
    """Return how much more CPU each kind takes with monitoring, in percent."""
    cost = {(run.server, run.kind): run.cpu_us for run in runs}
    return {kind: round((cost[ON, kind] / cost[UNWATCHED, kind] - 1) * 100, 1) for server, kind in cost if server == ON}


def targets(runs: Iterable[Run]) -> Sequence[Target]:
    """Return what is asked of the figures."""
    return [
        Target(f"CPU that monitoring costs, of a {kind}", MOST, 1.0, share, " %")
        for kind, share in shares(runs).items()
    ]


def table(runs: Iterable[Run]) -> str:
    """Return the figures as a table."""
    known = list(runs)
    cost = {(run.server, run.kind): run.cpu_us for run in known}
    rows = (
        (kind, f"{cost[ON, kind]:,.1f}", f"{cost[UNWATCHED, kind]:,.1f}", f"{share:+.1f} %")
        for kind, share in shares(known).items()
    )
    return results.table(("what", "CPU µs, monitored", "CPU µs, not", "cost"), rows)
