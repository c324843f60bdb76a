"""Judges by the alert rules, in one worker, and writes down and tells what begins to fire and what is resolved.

A rule is judged by what all processes have reported. Of what cannot be read nothing is known: then alerts stay as they
are. While Redis is away a worker still sees which parts do not answer itself; while MongoDB is away the worker that had
the lease last goes on, and writes afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog
from pymongo.errors import PyMongoError

from services import alerts
from services.alert_rules import Absent, AlertRule, Burn, Growth, Level, Tail
from services.alert_webhook import AlertWebhook
from services.alerts import Alert, AlertLog, AlertState
from services.clock import now
from services.failures import described
from services.health import ComponentWatch
from services.leases import Leases
from services.meter import Totals
from services.metric_history import MetricHistory, MetricsResolution
from services.metric_reports import API, LIVING_SLOTS, MetricReports, as_time, living, slots_of
from services.redis import Redis, RedisFailedError
from services.tasks import Tasks

LEASE: Final = "alerts"
HOLD_SECONDS: Final = 3.0  # the longest time between two looks at the lease, which lives for ten
# How long who has just got the lease waits: whoever had it may not have written yet what fires.
SETTLE_SECONDS: Final = 2 * HOLD_SECONDS
SLOTS_SECONDS: Final = 300  # times up to this are measured in slots, longer ones in minutes
LATE: Final = timedelta(minutes=15)  # for so long reports of a minute may still come
FAILED: Final = "failed"
ANSWERED: Final = "answered"

_logger = structlog.get_logger()


class ErrorMinutes:
    """How many answers there were in each minute of the last hours, and how many of them failed."""

    def __init__(self, history: MetricHistory) -> None:
        self._history = history
        self._minutes: dict[datetime, tuple[int, int]] = {}

    async def read(self, present: datetime, longest: timedelta) -> None:
        """Read what is not known yet, or may have changed.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        since = present - longest
        self._minutes = {at: counts for at, counts in self._minutes.items() if at >= since}
        fresh = max(self._minutes) - LATE if self._minutes else since
        async for moment in self._history.read(MetricsResolution.MINUTE, max(since, fresh), present):
            self._minutes[moment.at] = (moment.totals.total(FAILED), moment.totals.total(ANSWERED))

    def counts(self, since: datetime) -> tuple[int, int]:
        """Return how many answers have failed, and how many there were, from a time on."""
        found = [counts for at, counts in self._minutes.items() if at >= since]
        return sum(failed for failed, _ in found), sum(answered for _, answered in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What rules are judged by."""

    gauges: Mapping[str, float]
    slots: Mapping[int, Totals] | None  # what was counted, by the first second of its slot; None where nobody knows
    apis: int = 0
    minutes: ErrorMinutes | None = None  # None where nobody knows
    present: float = 0.0

    def value(self, rule: AlertRule) -> float | None:
        """Return the value of a rule; None where nothing is known of it."""
        match rule.measure:
            case Level(gauge):
                return self.gauges.get(gauge, None if self.slots is None else 0.0)
            case Absent():
                return None if self.slots is None else float(self.apis == 0)
            case Growth(count, seconds):
                totals = self._totals(seconds)
                return None if totals is None else float(totals.total(count))
            case Tail(times, seconds, least):
                totals = self._totals(seconds)
                if totals is None:
                    return None
                latency = totals.latency(times)
                return latency.p99_ms / 1_000 if latency.count >= least else 0.0
            case Burn():
                return self._burn(rule.measure)

    def _totals(self, seconds: float) -> Totals | None:
        if self.slots is None:
            return None
        first = slots_of(self.present - seconds, self.present)[0]
        return Totals.of((totals for slot, totals in self.slots.items() if slot >= first), is_later=True)

    def _burn(self, burn: Burn) -> float | None:
        ratios = []
        for seconds in (burn.long_seconds, burn.short_seconds):
            if seconds <= SLOTS_SECONDS:
                totals = self._totals(seconds)
                if totals is None:
                    return None
                failed, answered = totals.total(FAILED), totals.total(ANSWERED)
            elif self.minutes is None:
                return None
            else:
                failed, answered = self.minutes.counts(as_time(self.present - seconds))
            if seconds == burn.long_seconds and answered < burn.least:
                return 0.0
            ratios.append(failed / answered if answered else 0.0)
        return min(ratios) / burn.budget


@dataclass(slots=True)
class _Since:
    """Since when a rule holds, or does not."""

    holds: bool
    at: float  # by the event loop's clock
    time: datetime


class Alerting:
    """The judging of one worker."""

    def __init__(
        self,
        *,
        leases: Leases,
        log: AlertLog,
        redis: Redis,
        reports: MetricReports,
        history: MetricHistory,
        watch: ComponentWatch,
        webhook: AlertWebhook | None,
        rules: tuple[AlertRule, ...],
        every_seconds: float,
    ) -> None:
        """Prepare.

        Args:
            leases: Decide which worker judges.
            log: Where alerts are kept.
            redis: Tells other processes of them.
            reports: What all processes have counted.
            history: The same of minutes that are over.
            watch: Which parts this process sees.
            webhook: Who else is told; None: nobody.
            rules: What is judged by.
            every_seconds: How often.
        """
        self._leases = leases
        self._log = log
        self._redis = redis
        self._reports = reports
        self._minutes = ErrorMinutes(history)
        self._watch = watch
        self._webhook = webhook
        self._rules = rules
        self._every_seconds = every_seconds
        burns = [rule.measure for rule in rules if isinstance(rule.measure, Burn)]
        self._names = _names(rules)
        self._longest = timedelta(seconds=max((burn.long_seconds for burn in burns), default=0))
        self._leads = False
        self._due = 0.0  # when it judges next, by the event loop's clock
        self._since: dict[str, _Since] = {}  # by rule
        self._open: dict[str, Alert] = {}  # by id, as MongoDB had them last
        self._unwritten: dict[str, Alert] = {}  # by id, what is newer than that

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Judge whenever this worker has the lease, until this ends."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep_judging())
                if self._webhook is not None:
                    tasks.spawn(self._keep_telling(self._webhook))
                yield self
        finally:
            with suppress(PyMongoError):
                await self._write()
                await self._leases.release(LEASE)

    async def _keep_judging(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if await self._is_leading() and loop.time() >= self._due:
                    self._due = loop.time() + self._every_seconds
                    await self.judge()
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("alerts.failed")
            await asyncio.sleep(min(HOLD_SECONDS, self._every_seconds))

    async def _is_leading(self) -> bool:
        try:
            leads = await self._leases.hold(LEASE, datetime.now(UTC))
        except PyMongoError:  # nobody gets the lease now: whoever had it goes on
            leads = self._leads
        if self._leads and not leads:
            with suppress(PyMongoError):
                await self._write()
            self._since, self._open, self._unwritten = {}, {}, {}
        if leads and not self._leads:
            self._due = asyncio.get_running_loop().time() + SETTLE_SECONDS
        self._leads = leads
        return leads

    async def judge(self) -> None:
        """Judge by every rule once."""
        try:
            self._open = {alert.id: alert for alert in await self._log.open()}
        except PyMongoError as error:
            _logger.warning("alerts.not_read", error=described(error))
        figures = await self._figures()
        changed = [alert for rule in self._rules for alert in self._judged(rule, figures)]
        names = {rule.name for rule in self._rules}
        changed += [self._resolved(alert, now()) for alert in self._firing() if alert.name not in names]
        self._unwritten |= {alert.id: alert for alert in changed}
        if self._webhook is None:  # there was one once
            over = [alert for alert in self._open.values() if alert.state is AlertState.RESOLVED]
            self._unwritten |= {alert.id: alert.model_copy(update={"is_open": False}) for alert in over}
        try:
            await self._write()
        except PyMongoError as error:
            _logger.warning("alerts.not_written", error=described(error))
        for alert in changed:
            log = _logger.error if alert.state is AlertState.FIRING else _logger.info
            log("alerts.changed", name=alert.name, state=alert.state.value, message=alert.message)
            alerts.publish(self._redis, alert)

    async def _figures(self) -> Figures:
        try:
            present = await self._reports.seconds()
            wanted = slots_of(present - SLOTS_SECONDS, present)
            processes = living(await self._reports.read(wanted[-LIVING_SLOTS:]))
            slots = {slot: await self._counted(slot) for slot in wanted}
        except RedisFailedError:
            return Figures(gauges=self._watch.gauges(), slots=None)
        minutes: ErrorMinutes | None = self._minutes
        try:
            await self._minutes.read(as_time(present), self._longest)
        except PyMongoError:
            minutes = None
        return Figures(
            gauges=Totals.of(processes.values(), is_later=False).gauges,
            slots=slots,
            apis=sum(name.startswith(API) for name in processes),
            minutes=minutes,
            present=present,
        )

    async def _counted(self, slot: int) -> Totals:
        """Return what all processes have counted in a slot, as far as rules look at it."""
        found = (await self._reports.read([slot]))[slot]
        return Totals.of((totals.only(self._names) for totals in found.values()), is_later=False)

    def _judged(self, rule: AlertRule, figures: Figures) -> list[Alert]:
        """Return the alerts that change."""
        value, time = figures.value(rule), now()
        if value is None:
            return []
        at, holds = asyncio.get_running_loop().time(), value > rule.threshold
        since = self._since.get(rule.name)
        if since is None or since.holds is not holds:
            since = self._since[rule.name] = _Since(holds, at, time)
        if at - since.at < rule.for_seconds:
            return []
        firing = [alert for alert in self._firing() if alert.name == rule.name]
        if not holds:
            return [self._resolved(alert, since.time) for alert in firing]
        if firing:
            return [self._resolved(alert, time) for alert in firing[1:]]  # two workers have led for a moment
        return [
            Alert(
                id=alerts.new_id(time),
                name=rule.name,
                severity=rule.severity,
                state=AlertState.FIRING,
                message=rule.said(value),
                value=value,
                threshold=rule.threshold,
                started_at=since.time,
            )
        ]

    def _resolved(self, alert: Alert, time: datetime) -> Alert:
        return alert.model_copy(
            update={
                "state": AlertState.RESOLVED,
                "ended_at": max(time, alert.started_at),
                "is_open": self._webhook is not None,
            }
        )

    def _firing(self) -> list[Alert]:
        newest = self._open | self._unwritten
        return [newest[alert_id] for alert_id in sorted(newest) if newest[alert_id].state is AlertState.FIRING]

    async def _write(self) -> None:
        for alert in list(self._unwritten.values()):
            await self._log.write(alert)
            self._open[alert.id] = alert
            if self._unwritten.get(alert.id) is alert:
                del self._unwritten[alert.id]

    async def _keep_telling(self, webhook: AlertWebhook) -> None:
        """Tell the webhook of every alert as it is now, until it has taken that."""
        while True:
            try:
                for alert in [alert for alert in (self._open | self._unwritten).values() if alert.told != alert.state]:
                    if await webhook.tell(alert):
                        self._note_told(alert)
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("alerts.not_told")
            await asyncio.sleep(min(1.0, self._every_seconds))

    def _note_told(self, alert: Alert) -> None:
        newest = self._unwritten.get(alert.id) or self._open.get(alert.id)
        if newest is None:
            return  # another worker leads
        is_open = newest.state is AlertState.FIRING or newest.state != alert.state
        self._unwritten[alert.id] = newest.model_copy(update={"told": alert.state, "is_open": is_open})


def _names(rules: Iterable[AlertRule]) -> frozenset[str]:
    """Return the names of the counts that rules are judged by; they are few of all that are reported."""
    names: set[str] = {FAILED, ANSWERED}
    for rule in rules:
        match rule.measure:
            case Growth(count=name) | Tail(times=name):
                names.add(name)
    return frozenset(names)
