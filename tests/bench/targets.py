"""Measures all that Parley is held to: `parley bench targets [--runs 3]`; `parley bench report` writes it down."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tests.bench import connections, fanout, floor, machine, reconnect, results

PEERS = ("plain", "graphql-ws", "socketio")
SUBSCRIBERS = 1_000
MANY_SUBSCRIBERS = 5_000
EVENTS = 50
RATE = 4.0  # events per second
IDLE = 5_000
IDLE_SECONDS = 10.0
MOST_IDLE = 20_000
MOST_IDLE_SECONDS = 60.0  # three pings
SOCKETS = 2_000
MISSED = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """The medians of everything."""

    burst: list[fanout.Run]
    many: list[fanout.Run]
    paced: list[fanout.Run]
    idle: list[connections.Run]
    most_idle: list[connections.Run]
    back: list[reconnect.Run]
    write_us: float

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """Return what a line of JSON says."""
        kinds = {"idle": connections.Run, "most_idle": connections.Run, "back": reconnect.Run}
        lists = {
            name: [kinds.get(name, fanout.Run)(**run) for run in found[name]] for name in found if name != "write_us"
        }
        return cls(**lists, write_us=found["write_us"])


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of one figure."""

    what: str
    required: float
    aim: float
    measured: float
    unit: str = ""
    least: bool = False  # whether it must be at least, not at most, this

    @property
    def verdict(self) -> str:
        """How it stands."""
        for bound, word in ((self.aim, "aim reached"), (self.required, "met")):
            if self.measured >= bound if self.least else self.measured <= bound:
                return word
        return "missed"


def main(runs: int) -> bool:
    """Measure and print the figures; return whether all targets are met and nothing was lost."""
    burst = fanout.compare(("parley", *PEERS), SUBSCRIBERS, EVENTS, 0, runs)
    figures = Figures(
        burst=burst,
        many=fanout.compare(("parley",), MANY_SUBSCRIBERS, EVENTS, 0, runs),
        paced=fanout.compare(("parley", "graphql-ws"), SUBSCRIBERS, EVENTS, RATE, runs),
        idle=connections.compare(("parley", *PEERS), IDLE, IDLE_SECONDS, runs),
        most_idle=connections.compare(("parley",), min(MOST_IDLE, machine.most_sockets()), MOST_IDLE_SECONDS, 1),
        back=[reconnect.compare(SOCKETS, MISSED, runs)],
        write_us=floor.measure(SUBSCRIBERS, EVENTS, round(burst[0].frame_bytes)),
    )
    print(table(figures))
    results.keep("targets", {"runs": runs, "figures": asdict(figures)})
    delivered = [run for run in (*figures.burst, *figures.many, *figures.paced) if run.server == "parley"]
    return all(map(fanout.faultless, delivered)) and all(one.verdict != "missed" for one in targets(figures))


def targets(figures: Figures) -> Sequence[Target]:
    """Return what is asked of the figures."""
    burst = {run.server: run for run in figures.burst}
    paced = {run.server: run for run in figures.paced}
    ours = burst["parley"]
    against = {name: round(ours.per_cpu_second / burst[name].per_cpu_second, 2) for name in PEERS}
    per_second = "deliveries per CPU second, of "
    return [
        Target(f"{per_second}plain's", 20, 35, against["plain"], " x", least=True),
        Target(f"{per_second}graphql-ws's", 3, 6, against["graphql-ws"], " x", least=True),
        Target(f"{per_second}Socket.IO's with the Redis adapter", 0.8, 1.3, against["socketio"], " x", least=True),
        Target(
            f"cost of a delivery to {MANY_SUBSCRIBERS:,} subscribers, of one to {SUBSCRIBERS:,}",
            1.8,
            1.4,
            round(figures.many[0].cpu_us / ours.cpu_us, 2),
            " x",
        ),
        Target(
            f"p99 of a delivery at {RATE:g} events/s, of graphql-ws's",
            0.7,
            0.4,
            round(paced["parley"].p99_ms / paced["graphql-ws"].p99_ms, 2),
            " x",
        ),
        Target(f"memory of an idle connection, {IDLE:,} of them", 16, 6, figures.idle[0].memory_kib, " KiB"),
        Target(f"{SOCKETS:,} sockets cut, back and caught up", 20, 5, _seconds(figures.back[0]), " s"),
        # How many a process can have at all is the machine's limit of open files; it takes a few of them for itself.
        Target(
            "idle sockets that stay",
            10_000,
            min(MOST_IDLE, machine.most_sockets()),
            figures.most_idle[0].stayed,
            least=True,
        ),
    ]


def _seconds(back: reconnect.Run) -> float:
    return back.seconds if back.caught_up == back.sockets and not back.lost else float("inf")


def table(figures: Figures) -> str:
    """Return the targets as a table."""
    return verdicts(targets(figures))


def verdicts(asked: Iterable[Target]) -> str:
    """Return what is asked, and how it stands, as a table."""
    rows = (
        (
            target.what,
            *(f"{sign}{bound:,g}{target.unit}" for bound in (target.required, target.aim)),
            f"{target.measured:,}{target.unit}",
            target.verdict,
        )
        for target in asked
        for sign in (("≥ " if target.least else "≤ "),)
    )
    return results.table(("target", "required", "aim", "measured", "verdict"), rows)
