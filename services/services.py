"""All services of a process, opened in order and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import stamina
import structlog
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError
from ulid import ULID

from services import cache as caches
from services import log_cache, receipt_cache, windows
from services.blocks import Blocks
from services.bus import Bus
from services.cache import Cache, Trust
from services.config import Settings
from services.conversations import Conversations
from services.failures import described
from services.feeds import Feeds
from services.health import HealthChecks
from services.inboxes import Inboxes, Invitations
from services.kafka import Producer
from services.limits import Limits
from services.log import Logs
from services.log_cache import LogCache
from services.messages import Messages
from services.mongo import Database
from services.mutes import Mutes
from services.outbox import Outbox
from services.passwords import Passwords
from services.profiles import Profiles
from services.receipt_cache import ReceiptCache
from services.receipts import ReceiptService
from services.redis import Redis
from services.senders import Senders
from services.sessions import Sessions
from services.streams import Streams
from services.tasks import Tasks
from services.tokens import Tokens, open_tokens
from services.unread import Unread
from services.users import Users

WARM: Final = 100  # conversations that a new process has in memory before anybody asks
WARM_AFTER_SECONDS: Final = (
    caches.QUIET_SECONDS + 1.0
)  # by then Redis may be believed: MongoDB has to be asked for less
SCRIPTS: Final = (*caches.SCRIPTS, *log_cache.SCRIPTS, *receipt_cache.SCRIPTS, *windows.SCRIPTS)

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
    blocks: Blocks
    conversations: Conversations
    mutes: Mutes
    senders: Senders
    logs: Logs
    messages: Messages
    receipts: ReceiptService
    unread: Unread
    inboxes: Inboxes
    cache: Cache
    streams: Streams
    limits: Limits
    health: HealthChecks


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; waits for MongoDB, not for Redis and Kafka, without which Parley starts as well."""
    instance = str(ULID()).lower()
    async with AsyncExitStack() as stack:
        database = Database(settings)
        stack.callback(database.close)
        epoch = await _epoch(database)
        passwords = await stack.enter_async_context(Passwords(threads=settings.password_threads))
        users = Users(database)
        blocks = Blocks(database, users)
        tokens = open_tokens(settings)
        redis = await stack.enter_async_context(Redis(settings.redis_url, SCRIPTS).running())
        bus = await stack.enter_async_context(Bus(redis, settings.redis_url, instance).running())
        trust = await stack.enter_async_context(Trust(database, redis).running())
        cache = await stack.enter_async_context(Cache(redis, trust, epoch, instance).running())
        producer = await stack.enter_async_context(Producer(settings.kafka_url).running())
        outbox = await stack.enter_async_context(Outbox(database, producer).running())
        logs = await stack.enter_async_context(
            Logs(database, outbox, LogCache(cache), (Invitations(bus), outbox)).running()
        )
        tasks = Tasks()
        stack.push_async_callback(tasks.close)
        tasks.spawn(_warm(logs, outbox))
        receipts = ReceiptService(database, logs, ReceiptCache(cache))
        feeds = await stack.enter_async_context(Feeds(logs, bus, receipts).running())
        inboxes = await stack.enter_async_context(Inboxes(database, bus).running())
        conversations = Conversations(database, logs, users, blocks, epoch)
        senders = Senders(logs, users, blocks)
        mutes = Mutes(database, conversations)
        yield Services(
            settings=settings,
            instance=instance,
            users=users,
            profiles=Profiles(users, cache),
            tokens=tokens,
            sessions=Sessions(database, users=users, passwords=passwords, tokens=tokens, settings=settings),
            blocks=blocks,
            conversations=conversations,
            mutes=mutes,
            senders=senders,
            logs=logs,
            messages=Messages(database, logs, users, senders, epoch),
            receipts=receipts,
            unread=Unread(logs, receipts, inboxes, mutes),
            inboxes=inboxes,
            cache=cache,
            streams=Streams(feeds, epoch),
            limits=Limits(redis, settings.rate_limits),
            health=HealthChecks(
                version=version("parley-chat"),
                instance=instance,
                parts={"mongodb": database.ping, "redis": redis.ping, "kafka": producer.ping},
            ),
        )


async def _warm(logs: Logs, outbox: Outbox) -> None:
    await asyncio.sleep(WARM_AFTER_SECONDS)
    try:
        await logs.warm(await outbox.active(WARM))
    except PyMongoError as error:
        _logger.warning("cache.not_warmed", error=described(error))


async def _epoch(database: Database) -> int:
    """Return the epoch of the stored logs; the first process of a deployment makes it."""
    async for attempt in stamina.retry_context(
        on=(DuplicateKeyError, ConnectionFailure), attempts=None, timeout=None, wait_max=1.0
    ):
        with attempt:
            found = await database["meta"].find_one({"_id": "epoch"})
            if found is None:
                found = {"_id": "epoch", "value": ULID().milliseconds & 0x7FFFFFFF}
                await database["meta"].insert_one(found)
            return int(found["value"])
    raise AssertionError("unreachable: there is no last attempt")
