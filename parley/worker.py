"""The worker: everything that happens after an answer was given. Its only paths say how it is."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version

import stamina
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp
from ulid import ULID

from parley.http import plain_routes
from parley.requests import EXCEPTION_HANDLERS, Requests
from parley.server import config, run
from services.activity import Activity
from services.config import Settings
from services.health import HealthChecks
from services.jobs import Consumer
from services.kafka import FAILURES, Extents, Producer, make_topics
from services.leases import Leases
from services.mongo import Database
from services.relay import Relay
from services.tasks import Tasks
from services.topics import EVENTS


def create_worker(settings: Settings) -> ASGIApp:
    """Return the worker as an app; it works from its start to its end."""
    instance = str(ULID()).lower()
    database = Database(settings)
    producer = Producer(settings.kafka_url)
    health = HealthChecks(
        version=version("parley-chat"), instance=instance, parts={"mongodb": database.ping, "kafka": producer.ping}
    )
    extents = Extents(settings.kafka_url)
    relay = Relay(
        database,
        producer,
        Leases(database, instance),
        partial(extents.of, EVENTS),
        retention=timedelta(hours=settings.kafka_retention_hours),
    )
    jobs = (Activity(database),)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, HealthChecks]]:
        async with AsyncExitStack() as stack:
            stack.callback(database.close)
            stack.push_async_callback(extents.close)
            await stack.enter_async_context(producer.running())
            tasks = Tasks()
            stack.push_async_callback(tasks.close)
            tasks.spawn(_make_topics(settings))
            await stack.enter_async_context(relay.running())
            for job in jobs:
                await stack.enter_async_context(Consumer(settings.kafka_url, job, producer).running())
            yield {"health": health}

    app = Starlette(routes=plain_routes(settings), lifespan=lifespan, exception_handlers=EXCEPTION_HANDLERS)
    return Requests(app, settings.trusted_proxies)


async def _make_topics(settings: Settings) -> None:
    async for attempt in stamina.retry_context(on=FAILURES, attempts=None, timeout=None):
        with attempt:
            await make_topics(
                settings.kafka_url,
                replication=settings.kafka_replication,
                retention_hours=settings.kafka_retention_hours,
            )


def serve_worker(settings: Settings, *, host: str, port: int) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    run(uvicorn.Server(config(create_worker(settings), host=host, port=port)))
