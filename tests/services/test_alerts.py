"""When rules fire and are resolved, whoever judges, and what becomes of it when workers die."""

import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.alert_rules import RULES, AlertRule, parsed
from services.alert_webhook import AlertWebhook, egress
from services.alerting import Alerting, ErrorMinutes, Figures
from services.alerts import AlertLog, AlertState, new_id
from services.config import Settings
from services.egress import Egress
from services.health import ComponentWatch, HealthChecks
from services.leases import Leases
from services.meter import Meter, Totals
from services.metric_history import MetricHistory, MetricsResolution, Moment
from services.metric_reports import SLOT_SECONDS, MetricReports, as_time
from services.mongo import Database
from services.redis import Redis
from tests.api.test_connections import past_alert

NOON = 1_735_732_800.0
RULE = {rule.name: rule for rule in RULES}
PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()


def figures(meter: Meter, *, ago: int = 0, **gauges: float) -> Figures:
    """Return figures of one process that counted all of it in one slot."""
    totals = meter.totals()
    return Figures(gauges=gauges, slots={int(NOON) - ago: totals}, apis=1, minutes=None, present=NOON)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_explained(rule: AlertRule) -> None:
    row = re.search(rf"^\| `{rule.name}` \| (\w+) \| .* \| (\d+) s \|$", PAGE, re.MULTILINE)

    assert row is not None
    assert (row[1], float(row[2])) == (rule.severity, rule.for_seconds)
    assert f"\n### {rule.name}\n" in PAGE


def test_a_rule_is_changed_by_a_setting() -> None:
    changed = {rule.name: rule for rule in parsed("OutboxOld=120, JobsBehind=5000/600.5,LoopLate=off")}  # type: ignore[attr-defined]

    assert changed["OutboxOld"] == replace(RULE["OutboxOld"], threshold=120)
    assert changed["JobsBehind"] == replace(RULE["JobsBehind"], threshold=5000, for_seconds=600.5)
    assert changed.keys() == RULE.keys() - {"LoopLate"}


@pytest.mark.parametrize("text", ["Nothing=1", "OutboxOld", "OutboxOld=-1", "OutboxOld=1/", "LoopLate=1,LoopLate=2"])
def test_a_setting_that_names_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parsed(text)


def test_a_level_is_that_of_the_gauge() -> None:
    found = figures(Meter(), consumer_lag=1_001)

    assert found.value(RULE["JobsBehind"]) == 1_001
    assert found.value(RULE["DeadLetters"]) == 0


def test_of_what_cannot_be_read_nothing_is_known() -> None:
    found = Figures(gauges={"redis_down": 1}, slots=None)

    assert {rule.name for rule in RULES if found.value(rule) is not None} == {"RedisDown"}
    assert figures(Meter()).value(RULE["ErrorsBurnFast"]) is None, "minutes are not known"


def test_times_are_judged_by_their_slowest_hundredth_once_there_are_enough() -> None:
    meter = Meter()
    for _ in range(99):
        meter.answered(200, 1_500)
    few = figures(meter).value(RULE["AnswersSlow"])
    meter.answered(200, 1_500)

    assert few == 0
    assert figures(meter).value(RULE["AnswersSlow"]) == 1.5
    assert figures(meter, ago=300 + SLOT_SECONDS).value(RULE["AnswersSlow"]) == 0, "that was long ago"


async def test_errors_count_by_how_fast_they_use_up_what_is_allowed(mongo_database: Database) -> None:
    history, meter = MetricHistory(mongo_database), Meter()
    for minute in range(1, 61):
        totals = Totals()
        totals.counts["answered", "200"], totals.counts["failed",] = 100, 2
        await history.write(MetricsResolution.MINUTE, Moment(as_time(NOON - 60 * minute), totals))
    minutes = ErrorMinutes(history)
    await minutes.read(as_time(NOON), timedelta(hours=6))
    meter.count("answered", "200", times=100)
    quiet = replace(figures(meter), minutes=minutes)
    meter.count("failed", times=3)
    loud = replace(figures(meter), minutes=minutes)

    assert quiet.value(RULE["ErrorsBurnFast"]) == 0, "it is over"
    assert loud.value(RULE["ErrorsBurnFast"]) == pytest.approx(20)
    assert loud.value(RULE["ErrorsBurnSlowly"]) == pytest.approx(20)


async def well() -> None:
    pass


class Worker:
    """A worker that judges by one rule when it is told to."""

    def __init__(self, database: Database, redis: Redis, name: str) -> None:
        self.meter = Meter()
        reports = MetricReports(redis, self.meter, instance=name, role="worker")
        watch = ComponentWatch(HealthChecks(version="1", instance=name, parts={"kafka": well}), self.meter)
        self.reports = reports
        self.log = AlertLog(database)
        self.alerting = Alerting(
            leases=Leases(database, name),
            log=self.log,
            redis=redis,
            reports=reports,
            history=MetricHistory(database),
            watch=watch,
            webhook=None,
            rules=(replace(RULE["DeadLetters"], threshold=1),),
            every_seconds=1,
        )

    async def judge(self, dead_letters: float) -> None:
        self.meter.gauges["dead_letters"] = lambda: dead_letters
        await self.reports.report()
        await self.alerting.judge()

    async def states(self) -> list[AlertState]:
        return [alert.state for alert in await self.log.since("alr_")]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis(redis_url).running() as redis:
        await redis.up.wait()
        await redis.call("FLUSHALL")
        yield redis


async def test_a_rule_fires_once_and_is_resolved_once(mongo_database: Database, redis: Redis) -> None:
    worker = Worker(mongo_database, redis, "one")
    for value in (1, 2, 3):
        await worker.judge(value)
    (firing,) = await worker.log.open()
    for value in (1, 0):
        await worker.judge(value)
    (resolved,) = await worker.log.since("alr_")

    assert (firing.value, firing.threshold, firing.state) == (2, 1, AlertState.FIRING)
    assert (resolved.id, resolved.state, resolved.is_open) == (firing.id, AlertState.RESOLVED, False)
    assert resolved.ended_at is not None


async def test_another_worker_goes_on_with_what_fires(mongo_database: Database, redis: Redis) -> None:
    one, two = Worker(mongo_database, redis, "one"), Worker(mongo_database, redis, "two")
    await one.judge(2)
    await two.judge(3)
    firing = await two.states()
    one.meter.gauges["dead_letters"] = lambda: 0.0
    await one.reports.report()
    await two.judge(0)

    assert firing == [AlertState.FIRING]
    assert await two.states() == [AlertState.RESOLVED]


async def test_of_two_alerts_of_one_rule_one_is_ended(mongo_database: Database, redis: Redis) -> None:
    one = Worker(mongo_database, redis, "one")
    await one.judge(2)
    (alert,) = await one.log.open()
    await one.log.write(alert.model_copy(update={"id": new_id(alert.started_at)}))  # by a worker that stood still
    await one.judge(2)

    assert sorted(await one.states()) == [AlertState.FIRING, AlertState.RESOLVED]


async def test_a_rule_that_is_switched_off_leaves_nothing_behind(mongo_database: Database, redis: Redis) -> None:
    one = Worker(mongo_database, redis, "one")
    await one.judge(2)
    one.alerting._rules = ()
    await one.judge(2)

    assert await one.states() == [AlertState.RESOLVED]


@pytest.mark.parametrize("secret", [None, "", "missing"])
def test_a_webhook_without_a_secret_is_refused(settings: Settings, tmp_path: Path, secret: str | None) -> None:
    file = tmp_path / "secret"
    if secret == "":
        file.touch()
    changes = {
        "alert_webhook_url": "https://alerts.example.com",
        "alert_webhook_secret_file": None if secret is None else file,
    }

    with pytest.raises(ValueError, match="PARLEY_ALERT_WEBHOOK_SECRET_FILE"):
        AlertWebhook.of(settings.model_copy(update=changes), Egress())


async def test_what_is_not_taken_is_told_again_later_and_given_up_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    alert = past_alert("DeadLetters")
    with socket.socket() as nobody:  # it listens to nothing
        nobody.bind(("127.0.0.1", 0))
        async with egress().running() as way:
            webhook = AlertWebhook(way, f"http://127.0.0.1:{nobody.getsockname()[1]}/", "secret")
            first = await webhook.tell(alert)
            monkeypatch.setattr("services.alert_webhook.TRY_SECONDS", 0.0)
            too_soon = await webhook.tell(alert)
            webhook._tries.clear()
            given_up = await webhook.tell(alert)

    assert (first, too_soon, given_up) == (False, False, True)
