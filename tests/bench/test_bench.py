"""Each benchmark, as small as can be, against a real Parley: it says that nothing is lost, and has its figures."""

import json
from pathlib import Path

import pytest

from tests.bench import connections, fanout, floor, history, machine, monitoring, presence, queries, reconnect, results

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep results away from real ones, and wait for no quiet machine: the figures do not count here."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(machine, "wait_until_idle", lambda: None)
    return tmp_path


def test_fanout_counts_every_delivery(directory: Path) -> None:
    assert fanout.main(subscribers=[20], events=5, rate=0, against=[], runs=1)

    (run,) = json.loads((directory / "fanout.jsonl").read_text())["medians"]
    assert run["per_cpu_second"] > 0
    assert run["p50_ms"] <= run["p99_ms"] <= run["max_ms"]


def test_a_peer_is_measured_the_same_way() -> None:
    (ours, theirs) = fanout.compare(["parley", "plain"], subscribers=10, events=5, rate=20, runs=1)

    assert (theirs.server, theirs.lost, theirs.strange) == ("plain", 0, 0)
    assert abs(theirs.frame_bytes - ours.frame_bytes) < 20


def test_connections_stay_and_are_alive(directory: Path) -> None:
    assert connections.main(idle=[20], hold=1, against=[], runs=1)

    (run,) = json.loads((directory / "connections.jsonl").read_text())["medians"]
    assert run["stayed"] == 20


def test_reconnecting_sockets_all_catch_up(directory: Path) -> None:
    assert reconnect.main(sockets=20, events=5, runs=1)

    (run,) = json.loads((directory / "reconnect.jsonl").read_text())["medians"]
    assert (run["caught_up"], run["lost"], run["doubled"], run["disordered"]) == (20, 0, 0, 0)


def test_presence_is_told_once_and_five_hundred_idle_sockets_ask_redis_for_no_more_than_ten(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "SETTLE_SECONDS", 2.0)
    assert presence.main(connections=500, users=30, watchers=12, hold=3)

    figures = json.loads((directory / "presence.jsonl").read_text())
    few, many = figures["idle"]
    assert (few["stayed"], many["stayed"]) == (10, 500)
    assert many["commands_per_second"] < few["commands_per_second"] * 1.5
    # A Redis that does not answer in time, on a busy machine, makes everybody UNKNOWN for a moment.
    assert 1 <= figures["change"]["frames_per_change_and_watcher"] < 2
    assert 1 <= figures["change"]["executions_per_change"] < 2
    assert figures["change"]["changes_per_write"] >= 1


def test_reading_far_back_is_right(directory: Path) -> None:
    assert history.main(messages=[300], asks=20)

    figures = json.loads((directory / "history.jsonl").read_text())["figures"]
    assert {figure["wrong"] for figure in figures} == {0}
    assert all(0 < figure["p50_ms"] <= figure["p99_ms"] and figure["store_p50_ms"] > 0 for figure in figures)


def test_queries_are_answered_by_all_servers(directory: Path) -> None:
    queries.main(requests=20, at_once=2, runs=1)

    runs = json.loads((directory / "queries.jsonl").read_text())["medians"]
    assert len(runs) == 8
    assert all(run["cpu_us"] > 0 for run in runs)


def test_monitoring_is_measured_on_and_off(directory: Path) -> None:
    monitoring.main(rounds=2, subscribers=3, events=3, requests=8, at_once=2)

    kept = json.loads((directory / "monitoring.jsonl").read_text())
    assert [cost["kind"] for cost in kept["costs"]] == ["delivery", "viewer", "page", "send"]
    assert len(kept["rounds"]) == 8
    assert all(each["on_us"] > 0 and each["off_us"] > 0 for each in kept["rounds"])


def test_the_floor_is_a_time() -> None:
    assert floor.measure(sockets=5, events=5, size=100) > 0
