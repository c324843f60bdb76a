"""How the whole deployment is doing: now, from what processes reported to Redis; over time, from MongoDB."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services import clock
from services.errors import BadUserInput
from services.meter import Latency, Totals
from services.metric_history import MetricHistory, MetricsResolution, Moment
from services.metric_reports import API, MetricReports, as_time, living, slots_of
from services.tasks import Tasks

WINDOW_SECONDS: Final = 60
MOST_POINTS: Final = 3_000
FRESH_SECONDS: Final = 0.9  # how long figures serve everybody in this process


class OperationKind(StrEnum):
    QUERY = "QUERY"
    MUTATION = "MUTATION"
    SUBSCRIPTION = "SUBSCRIPTION"


@dataclass(frozen=True, slots=True)
class CodeCount:
    code: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationMetrics:
    operation: str
    kind: OperationKind
    count: int
    error_count: int
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMetrics:
    count: int
    per_second: float
    latency: Latency
    by_status: list[CodeCount]
    by_operation: list[OperationMetrics]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageMetrics:
    sent: int
    sent_per_second: float
    deliveries: int
    deliveries_per_second: float
    commit_to_delivery: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionMetrics:
    open: int
    subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetrics:
    online: int
    active_last_minute: int
    active_last_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMetrics:
    hits: int
    misses: int
    hit_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMetrics:
    outbox_oldest_seconds: float
    consumer_lag: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    at: datetime
    window_seconds: int
    instance_count: int
    requests: RequestMetrics
    messages: MessageMetrics
    connections: ConnectionMetrics
    users: UserMetrics
    errors: list[CodeCount]
    cache: CacheMetrics
    queue: QueueMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPoint:
    at: datetime
    requests_per_second: float
    error_ratio: float
    latency_p50_ms: float
    latency_p99_ms: float
    messages_per_second: float
    deliveries_per_second: float
    connections: int
    online_users: int


class MetricsService:
    """Reads the figures; who may see them is the caller's to know."""

    def __init__(self, reports: MetricReports, history: MetricHistory, online: Callable[[], Awaitable[int]]) -> None:
        """Prepare.

        Args:
            reports: What all processes have reported.
            history: What is kept of it.
            online: Returns how many users are connected, over all processes; raises RedisFailedError.
        """
        self.reports = reports
        self._history = history
        self._online = online
        self._tasks = Tasks()
        self._reading: asyncio.Task[Metrics] | None = None
        self._read_at = 0.0

    async def metrics(self) -> Metrics:
        """Return the figures of the last minute; many who ask at once share one reading.

        Raises:
            RedisFailedError: Redis did not answer.
        """
        present = asyncio.get_running_loop().time()
        if self._reading is None or present - self._read_at > FRESH_SECONDS or self._has_failed():
            self._reading, self._read_at = self._tasks.spawn(self._read()), present
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        """End what is being read."""
        await self._tasks.close()

    def _has_failed(self) -> bool:
        reading = self._reading
        return reading is not None and reading.done() and (reading.cancelled() or reading.exception() is not None)

    async def _read(self) -> Metrics:
        present = await self.reports.seconds()
        slots = slots_of(present - WINDOW_SECONDS, present)
        found, online, minute, day = await asyncio.gather(
            self.reports.read(slots),
            self._online(),
            self.reports.active(slots),
            self.reports.active_of_day(slots[-1]),
        )
        totals = Totals.of((each for slot in slots for each in found[slot].values()), is_later=True)
        processes = living(found)
        now = Totals.of(processes.values(), is_later=False).gauges
        now["online_users"] = online
        return _metrics(
            totals,
            now,
            at=as_time(present),
            seconds=present - slots[0],
            instances=sum(name.startswith(API) for name in processes),
            active=(minute, day),
        )

    async def points(self, since: datetime, until: datetime, resolution: MetricsResolution) -> list[MetricsPoint]:
        """Return the points that begin from `since` on, before `until`; those of which nothing is known are left out.

        Raises:
            BadUserInput: the times make no sense, or there would be more than 3 000 points.
            PyMongoError: MongoDB did not answer.
        """
        if until <= since:
            raise BadUserInput("`from` must be before `to`.")
        if (until - since) / resolution.span > MOST_POINTS:
            raise BadUserInput(f"That would be more than {MOST_POINTS:,} points: ask for less, or coarser ones.")
        present = clock.now()
        return [
            _point(moment, resolution.span, present) async for moment in self._history.read(resolution, since, until)
        ]


def _metrics(
    totals: Totals, gauges: dict[str, float], *, at: datetime, seconds: float, instances: int, active: tuple[int, int]
) -> Metrics:
    hits, misses = totals.total("cache_hit"), totals.total("cache_miss")
    requests, sent, deliveries = totals.total("answered"), totals.total("sent"), totals.total("delivered")
    return Metrics(
        at=at,
        window_seconds=round(seconds),
        instance_count=instances,
        requests=RequestMetrics(
            count=requests,
            per_second=requests / seconds,
            latency=totals.latency("answered_ms"),
            by_status=_codes(totals.by("answered")),
            by_operation=_operations(totals),
        ),
        messages=MessageMetrics(
            sent=sent,
            sent_per_second=sent / seconds,
            deliveries=deliveries,
            deliveries_per_second=deliveries / seconds,
            commit_to_delivery=totals.latency("delivered_ms"),
        ),
        connections=ConnectionMetrics(
            open=int(gauges.get("connections", 0)), subscriptions=int(gauges.get("subscriptions", 0))
        ),
        users=UserMetrics(
            online=int(gauges.get("online_users", 0)), active_last_minute=active[0], active_last_day=active[1]
        ),
        errors=_codes(totals.by("error")),
        cache=CacheMetrics(hits=hits, misses=misses, hit_ratio=hits / (hits + misses) if hits + misses else 0.0),
        queue=QueueMetrics(
            outbox_oldest_seconds=gauges.get("outbox_oldest_seconds", 0.0),
            consumer_lag=int(gauges.get("consumer_lag", 0)),
            dead_letters=int(gauges.get("dead_letters", 0)),
        ),
    )


def _point(moment: Moment, span: timedelta, now: datetime) -> MetricsPoint:
    totals = moment.totals
    seconds = min(span, max(now - moment.at, timedelta(seconds=1))).total_seconds()  # the newest is not over yet
    latency, requests = totals.latency("answered_ms"), totals.total("answered")
    return MetricsPoint(
        at=moment.at,
        requests_per_second=requests / seconds,
        error_ratio=totals.total("failed") / requests if requests else 0.0,
        latency_p50_ms=latency.p50_ms,
        latency_p99_ms=latency.p99_ms,
        messages_per_second=totals.total("sent") / seconds,
        deliveries_per_second=totals.total("delivered") / seconds,
        connections=int(totals.gauges.get("connections", 0)),
        online_users=int(totals.gauges.get("online_users", 0)),
    )


def _operations(totals: Totals) -> list[OperationMetrics]:
    found = [
        OperationMetrics(
            operation=key[2],
            kind=OperationKind(key[1]),
            count=count,
            error_count=totals.total("refused", key[1], key[2]),
            latency=totals.latency("request_ms", key[1], key[2]),
        )
        for key, count in totals.counts.items()
        if key[0] == "request"
    ]
    return sorted(found, key=lambda each: (-each.count, each.operation))


def _codes(counts: Mapping[str, int]) -> list[CodeCount]:
    return [CodeCount(code, count) for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
