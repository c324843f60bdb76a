"""What is kept of the figures: by minute for two days, by hour for thirty, by day for a year, in MongoDB.

One worker writes it, under a lease. A minute is written when it is over, and again as long as more reports of it come
to Redis: so a process that could not report for a while is in it, and a Redis that has forgotten takes nothing away.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

import structlog
from bson import Binary
from pymongo.errors import PyMongoError

from services.leases import Leases
from services.meter import Totals
from services.metric_reports import KEPT_SLOTS, SLOT_SECONDS, MetricReports, as_time, slots_of
from services.mongo import Database
from services.redis import RedisFailedError

LEASE: Final = "metrics"
ROUND_SECONDS: Final = 5.0
LATE_MINUTES: Final = KEPT_SLOTS * SLOT_SECONDS // 60 - 1  # for so long reports of a minute may still come
PAGE: Final = 15  # spans in one read, of some 20 KiB each
REMOVED_AT_ONCE: Final = 100

_logger = structlog.get_logger()


class MetricsResolution(StrEnum):
    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"

    @property
    def span(self) -> timedelta:
        """How long a point is."""
        return _SPANS[self]


_SPANS: Final = {
    MetricsResolution.MINUTE: timedelta(minutes=1),
    MetricsResolution.HOUR: timedelta(hours=1),
    MetricsResolution.DAY: timedelta(days=1),
}
_KEPT: Final = {
    MetricsResolution.MINUTE: timedelta(hours=48),
    MetricsResolution.HOUR: timedelta(days=30),
    MetricsResolution.DAY: timedelta(days=366),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What was counted in one span of time, by all processes."""

    at: datetime  # when it began
    totals: Totals


class MetricHistory:
    """The figures of the past."""

    def __init__(self, database: Database) -> None:
        self._metrics = database["metrics"]

    async def read(self, resolution: MetricsResolution, since: datetime, until: datetime) -> AsyncIterator[Moment]:
        """Yield the spans that begin in a time, its end excluded; those of which nothing is known are left out.

        They are read a page at a time: all minutes of a day at once would be some 30 MiB.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        first = {"$gte": _id(resolution, _ceiling(since, resolution.span))}
        while True:
            page = await self._metrics.find({"_id": {**first, "$lt": _id(resolution, until)}}, limit=PAGE)
            for document in page:
                yield Moment(document["at"], Totals.from_bytes(document["totals"]))
            if len(page) < PAGE:
                return
            first = {"$gt": page[-1]["_id"]}

    async def write(self, resolution: MetricsResolution, moment: Moment) -> None:
        """Keep a span, unless what is kept has as many reports in it.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        key = _id(resolution, moment.at)
        known = await self._metrics.find_one({"_id": key})
        if known is None or known["parts"] < moment.totals.parts:
            document = {"_id": key, "at": moment.at, "parts": moment.totals.parts}
            document["totals"] = Binary(moment.totals.to_bytes())
            await self._metrics.replace_one({"_id": key}, document, upsert=True)

    async def gather(self, coarse: MetricsResolution, fine: MetricsResolution, at: datetime) -> None:
        """Make a longer span of the shorter ones in it.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        totals = Totals(parts=0)
        async for moment in self.read(fine, at, at + coarse.span):
            totals.add(moment.totals, is_later=True)
        if totals.parts:
            await self.write(coarse, Moment(at, totals))

    async def remove_old(self, time: datetime) -> None:
        """Remove some of what is kept no longer.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        for resolution, kept in _KEPT.items():
            span = {"$gte": f"{resolution}:", "$lt": _id(resolution, time - kept)}
            for document in await self._metrics.find({"_id": span}, limit=REMOVED_AT_ONCE):
                await self._metrics.delete_one({"_id": document["_id"]})


class MetricRollup:
    """Writes the history, in one worker."""

    def __init__(
        self, reports: MetricReports, history: MetricHistory, leases: Leases, online: Callable[[], Awaitable[int]]
    ) -> None:
        self._reports = reports
        self._history = history
        self._leases = leases
        self._online = online
        self._written: dict[int, int] = {}  # how many reports there were in the minutes that were written

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Write whenever this worker has the lease, until this ends."""
        failures = (PyMongoError, RedisFailedError)
        async with self._leases.rounds(LEASE, self._write_if_held, ROUND_SECONDS, failures=failures):
            yield self

    async def _write_if_held(self) -> None:
        if await self._leases.hold(LEASE, datetime.now(UTC)):
            await self.write()

    async def write(self) -> None:
        """Write what is over, and remove what is old.

        Raises:
            PyMongoError: MongoDB did not answer.
            RedisFailedError: Redis did not.
        """
        present = await self._reports.seconds()
        this_minute = int(present // 60) * 60
        minutes = [this_minute - 60 * back for back in range(LATE_MINUTES, 0, -1)]
        counts = await self._reports.counts(slots_of(minutes[0], this_minute - 1))
        news = [
            minute
            for minute in minutes
            if sum(counts[slot] for slot in slots_of(minute, minute + 59)) > self._written.get(minute, 0)
        ]
        if not news:
            return
        online = await self._online()
        for minute in news:
            found = await self._reports.read(slots_of(minute, minute + 59))
            slots = [Totals.of(found[slot].values(), is_later=False) for slot in slots_of(minute, minute + 59)]
            totals = Totals.of(slots, is_later=True)
            totals.gauges["online_users"] = online
            await self._history.write(MetricsResolution.MINUTE, Moment(as_time(minute), totals))
            self._written[minute] = totals.parts
        self._written = {minute: parts for minute, parts in self._written.items() if minute >= minutes[0]}
        for coarse, fine in (
            (MetricsResolution.HOUR, MetricsResolution.MINUTE),
            (MetricsResolution.DAY, MetricsResolution.HOUR),
        ):
            for at in sorted({_floor(as_time(minute), coarse.span) for minute in (minutes[0], minutes[-1])}):
                await self._history.gather(coarse, fine, at)
        await self._history.remove_old(as_time(present))


def _floor(time: datetime, span: timedelta) -> datetime:
    seconds = span.total_seconds()
    return as_time(time.timestamp() // seconds * seconds)


def _ceiling(time: datetime, span: timedelta) -> datetime:
    floor = _floor(time, span)
    return floor if floor == time else floor + span


def _id(resolution: MetricsResolution, at: datetime) -> str:
    return f"{resolution}:{at.astimezone(UTC).isoformat(timespec='milliseconds')}"
