"""All services of a process, opened in order and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import structlog
from pymongo.errors import PyMongoError
from ulid import ULID

from services import cache as caches
from services import log_cache, presence_scripts, receipt_cache, typing, windows
from services.accounts import Accounts
from services.alerts import AlertFeed, AlertLog
from services.attendance import Attendance
from services.audit import Audit
from services.blocks import Blocks
from services.bus import Bus
from services.cache import Cache, Trust
from services.config import Settings
from services.conversations import Conversations
from services.egress import Egress
from services.epoch import epoch_of
from services.erasure import Erasures
from services.failures import described
from services.feeds import Feeds
from services.health import ComponentWatch, HealthChecks
from services.identities import Identities
from services.inboxes import Inboxes, Invitations
from services.kafka import Producer
from services.last_seen import LastSeen
from services.limits import Limits
from services.log import Logs
from services.log_cache import LogCache
from services.loop_lag import LoopLag
from services.messages import Messages
from services.meter import Meter, SentMessages, SilentMeter
from services.metric_history import MetricHistory
from services.metric_reports import MetricReports
from services.metrics import MetricsService
from services.migration import make_indexes
from services.mongo import Database
from services.mutes import Mutes
from services.oidc import Issuer
from services.outbox import Outbox
from services.passwords import Passwords
from services.presence import PresenceService
from services.presence_reaper import Reaper
from services.presence_store import PresenceStore, PresenceTimes
from services.presence_watch import PresenceWatch
from services.profiles import Profiles
from services.push_endpoints import PushEndpoints
from services.receipt_cache import ReceiptCache
from services.receipts import ReceiptService
from services.redis import Redis
from services.reports import Reports
from services.revocations import Revocations
from services.search import Search
from services.senders import Senders
from services.sessions import Sessions
from services.streams import Streams
from services.tasks import Tasks
from services.tokens import Tokens, open_tokens
from services.tracking import Tracking
from services.typing import Typing, TypingEnds
from services.unread import Unread
from services.users import Users
from services.vapid import open_vapid

WARM: Final = 100  # conversations that a new process has in memory before anybody asks
WARM_AFTER_SECONDS: Final = (
    caches.QUIET_SECONDS + 1.0
)  # by then Redis may be believed: MongoDB has to be asked for less
SCRIPTS: Final = (
    *caches.SCRIPTS,
    *log_cache.SCRIPTS,
    *receipt_cache.SCRIPTS,
    *presence_scripts.SCRIPTS,
    *typing.SCRIPTS,
    *windows.SCRIPTS,
)

_logger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What resolvers may call."""

    settings: Settings
    instance: str
    users: Users
    profiles: Profiles
    tokens: Tokens
    sessions: Sessions
    identities: Identities
    revocations: Revocations
    accounts: Accounts
    erasures: Erasures
    audit: Audit
    blocks: Blocks
    conversations: Conversations
    mutes: Mutes
    senders: Senders
    logs: Logs
    messages: Messages
    reports: Reports
    search: Search
    receipts: ReceiptService
    unread: Unread
    inboxes: Inboxes
    presence: PresenceService
    presence_watch: PresenceWatch
    attendance: Attendance
    typing: Typing
    push_endpoints: PushEndpoints
    push_public_key: str | None  # None where there is no Web Push
    cache: Cache
    streams: Streams
    limits: Limits
    health: HealthChecks
    meter: Meter
    loop_lag: LoopLag
    metrics: MetricsService
    tracking: Tracking
    alerts: AlertLog
    alert_feed: AlertFeed


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; waits for MongoDB, not for Redis and Kafka, without which Parley starts as well."""
    instance = str(ULID()).lower()
    async with AsyncExitStack() as stack:
        meter = Meter() if settings.metrics else SilentMeter()
        tokens, vapid = open_tokens(settings), open_vapid(settings)
        database = Database(settings)
        stack.callback(database.close)
        epoch = await epoch_of(database)
        await make_indexes(database)
        passwords = await stack.enter_async_context(Passwords(threads=settings.password_threads))
        users = Users(database)
        blocks = Blocks(database, users)
        redis = await stack.enter_async_context(Redis(settings.redis_url, SCRIPTS).running())
        bus = await stack.enter_async_context(Bus(redis, instance).running())
        revocations = await stack.enter_async_context(Revocations(database, bus).running())
        trust = await stack.enter_async_context(Trust(database, redis).running())
        cache = await stack.enter_async_context(Cache(redis, trust, epoch, instance).running())
        meter.counted_elsewhere |= {"cache_hit": cache.hits, "cache_miss": cache.misses}
        producer = await stack.enter_async_context(Producer(settings.kafka_url).running())
        outbox = await stack.enter_async_context(Outbox(database, producer).running())
        logs = await stack.enter_async_context(
            Logs(
                database, outbox, LogCache(cache), (Invitations(bus), TypingEnds(redis), outbox, SentMessages(meter))
            ).running()
        )
        tasks = await stack.enter_async_context(Tasks())
        tasks.spawn(_warm(logs, outbox))
        receipts = ReceiptService(database, logs, ReceiptCache(cache))
        feeds = await stack.enter_async_context(Feeds(logs, bus, receipts).running())
        inboxes = await stack.enter_async_context(Inboxes(database, bus).running())
        conversations = Conversations(database, logs, users, blocks, epoch)
        senders = Senders(logs, users, blocks)
        mutes = Mutes(database, conversations)
        messages = Messages(database, logs, users, senders, epoch)
        profiles = Profiles(users, cache)
        last_seen = await stack.enter_async_context(LastSeen(database).running())
        times = PresenceTimes(idle_seconds=settings.away_seconds, valid_seconds=settings.presence_seconds)
        store = PresenceStore(redis, times)
        presence = PresenceService(store, profiles, last_seen, bus, times)
        reaper = Reaper(store, last_seen, instance)
        attendance = await stack.enter_async_context(
            Attendance(redis, bus, store, last_seen, reaper, instance=instance, times=times).running()
        )
        presence_watch = await stack.enter_async_context(
            PresenceWatch(redis, bus, presence, reaper, times=times).running()
        )
        sessions = Sessions(
            database,
            users=users,
            passwords=passwords,
            tokens=tokens,
            revocations=revocations,
            settings=settings,
            meter=meter,
        )
        loop_lag = await stack.enter_async_context(LoopLag().running())
        meter.gauges["loop_lag_seconds"] = lambda: loop_lag.largest_seconds
        metric_reports = MetricReports(redis, meter, instance=instance, role="api")
        if settings.metrics:
            await stack.enter_async_context(metric_reports.running())
        metrics = MetricsService(metric_reports, MetricHistory(database), store.online)
        stack.push_async_callback(metrics.close)
        health = HealthChecks(
            version=version("parley-chat"),
            instance=instance,
            parts={"mongodb": database.ping, "redis": redis.ping, "kafka": producer.ping},
        )
        await stack.enter_async_context(ComponentWatch(health, meter).running())
        alert_feed = await stack.enter_async_context(AlertFeed(database, bus).running())
        yield Services(
            settings=settings,
            instance=instance,
            users=users,
            profiles=profiles,
            tokens=tokens,
            sessions=sessions,
            identities=Identities(database, users=users, sessions=sessions, issuer=_issuer(settings)),
            revocations=revocations,
            accounts=Accounts(database, revocations.end),
            erasures=Erasures(database, users=users, profiles=profiles, revocations=revocations, logs=logs),
            audit=Audit(database),
            blocks=blocks,
            conversations=conversations,
            mutes=mutes,
            senders=senders,
            logs=logs,
            messages=messages,
            reports=Reports(database, messages),
            search=Search(database, logs, inboxes, messages),
            receipts=receipts,
            unread=Unread(logs, receipts, inboxes, mutes),
            inboxes=inboxes,
            presence=presence,
            presence_watch=presence_watch,
            attendance=attendance,
            push_endpoints=PushEndpoints(
                database, Egress(networks=settings.push_networks, allows_http=settings.push_insecure), vapid
            ),
            push_public_key=None if vapid is None else vapid.public_key,
            typing=await stack.enter_async_context(Typing(redis, bus, logs, feeds, senders).running()),
            cache=cache,
            streams=Streams(feeds, epoch),
            limits=Limits(redis, settings.rate_limits),
            health=health,
            meter=meter,
            loop_lag=loop_lag,
            metrics=metrics,
            tracking=Tracking(producer, meter),
            alerts=AlertLog(database),
            alert_feed=alert_feed,
        )


def _issuer(settings: Settings) -> Issuer | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(settings.oidc_issuer, settings.oidc_audience)


async def _warm(logs: Logs, outbox: Outbox) -> None:
    await asyncio.sleep(WARM_AFTER_SECONDS)
    try:
        await logs.warm(await outbox.active(WARM))
    except PyMongoError as error:
        _logger.warning("cache.not_warmed", error=described(error))
