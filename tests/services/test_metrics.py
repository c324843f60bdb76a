"""What processes count, as one sum over all of them, through everything that Redis and processes may do."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import override

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.leases import Leases
from services.meter import BUCKETS, Meter, Totals, bound, bucket
from services.metric_history import PAGE, MetricHistory, MetricRollup, MetricsResolution, Moment
from services.metric_reports import SLOT_SECONDS, MetricReports
from services.metrics import MetricsService
from services.mongo import Database
from services.redis import Redis

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    seconds = NOON


class Reports(MetricReports):
    """Reports whose time is the test's."""

    clock: Clock

    @override
    async def seconds(self) -> float:
        return self.clock.seconds


class Process:
    """One process that counts."""

    def __init__(self, redis: Redis, clock: Clock, name: str, role: str = "api") -> None:
        self.meter = Meter()
        self.reports = Reports(redis, self.meter, instance=name, role=role)
        self.reports.clock = clock


async def nobody() -> int:
    return 0


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis(redis_url).running())
        await redis.up.wait()
        await redis.call("FLUSHALL")
        yield redis


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def processes(redis: Redis, clock: Clock) -> list[Process]:
    return [Process(redis, clock, name) for name in ("one", "two", "three")]


@pytest.fixture
def history(mongo_database: Database) -> MetricHistory:
    return MetricHistory(mongo_database)


@pytest.fixture
def service(processes: list[Process], history: MetricHistory) -> MetricsService:
    return MetricsService(processes[0].reports, history, nobody)


@pytest.fixture
def rollup(processes: list[Process], history: MetricHistory, mongo_database: Database) -> MetricRollup:
    return MetricRollup(processes[0].reports, history, Leases(mongo_database, "worker"), nobody)


async def report(*processes: Process) -> None:
    for process in processes:
        await process.reports.report()


@given(st.floats(0.001, 700_000))
def test_a_time_is_in_the_bucket_whose_bound_is_the_next_above_it(milliseconds: float) -> None:
    number = bucket(milliseconds)

    assert milliseconds <= bound(number) * 1.000_001
    assert number == 0 or milliseconds > bound(number - 1) * 0.999_999


@given(st.lists(st.floats(0.2, 60_000), min_size=1, max_size=200))
def test_quantiles_are_right_to_within_a_bucket(times: list[float]) -> None:
    meter = Meter()
    for milliseconds in times:
        meter.answered(200, milliseconds)
    totals = meter.totals()

    latency = totals.latency("answered_ms")

    for share, found in ((0.5, latency.p50_ms), (0.95, latency.p95_ms), (0.99, latency.p99_ms)):
        true = sorted(times)[max(0, -(-len(times) * share // 1).__int__() - 1)]
        assert true <= found * 1.000_001
        assert found <= true * 2 ** (1 / 4) * 1.000_001
    assert latency.count == len(times)
    assert latency.max_ms == max(times)
    assert latency.mean_ms == pytest.approx(sum(times) / len(times), rel=1e-3, abs=1e-3)


def test_what_is_longer_than_everything_is_in_the_last_bucket() -> None:
    assert bucket(1e12) == BUCKETS - 1


def test_totals_are_the_same_after_a_way_over_the_wire() -> None:
    totals = Totals(
        counts=Counter(),
        maxima={("request_ms", "QUERY", "viewer"): 2.5},
        gauges={"connections": 3},
    )
    totals.counts["answered", "200"] = 4
    totals.sums["request_ms", "QUERY", "viewer"] = 900

    assert Totals.from_bytes(totals.to_bytes()) == totals


def test_what_many_reports_have_in_common_is_in_memory_once() -> None:
    report = Totals(counts=Counter({("request", "query", "viewer"): 1})).to_bytes()
    (one,), (other,) = Totals.from_bytes(report).counts, Totals.from_bytes(report).counts

    assert one is other


async def test_every_process_sees_what_all_have_counted(
    processes: list[Process], service: MetricsService, history: MetricHistory
) -> None:
    for times, process in enumerate(processes, 1):
        process.meter.count("sent", times=times)
        process.meter.answered(200, 5.0)
        for user in ("ann", f"user {times}"):
            process.meter.request("MUTATION", "sendMessage", 4.0, user, ["RATE_LIMITED"] if times == 1 else ())
        process.meter.gauges["connections"] = partial(float, 10 * times)
    await report(*processes)

    found = await service.metrics()
    other = await MetricsService(processes[2].reports, history, nobody).metrics()

    assert found == other
    assert (found.instance_count, found.messages.sent, found.requests.count) == (3, 6, 3)
    (operation,) = found.requests.by_operation
    assert (operation.operation, operation.count, operation.error_count) == ("sendMessage", 6, 2)
    assert [(error.code, error.count) for error in found.errors] == [("RATE_LIMITED", 2)]
    assert (found.users.active_last_minute, found.users.active_last_day) == (4, 4)
    assert found.connections.open == 60


async def test_a_report_that_is_repeated_counts_once(processes: list[Process], service: MetricsService) -> None:
    processes[0].meter.count("sent", times=7)

    for _ in range(3):
        await report(processes[0])

    assert (await service.metrics()).messages.sent == 7


async def test_nothing_is_lost_or_doubled_where_a_slot_ends(
    processes: list[Process], service: MetricsService, clock: Clock
) -> None:
    for _ in range(12):
        processes[0].meter.count("sent")
        await report(*processes)
        clock.seconds += SLOT_SECONDS / 3

    assert (await service.metrics()).messages.sent == 12


async def test_what_a_dead_process_has_reported_stays_and_its_sockets_do_not(
    processes: list[Process], service: MetricsService, clock: Clock
) -> None:
    for process in processes:
        process.meter.count("sent")
        process.meter.gauges["connections"] = lambda: 5
    await report(*processes)
    clock.seconds += 2 * SLOT_SECONDS
    await report(*processes[:2])

    found = await service.metrics()

    assert (found.messages.sent, found.instance_count, found.connections.open) == (3, 2, 10)


async def test_what_redis_has_forgotten_is_told_again(
    processes: list[Process], service: MetricsService, redis: Redis, clock: Clock
) -> None:
    for process in processes:
        process.meter.count("sent")
    await report(*processes)
    clock.seconds += SLOT_SECONDS
    await report(*processes)
    await redis.call("FLUSHALL")
    redis.run_id = "another"  # as after a restart of the server
    await report(*processes)

    assert (await service.metrics()).messages.sent == 3


async def test_a_minute_is_kept_when_it_is_over(
    processes: list[Process], service: MetricsService, rollup: MetricRollup, clock: Clock, redis: Redis
) -> None:
    processes[0].meter.count("sent", times=30)
    processes[1].meter.answered(500, 9.0)
    processes[1].meter.errors(["INTERNAL"])
    await report(*processes)
    clock.seconds += 61
    await report(*processes)
    await rollup.write()
    await redis.call("FLUSHALL")
    await rollup.write()

    points = await service.points(at(NOON), at(NOON + 120), MetricsResolution.MINUTE)

    (point,) = points
    assert (point.at, point.messages_per_second, point.error_ratio) == (at(NOON), 0.5, 1.0)
    (hour,) = await service.points(at(NOON), at(NOON + 3_600), MetricsResolution.HOUR)
    assert hour.at == at(NOON)
    (day,) = await service.points(at(NOON) - timedelta(days=1), at(NOON + 1), MetricsResolution.DAY)
    assert day.at == at(NOON) - timedelta(hours=12)


async def test_reports_that_come_late_are_in_the_history(
    processes: list[Process], service: MetricsService, rollup: MetricRollup, clock: Clock
) -> None:
    processes[0].meter.count("sent", times=60)
    await report(processes[0])
    clock.seconds += 60
    await rollup.write()
    clock.seconds -= 60
    processes[1].meter.count("sent", times=60)
    await report(processes[1])
    clock.seconds += 120
    await rollup.write()

    (point, *_) = await service.points(at(NOON), at(NOON + 60), MetricsResolution.MINUTE)

    assert point.messages_per_second == 2.0


async def test_what_is_old_is_removed(history: MetricHistory, rollup: MetricRollup, clock: Clock, redis: Redis) -> None:
    process = Process(redis, clock, "one")
    process.meter.count("sent")
    await report(process)
    clock.seconds += 60
    await rollup.write()
    await history.remove_old(at(NOON) + timedelta(hours=49))

    assert [moment async for moment in history.read(MetricsResolution.MINUTE, at(NOON), at(NOON + 60))] == []
    assert len([moment async for moment in history.read(MetricsResolution.HOUR, at(NOON), at(NOON + 60))]) == 1


async def test_a_long_time_is_read_in_pages_each_span_once(history: MetricHistory) -> None:
    times = [at(NOON + 60 * minute) for minute in range(60)]
    assert len(times) % PAGE == 0  # so that the last page is a full one
    for number, time in enumerate(times, start=1):
        await history.write(MetricsResolution.MINUTE, Moment(time, Totals(parts=number)))

    found = [moment async for moment in history.read(MetricsResolution.MINUTE, at(NOON), at(NOON + 3_600))]
    await history.gather(MetricsResolution.HOUR, MetricsResolution.MINUTE, at(NOON))
    (hour,) = [moment async for moment in history.read(MetricsResolution.HOUR, at(NOON), at(NOON + 60))]

    assert [moment.at for moment in found] == times
    assert hour.totals.parts == sum(range(1, 61))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
