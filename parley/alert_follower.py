"""A subscription to alerts: those that fire, then each that begins to fire or is resolved."""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from graphql.execution import Executor

from parley.execution import Engine
from parley.frames import SharedText
from parley.protocol import NEXT_TAIL
from parley.requests import new_request_id
from resolvers.context import Context
from services.alerts import Alert
from services.tasks import Tasks

if TYPE_CHECKING:
    from parley.fanout import Subscriber

_logger = structlog.get_logger()


class AlertFollower:
    """One subscription. Alerts are few, and so are those who look: they do not share executions."""

    def __init__(self, engine: Engine, executor: Executor[Any], context: Context, subscriber: "Subscriber") -> None:
        self._engine = engine
        self._executor = executor
        self._context = context
        self._subscriber = subscriber
        self._work: asyncio.Task[None] | None = None  # None before it begins

    def start(self, tasks: Tasks) -> None:
        """Begin."""
        self._work = tasks.spawn(self._run())

    def cancel(self) -> None:
        """Send nothing more."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            with self._context.services.alert_feed.following() as changes:
                while True:
                    await self._send(await changes.next())
                    await self._subscriber.drained()
        except Exception:
            _logger.exception("alert_follower.failed")
            self._subscriber.fail()

    async def _send(self, alert: Alert) -> None:
        context = Context(self._context.services, self._context.claims)
        result = await self._engine.event(self._executor, context, alert, new_request_id())
        self._subscriber.next([SharedText(result + NEXT_TAIL)])
