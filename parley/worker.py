"""The worker: everything that happens after an answer was given. Its only paths say how it is."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp
from ulid import ULID

from parley.canary import Canary
from parley.exposition import Exposition
from parley.http import plain_routes
from parley.monitoring import exposition
from parley.requests import EXCEPTION_HANDLERS, Requests
from parley.server import config, run
from services import clock, presence_scripts
from services.activity import Activity
from services.alert_webhook import AlertWebhook
from services.alert_webhook import egress as alert_egress
from services.alerting import Alerting
from services.alerts import AlertLog
from services.blocks import Blocks
from services.cleaning import Cleaning
from services.config import Settings
from services.dead_letters import DeadLetterCount
from services.egress import Egress
from services.fsck_watch import FsckWatch
from services.health import ComponentWatch, HealthChecks
from services.jobs import EVENT_STREAM, Consumer
from services.kafka import ClusterWatch, Extents, Producer
from services.leases import Leases
from services.loop_lag import LoopLag
from services.meter import Meter
from services.metric_history import MetricHistory, MetricRollup
from services.metric_reports import MetricReports
from services.migration import migrate_kafka
from services.mongo import Database
from services.presence_store import PresenceStore, PresenceTimes
from services.push_audience import PushAudience
from services.push_endpoints import PushEndpoints
from services.push_sender import PushSender
from services.pushes import Pushes, PushJob
from services.redis import Redis
from services.relay import Relay
from services.search import SearchJob
from services.search_build import SearchBuild
from services.tasks import Tasks
from services.topics import EVENTS
from services.tracking import TRACKING_STREAM, TrackingJob
from services.users import Users
from services.vapid import open_vapid


def create_worker(settings: Settings) -> ASGIApp:
    """Return the worker as an app; it works from its start to its end."""
    instance = str(ULID()).lower()
    database = Database(settings)
    producer = Producer(settings.kafka_url)
    leases = Leases(database, instance)
    canary = Canary(database, leases, settings.canary_urls)
    extents = Extents(settings.kafka_url)
    relay = Relay(
        database,
        producer,
        leases,
        partial(extents.of, EVENTS),
        retention=timedelta(hours=settings.kafka_retention_hours),
    )
    redis, meter = Redis(settings.redis_url, presence_scripts.SCRIPTS), Meter()
    store = PresenceStore(redis, PresenceTimes())
    parts = {"mongodb": database.ping, "redis": redis.ping, "kafka": producer.ping}
    if settings.canary_urls:
        parts["canary"] = canary.check
    health = HealthChecks(version=version("parley-chat"), instance=instance, parts=parts)
    watch = ComponentWatch(health, meter)
    reports, history = MetricReports(redis, meter, instance=instance, role="worker"), MetricHistory(database)
    rollup = MetricRollup(reports, history, leases, store.online)
    fsck = FsckWatch(database, leases, meter, every=timedelta(hours=settings.fsck_hours))
    alert_way = alert_egress()
    alerting = Alerting(
        leases=leases,
        log=AlertLog(database),
        redis=redis,
        reports=reports,
        history=history,
        watch=watch,
        webhook=AlertWebhook.of(settings, alert_way),
        rules=settings.alert_rules,
        every_seconds=settings.alert_seconds,
    )
    letters = DeadLetterCount(settings.kafka_url)
    cleaning = Cleaning(database, leases, audit_days=settings.audit_days)
    egress = Egress(networks=settings.push_networks, allows_http=settings.push_insecure)
    vapid, users = open_vapid(settings), Users(database)
    endpoints = PushEndpoints(database, egress, vapid)
    pushes = Pushes(
        database,
        leases,
        endpoints,
        PushAudience(database, users, Blocks(database, users), endpoints, store),
        PushSender(database, users, egress, vapid, preview=settings.push_preview),
    )
    jobs = (
        Activity(database),
        SearchJob(database),
        PushJob(database, endpoints, after=timedelta(seconds=settings.push_after_seconds)),
    )
    tracking = TrackingJob(database)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with AsyncExitStack() as stack:
            stack.callback(database.close)
            stack.push_async_callback(extents.close)
            await stack.enter_async_context(producer.running())
            tasks = await stack.enter_async_context(Tasks())
            tasks.spawn(migrate_kafka(settings, seconds=None))
            await stack.enter_async_context(relay.running())
            await stack.enter_async_context(cleaning.running())
            await stack.enter_async_context(SearchBuild(database, leases).running())
            await stack.enter_async_context(canary.running())
            await stack.enter_async_context(redis.running())
            await stack.enter_async_context(egress.running())
            await stack.enter_async_context(alert_way.running())
            await stack.enter_async_context(pushes.running())
            clusters = ClusterWatch(settings.kafka_url)
            tasks.spawn(clusters.keep_looking(EVENTS))

            def cluster() -> str | None:
                return clusters.cluster

            consumers: list[Consumer[Any]] = [
                *(Consumer(settings.kafka_url, EVENT_STREAM, job, producer, cluster) for job in jobs),
                Consumer(settings.kafka_url, TRACKING_STREAM, tracking, producer, cluster),
            ]
            for consumer in consumers:
                await stack.enter_async_context(consumer.running())
            tasks.spawn(letters.keep_looking())
            loop_lag = await stack.enter_async_context(LoopLag().running())
            meter.gauges |= {
                "loop_lag_seconds": lambda: loop_lag.largest_seconds,
                "outbox_oldest_seconds": lambda: relay.oldest_seconds,
                "consumer_lag": lambda: sum(consumer.lag for consumer in consumers),
                "dead_letters": lambda: letters.waiting,
            }
            await stack.enter_async_context(reports.running())
            await stack.enter_async_context(rollup.running())
            await stack.enter_async_context(watch.running())
            await stack.enter_async_context(fsck.running())
            await stack.enter_async_context(alerting.running())
            yield {"health": health, "exposition": Exposition(meter, health.version)}

    app = Starlette(
        routes=[*plain_routes(settings), Route("/metrics", exposition)],
        lifespan=lifespan,
        exception_handlers=EXCEPTION_HANDLERS,
    )
    return Requests(app, settings.trusted_proxies)


def serve_worker(settings: Settings, *, host: str, port: int) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    clock.shift(settings.clock_offset_seconds)
    run(uvicorn.Server(config(create_worker(settings), host=host, port=port)), settings, role="worker")
