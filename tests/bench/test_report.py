"""What is made of the figures: medians that hide no fault, verdicts, and a page whose blocks are filled."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.bench import (
    connections,
    fanout,
    history,
    monitoring,
    presence,
    queries,
    reading,
    reconnect,
    report,
    results,
    targets,
)

RUN = fanout.Run(
    server="parley",
    subscribers=1_000,
    events=50,
    rate=0,
    per_cpu_second=200_000,
    cpu_us=5.0,
    p50_ms=5.0,
    p99_ms=10.0,
    max_ms=12.0,
    lost=0,
    doubled=0,
    disordered=0,
    strange=0,
    frame_bytes=366,
    memory_kib=5.0,
    generator_busy=0.5,
)
PEERS = [replace(RUN, server=name, per_cpu_second=10_000, p99_ms=20.0) for name in targets.PEERS]
IDLE = connections.Run(
    server="parley",
    idle=5_000,
    stayed=5_000,
    memory_kib=5.5,
    connect_seconds=2.0,
    hold_seconds=10.0,
    pings=0,
    cpu_percent=1.0,
    event_ms=100,
    lost=0,
    strange=0,
)
BACK = reconnect.Run(
    sockets=2_000,
    events=20,
    caught_up=2_000,
    seconds=6.0,
    p50_ms=1_000,
    p99_ms=5_000,
    retries=0,
    lost=0,
    doubled=0,
    disordered=0,
    strange=0,
    cpu_seconds=4.0,
    mongo_cpu_seconds=0.2,
)
PAGE = history.Figure(
    what="the last page",
    messages=1_000,
    first_ms=20.0,
    p50_ms=10.0,
    p99_ms=15.0,
    store_p50_ms=2.0,
    store_p99_ms=3.0,
    api_cpu_ms=6.0,
    mongo_cpu_ms=2.5,
    asked=200,
    wrong=0,
)
NEWEST = reading.Run(
    kind="Redis", reads=200, p50_ms=4.0, p99_ms=9.0, hit_ratio=1.0, mongo_reads=0.0, cpu_us=1_000, mongo_cpu_us=2.0
)
FIGURES = targets.Figures(
    burst=[RUN, *PEERS],
    many=[replace(RUN, subscribers=5_000, cpu_us=10.0)],
    paced=[RUN, PEERS[1]],
    idle=[IDLE],
    most_idle=[replace(IDLE, idle=20_000, stayed=12_000)],
    back=[BACK],
    write_us=2.5,
)

ASKED = queries.Run(server="parley", kind="viewer", requests=9, cpu_us=100.0, p50_ms=1.0, p99_ms=2.0, bytes=80)
QUERIES = [
    ASKED,
    replace(ASKED, kind="page", cpu_us=1_000.0),
    replace(ASKED, kind=queries.BUSY, cpu_us=1_600.0),
    replace(ASKED, server=queries.PEER, cpu_us=150.0),
    replace(ASKED, server=queries.PEER, kind="page", cpu_us=1_600.0),
]


def test_medians_hide_no_fault() -> None:
    runs = [replace(RUN, cpu_us=cpu, lost=lost) for cpu, lost in ((4.0, 0), (9.0, 1), (5.0, 0))]

    found = results.medians(runs)

    assert (found.cpu_us, found.lost) == (5.0, 1)


def test_a_verdict_is_the_better_of_two_bounds() -> None:
    verdicts = [target.verdict for target in targets.targets(FIGURES)]

    assert verdicts == ["met", "aim reached", "aim reached", "missed", "met", "aim reached", "met", "met"]


def test_sockets_that_never_catch_up_miss_the_target() -> None:
    figures = replace(FIGURES, back=[replace(BACK, caught_up=1_999, seconds=1.0)])

    assert targets.targets(figures)[6].verdict == "missed"


def test_a_long_conversation_stands_beside_a_short_one() -> None:
    long = [replace(PAGE, messages=100_000, p50_ms=12.0, wrong=1), replace(PAGE, what="far back", messages=100_000)]

    *_, first, second = history.table([PAGE, *long]).splitlines()

    assert first == "| the last page | 10.0 / 15.0 | 12.0 / 15.0 | 1.20 | 20.0 | 6.0 / 2.5 | 2.0 / 3.0 | 6.0 | 1 |"
    assert second == "| far back | - | 10.0 / 15.0 | - | 20.0 | 6.0 / 2.5 | 2.0 / 3.0 | 5.0 | 0 |"


WATCHED = [
    monitoring.Cost.of(kind, [monitoring.Round(kind, 100 + share + number, 100) for number in range(-10, 11)])
    for kind, share in (("delivery", 2), ("viewer", 4))
]


def test_monitoring_is_judged_by_what_it_adds() -> None:
    assert [target.verdict for target in monitoring.targets(WATCHED)] == ["met", "missed"]
    assert "| viewer | 104.0 | 100.0 | +4.00 % | -1.00 to +9.00 % |" in monitoring.table(WATCHED)


@pytest.mark.parametrize(("rounds", "outer"), [(1, 0), (6, 0), (9, 1), (20, 5), (30, 9), (40, 13)])
def test_the_interval_leaves_out_what_the_sign_test_does(rounds: int, outer: int) -> None:
    assert monitoring.outer_ranks(rounds) == outer


def test_queries_are_judged_against_the_peer() -> None:
    assert [target.verdict for target in queries.targets(QUERIES)] == ["met", "aim reached", "missed"]
    assert "| parley | viewer | 100 | 10,000 | 1.50 x |  | 1.0 | 2.0 | 80 |" in queries.table(QUERIES)


def test_the_report_fills_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.keep("targets", {"figures": asdict(FIGURES)})
    pages = [PAGE, replace(PAGE, messages=100_000, p50_ms=12.0)]
    results.keep("history", {"figures": [asdict(page) for page in pages]})
    results.keep("read", {"runs": [asdict(NEWEST)]})
    results.keep("queries", {"medians": [asdict(run) for run in QUERIES]})
    idle, change = presence.Idle(10, 10, 7.5), presence.Change(2, 3, 6, 1.0, 0, 1.0, 2.0, 0.5)
    results.keep("presence", {"idle": [asdict(idle)], "change": asdict(change)})
    results.keep("monitoring", {"costs": [asdict(cost) for cost in WATCHED]})
    shutil.copy(report.PAGE, tmp_path / "performance.md")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "performance.md")

    report.main()

    page = (tmp_path / "performance.md").read_text()
    assert targets.table(FIGURES) in page
    assert reconnect.table([BACK]) in page
    assert history.table(pages) in page
    assert reading.table([NEWEST]) in page
    assert queries.table(QUERIES) in page
    assert presence.table([idle], change) in page
    assert monitoring.table(WATCHED) in page
    assert all(f"({plot.name})" in page for plot in tmp_path.glob("*.svg"))
