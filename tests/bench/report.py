"""Writes the newest figures of a few benches into docs/performance.md, and draws its plots as SVG."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.bench import (
    capacity,
    connections,
    fanout,
    history,
    monitoring,
    presence,
    queries,
    reading,
    reconnect,
    results,
    targets,
)
from tests.bench.generator import ROOT
from tests.bench.targets import verdicts

DOCS = ROOT / "docs"
PAGE = DOCS / "performance.md"

WIDTH, LINE, TOP = 720, 30, 46  # in pixels, as are those below
LABEL, VALUE = 130, 90


def main() -> None:
    """Write those that there are."""
    writers = {
        "targets": _write_targets,
        "read": _write_reading,
        "history": _write_history,
        "presence": _write_presence,
        "queries": _write_queries,
        "capacity": _write_capacity,
        "monitoring": _write_monitoring,
    }
    for name, write in writers.items():
        try:
            newest = results.newest(name)
        except FileNotFoundError:
            print(f"`parley bench {name}` has not been run; its figures stay")
        else:
            write(newest)


def _write_reading(newest: results.Json) -> None:
    runs = [reading.Run(**run) for run in newest["runs"]]
    _fill({"read": f"{_machine(newest)}\n\n{reading.table(runs)}"})


def _write_history(newest: results.Json) -> None:
    figures = [history.Figure(**figure) for figure in newest["figures"]]
    _fill({"history": f"{_machine(newest)}\n\n{history.table(figures)}"})


def _write_queries(newest: results.Json) -> None:
    runs = [queries.Run(**run) for run in newest["medians"]]
    parts = (_machine(newest), verdicts(queries.targets(runs)), queries.table(runs))
    _fill({"queries": "\n\n".join(parts)})


def _write_monitoring(newest: results.Json) -> None:
    costs = [monitoring.Cost(**cost) for cost in newest["costs"]]
    parts = (_machine(newest), verdicts(monitoring.targets(costs)), monitoring.table(costs))
    _fill({"monitoring": "\n\n".join(parts)})


def _write_presence(newest: results.Json) -> None:
    idle, change = [presence.Idle(**run) for run in newest["idle"]], presence.Change(**newest["change"])
    _fill({"presence": f"{_machine(newest)}\n\n{presence.table(idle, change)}"})


def _write_capacity(newest: results.Json) -> None:
    costs = capacity.Costs(**newest["costs"])
    checks = [capacity.Check(**check) for check in newest["checks"]]
    need = capacity.needed(costs, newest["requests"], newest["deliveries"])
    blocks = {
        "costs": f"{_machine(newest)}\n\n{capacity.table_of_costs(costs)}",
        "check": capacity.table_of_checks(checks),
        "need": capacity.table_of_needs(need),
    }
    _fill(blocks, DOCS / "scaling.md")
    title = f"Cores for {newest['requests']:,} requests/s and {newest['deliveries']:,} deliveries/s, by part"
    (DOCS / "capacity.svg").write_text(bars(title, [(each.part, each.cores) for each in need if each.cores]))


def _write_targets(newest: results.Json) -> None:
    figures = targets.Figures.read(newest["figures"])
    _fill(
        {
            "machine": _machine(newest),
            "targets": targets.table(figures),
            "fan-out": fanout.table([*figures.burst, *figures.many]),
            "paced": fanout.table(figures.paced),
            "connections": connections.table([*figures.idle, *figures.most_idle]),
            "reconnecting": reconnect.table(figures.back),
            "floor": f"{figures.write_us:.1f} µs a write, so {1e6 / figures.write_us:,.0f} in a CPU second.",
        }
    )
    first, paced, idle = figures.burst[0], figures.paced[0], figures.idle[0]
    plots = {
        "fanout": bars(
            f"Deliveries per CPU second of the server, {first.subscribers:,} subscribers x {first.events} events",
            [
                *((run.server, run.per_cpu_second) for run in figures.burst),
                ("the kernel alone", 1e6 / figures.write_us),
            ],
        ),
        "latency": bars(
            f"p99 of a delivery in ms, {paced.subscribers:,} subscribers x {paced.rate:g} events/s",
            [(run.server, run.p99_ms) for run in figures.paced],
        ),
        "memory": bars(
            f"KiB of the server for each of {idle.idle:,} idle connections",
            [(run.server, run.memory_kib) for run in figures.idle],
        ),
    }
    for name, svg in plots.items():
        (DOCS / f"{name}.svg").write_text(svg)


def _machine(newest: results.Json) -> str:
    return "Measured on {cores} cores, CPython {python}, Linux {kernel}, load {load}.".format(**newest["machine"])


def _fill(blocks: dict[str, str], path: Path | None = None) -> None:
    path = path or PAGE
    page = path.read_text()
    for name, content in blocks.items():
        page = _filled(page, name, content)
    path.write_text(page)


def _filled(page: str, name: str, content: str) -> str:
    """Return the page with something else between the marks of a block."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert block.search(page), f"there is no block {name}"
    return block.sub(lambda found: f"{found[1]}{content}\n{found[2]}", page)


def bars(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Return a picture with a bar for each row; the first is ours."""
    scale = (WIDTH - LABEL - VALUE) / max(value for _, value in rows)
    height = TOP + LINE * len(rows) + 8
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        "<style>text { font: 14px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="26">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(rows):
        y, width = TOP + LINE * number, value * scale
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 16}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="22" fill="{"#888" if number else "#2a6fdb"}"/>',
            f'<text x="{LABEL + width + 8:.1f}" y="{y + 16}">{text}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
