"""A subscription to figures: a sample at once, then one every so many seconds, for as long as its client takes them."""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from graphql.execution import Executor
from ulid import ULID

from parley.execution import Engine
from parley.frames import SharedText
from parley.protocol import NEXT_TAIL
from resolvers.context import Context
from services.failures import described
from services.redis import RedisFailedError
from services.streams import MetricsStream
from services.tasks import Tasks

if TYPE_CHECKING:
    from parley.fanout import Subscriber

_logger = structlog.get_logger()


class Sampler:
    """One subscription. Reading the figures is shared in a process; the few who look do not share executions."""

    def __init__(
        self, engine: Engine, executor: Executor[Any], context: Context, subscriber: "Subscriber", stream: MetricsStream
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._context = context
        self._subscriber = subscriber
        self._every_seconds = stream.every_seconds
        self._work: asyncio.Task[None] | None = None  # None before it begins

    def start(self, tasks: Tasks) -> None:
        """Begin."""
        self._work = tasks.spawn(self._run())

    def cancel(self) -> None:
        """Send nothing more."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                await self._send()
                await self._subscriber.drained()
                due = max(due + self._every_seconds, loop.time())
                await asyncio.sleep(due - loop.time())
        except Exception:
            _logger.exception("samples.failed")
            self._subscriber.fail()

    async def _send(self) -> None:
        services = self._context.services
        try:
            value = await services.metrics.metrics()
        except RedisFailedError as error:
            _logger.warning("samples.missed", error=described(error))  # the next may come
            return
        context = Context(services, self._context.claims)
        result = await self._engine.event(self._executor, context, value, str(ULID()))
        self._subscriber.next([SharedText(result + NEXT_TAIL)])
