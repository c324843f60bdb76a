"""The report of a run: one HTML file without anything from elsewhere."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape

from tests.chaos.campaign import Outcome
from tests.checker.figures import Faults, Latency
from tests.checker.history import History, Received, SendAcked, Subscribed

WIDTH, LEFT, LANE, PLOT = 1_100, 150, 18, 160  # in pixels
SLOWEST_MS = 60_000.0  # at the top of the plot, whose bottom is 1 ms

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1120px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr:nth-child(even) { background: #8881 }
svg { max-width: 100%; height: auto } text { font: 11px system-ui, sans-serif; fill: currentColor }
.good { color: #18794e } .bad { color: #c62a2f; font-weight: 600 } code { font-size: 13px }
"""

type Point = tuple[float, float]  # seconds since the start, milliseconds


def verdict(outcome: Outcome) -> str:
    """Return the run in a few words."""
    report, wish = outcome.report, outcome.wish
    found = f"{len(report.violations)} violations, {len(outcome.failures)} failures, {len(outcome.slow)} too slow"
    return (
        f"seed {wish.seed}: {len(outcome.plan)} faults, {report.acknowledged} of {report.sends} sends acknowledged, "
        f"{report.deliveries} deliveries; {'all promises kept' if outcome.is_good else found}"
    )


def command(outcome: Outcome) -> str:
    """Return how to run the same again."""
    wish = outcome.wish
    line = f"make chaos SEED={wish.seed} FAULTS={wish.faults} SECONDS={wish.seconds:g}"
    return f'{line} ARGS="--clients {wish.clients} --rooms {wish.rooms} --rate {wish.rate:g}"'


def page(outcome: Outcome) -> str:
    """Return the report."""
    report, wrong = (
        outcome.report,
        [*outcome.failures, *outcome.slow, *(f"{v.kind}: {v.detail}" for v in outcome.report.violations)],
    )
    title = f"Parley: fault run, seed {outcome.wish.seed}"
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f"<h1>{title}</h1>",
        f'<p class="{"good" if outcome.is_good else "bad"}">{escape(verdict(outcome))}</p>',
        _setting(outcome),
        _list("What went wrong", wrong[:200]) if wrong else "",
        "<h2>Faults, deliveries and sends over time</h2>",
        timeline(outcome.history),
        _table("Until everybody had an acknowledged message, by the faults on its way", report.latency_by_fault),
        _table("The same 10 s after a fault and later, until the next", report.latency_healed),
        _table("Answers to requests, by the only fault they met", report.answers_by_fault),
        _ghosts(outcome),
        _soak(outcome),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _setting(outcome: Outcome) -> str:
    wish, found = outcome.wish, outcome.machine
    return (
        f"<p><code>{escape(command(outcome))}</code><br>{wish.clients} people, {wish.rooms} conversations, "
        f"{outcome.seconds:.0f} s in all, on {found['cores']} cores with load {found['load']}, "
        f"CPython {found['python']}</p>"
    )


def timeline(history: History) -> str:
    """Return a picture of the faults, of how long deliveries took, and of how many sends were acknowledged."""
    records = sorted(history.records, key=lambda record: record.at)
    start, end = records[0].at, records[-1].at
    deliveries, sends = _deliveries(records, start)
    seconds = max((end - start) / 1e9, 1.0)
    faults = Faults(records)

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - 10) * second / seconds

    lanes = sorted(faults.windows)
    top = LANE * len(lanes) + 10
    parts: list[str] = []
    for number, label in enumerate(lanes):
        parts.append(f'<text x="{LEFT - 6}" y="{number * LANE + 13}" text-anchor="end">{escape(label)}</text>')
        for began, ended in faults.windows[label]:
            left = x((began - start) / 1e9)
            width = max(2.0, x((min(ended, end) - start) / 1e9) - left)
            parts.append(
                f'<rect x="{left:.1f}" y="{number * LANE + 3}" width="{width:.1f}" height="{LANE - 6}" fill="#e5484d">'
                f"<title>{escape(label)}, {(min(ended, end) - began) / 1e9:.1f} s</title></rect>"
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{2 * PLOT + 30}" fill="#e5484d22"/>'
            )

    def y(milliseconds: float) -> float:
        share = math.log(max(1.0, min(milliseconds, SLOWEST_MS))) / math.log(SLOWEST_MS)
        return top + PLOT * (1 - share)

    parts += [
        f'<path d="M{LEFT} {y(mark):.1f}H{WIDTH - 10}" stroke="#8885"/>{_mark(y(mark), mark)}'
        for mark in (1, 10, 100, 1_000, 10_000)
    ]
    by_second: dict[int, list[float]] = defaultdict(list)
    for second, milliseconds in deliveries:
        by_second[int(second)].append(milliseconds)
    for share, colour in ((0.5, "#30a46c"), (0.99, "#0b68cb")):
        points = " ".join(
            f"{x(second + 0.5):.1f},{y(_quantile(found, share)):.1f}" for second, found in sorted(by_second.items())
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    parts.append(
        f'<text x="{LEFT + 6}" y="{top + 12}">deliveries of each second: p50 green, p99 blue</text>'
        f'<text x="{LEFT + 6}" y="{top + PLOT + 34}">sends acknowledged in each second</text>'
    )
    most = max(sends.values(), default=1)
    base = top + 2 * PLOT + 25
    for second, count in sorted(sends.items()):
        height = (PLOT - 15) * count / most
        parts.append(
            f'<rect x="{x(second):.1f}" y="{base - height:.1f}" width="{max(0.8, x(1) - x(0) - 0.2):.1f}" '
            f'height="{height:.1f}" fill="#8e4ec6"><title>second {second}: {count}</title></rect>'
        )
    parts.append(f'<text x="{LEFT - 6}" y="{base - PLOT + 24}" text-anchor="end">{most}/s</text>')
    step = max(1, round(seconds / 12 / 5) * 5)
    parts += [f'<text x="{x(tick):.1f}" y="{base + 14}">{tick} s</text>' for tick in range(0, int(seconds), step)]
    size = f'viewBox="0 0 {WIDTH} {base + 20}" width="{WIDTH}" height="{base + 20}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{"".join(parts)}</svg>'


def _deliveries(records: Sequence[object], start: int) -> tuple[list[Point], dict[int, int]]:
    """Return when each message was acknowledged and how long each delivery took from then, and the sends by second."""
    acked: dict[tuple[str, int], int] = {}
    subscriptions: dict[str, Subscribed] = {}
    sends: dict[int, int] = defaultdict(int)
    seen: set[tuple[str, str, int]] = set()
    points: list[Point] = []
    for record in records:
        if isinstance(record, SendAcked) and (record.conversation, record.sequence) not in acked:
            acked[record.conversation, record.sequence] = record.at
            sends[int((record.at - start) / 1e9)] += 1
    for record in records:
        match record:
            case Subscribed():
                subscriptions[record.connection] = record
            case Received():
                subscription = subscriptions[record.connection]
                place = (subscription.subscriber, subscription.conversation, record.entry.sequence)
                acked_at = acked.get(place[1:])
                if acked_at is not None and place not in seen:
                    seen.add(place)
                    points.append(((acked_at - start) / 1e9, max(0, record.at - acked_at) / 1e6))
    return points, sends


def _mark(y: float, milliseconds: int) -> str:
    return f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{milliseconds:,} ms</text>'


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _list(title: str, lines: Iterable[str]) -> str:
    return f'<h2 class="bad">{title}</h2><ul>{"".join(f"<li>{escape(line)}" for line in lines)}</ul>'


def _table(title: str, figures: dict[str, Latency]) -> str:
    if not figures:
        return ""
    rows = "".join(
        f"<tr><td>{escape(label)}<td>{found.count:,}<td>{found.p50_ms:,.0f}<td>{found.p99_ms:,.0f}<td>{found.max_ms:,.0f}"
        for label, found in sorted(figures.items())
    )
    return f"<h2>{title}</h2><table><tr><th>fault<th>count<th>p50 ms<th>p99 ms<th>longest ms{rows}</table>"


def _ghosts(outcome: Outcome) -> str:
    freed = [seconds for seconds in outcome.ghosts.freed if seconds is not None]
    offline = [seconds for seconds in outcome.ghosts.offline if seconds is not None]
    if not freed or not offline:
        return ""
    return (
        "<h2>Half-open sockets</h2>"
        f"<p>{len(outcome.ghosts.freed)} lost their network without a word: freed after {min(freed):.1f} to "
        f"{max(freed):.1f} s, shown OFFLINE after {min(offline):.1f} to {max(offline):.1f} s.</p>"
    )


def _soak(outcome: Outcome) -> str:
    found = outcome.soak
    if found is None:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{of['before']['rss_mib']:.0f}<td>{of['most']['rss_mib']:.0f}"
        f"<td>{of['after']['rss_mib']:.0f}<td>{of['growth']:+.2%}<td>{of['before']['descriptors']}"
        f"<td>{of['after']['descriptors']}<td>{of['before']['tasks']}<td>{of['after']['tasks']}"
        for name, of in found["processes"].items()
    )
    kinds = sorted({kind for counts in found["keys"].values() for kind in counts})
    keys = "".join(
        f"<tr><td>{escape(kind)}" + "".join(f"<td>{counts.get(kind, 0)}" for counts in found["keys"].values())
        for kind in kinds
    )
    return (
        f"<h2>{found['loaded_seconds']} s of load, then {found['idle_seconds']} s of none</h2>"
        "<table><tr><th>process<th>MiB before<th>most<th>after<th>growth, second half<th>descriptors before<th>after"
        f"<th>tasks before<th>after{rows}</table>"
        f"<table><tr><th>keys in Redis{''.join(f'<th>{when}' for when in found['keys'])}{keys}</table>"
    )
